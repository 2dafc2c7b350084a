package httpd_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// TestATokenHoldsNobodyUp: it gets its share of a second, and the others theirs.
func TestATokenHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ask := func(who string) *http.Response {
			return h.do(t, http.MethodGet, api.PathHosts, "", "Authorization", "Bearer "+who+":viewer:*")
		}
		codes := map[int]int{}
		for range 1200 {
			reply := ask("mad")
			if codes[reply.StatusCode]++; reply.StatusCode == http.StatusTooManyRequests && reply.Header.Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		}
		if codes[http.StatusOK] != 1000 || codes[http.StatusTooManyRequests] != 200 {
			t.Errorf("1200 requests at once: %v", codes)
		}
		if reply := ask("anna"); reply.StatusCode != http.StatusOK {
			t.Errorf("another token: %d", reply.StatusCode)
		}
		time.Sleep(time.Second)
		for n := range 100 {
			if reply := ask("mad"); reply.StatusCode != http.StatusOK {
				t.Fatalf("request %d after a second: %d", n, reply.StatusCode)
			}
		}
		if reply := ask("mad"); reply.StatusCode != http.StatusTooManyRequests {
			t.Errorf("request 101 after a second: %d", reply.StatusCode)
		}
		check(t, h.Close())
	})
}

// TestACallIsCountedOnce: by the collector that it reaches, and not again by the
// one that leads, where the calls of all others come together.
func TestACallIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for n := range 1100 {
			reply := h.on(t, pki.PlanePeer, http.MethodGet, api.PathHosts, "", headerPeer, "c2", api.HeaderPrincipal, asJSON(t, everyone("anna")))
			if reply.StatusCode != http.StatusOK {
				t.Fatalf("request %d that was passed on: %d", n, reply.StatusCode)
			}
		}
		check(t, h.Close())
	})
}
