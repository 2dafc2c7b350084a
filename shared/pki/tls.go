package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// ServerTLS returns the configuration of a listener that serves these planes.
// Who shows no certificate on a plane that wants one, one of another role, or
// is not welcome to the judge (nil: everyone is), does not get in. There are
// no session tickets: every connection is judged.
func (c *Credentials) ServerTLS(judge Judge, planes ...Plane) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			plane, served := planeOf(hello.SupportedProtos, planes)
			if !served {
				return c.held.Load().nothing(), nil
			}
			return c.held.Load().serve(plane, judge), nil
		},
	}
}

// nothing lets nobody in: one who asks for what is not served here is told so
// by an alert.
func (h *held) nothing() *tls.Config {
	conf := h.base()
	conf.NextProtos = []string{"fc-none"}
	conf.VerifyConnection = func(tls.ConnectionState) error {
		return &PeerError{Code: CodePlane, Reason: "asks for a plane that is not served here"}
	}
	return conf
}

func (h *held) base() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, Certificates: []tls.Certificate{h.show}}
}

// serve returns the configuration of one plane.
func (h *held) serve(plane Plane, judge Judge) *tls.Config {
	conf := h.base()
	conf.NextProtos = []string{string(plane)}
	if plane == PlaneEnroll {
		conf.Certificates = []tls.Certificate{h.whole}
	}
	want := entries[plane]
	if want.role == "" {
		return conf
	}
	conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, h.pool
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		id, err := identify(state.PeerCertificates[0], state.VerifiedChains, h.root)
		if err != nil {
			return err
		}
		if id.Role != want.role {
			return &PeerError{Code: want.code, Peer: id, Reason: fmt.Sprintf("peer is not %s (role %s)", article(want.role), id.Role)}
		}
		return judge.judge(id, Serial(state.PeerCertificates[0]))
	}
	return conf
}

func (j Judge) judge(id ID, serial string) error {
	if j == nil {
		return nil
	}
	err := j(id, serial)
	if err == nil {
		return nil
	}
	if Explain(err) != nil {
		return err
	}
	return &PeerError{Code: CodeRevoked, Peer: id, Reason: "is not welcome", Err: err}
}

// ClientTLS returns the configuration of a client with these credentials, who
// speaks only to one of the wanted role in its own cluster. A client whose own
// certificate has expired says so itself.
func (c *Credentials) ClientTLS(plane Plane, want Role) *tls.Config {
	conf := client(plane)
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		h := c.held.Load()
		if end := h.chain[0].NotAfter; time.Now().After(end) {
			return nil, expired(h.id, end)
		}
		return &h.show, nil
	}
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		h := c.held.Load()
		return accept(state, plane, want, h.id.Cluster, h.pool, h.root)
	}
	return conf
}

// RootTLS returns the configuration of a client without a certificate, who
// speaks only to a collector of the cluster; an empty cluster is the root's.
func RootTLS(root *x509.Certificate, cluster string, plane Plane) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(root)
	conf := client(plane)
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		return accept(state, plane, RoleCollector, cluster, pool, root)
	}
	return conf
}

// PinnedTLS returns the configuration of one who knows of the fleet only the
// pin of its root, and enrols. It speaks only to a collector below that root,
// which seen is then told of (nil: nobody).
func PinnedTLS(pin string, seen func(root *x509.Certificate)) *tls.Config {
	conf := client(PlaneEnroll)
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		root := state.PeerCertificates[len(state.PeerCertificates)-1]
		if Pin(root) != pin || !root.IsCA {
			return &PeerError{Code: CodePin, Reason: fmt.Sprintf("CA fingerprint mismatch: the token names %s, the other side shows %s; nothing was sent", pin, Pin(root)),
				Hint: "check the address; if it is right, somebody stands in between, or the token is of another fleet"}
		}
		pool := x509.NewCertPool()
		pool.AddCert(root)
		err := accept(state, PlaneEnroll, RoleCollector, "", pool, root)
		if err == nil && seen != nil {
			seen(root)
		}
		return err
	}
	return conf
}

// client is what all clients have. The standard verification, which is about
// host names, is replaced by accept as a whole.
func client(plane Plane) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies: chain, cluster, role
		NextProtos:         []string{string(plane)},
	}
}

// accept decides whether the server is who a client wants to speak to.
func accept(state tls.ConnectionState, plane Plane, want Role, cluster string, pool *x509.CertPool, root *x509.Certificate) error {
	id, err := verify(state.PeerCertificates, pool, root, time.Time{})
	if err != nil {
		return err
	}
	switch {
	case id.Role != want:
		return &PeerError{Code: "not_" + string(want), Peer: id, Reason: fmt.Sprintf("peer is not %s (role %s)", article(want), id.Role)}
	case cluster != "" && id.Cluster != cluster:
		return &PeerError{Code: CodeIdentity, Peer: id, Reason: "belongs to cluster " + id.Cluster + ", not to " + cluster}
	case PlaneOf(state.NegotiatedProtocol) != plane:
		return &PeerError{Code: CodePlane, Peer: id, Reason: fmt.Sprintf("does not serve %s here: is it the right port?", plane)}
	}
	return nil
}

func article(role Role) string {
	if role == RoleCollector {
		return "a collector"
	}
	return "an " + string(role)
}
