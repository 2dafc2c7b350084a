package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"fmt"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// MaxRequest is the most bytes that a certificate request may have, as PEM.
const MaxRequest = 8 << 10

// Request is what counts of a certificate request: its key.
type Request struct {
	DER         []byte
	Fingerprint string   // of the key, what people compare
	Extras      []string // what else it asked for; nothing of it is taken

	public *ecdsa.PublicKey
}

// ParseRequest reads a certificate request as PEM. The error's code is
// csr_parse, csr_key_type or csr_signature.
func ParseRequest(text []byte) (Request, error) {
	if len(text) > MaxRequest {
		return Request{}, fleet.Errorf(fleet.TooLarge, "the certificate request has %d bytes, want at most %d", len(text), MaxRequest).WithCode("csr_too_large")
	}
	der, err := pki.RequestDER(text)
	if err != nil {
		return Request{}, refused("csr_parse", "want a certificate request (PKCS #10) as PEM")
	}
	return ReadRequest(der)
}

// ReadRequest reads a certificate request as it is kept for a machine that
// waits for approval.
func ReadRequest(der []byte) (Request, error) {
	parsed, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return Request{}, refused("csr_parse", "the certificate request cannot be read")
	}
	// The kind of key comes first: to check a signature of another kind may be slow.
	public, is := parsed.PublicKey.(*ecdsa.PublicKey)
	if !is || public.Curve != elliptic.P256() {
		return Request{}, refused("csr_key_type", fmt.Sprintf("want a key on P-256, this is %s", kindOf(parsed)))
	}
	if err := parsed.CheckSignature(); err != nil {
		return Request{}, refused("csr_signature", "the request is not signed with the key that it is for")
	}
	return Request{DER: der, Fingerprint: pki.Fingerprint(public), Extras: extras(parsed), public: public}, nil
}

func refused(code, reason string) error {
	return fleet.Invalidf("request", "", "%s", reason).WithCode(code).WithHint("fleetcron-agent enroll makes the right one")
}

func kindOf(request *x509.CertificateRequest) string {
	if key, is := request.PublicKey.(*ecdsa.PublicKey); is {
		return key.Curve.Params().Name
	}
	return request.PublicKeyAlgorithm.String()
}

// extras names what a request asks for beside its key.
func extras(request *x509.CertificateRequest) (names []string) {
	for _, asked := range []struct {
		name string
		is   bool
	}{
		{"subject", len(request.Subject.Names) > 0},
		{"extensions", len(request.Extensions) > 0},
	} {
		if asked.is {
			names = append(names, asked.name)
		}
	}
	return names
}
