package author

import (
	"bufio"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/seal"
	"github.com/fleetcron/fleetcron/shared/seal/sshagent"
	"github.com/fleetcron/fleetcron/shared/settings"
)

// Access says how a person reaches a fleet and signs for it. Paths are absolute,
// or relative to where the program runs.
type Access struct {
	Addresses   []string // of collectors, https://…
	CAFile      string   // the fleet's root certificate, PEM
	TokenFile   string   // 0600; empty: Token
	Token       string
	KeyFile     string // 0600; empty: Key
	Key         string // "ssh-agent", or "ssh-agent:" and which of its keys
	AgentSocket string // of ssh-agent
	TrustedKeys string // file of the keys of other people; empty or absent: none

	UserAgent  string
	Timeout    time.Duration
	Rounds     int
	Consistent bool
}

// Root reads the fleet's root certificate, and whose it is.
func (a *Access) Root() (*x509.Certificate, string, error) {
	if a.CAFile == "" {
		return nil, "", fleet.Errorf(fleet.Usage, "ca_file is not set: the certificate of the fleet's root, by which its collectors are known").
			WithHint("copy ca.pem from the directory that fleetcron-collector init made, and name it in the configuration")
	}
	text, err := os.ReadFile(a.CAFile)
	if err != nil {
		return nil, "", fleet.Errorf(fleet.Usage, "ca_file: %v", err)
	}
	certs, err := pki.ParseCertificates(text)
	if err != nil || len(certs) != 1 {
		return nil, "", fleet.Errorf(fleet.Usage, "ca_file %s: want one certificate, found %d", a.CAFile, len(certs))
	}
	cluster, err := (&pki.Authority{Certificate: certs[0]}).Cluster()
	if err != nil {
		return nil, "", &fleet.Error{Kind: fleet.Usage, Message: "ca_file " + a.CAFile, Err: err}
	}
	return certs[0], cluster, nil
}

// Client returns a client with the person's token.
func (a *Access) Client() (*api.Client, error) {
	root, cluster, err := a.Root()
	if err != nil {
		return nil, err
	}
	token := a.Token
	if token == "" && a.TokenFile != "" {
		text, err := pki.ReadPrivate(a.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("token_file: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fleet.Errorf(fleet.Usage, "the token has characters that no token has: want one line such as fct1_…")
	}
	return api.NewClient(api.Config{
		Addresses: a.Addresses, Token: token, TLS: pki.RootTLS(root, cluster, pki.PlaneOperator),
		UserAgent: a.UserAgent, Timeout: a.Timeout, Rounds: a.Rounds, Consistent: a.Consistent,
	})
}

// Signer returns what signs: a key file's key, or one that ssh-agent holds.
func (a *Access) Signer() (seal.Signer, error) {
	which, agent := strings.CutPrefix(a.Key, "ssh-agent")
	switch {
	case a.KeyFile != "" && a.Key != "":
		return nil, fleet.Errorf(fleet.Usage, "key_file and key are both set: name one")
	case a.KeyFile != "":
		return seal.LoadKey(a.KeyFile)
	case a.Key == "":
		return nil, fleet.Errorf(fleet.Usage, "there is no key to sign with: neither key_file nor key is set").
			WithHint("fleetctl key new makes one; key: ssh-agent uses one that ssh-agent holds")
	case !agent || which != "" && which[0] != ':':
		return nil, fleet.Errorf(fleet.Usage, "key: want ssh-agent, or ssh-agent: and which of its keys; a key in a file is named by key_file")
	}
	held, err := sshagent.Dial(a.AgentSocket)
	if err != nil {
		return nil, err
	}
	key, err := held.Find(strings.TrimPrefix(which, ":"))
	if err != nil {
		held.Close()
		return nil, err
	}
	return key, nil
}

// Author returns the person's author.
func (a *Access) Author(client *api.Client) (*Author, error) {
	_, cluster, err := a.Root()
	if err != nil {
		return nil, err
	}
	signer, err := a.Signer()
	if err != nil {
		return nil, err
	}
	trusted, err := a.Trusted()
	if err != nil {
		return nil, err
	}
	keys := make([]ed25519.PublicKey, len(trusted))
	for i := range trusted {
		keys[i] = trusted[i].Key
	}
	return New(client, cluster, signer, keys...), nil
}

// TrustedKey is a line of the file of other people's keys.
type TrustedKey struct {
	Key  ed25519.PublicKey
	Name string // whose it is, in the person's words
}

// Trusted reads the keys of other people: lines of a key and a name. What begins
// with # is a comment.
func (a *Access) Trusted() ([]TrustedKey, error) {
	if a.TrustedKeys == "" {
		return nil, nil
	}
	file, err := os.Open(a.TrustedKeys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fleet.Errorf(fleet.Usage, "trusted_keys: %v", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Mode().Perm()&0o022 != 0 {
		return nil, fleet.Errorf(fleet.Refused, "trusted_keys %s: others may write it", a.TrustedKeys).WithCode("key_file").WithHint("chmod 600 %s", a.TrustedKeys)
	}
	var keys []TrustedKey
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		word, name, _ := strings.Cut(text, " ")
		key, err := seal.ParsePublic(word)
		if err != nil {
			return nil, &fleet.Error{Kind: fleet.Usage, Message: fmt.Sprintf("trusted_keys %s, line %d", a.TrustedKeys, n), Err: err}
		}
		keys = append(keys, TrustedKey{Key: key, Name: strings.TrimSpace(name)})
	}
	return keys, lines.Err()
}

// Kit reads the directory that the init of a cluster made for its first person,
// or one like it: config.yaml with address, ca_file, token_file and key_file.
func Kit(dir string) (*api.Client, *Author, error) {
	var config struct {
		Address   string `yaml:"address"`
		CAFile    string `yaml:"ca_file"`
		TokenFile string `yaml:"token_file"`
		KeyFile   string `yaml:"key_file"`
	}
	if err := settings.Load(&config, settings.Source{File: filepath.Join(dir, "config.yaml")}); err != nil {
		return nil, nil, err
	}
	below := func(name string) string {
		if name == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(dir, name)
	}
	access := Access{
		Addresses: strings.Split(config.Address, ","), CAFile: below(config.CAFile), TokenFile: below(config.TokenFile), KeyFile: below(config.KeyFile),
		UserAgent: "fleetcron-kit", Consistent: true,
	}
	client, err := access.Client()
	if err != nil {
		return nil, nil, err
	}
	author, err := access.Author(client)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, author, nil
}
