package httpd_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// TestStatementsThatAreNotTaken is every way in which a statement that its
// author signed well is wrong all the same.
func TestStatementsThatAreNotTaken(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addHost(t, 2, map[string]string{"role": "web"})
	first := tasked(t, backup, fleet.TaskEnabled)
	taskOf(t, h.submit(t, first, ""))
	h.giveTask(t, daemonTask)
	change := func(document string, change func(*seal.Statement)) *seal.Statement {
		said := tasked(t, document, fleet.TaskEnabled)
		change(said)
		return said
	}
	order := func(kind fleet.OrderKind, id fleet.TaskID, change func(*seal.Statement), hosts ...fleet.HostID) *seal.Statement {
		said := ordered(kind, id, hosts...)
		if change != nil {
			change(said)
		}
		return said
	}
	calendar := func(change func(*seal.Statement)) *seal.Statement {
		said := closing(t, "year-end", `{"windows":[{"from":"2026-12-24T00:00:00Z","for":"1d"}]}`, api.MediaJSON)
		change(said)
		return said
	}
	later := strings.Replace(backup, "30 2", "45 2", 1)
	for _, c := range []struct {
		name   string
		said   *seal.Statement
		query  string
		header []string
		status int
		code   string
		says   string
	}{
		{"another cluster", change(later, func(s *seal.Statement) { s.Cluster = strings.Repeat("f", 32) }), "", nil, 409, "cluster", "this is " + clusterID},
		{"expired", change(later, func(s *seal.Statement) {
			s.Issued, s.Expires = s.Issued.Add(-2*time.Hour), s.Issued.Add(-time.Hour)
		}), "", nil, 409, "time", "expired"},
		{"older than what is there", change(later, func(s *seal.Statement) { s.Serial = first.Serial - 1 }), "", nil, 409, "replay", ""},
		{"the same serial, other words", change(later, func(s *seal.Statement) { s.Serial = first.Serial }), "", nil, 409, "replay", ""},
		{"another document", change(later, func(s *seal.Statement) { s.Task.Document = backup }), "", nil, 422, "invalid", "says another task than the definition"},
		{"a document that is none", change(later, func(s *seal.Statement) { s.Task.Document = "}" }), "", nil, 422, "", ""},
		{"matches nothing", tasked(t, strings.Replace(later, "role=db", "role=none", 1), fleet.TaskEnabled), "", nil, 422, api.CodeUnmatched, "matches no host"},
		{"no such calendar", tasked(t, strings.Replace(later, `"on":{`, `"on":{"blackout":["none"],`, 1), fleet.TaskEnabled), "", nil, 422, "", "none"},
		{"exists", tasked(t, later, fleet.TaskEnabled), "", []string{"If-None-Match", "*"}, 409, api.CodeExists, ""},
		{"stale", tasked(t, later, fleet.TaskEnabled), "", []string{"If-Match", `"1"`}, 412, api.CodeStale, ""},
		{"nothing to replace", tasked(t, strings.Replace(later, `"backup"`, `"other"`, 1), fleet.TaskEnabled), "", []string{"If-Match", "*"}, 412, api.CodeStale, ""},
		{"retire what is not there", retired("data/none"), "", nil, 404, "", "data/none"},
		{"run what is not there", order(fleet.OrderRun, "data/none", nil, hostID(1)), "?queue=allow", nil, 404, "", "data/none"},
		{"run elsewhere", order(fleet.OrderRun, "data/backup", nil, hostID(2)), "?queue=allow", nil, 422, "", "does not run there"},
		{"run on a silent host", order(fleet.OrderRun, "data/backup", nil, hostID(1)), "", nil, 409, api.CodeSilent, "is silent"},
		{"run what is kept up", order(fleet.OrderRun, "data/api", nil, hostID(1)), "?queue=allow", nil, 422, "", "does not run to an end"},
		{"stop what ends", order(fleet.OrderStop, "data/backup", nil, hostID(1)), "?queue=allow", nil, 422, "", "not kept up"},
		{"reset what has no breaker", order(fleet.OrderReset, "data/backup", nil, hostID(1)), "?queue=allow", nil, 422, "", "no breaker"},
		{"an event for nobody", raised("none", "{}"), "", nil, 404, "", "waits for the event"},
		{"another calendar in the document", calendar(func(s *seal.Statement) {
			s.Calendar.Document = `{"windows":[{"from":"2027-12-24T00:00:00Z","for":"1d"}]}`
		}), "", nil, 422, "", "other windows than the definition"},
		{"a calendar that is not there", calendar(func(*seal.Statement) {}), "", []string{"If-Match", "*"}, 412, api.CodeStale, ""},
		{"a calendar of somebody of one namespace", calendar(func(*seal.Statement) {}), "", []string{"Authorization", "Bearer olga:operator:data"}, 403, "permission_denied", ""},
		{"release what was not adopted", released("data/backup", hostID(1)), "", nil, 404, "", ""},
		{"a query that is none", tasked(t, later, fleet.TaskEnabled), "?unmatched=maybe", nil, 422, "", "unmatched"},
	} {
		reply := h.submit(t, c.said, c.query, c.header...)
		body := text(t, reply)
		if reply.StatusCode != c.status || !strings.Contains(body, `"code":"`+c.code) || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d, want %d %s %q: %s", c.name, reply.StatusCode, c.status, c.code, c.says, body)
		}
	}
	if record, err := h.ledger.Task(everywhere, "data/backup"); err != nil || record.Serial != first.Serial || record.Generation != 1 {
		t.Errorf("something was taken: %+v, %v", record, err)
	}
}

// TestAStatementIsTakenOnce: the very same again changes nothing, also after
// the task is gone.
func TestAStatementIsTakenOnce(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	envelope := signed(t, tasked(t, backup, fleet.TaskEnabled))
	send := func() *http.Response {
		return h.do(t, http.MethodPost, api.PathSealed, envelope, "Content-Type", api.MediaSealed)
	}
	first, again := taskOf(t, send()), taskOf(t, send())
	if again.Index != first.Index || again.Generation != 1 {
		t.Errorf("again %+v", again)
	}
	taskOf(t, h.submit(t, retired("data/backup"), ""))
	if p := decoded[api.Problem](t, send(), http.StatusConflict); p.Code != "replay" {
		t.Errorf("after it was retired: %+v", p)
	}
	once := signed(t, ordered(fleet.OrderRun, "data/backup", hostID(1)))
	taskOf(t, h.give(t, backup))
	run := func() *http.Response {
		return h.do(t, http.MethodPost, api.PathSealed+"?queue=allow", once, "Content-Type", api.MediaSealed)
	}
	order := decoded[api.Sealed](t, run(), http.StatusOK).Orders[0]
	if same := decoded[api.Sealed](t, run(), http.StatusOK).Orders; len(same) != 1 || same[0].ID != order.ID {
		t.Errorf("an order given twice is %+v", same)
	}
}

// TestTheEnvelopeReachesTheHostAsItWasSigned byte for byte of what is said.
func TestTheEnvelopeReachesTheHostAsItWasSigned(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	said := tasked(t, strings.Replace(backup, `"on":{`, `"on":{"blackout":["year-end"],`, 1), fleet.TaskEnabled)
	decoded[api.Sealed](t, h.submit(t, closing(t, "year-end", `{"windows":[{"from":"2026-12-24T00:00:00Z","for":"1d"}]}`, api.MediaJSON), ""), http.StatusOK)
	envelope := signed(t, said)
	taskOf(t, h.do(t, http.MethodPost, api.PathSealed, envelope, "Content-Type", api.MediaSealed))
	h.order(t, ordered(fleet.OrderRun, "data/backup", hostID(1)))
	plan := decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""), http.StatusOK)
	if len(plan.Assignments) != 1 || string(plan.Assignments[0].Envelope) != envelope || len(plan.Sealed) != 1 || len(plan.Orders) != 1 || len(plan.Orders[0].Envelope) == 0 {
		t.Fatalf("%+v", plan)
	}
	reply := h.do(t, http.MethodGet, "/v1/tasks/data/backup/envelope", "")
	if got := text(t, reply); got != envelope || reply.Header.Get("Content-Type") != api.MediaSealed {
		t.Errorf("%s", got)
	}
	decoded[api.Problem](t, h.do(t, http.MethodGet, "/v1/tasks/data/backup/envelope", "", "Authorization", "Bearer vera:viewer:web"), http.StatusNotFound)
	h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/applied", asJSON(t, fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"data/backup": 1}, At: time.Now()}), "Content-Type", api.MediaJSON)
	gone := signed(t, retired("data/backup"))
	taskOf(t, h.do(t, http.MethodPost, api.PathSealed, gone, "Content-Type", api.MediaSealed))
	plan = decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""), http.StatusOK)
	if len(plan.Assignments) != 0 || len(plan.Tombstones) != 1 || string(plan.Tombstones[0]) != gone {
		t.Errorf("the host does not hear that the task is gone: %+v", plan)
	}
}
