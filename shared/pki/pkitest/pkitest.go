// Package pkitest provides a fleet's certificates for tests.
package pkitest

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
)

// Fleet is a cluster's root with the issuer of its collector c1.
type Fleet struct {
	t       testing.TB
	Cluster string
	Root    *pki.Authority
	Issuer  *pki.Authority
}

// New makes a fleet.
func New(t testing.TB) *Fleet {
	t.Helper()
	return In(t, HostID())
}

// In makes a fleet that is the cluster of that id.
func In(t testing.TB, cluster string) *Fleet {
	t.Helper()
	f := &Fleet{t: t, Cluster: cluster}
	span := pki.SpanOf(time.Now(), 24*time.Hour)
	var err error
	f.Root, err = pki.NewRoot(f.Cluster, span)
	f.must(err)
	key, err := pki.NewKey()
	f.must(err)
	f.Issuer = &pki.Authority{Key: key}
	f.Issuer.Certificate, err = f.Root.Issuer(&key.PublicKey, "c1", span)
	f.must(err)
	return f
}

func (f *Fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// HostID returns 32 random hex digits.
func HostID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// Agent returns the credentials of a host, signed by the issuer.
func (f *Fleet) Agent(host string) *pki.Credentials {
	f.t.Helper()
	return f.Make(f.Issuer, pki.ID{Cluster: f.Cluster, Role: pki.RoleAgent, Name: host}, pki.SpanOf(time.Now(), time.Hour))
}

// Collector returns the credentials of a collector, signed by the root.
func (f *Fleet) Collector(id string) *pki.Credentials {
	f.t.Helper()
	return f.Make(f.Root, pki.ID{Cluster: f.Cluster, Role: pki.RoleCollector, Name: id}, pki.SpanOf(time.Now(), time.Hour), "127.0.0.1", "localhost")
}

// Make returns credentials that the authority signed.
func (f *Fleet) Make(by *pki.Authority, id pki.ID, span pki.Span, hosts ...string) *pki.Credentials {
	f.t.Helper()
	key, err := pki.NewKey()
	f.must(err)
	leaf, err := by.Leaf(&key.PublicKey, id, span, hosts...)
	f.must(err)
	c, err := pki.NewCredentials(key, f.chain(by, leaf), f.Root.Certificate)
	f.must(err)
	return c
}

func (f *Fleet) chain(by *pki.Authority, leaf *x509.Certificate) []*x509.Certificate {
	if by == f.Root {
		return []*x509.Certificate{leaf}
	}
	return []*x509.Certificate{leaf, by.Certificate}
}

// Ticket returns a gossip ticket that counts for an hour.
func (f *Fleet) Ticket(role pki.Role, name string) string {
	f.t.Helper()
	text, err := pki.Ticket{ID: pki.ID{Cluster: f.Cluster, Role: role, Name: name}, Expires: time.Now().Add(time.Hour)}.Sign(f.Issuer)
	f.must(err)
	return text
}
