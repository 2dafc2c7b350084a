package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// The files of an authority, beside those of the collector's credentials.
const (
	issuerFile = "issuer.pem" // key and certificate, so that they are replaced as one
	// RootKeyFile is the cluster's root key. It is needed to let collectors in,
	// and for nothing else: a person may keep it elsewhere.
	RootKeyFile = "root.key"
)

// Make makes a new cluster: its root, this collector's issuer and this
// collector's credentials.
func Make(collector fleet.CollectorID, hosts []string, now time.Time) (*Authority, *pki.Credentials, error) {
	id := make([]byte, 16)
	rand.Read(id) // never fails: it ends the process instead
	root, err := pki.NewRoot(hex.EncodeToString(id), pki.SpanOf(now, rootLife))
	if err != nil {
		return nil, nil, err
	}
	keys, err := NewKeys()
	if err != nil {
		return nil, nil, err
	}
	who := pki.ID{Cluster: hex.EncodeToString(id), Role: pki.RoleCollector, Name: string(collector)}
	made, err := issueCollector(root, &keys.Own.PublicKey, &keys.Issuer.PublicKey, who, hosts, now)
	if err != nil {
		return nil, nil, err
	}
	authority, credentials, err := keys.Take(made.Chain, made.Intermediate, pki.EncodeCertificates(root.Certificate))
	if err != nil {
		return nil, nil, err
	}
	authority.root.Key = root.Key
	return authority, credentials, nil
}

// Keys are those that a collector makes for itself.
type Keys struct {
	Own    *ecdsa.PrivateKey // shown on connections
	Issuer *ecdsa.PrivateKey // signs agents
}

// NewKeys makes both.
func NewKeys() (Keys, error) {
	own, err := pki.NewKey()
	if err != nil {
		return Keys{}, err
	}
	issuer, err := pki.NewKey()
	return Keys{own, issuer}, err
}

// Take puts the keys and what was issued for them together: chain, the
// issuer's certificate and the root's, as PEM.
func (k Keys) Take(chain, intermediate, root []byte) (*Authority, *pki.Credentials, error) {
	var parsed [3][]*x509.Certificate
	for i, text := range [][]byte{chain, intermediate, root} {
		certs, err := pki.ParseCertificates(text)
		if err != nil {
			return nil, nil, fmt.Errorf("what was issued: %w", err)
		}
		parsed[i] = certs
	}
	credentials, err := pki.NewCredentials(k.Own, parsed[0], parsed[2][0])
	if err != nil {
		return nil, nil, err
	}
	authority, err := newAuthority(credentials, &pki.Authority{Key: k.Issuer, Certificate: parsed[1][0]}, nil)
	return authority, credentials, err
}

// newAuthority refuses what does not belong together.
func newAuthority(credentials *pki.Credentials, issuer *pki.Authority, rootKey *ecdsa.PrivateKey) (*Authority, error) {
	id, root := credentials.ID(), credentials.Root()
	switch {
	case id.Role != pki.RoleCollector:
		return nil, fmt.Errorf("the credentials are of %s, want those of a collector", id)
	case !issuer.Key.PublicKey.Equal(issuer.Certificate.PublicKey):
		return nil, errors.New("the issuer's certificate is not of its key")
	case issuer.Certificate.CheckSignatureFrom(root) != nil:
		return nil, errors.New("the issuer's certificate was not signed by this cluster's root")
	case rootKey != nil && !rootKey.PublicKey.Equal(root.PublicKey):
		return nil, fmt.Errorf("%s is the key of another root", RootKeyFile)
	}
	return &Authority{
		cluster: id.Cluster, collector: fleet.CollectorID(id.Name), issuer: issuer,
		root: &pki.Authority{Certificate: root, Key: rootKey}, agents: AgentLife,
	}, nil
}

// Save writes the authority to the directory of the credentials.
func (a *Authority) Save(dir string) error {
	key, err := pki.EncodeKey(a.issuer.Key)
	if err != nil {
		return err
	}
	if err := pki.WritePrivate(filepath.Join(dir, issuerFile), append(key, pki.EncodeCertificates(a.issuer.Certificate)...)); err != nil {
		return fmt.Errorf("save issuer: %w", err)
	}
	if a.root.Key == nil {
		return nil
	}
	if key, err = pki.EncodeKey(a.root.Key); err != nil {
		return err
	}
	if err := pki.WritePrivate(filepath.Join(dir, RootKeyFile), key); err != nil {
		return fmt.Errorf("save root key: %w", err)
	}
	return nil
}

// Load reads what Save wrote, for the collector of these credentials.
func Load(dir string, credentials *pki.Credentials) (*Authority, error) {
	issuer, err := loadIssuer(filepath.Join(dir, issuerFile))
	if err != nil {
		return nil, err
	}
	rootKey, err := LoadRootKey(filepath.Join(dir, RootKeyFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	a, err := newAuthority(credentials, issuer, rootKey)
	if err != nil {
		return nil, fmt.Errorf("identity in %s: %w", dir, err)
	}
	return a, nil
}

func loadIssuer(path string) (*pki.Authority, error) {
	text, err := pki.ReadPrivate(path)
	if err != nil {
		return nil, err
	}
	first, rest := pem.Decode(text)
	if first == nil {
		return nil, fleet.Invalidf("file", path, "want a key and its certificate as PEM")
	}
	key, err := pki.ParseKey(pem.EncodeToMemory(first))
	if err != nil {
		return nil, fleet.Invalidf("file", path, "%v", err)
	}
	certs, err := pki.ParseCertificates(bytes.TrimSpace(rest))
	if err != nil {
		return nil, fleet.Invalidf("file", path, "%v", err)
	}
	return &pki.Authority{Key: key, Certificate: certs[0]}, nil
}

// LoadRootKey reads the cluster's root key.
func LoadRootKey(path string) (*ecdsa.PrivateKey, error) {
	text, err := pki.ReadPrivate(path)
	if err != nil {
		return nil, err
	}
	key, err := pki.ParseKey(text)
	if err != nil {
		return nil, fleet.Invalidf("file", path, "%v", err)
	}
	return key, nil
}
