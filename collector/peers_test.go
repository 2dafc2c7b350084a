package collector

import (
	"net/http"
	"testing"

	"github.com/fleetcron/fleetcron/shared/pki"
)

// TestNothingIsSaidToACollectorThatWasRevoked: its certificate verifies still.
func TestNothingIsSaidToACollectorThatWasRevoked(t *testing.T) {
	h := open(t)
	gone := false
	transport := peerTransport(h.fleet.Collector("c2"), func(id pki.ID, _ string) error {
		if gone && id.Name == "c1" {
			return &pki.PeerError{Code: pki.CodeRevoked, Peer: id, Reason: "was revoked"}
		}
		return nil
	})
	defer transport.CloseIdleConnections()
	ask := func() error {
		answer, err := (&http.Client{Transport: transport}).Get("https://" + h.address + "/")
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	gone = true
	transport.CloseIdleConnections()
	if why := pki.Explain(ask()); why == nil || why.Code != pki.CodeRevoked {
		t.Errorf("%v", why)
	}
}
