package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The codes of a PeerError.
const (
	CodeIdentity     = "bad_identity"            // no URI, two, another cluster's, or signed by who may not
	CodeForeignCA    = "foreign_ca"              // not below our root
	CodeExpired      = "certificate_expired"     // theirs or ours
	CodeNotYet       = "certificate_not_yet"     // valid from a later time on; one of two clocks is wrong
	CodeMissing      = "mtls_missing"            // the plane wants a certificate
	CodeNotCollector = "not_collector"           // another role where a collector must be
	CodeNotAgent     = "not_agent"               // another role where an agent must be
	CodeRaftPeer     = "raft_peer_not_collector" // another role at the raft port
	CodeRevoked      = "node_revoked"            // a person said so
	CodePlane        = "plane_unknown"           // the listener does not serve what was asked for
	CodePin          = "ca_pin_mismatch"         // another fleet, or somebody in between
	CodeRefused      = "certificate_refused"     // the other side's word, without a reason
)

// PeerError says why one side of a connection does not speak to the other. It
// is a *fleet.Error to errors.As, of the kind Refused.
type PeerError struct {
	Code   string
	Peer   ID // zero: not known
	Reason string
	Hint   string // the next thing to try; may be empty
	Err    error  // the cause; may be nil
}

// Error returns who and why.
func (e *PeerError) Error() string {
	text := e.Reason
	if e.Peer.Role != "" {
		text = e.Peer.String() + ": " + text
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *PeerError) Unwrap() error { return e.Err }

// As lets a PeerError be taken for a *fleet.Error.
func (e *PeerError) As(target any) bool {
	into, is := target.(**fleet.Error)
	if is {
		*into = &fleet.Error{Kind: fleet.Refused, Code: e.Code, Message: e.Error(), Hint: e.Hint}
	}
	return is
}

// alerts is what an alert of the other side says about our certificate, as
// crypto/tls words it.
var alerts = []struct{ text, code, reason string }{
	{"tls: certificate required", CodeMissing, "the other side wants a certificate"},
	{"tls: expired certificate", CodeExpired, "the other side says that our certificate has expired; compare both clocks"},
	{"tls: unknown certificate authority", CodeForeignCA, "the other side belongs to another fleet: it does not know who signed our certificate"},
	{"tls: bad certificate", CodeRefused, "the other side does not let this certificate in; its log says why"},
	{"tls: no application protocol", CodePlane, "the other side does not serve this: is it the right port?"},
}

// Explain translates an error of a handshake, or of the first read after it,
// to a *PeerError; nil: it is about something else.
func Explain(err error) *PeerError {
	if ours, is := errors.AsType[*PeerError](err); is {
		return ours
	}
	if unknown, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return &PeerError{Code: CodeForeignCA, Peer: claimed(unknown.Cert), Reason: "the certificate was not signed below this fleet's root"}
	}
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is {
		return explainInvalid(invalid)
	}
	if err != nil && strings.Contains(err.Error(), "tls: client didn't provide a certificate") {
		return &PeerError{Code: CodeMissing, Reason: "the peer showed no certificate"}
	}
	if remote, is := errors.AsType[*net.OpError](err); is && remote.Op == "remote error" {
		for _, alert := range alerts {
			if remote.Err.Error() == alert.text {
				return &PeerError{Code: alert.code, Reason: alert.reason}
			}
		}
	}
	return nil
}

// PlainHTTP returns the connection on which somebody spoke HTTP without TLS to
// a TLS listener; nil: that is not what the error is about.
func PlainHTTP(err error) net.Conn {
	record, is := errors.AsType[tls.RecordHeaderError](err)
	if !is || record.Conn == nil {
		return nil
	}
	switch string(record.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO", "TRACE", "CONNE":
		return record.Conn
	}
	return nil
}

func explainInvalid(invalid x509.CertificateInvalidError) *PeerError {
	peer := claimed(invalid.Cert)
	if invalid.Reason != x509.Expired || invalid.Cert == nil {
		return &PeerError{Code: CodeIdentity, Peer: peer, Reason: "the certificate is not fit for this", Err: invalid}
	}
	if now := time.Now(); now.Before(invalid.Cert.NotBefore) {
		return &PeerError{Code: CodeNotYet, Peer: peer, Reason: fmt.Sprintf("the certificate is valid from %s on, and here it is %s; compare both clocks",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
	}
	return expired(peer, invalid.Cert.NotAfter)
}

// expired says until when a certificate counted, and who can help.
func expired(peer ID, end time.Time) *PeerError {
	e := &PeerError{Code: CodeExpired, Peer: peer, Reason: "certificate expired " + end.UTC().Format(time.RFC3339)}
	switch peer.Role {
	case RoleAgent:
		e.Hint = "run fleetctl agent readmit " + peer.Name + " and enrol the host again with the token that it prints"
	case RoleCollector:
		e.Hint = "run fleetcron-collector issue with the root key"
	}
	return e
}

// claimed returns who a certificate that was not believed says it is.
func claimed(cert *x509.Certificate) ID {
	if cert == nil {
		return ID{}
	}
	id, err := IDOf(cert)
	if err != nil {
		return ID{}
	}
	return id
}
