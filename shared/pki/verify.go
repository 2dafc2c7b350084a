package pki

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"
)

// Judge says whether one whose certificate is in order is welcome: nil, or why
// not. An error that is no *PeerError gets the code CodeRevoked. It is asked
// in the handshake, of every connection.
type Judge func(id ID, serial string) error

// PeerOf returns who is at the other end of a connection that these
// credentials or the root have verified, and the serial of the certificate; an
// error where nobody has shown any.
func PeerOf(state tls.ConnectionState) (id ID, serial string, err error) {
	if len(state.PeerCertificates) == 0 {
		return ID{}, "", &PeerError{Code: CodeMissing, Reason: "the peer showed no certificate"}
	}
	id, err = IDOf(state.PeerCertificates[0])
	return id, Serial(state.PeerCertificates[0]), err
}

// verify returns who a chain stands for, when it leads to the root in a way
// that the role allows. A zero time is now.
func verify(chain []*x509.Certificate, pool *x509.CertPool, root *x509.Certificate, at time.Time) (ID, error) {
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	ways, err := chain[0].Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		if explained := Explain(err); explained != nil {
			return ID{}, explained
		}
		return ID{}, &PeerError{Code: CodeIdentity, Peer: claimed(chain[0]), Reason: "the certificate cannot be verified", Err: err}
	}
	return identify(chain[0], ways, root)
}

// identify returns who a verified certificate names, after the rule of its
// role: only the root makes collectors and operators.
func identify(leaf *x509.Certificate, ways [][]*x509.Certificate, root *x509.Certificate) (ID, error) {
	id, err := IDOf(leaf)
	if err != nil {
		return ID{}, err
	}
	cluster, err := clusterOf(root)
	if err != nil {
		return ID{}, err
	}
	switch {
	case id.Cluster != cluster:
		return ID{}, &PeerError{Code: CodeIdentity, Peer: id, Reason: "belongs to cluster " + id.Cluster + ", this is " + cluster}
	case leaf.IsCA:
		return ID{}, &PeerError{Code: CodeIdentity, Peer: id, Reason: "the certificate is one of an authority"}
	case id.Role != RoleAgent && !slices.ContainsFunc(ways, direct):
		return ID{}, &PeerError{Code: CodeIdentity, Peer: id, Reason: "was not signed by the root itself, as every " + string(id.Role) + " must be"}
	case id.Role == RoleCollector && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth):
		return ID{}, &PeerError{Code: CodeIdentity, Peer: id, Reason: "the certificate is not fit for a server"}
	}
	return id, nil
}

// direct reports whether nobody stands between leaf and root.
func direct(way []*x509.Certificate) bool { return len(way) == 2 }
