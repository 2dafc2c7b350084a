// Package sshagent provides signers whose keys an ssh-agent holds, so that a
// secret key need not lie in a file, nor on this machine at all.
//
// The agent signs the message as it is, with a plain Ed25519 key. A key of another
// kind, a certificate, and a token that wants a touch sign something else and are
// passed over.
package sshagent

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// patience is how long an agent may take for an answer: it may ask a person.
const patience = 2 * time.Minute

// Agent is a connection to an ssh-agent. Close it.
type Agent struct {
	conn   net.Conn
	client agent.ExtendedAgent
	keys   []Key
}

// Key is a key that an agent holds. It is a seal.Signer.
type Key struct {
	Comment string // that it was added with, a file name as a rule; anybody's words

	agent  *Agent
	ssh    ssh.PublicKey
	public ed25519.PublicKey
}

var _ seal.Signer = Key{}

// Dial asks the agent behind a unix socket, SSH_AUTH_SOCK as a rule, for its keys.
func Dial(socket string) (*Agent, error) {
	if socket == "" {
		return nil, fleet.Errorf(fleet.Usage, "no ssh-agent: SSH_AUTH_SOCK is not set").WithHint("eval $(ssh-agent) && ssh-add, or name a key_file")
	}
	conn, err := net.DialTimeout("unix", socket, 5*time.Second)
	if err != nil {
		return nil, &fleet.Error{Kind: fleet.Unavailable, Message: "ssh-agent", Err: err, Hint: "is it running? ssh-add -l"}
	}
	a := &Agent{conn: conn, client: agent.NewClient(conn)}
	if err := a.list(); err != nil {
		conn.Close()
		return nil, err
	}
	return a, nil
}

// Close ends the connection.
func (a *Agent) Close() error { return a.conn.Close() }

// Keys returns the keys that can sign, in the agent's order.
func (a *Agent) Keys() []Key { return slices.Clone(a.keys) }

// wait gives the agent its time for one answer.
func (a *Agent) wait() error { return a.conn.SetDeadline(time.Now().Add(patience)) }

func (a *Agent) list() error {
	err := a.wait()
	var held []*agent.Key
	if err == nil {
		held, err = a.client.List()
	}
	if err != nil {
		return &fleet.Error{Kind: fleet.Unavailable, Message: "ssh-agent does not list its keys", Err: err}
	}
	for _, key := range held {
		if key.Format != ssh.KeyAlgoED25519 {
			continue
		}
		parsed, err := ssh.ParsePublicKey(key.Blob)
		if err != nil {
			continue
		}
		holder, _ := parsed.(ssh.CryptoPublicKey)
		if holder == nil {
			continue
		}
		if public, ok := holder.CryptoPublicKey().(ed25519.PublicKey); ok && len(public) == ed25519.PublicKeySize {
			a.keys = append(a.keys, Key{Comment: key.Comment, agent: a, ssh: parsed, public: public})
		}
	}
	return nil
}

// Find returns the key that a person means: its id, its public text, its SSH
// fingerprint (SHA256:…), or nothing where there is one only.
func (a *Agent) Find(name string) (Key, error) {
	if name == "" && len(a.keys) == 1 {
		return a.keys[0], nil
	}
	for _, key := range a.keys {
		if name != "" && slices.Contains([]string{seal.KeyID(key.public), seal.PublicText(key.public), ssh.FingerprintSHA256(key.ssh)}, name) {
			return key, nil
		}
	}
	switch {
	case len(a.keys) == 0:
		return Key{}, fleet.Errorf(fleet.Usage, "ssh-agent holds no Ed25519 key").WithHint("ssh-keygen -t ed25519, then ssh-add; or name a key_file")
	case name == "":
		return Key{}, fleet.Errorf(fleet.Usage, "ssh-agent holds %d Ed25519 keys: say which", len(a.keys)).WithHint("key: ssh-agent:%s", seal.KeyID(a.keys[0].public))
	}
	return Key{}, fleet.Errorf(fleet.Usage, "ssh-agent holds no Ed25519 key %q", name).WithHint("fleetctl key list")
}

// Public returns the public half.
func (k Key) Public() ed25519.PublicKey { return k.public }

// Fingerprint returns the fingerprint that ssh-add -l shows.
func (k Key) Fingerprint() string { return ssh.FingerprintSHA256(k.ssh) }

// Sign has the agent sign the message.
func (k Key) Sign(message []byte) ([]byte, error) {
	if err := k.agent.wait(); err != nil {
		return nil, fmt.Errorf("ssh-agent: %w", err)
	}
	signature, err := k.agent.client.Sign(k.ssh, message)
	switch {
	case err != nil:
		return nil, &fleet.Error{Kind: fleet.Refused, Message: "ssh-agent does not sign", Err: err, Hint: "is it locked, or did it ask you? ssh-add -l"}
	case signature.Format != ssh.KeyAlgoED25519 || len(signature.Rest) > 0:
		return nil, fleet.Errorf(fleet.Refused, "ssh-agent signed as %s, want %s", strings.ToValidUTF8(signature.Format, "?"), ssh.KeyAlgoED25519)
	}
	return signature.Blob, nil
}
