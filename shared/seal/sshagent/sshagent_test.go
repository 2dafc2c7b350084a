package sshagent

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// serve answers on a socket with a keyring, and returns the socket.
func serve(t *testing.T, ring agent.Agent) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fc") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn); conn.Close() }()
		}
	}()
	return socket
}

func dial(t *testing.T, socket string) *Agent {
	t.Helper()
	a, err := Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func add(t *testing.T, ring agent.Agent, key any, comment string) {
	t.Helper()
	if err := ring.Add(agent.AddedKey{PrivateKey: key, Comment: comment}); err != nil {
		t.Fatal(err)
	}
}

func statement() *seal.Statement {
	now := time.Now().UTC()
	return &seal.Statement{Version: 1, Cluster: strings.Repeat("0f", 16), Kind: seal.KindTask, Namespace: "data", Name: "backup",
		Serial: uint64(now.UnixMilli()), Issued: now, Task: &seal.Task{State: fleet.TaskRetired}}
}

func TestKeysOfAnAgentSign(t *testing.T) {
	ring := agent.NewKeyring()
	public, private, _ := ed25519.GenerateKey(nil)
	other, second, _ := ed25519.GenerateKey(nil)
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add(t, ring, curve, "a key of another kind")
	add(t, ring, &private, "anna")
	a := dial(t, serve(t, ring))
	if len(a.Keys()) != 1 || a.Keys()[0].Comment != "anna" {
		t.Fatalf("keys %v", a.Keys())
	}
	key, err := a.Find("")
	if err != nil {
		t.Fatal(err)
	}
	e, err := seal.Sign(statement(), key)
	if err != nil {
		t.Fatal(err)
	}
	if signers := e.Signers([]ed25519.PublicKey{other, public}); len(signers) != 1 || !signers[0].Equal(public) {
		t.Errorf("signed by %v", signers)
	}
	add(t, ring, &second, "ben")
	a = dial(t, serve(t, ring))
	for _, name := range []string{seal.KeyID(other), seal.PublicText(other), a.Keys()[1].Fingerprint()} {
		if key, err := a.Find(name); err != nil || key.Comment != "ben" || !key.Public().Equal(other) {
			t.Errorf("%s is %v, %v", name, key, err)
		}
	}
	for _, name := range []string{"", "ben", "SHA256:"} {
		if _, err := a.Find(name); fleet.KindOf(err) != fleet.Usage {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// stubborn is an agent that lists a key and signs something else with it, or not.
type stubborn struct {
	agent.Agent
	signature *ssh.Signature
	err       error
}

func (s stubborn) Sign(ssh.PublicKey, []byte) (*ssh.Signature, error) { return s.signature, s.err }

func TestAnAgentThatDoesNotSign(t *testing.T) {
	ring := agent.NewKeyring()
	_, private, _ := ed25519.GenerateKey(nil)
	add(t, ring, &private, "anna")
	for what, s := range map[string]stubborn{
		"refuses":         {ring, nil, os.ErrPermission},
		"another kind":    {ring, &ssh.Signature{Format: "sk-ssh-ed25519@openssh.com", Blob: make([]byte, 64)}, nil},
		"with more to it": {ring, &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: make([]byte, 64), Rest: []byte{1}}, nil},
		"nonsense":        {ring, &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: make([]byte, 64)}, nil},
		"nothing":         {ring, &ssh.Signature{Format: ssh.KeyAlgoED25519}, nil},
	} {
		key, err := dial(t, serve(t, s)).Find("")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Sign(statement(), key); fleet.KindOf(err) != fleet.Refused {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestNoAgent(t *testing.T) {
	if _, err := Dial(""); fleet.KindOf(err) != fleet.Usage {
		t.Errorf("no socket: %v", err)
	}
	if _, err := Dial(filepath.Join(t.TempDir(), "none")); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
	a := dial(t, serve(t, agent.NewKeyring()))
	if _, err := a.Find(""); fleet.KindOf(err) != fleet.Usage || !strings.Contains(err.Error(), "no Ed25519 key") {
		t.Errorf("no keys: %v", err)
	}
}

// TestTheRealAgent signs with OpenSSH's own, where the machine has it.
func TestTheRealAgent(t *testing.T) {
	for _, program := range []string{"ssh-agent", "ssh-add", "ssh-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("OpenSSH is not installed: %v", err)
		}
	}
	dir, err := os.MkdirTemp("", "fc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, file := filepath.Join(dir, "agent"), filepath.Join(dir, "key")
	ours := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := ours.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Process.Kill(); _ = ours.Wait() })
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "anna", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	load := exec.Command("sh", "-c", `until test -S "$SSH_AUTH_SOCK"; do sleep 0.05; done; exec ssh-add -q "$0"`, file)
	load.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key, err := dial(t, socket).Find("")
	if err != nil {
		t.Fatal(err)
	}
	e, err := seal.Sign(statement(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Signers([]ed25519.PublicKey{key.Public()})) != 1 || key.Comment != "anna" {
		t.Errorf("OpenSSH's signature does not count: %v", key.Comment)
	}
}
