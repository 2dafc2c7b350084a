package httpd_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestARunnerStartsNoDaemonAnew: to cancel the run of a command that is kept up is
// to start it anew, and often enough to end it.
func TestARunnerStartsNoDaemonAnew(t *testing.T) {
	h := newHouse(t)
	host := h.addHost(t, 1, nil)
	h.giveTask(t, clearing)
	const desk = "Bearer desk:runner:data"
	promised := h.order(t, with(host.ID, fleet.Params{"site": "shop"})).Orders[0]
	h.giveTask(t, strings.Replace(daemonTask, `"task":"api"`, `"task":"clear"`, 1))
	run := fleet.Run{ID: promised.Run, Task: "data/clear", Host: host.ID}
	reply := h.submit(t, cancelled(run), "", "Authorization", desk)
	if p := decoded[api.Problem](t, reply, http.StatusForbidden); !strings.Contains(p.Detail, "tasks:control") {
		t.Errorf("%+v", p)
	}
	if reply := h.submit(t, cancelled(run), ""); reply.StatusCode != http.StatusOK {
		t.Errorf("an admin: %s %s", reply.Status, text(t, reply))
	}
}
