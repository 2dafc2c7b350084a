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
	"os"
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
	return makeUnder(root, collector, hosts, now)
}

// Renew makes this collector's certificates anew, with new keys. It needs the
// root key: root_key_offline.
func (a *Authority) Renew(hosts []string, now time.Time) (*Authority, *pki.Credentials, error) {
	if a.root.Key == nil {
		return nil, nil, a.noRootKey()
	}
	return makeUnder(a.root, a.collector, hosts, now)
}

// makeUnder makes what a collector needs that has the root key itself.
func makeUnder(root *pki.Authority, collector fleet.CollectorID, hosts []string, now time.Time) (*Authority, *pki.Credentials, error) {
	keys, err := NewKeys()
	if err != nil {
		return nil, nil, err
	}
	made, err := issueCollector(root, &keys.Own.PublicKey, &keys.Issuer.PublicKey, collector, hosts, now)
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
	rootKey, err := loadKey(filepath.Join(dir, RootKeyFile))
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

func loadKey(path string) (*ecdsa.PrivateKey, error) {
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

// LoadRoot reads the cluster's root: the key, and the certificate beside it.
func LoadRoot(keyPath, certPath string) (*pki.Authority, error) {
	key, err := loadKey(keyPath)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(certPath)
	if err != nil {
		return nil, err
	}
	certs, err := pki.ParseCertificates(text)
	if err != nil {
		return nil, fleet.Invalidf("file", certPath, "%v", err)
	}
	root := &pki.Authority{Certificate: certs[0], Key: key}
	if _, err := root.Cluster(); err != nil || !key.PublicKey.Equal(certs[0].PublicKey) {
		return nil, fleet.Invalidf("file", certPath, "is not the certificate of the root key in %s", keyPath)
	}
	return root, nil
}

// The files of keys that wait for their certificates.
const (
	ownKeyFile    = "own.key"
	issuerKeyFile = "issuer.key"
)

// Save writes the keys until what they are for was issued.
func (k Keys) Save(dir string) error {
	for name, key := range map[string]*ecdsa.PrivateKey{ownKeyFile: k.Own, issuerKeyFile: k.Issuer} {
		text, err := pki.EncodeKey(key)
		if err != nil {
			return err
		}
		if err := pki.WritePrivate(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	return nil
}

// LoadKeys reads what Save wrote.
func LoadKeys(dir string) (keys Keys, err error) {
	if keys.Own, err = loadKey(filepath.Join(dir, ownKeyFile)); err != nil {
		return keys, err
	}
	keys.Issuer, err = loadKey(filepath.Join(dir, issuerKeyFile))
	return keys, err
}
