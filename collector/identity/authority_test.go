package identity_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

func makeFleet(t testing.TB) (*identity.Authority, *pki.Credentials) {
	t.Helper()
	a, c, err := identity.Make("c1", []string{"127.0.0.1", "fleet.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

// replaceSPKI puts another public key into a request, whose signature then is
// of nothing.
func replaceSPKI(t *testing.T, request *x509.CertificateRequest, public []byte) []byte {
	t.Helper()
	var outer struct {
		Info, Algorithm asn1.RawValue
		Signature       asn1.BitString
	}
	var info struct {
		Version    int
		Subject    asn1.RawValue
		Key        asn1.RawValue
		Attributes asn1.RawValue `asn1:"tag:0"`
	}
	if _, err := asn1.Unmarshal(request.Raw, &outer); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(outer.Info.FullBytes, &info); err != nil {
		t.Fatal(err)
	}
	info.Key = asn1.RawValue{FullBytes: public}
	inner, err := asn1.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	outer.Info = asn1.RawValue{FullBytes: inner}
	whole, err := asn1.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := x509.ParseCertificateRequest(whole); err != nil || parsed.PublicKey.(*rsa.PublicKey).N.BitLen() != 16384 {
		t.Fatalf("the forged request is none: %v", err)
	}
	return whole
}

func TestIssuedCertificatesAreOfTheirFleet(t *testing.T) {
	a, c := makeFleet(t)
	if c.ID() != (pki.ID{Cluster: a.Cluster(), Role: pki.RoleCollector, Name: "c1"}) || !a.HasRootKey() || a.Pin() != pki.Pin(c.Root()) {
		t.Errorf("made %v, root key %v", c.ID(), a.HasRootKey())
	}
	if leaf := c.Chain()[0]; leaf.VerifyHostname("fleet.example") != nil || leaf.VerifyHostname("127.0.0.1") != nil {
		t.Error("no browser takes the collector's certificate")
	}
	request, key := newRequest(t)
	host := fleet.HostID(pkitest.HostID())
	made, err := a.IssueAgent(request, host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	chain := must(pki.ParseCertificates(made.Chain))
	agent, err := pki.NewCredentials(key, chain, c.Root())
	if err != nil || agent.Serial() != made.Serial || agent.Fingerprint() != made.Fingerprint || made.Fingerprint != request.Fingerprint {
		t.Errorf("%v: issued %s %s", err, made.Serial, made.Fingerprint)
	}
	if left := time.Until(agent.NotAfter()); left > identity.AgentLife || left < identity.AgentLife-time.Minute {
		t.Errorf("counts for %v", left)
	}
	ticket, err := a.Ticket(agent.ID(), agent.NotAfter())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pki.VerifyTicket(ticket, agent.ID(), c.Root(), time.Now()); err != nil {
		t.Error(err)
	}
	if _, err := a.Ticket(pki.ID{Cluster: a.Cluster(), Role: pki.RoleCollector, Name: "c2"}, agent.NotAfter()); err == nil {
		t.Error("c1 vouches for c2")
	}
}

func TestAgentsCertificateEndsWithTheIssuers(t *testing.T) {
	a, _ := makeFleet(t)
	request, _ := newRequest(t)
	late := a.Expires().Add(-time.Hour)
	made, err := a.IssueAgent(request, fleet.HostID(pkitest.HostID()), late)
	if err != nil || !made.Expires.Equal(a.Expires()) {
		t.Errorf("ends %v, the issuer's %v, %v", made.Expires, a.Expires(), err)
	}
	if _, err := a.IssueAgent(request, fleet.HostID(pkitest.HostID()), a.Expires()); codeOf(err) != "issuer_expired" {
		t.Errorf("after the issuer's end: %v", err)
	}
}

func TestAnotherCollectorIsMadeByTheRootAlone(t *testing.T) {
	a, _ := makeFleet(t)
	keys := must(identity.NewKeys())
	own := must(identity.ParseRequest(must(pki.Request(keys.Own))))
	issuer := must(identity.ParseRequest(must(pki.Request(keys.Issuer))))
	made, err := a.IssueCollector(own, issuer, "c2", []string{"127.0.0.2"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	second, c2, err := keys.Take(made.Chain, made.Intermediate, pki.EncodeCertificates(a.Root()))
	if err != nil {
		t.Fatal(err)
	}
	if c2.ID().Name != "c2" || second.HasRootKey() || len(c2.Chain()) != 1 {
		t.Errorf("made %v, root key %v, chain of %d", c2.ID(), second.HasRootKey(), len(c2.Chain()))
	}
	if _, err := second.IssueCollector(own, issuer, "c3", nil, time.Now()); codeOf(err) != "root_key_offline" {
		t.Errorf("without the root key: %v", err)
	}
	if _, err := a.IssueCollector(own, own, "c3", nil, time.Now()); err == nil {
		t.Error("one key for both is taken")
	}
	request, key := newRequest(t)
	agent := must(second.IssueAgent(request, fleet.HostID(pkitest.HostID()), time.Now()))
	if _, err := pki.NewCredentials(key, must(pki.ParseCertificates(agent.Chain)), a.Root()); err != nil {
		t.Errorf("an agent of c2: %v", err)
	}
}

func TestSavedAuthorityIsLoaded(t *testing.T) {
	a, c := makeFleet(t)
	dir := filepath.Join(t.TempDir(), "identity")
	for _, save := range []func(string) error{a.Save, c.Save} {
		if err := save(dir); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := identity.Load(dir, must(pki.LoadCredentials(dir)))
	if err != nil || loaded.Cluster() != a.Cluster() || !loaded.HasRootKey() || !loaded.Expires().Equal(a.Expires()) {
		t.Errorf("%+v, %v", loaded, err)
	}
	if err := os.Rename(filepath.Join(dir, "root.key"), filepath.Join(t.TempDir(), "root.key")); err != nil {
		t.Fatal(err)
	}
	if loaded, err := identity.Load(dir, c); err != nil || loaded.HasRootKey() {
		t.Errorf("without the root key: %v", err)
	}
}

func TestAttack114_AuthorityFilesOfAnyone(t *testing.T) {
	a, c := makeFleet(t)
	other, _ := makeFleet(t)
	for name, harm := range map[string]struct {
		do   func(dir string) error
		want string
	}{
		"issuer 0644":       {func(dir string) error { return os.Chmod(filepath.Join(dir, "issuer.pem"), 0o644) }, "mode 0644"},
		"root key 0640":     {func(dir string) error { return os.Chmod(filepath.Join(dir, "root.key"), 0o640) }, "mode 0640"},
		"another's":         {other.Save, "not signed by this cluster's root"},
		"no issuer":         {func(dir string) error { return os.Remove(filepath.Join(dir, "issuer.pem")) }, "no such file"},
		"key only":          {func(dir string) error { return cut(filepath.Join(dir, "issuer.pem"), "-----BEGIN CERTIFICATE") }, "found none"},
		"another's root":    {func(dir string) error { return only(dir, other) }, "the key of another root"},
		"an empty root key": {func(dir string) error { return os.Truncate(filepath.Join(dir, "root.key"), 0) }, "want one PEM block"},
	} {
		dir := t.TempDir()
		if err := a.Save(dir); err != nil {
			t.Fatal(err)
		}
		if err := harm.do(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.Load(dir, c); err == nil || !strings.Contains(err.Error(), harm.want) {
			t.Errorf("%s: %v, want %q", name, err, harm.want)
		}
	}
}

func cut(path, at string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text[:bytes.Index(text, []byte(at))], 0o600)
}

// only replaces nothing but the root key.
func only(dir string, other *identity.Authority) error {
	issuer, err := os.ReadFile(filepath.Join(dir, "issuer.pem"))
	if err != nil {
		return err
	}
	if err := other.Save(dir); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "issuer.pem"), issuer, 0o600)
}

func BenchmarkIssueAgent(b *testing.B) {
	a, _ := makeFleet(b)
	text := must(pki.Request(must(pki.NewKey())))
	for b.Loop() {
		request, err := identity.ParseRequest(text)
		if err != nil {
			b.Fatal(err)
		}
		made, err := a.IssueAgent(request, fleet.HostID(pkitest.HostID()), time.Now())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.Ticket(pki.ID{Cluster: a.Cluster(), Role: pki.RoleAgent, Name: pkitest.HostID()}, made.Expires); err != nil {
			b.Fatal(err)
		}
	}
}
