package httpd_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAHostThatKnowsMoreThanARestoredCollector hears at once what that one
// knows, and waits for what is new from then on.
func TestAHostThatKnowsMoreThanARestoredCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.addHost(t, 1, map[string]string{"role": "db"})
		began := time.Now()
		plan := decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan?wait=60s&index=5000", ""), http.StatusOK)
		if took := time.Since(began); took > 0 || plan.Index == 0 || plan.Index >= 5000 {
			t.Errorf("index %d after %v", plan.Index, took)
		}
		next := decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan?wait=60s&index="+itoa(int(plan.Index)), ""), http.StatusOK)
		if took := time.Since(began); took < time.Minute || next.Index != plan.Index {
			t.Errorf("then index %d after %v", next.Index, took)
		}
		check(t, h.Close())
	})
}
