package httpd_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/gossip"
)

// unwritable is a replica that takes nothing.
type unwritable struct{ httpd.Replica }

// Propose says why.
func (unwritable) Propose(context.Context, ledger.Command) (any, error) {
	return nil, errors.New("the disk is full")
}

// TestARotationIsInTheChainOrIsNot: the key of gossip is no part of the ledger, so
// the entry comes first.
func TestARotationIsInTheChainOrIsNot(t *testing.T) {
	h := newHouse(t)
	chain := func() (said []string) {
		list, err := h.ledger.Audit(everywhere, api.AuditQuery{Page: api.Page{Limit: 100}})
		check(t, err)
		for _, link := range list.Items {
			if link.Action == "gossip.rotate" {
				said = append(said, link.Decision+" "+link.Code)
			}
		}
		return said
	}
	for n, want := range []int{http.StatusOK, http.StatusConflict} { // the second while the first is under way
		if reply := h.do(t, http.MethodPost, api.PathGossipKey, `{"reason":"stolen"}`, "Content-Type", api.MediaJSON); reply.StatusCode != want {
			t.Errorf("rotation %d: %s", n, text(t, reply))
		}
	}
	if diff := cmp.Diff([]string{"done ", "done ", "refused rotation_under_way"}, slices.Sorted(slices.Values(chain()))); diff != "" {
		t.Errorf("the chain: %s", diff)
	}
	ring := gossip.NewRing(gossip.NewKey())
	before := ring.Digest()
	h = newHouse(t, func(deps *httpd.Deps) {
		deps.Ring, deps.Replica = ring, unwritable{deps.Replica}
	})
	if reply := h.do(t, http.MethodPost, api.PathGossipKey, `{"reason":"stolen"}`, "Content-Type", api.MediaJSON); reply.StatusCode == http.StatusOK || ring.Digest() != before {
		t.Errorf("rotated without an entry: %s", text(t, reply))
	}
}
