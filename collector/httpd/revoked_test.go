package httpd_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// TestTheSignedWordThatACollectorIsNone reaches every host, from who may say
// which machines belong to the fleet.
func TestTheSignedWordThatACollectorIsNone(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	h.propose(t, &ledger.PutNode{Node: fleet.Node{ID: "c9", Role: fleet.CollectorKind, Serial: "01", Fingerprint: "ff"}, At: time.Now().UTC()})
	word := func(id string) *seal.Statement {
		s := statement(seal.KindNode, "", id)
		s.Expires, s.Node = time.Time{}, &seal.Node{Role: fleet.CollectorKind, State: fleet.NodeRevoked}
		return s
	}
	for name, c := range map[string]struct {
		id     string
		header []string
		code   int
	}{
		"before it is revoked here":      {"c9", nil, http.StatusConflict},
		"of nobody":                      {"c8", nil, http.StatusNotFound},
		"from an operator":               {"c9", []string{"Authorization", "Bearer rita:operator:*"}, http.StatusForbidden},
		"from an admin of one namespace": {"c9", []string{"Authorization", "Bearer rita:admin:red"}, http.StatusForbidden},
	} {
		if reply := h.submit(t, word(c.id), "", c.header...); reply.StatusCode != c.code {
			t.Errorf("%s: %d %s", name, reply.StatusCode, text(t, reply))
		}
	}
	h.propose(t, &ledger.SetNodeState{ID: "c9", State: fleet.NodeRevoked, At: time.Now().UTC()})
	if reply := h.submit(t, word("c9"), ""); reply.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", reply.StatusCode, text(t, reply))
	}
	plan := decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""), http.StatusOK)
	if len(plan.Revoked) != 1 {
		t.Errorf("%+v", plan)
	}
}
