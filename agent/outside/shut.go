package outside

import (
	"crypto/tls"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// shut says with which collectors nobody here speaks any more: people signed that
// they are none. Their certificates still count, until they end.
type shut struct {
	mu      sync.Mutex
	revoked []string // ids
}

// set takes in which they are, and reports whether they are others than before.
func (s *shut) set(revoked []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(s.revoked, revoked) {
		return false
	}
	s.revoked = slices.Clone(revoked)
	return true
}

// judge refuses the other end of a connection that was verified.
func (s *shut) judge(state tls.ConnectionState) error {
	peer, _, err := pki.PeerOf(state)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.revoked, peer.Name) {
		return &pki.PeerError{Code: pki.CodeRevoked, Peer: peer, Reason: "is revoked: people of this fleet signed that it is a collector no more"}
	}
	return nil
}

// guard lets a client of these credentials speak with nobody who is shut out.
func (s *shut) guard(me *pki.Credentials) *tls.Config {
	conf := me.ClientTLS(pki.PlaneAgent, pki.RoleCollector)
	verify := conf.VerifyConnection
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state); err != nil {
			return err
		}
		return s.judge(state)
	}
	return conf
}

// transport carries with that configuration, and believes nobody who is shut out.
func (s *shut) transport(conf *tls.Config) http.RoundTripper {
	return listening{&http.Transport{
		TLSClientConfig: conf, TLSHandshakeTimeout: handshakeTime,
		MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}, s}
}

// handshakeTime is how long a collector may take to say who it is.
const handshakeTime = 10 * time.Second

// listening believes no answer over a connection from before its collector was
// shut out.
type listening struct {
	*http.Transport
	shut *shut
}

// RoundTrip asks, and looks at who answered.
func (l listening) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.Transport.RoundTrip(request)
	if err != nil || response.TLS == nil {
		return response, err
	}
	if err := l.shut.judge(*response.TLS); err != nil {
		response.Body.Close()
		l.CloseIdleConnections()
		return nil, fleet.Errorf(fleet.Unavailable, "%v", err)
	}
	return response, nil
}
