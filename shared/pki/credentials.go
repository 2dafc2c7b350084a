package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Credentials are a key, the chain that says whose it is, and the root that
// its holder believes. They are safe for concurrent use, and can be replaced
// while connections are made with them.
type Credentials struct{ held atomic.Pointer[held] }

// held is one key with its certificate; it never changes.
type held struct {
	id    ID
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate // leaf first, without the root
	root  *x509.Certificate
	pool  *x509.CertPool
	show  tls.Certificate // chain
	whole tls.Certificate // chain and root, for those who know only its pin
}

// NewCredentials puts a key and its chain together and verifies that they
// belong below the root. An expired certificate is taken: its holder can say
// so, which says more than nothing. A root at the end of the chain is cut off.
func NewCredentials(key *ecdsa.PrivateKey, chain []*x509.Certificate, root *x509.Certificate) (*Credentials, error) {
	if n := len(chain); n > 1 && chain[n-1].Equal(root) {
		chain = chain[:n-1]
	}
	if len(chain) == 0 || key == nil || root == nil {
		return nil, errors.New("credentials: want a key, its certificate and the root")
	}
	if !key.PublicKey.Equal(chain[0].PublicKey) {
		return nil, &PeerError{Code: CodeIdentity, Reason: "the certificate is not of this key"}
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	id, err := verify(chain, pool, root, whileAllCount(chain))
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	h := &held{id: id, key: key, chain: chain, root: root, pool: pool}
	h.show = tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, cert := range chain {
		h.show.Certificate = append(h.show.Certificate, cert.Raw)
	}
	h.whole = h.show
	h.whole.Certificate = append(append([][]byte(nil), h.show.Certificate...), root.Raw)
	c := &Credentials{}
	c.held.Store(h)
	return c, nil
}

// whileAllCount returns an instant at which no certificate of a sound chain
// has expired.
func whileAllCount(chain []*x509.Certificate) time.Time {
	at := chain[0].NotAfter
	for _, cert := range chain[1:] {
		if cert.NotAfter.Before(at) {
			at = cert.NotAfter
		}
	}
	return at
}

// The files of an identity. The next key is there only between the first and
// the last step of Save.
const (
	keyFile   = "key.pem"
	nextFile  = "key.next.pem"
	chainFile = "chain.pem"
	rootFile  = "ca.pem"
)

// LoadCredentials reads what Save wrote. A key that others may read, or of
// another owner, is refused. The error is fs.ErrNotExist where nothing was
// ever saved.
func LoadCredentials(dir string) (*Credentials, error) { return LoadCredentialsOf(dir, 0) }

// LoadCredentialsOf reads credentials that may be that user's as well: root
// reads so what it gave to him.
func LoadCredentialsOf(dir string, uid int) (*Credentials, error) {
	c, err := load(dir, uid)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("identity in %s: %w", dir, err)
	}
	return c, err
}

func load(dir string, uid int) (*Credentials, error) {
	chain, err := readCertificates(filepath.Join(dir, chainFile))
	if err != nil {
		return nil, err
	}
	roots, err := readCertificates(filepath.Join(dir, rootFile))
	if err != nil {
		return nil, err
	}
	key, err := keyOf(dir, chain[0], uid)
	if err != nil {
		return nil, err
	}
	return NewCredentials(key, chain, roots[0])
}

// keyOf returns the key of the certificate, and ends a Save that was cut off
// after its decisive step.
func keyOf(dir string, leaf *x509.Certificate, uid int) (*ecdsa.PrivateKey, error) {
	key, err := readKey(filepath.Join(dir, keyFile), uid)
	if err == nil && key.PublicKey.Equal(leaf.PublicKey) {
		return key, nil
	}
	next, nextErr := readKey(filepath.Join(dir, nextFile), uid)
	if nextErr != nil || !next.PublicKey.Equal(leaf.PublicKey) {
		if err == nil {
			err = &PeerError{Code: CodeIdentity, Reason: keyFile + " and " + chainFile + " do not belong together", Hint: "put back the files that belong together, or enrol again"}
		}
		return nil, err
	}
	return next, place(filepath.Join(dir, nextFile), filepath.Join(dir, keyFile))
}

func readKey(path string, uid int) (*ecdsa.PrivateKey, error) {
	text, err := ReadPrivateOf(path, uid)
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(text)
	if err != nil {
		return nil, fleet.Invalidf("file", path, "%v", err)
	}
	return key, nil
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	certs, err := ParseCertificates(text)
	if err != nil {
		return nil, fleet.Invalidf("file", path, "%v", err)
	}
	return certs, nil
}

// Save writes key, chain and root to the directory, which is made with mode
// 0700 where it is missing. The step that counts is one rename: a crash leaves
// either the old pair or the new one.
func (c *Credentials) Save(dir string) error {
	h := c.held.Load()
	key, err := EncodeKey(h.key)
	if err != nil {
		return err
	}
	next, chain := filepath.Join(dir, nextFile), filepath.Join(dir, chainFile)
	steps := []func() error{
		func() error { return write(filepath.Join(dir, rootFile), EncodeCertificates(h.root), 0o644) },
		func() error { return write(next, key, 0o600) },
		func() error { return write(chain, EncodeCertificates(h.chain...), 0o644) }, // from here on it is the new one
		func() error { return place(next, filepath.Join(dir, keyFile)) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("save identity: %w", err)
		}
	}
	return nil
}

// Replace takes over what next holds; connections made from now on use it.
func (c *Credentials) Replace(next *Credentials) { c.held.Store(next.held.Load()) }

// ID returns who the holder is.
func (c *Credentials) ID() ID { return c.held.Load().id }

// Root returns the certificate of the cluster's root.
func (c *Credentials) Root() *x509.Certificate { return c.held.Load().root }

// Chain returns the certificates that are shown, leaf first, without the root.
func (c *Credentials) Chain() []*x509.Certificate { return c.held.Load().chain }

// Key returns the private key.
func (c *Credentials) Key() *ecdsa.PrivateKey { return c.held.Load().key }

// Serial returns the certificate's serial number as 32 hex digits.
func (c *Credentials) Serial() string { return Serial(c.held.Load().chain[0]) }

// NotBefore returns when the certificate begins to count.
func (c *Credentials) NotBefore() time.Time { return c.held.Load().chain[0].NotBefore }

// NotAfter returns when the certificate stops to count.
func (c *Credentials) NotAfter() time.Time { return c.held.Load().chain[0].NotAfter }

// Fingerprint returns that of the holder's public key.
func (c *Credentials) Fingerprint() string { return Fingerprint(&c.held.Load().key.PublicKey) }
