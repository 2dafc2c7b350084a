package httpd_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	daemonTask  = `{"task":"api","namespace":"data","on":{"daemon":true},"run":{"command":"true"},"where":{"labels":"*"}}`
	brokenTask  = `{"task":"etl","namespace":"data","on":{"every":"1h"},"run":{"command":"true"},"where":{"labels":"*"},"breaker":{"failures":3}}`
	retriedTask = `{"task":"load","namespace":"ops","on":{"every":"1h"},"run":{"command":"true"},"where":{"labels":"*"},"retry":{"attempts":3}}`
)

// stand tells how tasks stand on host n.
func (h *house) stand(t *testing.T, n int, stands api.Stands) {
	t.Helper()
	reply := h.do(t, http.MethodPut, api.AgentPath(hostID(n))+"/standings", asJSON(t, stands), "Content-Type", api.MediaJSON)
	decoded[map[string]uint64](t, reply, http.StatusOK)
}

func TestStandingsAreListed(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addHost(t, 2, nil)
	h.giveTask(t, daemonTask)
	h.giveTask(t, brokenTask)
	since := time.Unix(1_700_000_000, 0).UTC()
	h.stand(t, 1, api.Stands{Standings: []fleet.Standing{ // in no order
		{Task: "data/etl", Since: since, Breaker: fleet.BreakerOpen, Failures: 3},
		{Task: "data/api", Since: since, Phase: fleet.PhaseRunning, Restarts: 1, Health: fleet.Unhealthy, HealthDetail: strings.Repeat("x", 5000)},
	}})
	h.stand(t, 2, api.Stands{Standings: []fleet.Standing{{Task: "data/api", Since: since, Phase: fleet.PhaseCrashLoop, Restarts: 10}}})
	list := func(query string) (found []string) {
		t.Helper()
		for _, view := range decoded[api.List[api.StandingView]](t, h.do(t, http.MethodGet, api.PathStandings+query, ""), http.StatusOK).Items {
			found = append(found, string(view.Task)+" on "+view.HostName)
			if view.Host == "" || view.Presence == "" || view.Told.IsZero() || len(view.HealthDetail) > 1024 {
				t.Errorf("%+v", view)
			}
		}
		return found
	}
	for query, want := range map[string][]string{
		"":                       {"data/api on host-1", "data/api on host-2", "data/etl on host-1"},
		"?task=data/api":         {"data/api on host-1", "data/api on host-2"},
		"?host=host-1":           {"data/api on host-1", "data/etl on host-1"},
		"?label=role%3Ddb":       {"data/api on host-1", "data/etl on host-1"},
		"?phase=crash_loop":      {"data/api on host-2"},
		"?breaker=open":          {"data/etl on host-1"},
		"?health=unhealthy":      {"data/api on host-1"},
		"?namespace=ops":         nil,
		"?bad":                   {"data/api on host-1", "data/api on host-2", "data/etl on host-1"},
		"?bad&task=data/etl":     {"data/etl on host-1"},
		"?task=data/api&limit=1": {"data/api on host-1"},
	} {
		if diff := cmp.Diff(want, list(query)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	first := decoded[api.List[api.StandingView]](t, h.do(t, http.MethodGet, api.PathStandings+"?limit=2", ""), http.StatusOK)
	if first.Total != 3 || first.Next == "" || len(list("?after="+first.Next)) != 1 {
		t.Errorf("pages: %+v", first)
	}
	view := decoded[api.TaskView](t, h.do(t, http.MethodGet, "/v1/tasks/data/api", ""), http.StatusOK)
	if diff := cmp.Diff(map[fleet.Phase]int{fleet.PhaseRunning: 1, fleet.PhaseCrashLoop: 1}, view.Phases); diff != "" || view.Unhealthy != 1 {
		t.Errorf("the task's view: %s, %d unhealthy", diff, view.Unhealthy)
	}
	if detail := decoded[api.HostDetail](t, h.do(t, http.MethodGet, "/v1/hosts/host-1", ""), http.StatusOK); len(detail.Standings) != 2 || detail.Standings[0].Task != "data/api" {
		t.Errorf("the host's detail: %+v", detail.Standings)
	}
	metrics := text(t, h.do(t, http.MethodGet, api.PathMetrics, ""))
	for _, line := range []string{`fleetcron_daemons{phase="crash_loop"} 1`, `fleetcron_daemons{phase="stopped"} 0`, "fleetcron_daemon_restarts 11", "fleetcron_daemons_unhealthy 1", "fleetcron_breakers_open 1"} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	health := text(t, h.do(t, http.MethodGet, api.PathHealth, ""))
	if !strings.Contains(health, `"daemons":{"status":"UP","details":{"breakers_open":1,"crash_loop":1,"running":1,"tasks":["data/api"],"unhealthy":1}}`) {
		t.Errorf("health: %s", health)
	}
}

func TestTheSameStandingsAreNoEntry(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	h.giveTask(t, daemonTask)
	stands := api.Stands{Standings: []fleet.Standing{{Task: "data/api", Since: time.Unix(1, 0), Phase: fleet.PhaseRunning}}}
	stands.Standings[0].Since = time.Unix(1_700_000_000, 7)
	h.stand(t, 1, stands)
	before, _ := h.ledger.Applied()
	h.stand(t, 1, stands)
	stands.Done = []fleet.OrderID{"long gone"}
	h.stand(t, 1, stands)
	if after, _ := h.ledger.Applied(); after != before {
		t.Errorf("the same word made %d entries", after-before)
	}
	stands.Standings = nil
	h.stand(t, 1, stands)
	if list, err := h.Standings(as(t, "admin"), api.StandingQuery{}); err != nil || len(list.Items) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestOrdersWaitForTheWordOfTheirHost gives an order, sees it wait and sees it
// go when the host says that it carried it out.
func TestOrdersWaitForTheWordOfTheirHost(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	h.addHost(t, 2, nil)
	h.giveTask(t, daemonTask)
	said := ordered(fleet.OrderStop, "data/api", hostID(1), hostID(2))
	said.Order.Reason = "repair"
	envelope := signed(t, said)
	stop := func() api.Sealed {
		reply := h.do(t, http.MethodPost, api.PathSealed+"?queue=allow", envelope, "Content-Type", api.MediaSealed, api.HeaderIdempotency, "k", "Authorization", "Bearer ann")
		return decoded[api.Sealed](t, reply, http.StatusOK)
	}
	ordered := stop()
	if len(ordered.Orders) != 2 || ordered.Orders[0].Kind != fleet.OrderStop || ordered.Orders[0].Run != "" || ordered.Orders[0].Reason != "repair" || ordered.Orders[0].By != "ann" {
		t.Fatalf("%+v", ordered)
	}
	if diff := cmp.Diff(ordered.Orders, stop().Orders); diff != "" {
		t.Errorf("under the same key: %s", diff)
	}
	waiting := func() (names []string) {
		t.Helper()
		list, err := h.Standings(as(t, "admin"), api.StandingQuery{Task: "data/api"})
		if err != nil {
			t.Fatal(err)
		}
		for _, view := range list.Items {
			if len(view.Orders) > 0 {
				names = append(names, view.HostName)
			}
		}
		return names
	}
	if got := waiting(); !slices.Equal(got, []string{"host-1", "host-2"}) {
		t.Errorf("orders wait for %v", got)
	}
	h.stand(t, 1, api.Stands{Standings: []fleet.Standing{{Task: "data/api", Since: time.Now(), Phase: fleet.PhaseStopped}}, Done: []fleet.OrderID{ordered.Orders[0].ID}})
	if got := waiting(); !slices.Equal(got, []string{"host-2"}) {
		t.Errorf("orders wait for %v", got)
	}
	plan := decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(2))+"/plan", ""), http.StatusOK)
	if len(plan.Orders) != 1 || plan.Orders[0].Kind != fleet.OrderStop {
		t.Errorf("the plan of the other has %+v", plan.Orders)
	}
}

// TestCancelNamesTheAttemptThatFollows cancels an attempt that has ended while
// another one waits: what a person signed names one run, and the answer says
// which one to name.
func TestCancelNamesTheAttemptThatFollows(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addTask(t)
	again := time.Now().Add(time.Minute)
	first := newRun(1, fleet.RunRan)
	first.Attempt, first.Again = 1, &again
	second := first.NextAttempt()
	h.record(t, 1, first)
	if p := decoded[api.Problem](t, h.submit(t, cancelled(first), ""), http.StatusConflict); !strings.Contains(p.Hint, string(second.ID)) {
		t.Errorf("the next attempt is not named: %+v", p)
	}
	h.record(t, 1, second)
	if orders := h.order(t, cancelled(second)).Orders; len(orders) != 1 || orders[0].Run != second.ID || orders[0].Kind != fleet.OrderCancel {
		t.Errorf("while it waits: %+v", orders)
	}
	list := decoded[api.List[api.RunView]](t, h.do(t, http.MethodGet, api.PathRuns+"?occurrence="+string(second.ID), ""), http.StatusOK)
	if len(list.Items) != 2 || list.Items[0].ID != first.ID || list.Items[1].ID != second.ID || list.Items[0].HostName != "host-1" {
		t.Errorf("attempts %+v", list.Items)
	}
}

// TestLiveAsksTheAgent asks a host that polls another collector.
func TestLiveAsksTheAgent(t *testing.T) {
	houses := newHouses(t, 2)
	leader, other := houses[0], houses[1]
	leader.serve(t)
	second := other.serve(t)
	leader.addHost(t, 1, nil)
	if p := decoded[api.Problem](t, leader.do(t, http.MethodGet, "/v1/hosts/host-1/live", ""), http.StatusServiceUnavailable); p.Code != api.CodeSilent {
		t.Errorf("a host that does not poll: %+v", p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	agent := newClient(t, second.URL)
	want := api.Live{At: time.Unix(1_700_000_000, 0).UTC(), Runs: []api.LiveRun{{Run: "r", Task: "data/api", PID: 7, Started: time.Unix(1_700_000_000, 0).UTC(), Processes: 2}}, Waiting: []api.LiveWaiting{}, Slots: 64, Taken: 1}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			asks, _ := agent.Asks(ctx, hostID(1), 5*time.Second)
			for _, ask := range asks {
				said, _ := json.Marshal(want)
				if !ask.Live {
					said = []byte("what?")
				}
				_ = agent.Answer(ctx, hostID(1), ask.ID, 0, strings.NewReader(string(said)))
			}
		}
	}()
	var reply *http.Response
	for range 50 { // until the agent polls
		if reply = leader.do(t, http.MethodGet, "/v1/hosts/host-1/live", ""); reply.StatusCode == http.StatusOK {
			break
		}
	}
	conforms(t, "live", openDocument(t).Paths.Find(api.PathHostLive).Get, reply)
	if diff := cmp.Diff(want, decoded[api.Live](t, reply, http.StatusOK)); diff != "" {
		t.Error(diff)
	}
	cancel()
	<-ended
}

func TestCalendarsAreReadInEveryForm(t *testing.T) {
	h := newHouse(t)
	ics := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20261224T000000Z\r\nDTEND:20261227T000000Z\r\nSUMMARY:closed\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	from, to := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 27, 0, 0, 0, 0, time.UTC)
	for media, document := range map[string]string{
		api.MediaYAML:     "calendar: year-end\nwindows:\n- {from: 2026-12-24T00:00:00Z, to: 2026-12-27T00:00:00Z, summary: closed}\n",
		api.MediaJSON:     `{"calendar":"year-end","windows":[{"from":"2026-12-24T00:00:00Z","to":"2026-12-27T00:00:00Z","summary":"closed"}]}`,
		api.MediaCalendar: ics,
	} {
		record := decoded[api.Sealed](t, h.submit(t, closing(t, "year-end", document, media), "", "Authorization", "Bearer ann"), http.StatusOK).Calendar
		if record == nil || len(record.Envelope) == 0 || len(record.Windows) != 1 || record.Name != "year-end" || record.Windows[0].Summary != "closed" {
			t.Fatalf("%s: %+v", media, record)
		}
		if w := record.Windows[0]; !w.From.Equal(from) || w.To != nil && !w.To.Equal(to) {
			t.Errorf("%s: %+v", media, w)
		}
	}
	list := decoded[api.List[fleet.CalendarRecord]](t, h.do(t, http.MethodGet, api.PathCalendars, ""), http.StatusOK)
	if len(list.Items) != 1 || list.Items[0].ChangedBy != "ann" {
		t.Errorf("%+v", list)
	}
}
