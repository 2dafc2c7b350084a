package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// csr makes a certificate request of a template.
func csr(t *testing.T, template *x509.CertificateRequest, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func newRequest(t *testing.T) (identity.Request, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := pki.Request(key)
	if err != nil {
		t.Fatal(err)
	}
	request, err := identity.ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	return request, key
}

func codeOf(err error) string {
	if e, is := err.(*fleet.Error); is {
		return e.Code
	}
	return ""
}

// bigRSA is a request with a key of 16384 bits that nobody had to look for: its
// modulus is a random odd number.
func bigRSA(t *testing.T) []byte {
	t.Helper()
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(csr(t, &x509.CertificateRequest{}, small))
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	modulus := make([]byte, 16384/8)
	rand.Read(modulus)
	modulus[0], modulus[len(modulus)-1] = 0x80, 1
	public, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: replaceSPKI(t, parsed, public)})
}

func TestAttack16_KeysOfAnotherKind(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"RSA-16384": bigRSA(t),
		"P-521":     csr(t, &x509.CertificateRequest{}, p521),
		"Ed25519":   csr(t, &x509.CertificateRequest{}, ed),
	} {
		began := time.Now()
		_, err := identity.ParseRequest(text)
		if codeOf(err) != "csr_key_type" || fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: refused in %v", name, time.Since(began))
	}
}

func TestAttack17_BrokenSelfSignature(t *testing.T) {
	key, _ := pki.NewKey()
	text, err := pki.Request(key)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	block.Bytes[len(block.Bytes)-1] ^= 1
	if _, err := identity.ParseRequest(pem.EncodeToMemory(block)); codeOf(err) != "csr_signature" {
		t.Errorf("%v", err)
	}
}

func TestAttack18_NothingButTheKeyIsTaken(t *testing.T) {
	a, _ := makeFleet(t)
	key, _ := pki.NewKey()
	asks, err := url.Parse("spiffe://fc-" + a.Cluster() + "/collector/x")
	if err != nil {
		t.Fatal(err)
	}
	text := csr(t, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "collector x"}, URIs: []*url.URL{asks}, DNSNames: []string{"c1.example"},
		ExtraExtensions: []pkix.Extension{
			{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}},         // CA:TRUE
			{Id: []int{2, 5, 29, 37}, Value: []byte{0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1}}, // serverAuth
		},
	}, key)
	request, err := identity.ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(request.Extras, []string{"subject", "extensions"}) {
		t.Errorf("extras %q", request.Extras)
	}
	host := fleet.HostID(pkitest.HostID())
	made, err := a.IssueAgent(request, host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.ParseCertificates(made.Chain)
	if err != nil {
		t.Fatal(err)
	}
	leaf := certs[0]
	id, err := pki.IDOf(leaf)
	if want := (pki.ID{Cluster: a.Cluster(), Role: pki.RoleAgent, Name: string(host)}); err != nil || id != want {
		t.Errorf("made for %v, %v", id, err)
	}
	if leaf.IsCA || len(leaf.DNSNames) > 0 || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || leaf.Subject.CommonName != id.String() {
		t.Errorf("CA %v, DNS %q, purposes %v, subject %v", leaf.IsCA, leaf.DNSNames, leaf.ExtKeyUsage, leaf.Subject)
	}
}

func TestAttack19_LargeAndMadRequests(t *testing.T) {
	if _, err := identity.ParseRequest(make([]byte, 1<<20)); fleet.KindOf(err) != fleet.TooLarge {
		t.Errorf("1 MiB: %v", err)
	}
	good, _ := pki.Request(must(pki.NewKey()))
	for name, text := range map[string][]byte{
		"empty":            nil,
		"not PEM":          []byte("hello"),
		"a certificate":    bytes.ReplaceAll(good, []byte("CERTIFICATE REQUEST"), []byte("CERTIFICATE")),
		"two":              append(append([]byte(nil), good...), good...),
		"something behind": append(append([]byte(nil), good...), "x"...),
		"not DER":          pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("hello")}),
	} {
		if _, err := identity.ParseRequest(text); codeOf(err) != "csr_parse" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func FuzzParseRequest(f *testing.F) {
	text, err := pki.Request(must(pki.NewKey()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		request, err := identity.ParseRequest(text)
		if err == nil && request.Fingerprint == "" {
			t.Error("a request without a key is taken")
		}
	})
}
