package httpd_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

func TestTaskFromGivingToTakingBack(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addHost(t, 2, map[string]string{"role": "web"})

	record := taskOf(t, h.give(t, backup, "Authorization", "Bearer anna", api.HeaderReason, "nightly%20dump"))
	if string(record.Document) != backup || record.MediaType != api.MediaJSON || record.ChangedBy != "anna" || record.Reason != "nightly dump" {
		t.Errorf("record %+v", record)
	}

	reply := h.do(t, http.MethodGet, "/v1/tasks/data/backup", "")
	etag := reply.Header.Get("ETag")
	view := decoded[api.TaskView](t, reply, http.StatusOK)
	if etag != api.ETag(record.Index) || view.Hosts != 1 || view.Next == nil || view.Last != nil {
		t.Errorf("etag %s, view %+v", etag, view)
	}

	changed := strings.Replace(backup, "30 2", "45 2", 1)
	stale := h.give(t, changed, "If-Match", `"999"`)
	if p := decoded[api.Problem](t, stale, http.StatusPreconditionFailed); p.Code != api.CodeStale || !strings.Contains(p.Detail, "anna") {
		t.Errorf("problem %+v", p)
	}
	again := taskOf(t, h.give(t, changed, "If-Match", etag))
	if again.Generation != 2 || string(again.Document) != changed {
		t.Errorf("record %+v", again)
	}

	paused := taskOf(t, h.submit(t, tasked(t, changed, fleet.TaskPaused), ""))
	if paused.State != fleet.TaskPaused || paused.Generation != again.Generation {
		t.Errorf("state %s, generation %d", paused.State, paused.Generation)
	}
	if view := decoded[api.TaskView](t, h.do(t, http.MethodGet, "/v1/tasks/data/backup", ""), http.StatusOK); view.Next != nil {
		t.Errorf("a paused task is due at %v", view.Next)
	}

	run := newRun(1, fleet.RunRunning)
	h.record(t, 1, run)
	taskOf(t, h.submit(t, retired("data/backup"), ""))
	if orders := h.order(t, cancelled(run)).Orders; len(orders) != 1 || orders[0].Kind != fleet.OrderCancel {
		t.Errorf("orders %+v", orders)
	}
	decoded[api.Problem](t, h.do(t, http.MethodGet, "/v1/tasks/data/backup", ""), http.StatusNotFound)
}

func TestTheSameKeyDoesItOnce(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	give := func(envelope, key string) *http.Response {
		return h.do(t, http.MethodPost, api.PathSealed, envelope, "Content-Type", api.MediaSealed, "If-None-Match", "*", api.HeaderIdempotency, key)
	}
	envelope := signed(t, tasked(t, backup, fleet.TaskEnabled))
	first, second := taskOf(t, give(envelope, "k1")), taskOf(t, give(envelope, "k1"))
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
	if p := decoded[api.Problem](t, give(signed(t, tasked(t, backup, fleet.TaskEnabled)), "k2"), http.StatusConflict); p.Code != api.CodeExists {
		t.Errorf("code %s", p.Code)
	}
	other := signed(t, tasked(t, strings.Replace(backup, "backup", "other", 1), fleet.TaskEnabled))
	if p := decoded[api.Problem](t, give(other, "k1"), http.StatusConflict); p.Code != api.CodeKeyReused {
		t.Errorf("code %s", p.Code)
	}

	now := signed(t, ordered(fleet.OrderRun, "data/backup", hostID(1)))
	run := func() api.Sealed {
		reply := h.do(t, http.MethodPost, api.PathSealed+"?queue=allow", now, "Content-Type", api.MediaSealed, api.HeaderIdempotency, "r1")
		return decoded[api.Sealed](t, reply, http.StatusOK)
	}
	if diff := cmp.Diff(run().Orders, run().Orders); diff != "" {
		t.Error(diff)
	}
	orders, err := h.ledger.Orders(everywhere, hostID(1))
	if err != nil || len(orders) != 1 || orders[0].Run == "" {
		t.Errorf("orders %+v, %v", orders, err)
	}
	taskOf(t, h.submit(t, retired("data/backup"), ""))
	orders[0].Envelope = nil                                // stands once for all orders of a statement
	if diff := cmp.Diff(orders, run().Orders); diff != "" { // the answer of that time, whatever happened since
		t.Error(diff)
	}
}

// TestAKeyIsRememberedWhateverHappenedSince repeats a put whose own checks
// would refuse it by now.
func TestAKeyIsRememberedWhateverHappenedSince(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	task := h.addTask(t)
	changed := signed(t, tasked(t, strings.Replace(backup, "30 2", "40 2", 1), fleet.TaskEnabled))
	put := func() fleet.TaskRecord {
		t.Helper()
		return taskOf(t, h.do(t, http.MethodPost, api.PathSealed, changed, "Content-Type", api.MediaSealed, "If-Match", "*", "Idempotency-Key", "k"))
	}
	first := put()
	taskOf(t, h.submit(t, retired(task.Task.ID()), ""))
	h.addHost(t, 1, map[string]string{"role": "web"})
	if again := put(); again.Index != first.Index || again.Generation != 2 {
		t.Errorf("again %+v, first %+v", again, first)
	}
}

func TestAPlanHasItsOwnIndex(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addHost(t, 2, map[string]string{"role": "web"})
	plan := func(n int) fleet.Plan {
		return decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(n))+"/plan", ""), http.StatusOK)
	}
	db, web := plan(1), plan(2)
	h.addTask(t)
	if got := plan(1); got.Index <= db.Index {
		t.Errorf("index %d → %d with a task of its own", db.Index, got.Index)
	}
	if got := plan(2); got.Index != web.Index {
		t.Errorf("index %d → %d with a task that is not its own", web.Index, got.Index)
	}
}

func TestATaskThatMatchesNoHost(t *testing.T) {
	h := newHouse(t)
	p := decoded[api.Problem](t, h.give(t, backup), http.StatusUnprocessableEntity)
	if p.Code != api.CodeUnmatched || p.Field != "where" || !strings.Contains(p.Detail, "matches no host") {
		t.Errorf("problem %+v", p)
	}
	taskOf(t, h.submit(t, tasked(t, backup, fleet.TaskEnabled), "?unmatched=allow"))
}

func TestRunNowNeedsAHostThatAnswers(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addHost(t, 2, map[string]string{"role": "web"})
	h.addTask(t)
	run := func(query string, n int) *http.Response {
		return h.submit(t, ordered(fleet.OrderRun, "data/backup", hostID(n)), query)
	}
	if p := decoded[api.Problem](t, run("", 1), http.StatusConflict); p.Code != api.CodeSilent {
		t.Errorf("problem %+v", p)
	}
	for n := 2; n < 4; n++ { // one that the task does not run on, and one that there is not
		if p := decoded[api.Problem](t, run("?queue=allow", n), http.StatusUnprocessableEntity); p.Field != "hosts" {
			t.Errorf("problem %+v", p)
		}
	}
	h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", "") // it calls, so it is alive
	said := ordered(fleet.OrderRun, "data/backup", hostID(1))
	said.Expires, said.Order.Reason = said.Issued.Add(2*time.Hour), "by hand"
	order := decoded[api.Sealed](t, h.submit(t, said, ""), http.StatusOK).Orders[0]
	if order.Expires.Sub(order.Due) != 2*time.Hour || order.Reason != "by hand" || order.Host != hostID(1) || order.ID != seal.OrderID(said.Order.ID, hostID(1), "data/backup") {
		t.Errorf("order %+v", order)
	}
	plan := decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""), http.StatusOK)
	if len(plan.Assignments) != 1 || len(plan.Orders) != 1 || len(plan.Orders[0].Envelope) == 0 || len(plan.Assignments[0].Envelope) == 0 || string(plan.Assignments[0].Document) != backup {
		t.Errorf("plan %+v", plan)
	}

	stop := h.order(t, cancelled(fleet.Run{ID: order.Run, Task: order.Task, Host: order.Host}))
	if stop.Dropped || len(stop.Orders) != 1 || stop.Orders[0].Run != order.Run || stop.Orders[0].Kind != fleet.OrderCancel {
		t.Errorf("cancelled %+v", stop)
	}
	decoded[api.Problem](t, h.submit(t, cancelled(fleet.Run{ID: "nobody", Task: order.Task, Host: order.Host}), ""), http.StatusNotFound)
}

func TestAnOrderToASilentHostIsWithdrawn(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addTask(t)
	order := h.order(t, ordered(fleet.OrderRun, "data/backup", hostID(1))).Orders[0]
	state := func() fleet.RunState {
		return decoded[api.RunView](t, h.do(t, http.MethodGet, api.RunPath(order.Run), ""), http.StatusOK).State
	}
	if list := decoded[api.List[api.RunView]](t, h.do(t, http.MethodGet, api.PathRuns+"?state=pending", ""), http.StatusOK); len(list.Items) != 1 || state() != fleet.RunPending {
		t.Errorf("pending %+v", list.Items)
	}
	stop := h.order(t, cancelled(fleet.Run{ID: order.Run, Task: order.Task, Host: order.Host}))
	if !stop.Dropped || state() != fleet.RunSkipped {
		t.Errorf("the order was not withdrawn: %+v, the run is %s", stop, state())
	}
}

func TestATaskInShortRunsNowhereYet(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	record := taskOf(t, h.give(t, `{"id":"x","cron_expr":"*/5 * * * *","command":"true"}`))
	if record.Task.Where.Pick != fleet.PickNone || record.State != fleet.TaskEnabled {
		t.Errorf("%+v", record)
	}
	if plan := decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""), http.StatusOK); len(plan.Assignments) != 0 {
		t.Errorf("a host was given it: %+v", plan.Assignments)
	}
}

func TestHostsTellWhenTheyTookATaskOver(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	record := h.addTask(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	applied := fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{record.Task.ID(): record.Generation}, At: at}
	decoded[any](t, h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/applied", asJSON(t, applied), "Content-Type", api.MediaJSON), http.StatusOK)
	list := decoded[api.List[api.Resolved]](t, h.do(t, http.MethodGet, api.TaskPath(record.Task.ID())+"/hosts", ""), http.StatusOK)
	if len(list.Items) != 1 || list.Items[0].Applied != record.Generation || list.Items[0].Since == nil || list.Items[0].Since.After(time.Now()) {
		t.Errorf("%+v", list.Items)
	}
}

func TestARunThatEndedIsNotCancelled(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	run := newRun(1, fleet.RunRan)
	h.record(t, 1, run)
	if p := decoded[api.Problem](t, h.submit(t, cancelled(run), ""), http.StatusConflict); p.Code != "illegal_move" {
		t.Errorf("problem %+v", p)
	}
}

func TestAReportOfTheSameContentProposesNothing(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	report := h.addReport(t, 1, "/bin/true")
	report.Scanned = report.Scanned.Add(time.Hour)
	before, _ := h.ledger.Applied()
	receipt := decoded[api.ReportReceipt](t, h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/report", asJSON(t, report), "Content-Type", api.MediaJSON), http.StatusOK)
	after, _ := h.ledger.Applied()
	if receipt.Changed || after != before {
		t.Errorf("receipt %+v, index %d → %d", receipt, before, after)
	}
	report.Jobs[0].Command = "/bin/false"
	receipt = decoded[api.ReportReceipt](t, h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/report", asJSON(t, report), "Content-Type", api.MediaJSON), http.StatusOK)
	if !receipt.Changed || receipt.Hash != report.ContentHash() {
		t.Errorf("receipt %+v", receipt)
	}
	decoded[api.Problem](t, h.do(t, http.MethodPut, api.AgentPath(hostID(9))+"/report", asJSON(t, report), "Content-Type", api.MediaJSON), http.StatusNotFound)
}

func TestAnAgentSpeaksForItselfOnly(t *testing.T) {
	h := newHouse(t)
	host := h.addHost(t, 1, nil)
	p := decoded[api.Problem](t, h.do(t, http.MethodPut, api.AgentPath(hostID(2)), asJSON(t, host), "Content-Type", api.MediaJSON), http.StatusForbidden)
	if p.Code != "agent_id_mismatch" {
		t.Errorf("problem %+v", p)
	}
	applied := fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"data/backup": 1}, At: time.Now()}
	decoded[api.Problem](t, h.do(t, http.MethodPut, api.AgentPath(hostID(2))+"/applied", asJSON(t, applied), "Content-Type", api.MediaJSON), http.StatusForbidden)
}

func TestAHostWhoseClockIsWrongIsHeard(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	say := func(at time.Time, generation uint64, status int) {
		t.Helper()
		applied := fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"data/backup": generation}, At: at}
		reply := h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/applied", asJSON(t, applied), "Content-Type", api.MediaJSON)
		if reply.StatusCode != status {
			t.Errorf("generation %d: %s", generation, text(t, reply))
		}
	}
	now := time.Now().UTC()
	say(now.AddDate(4, 0, 0), 1, http.StatusOK)                  // a clock far ahead …
	say(now.Add(time.Hour), 2, http.StatusOK)                    // … that is set right, nearly
	say(now.Add(-time.Hour), 3, http.StatusOK)                   // and then back
	say(now.Add(-time.Second), 4, http.StatusPreconditionFailed) // a word that was overtaken
	applied, err := h.ledger.AppliedBy(everywhere, hostID(1))
	if err != nil || applied.Generations["data/backup"] != 3 || applied.At.After(time.Now()) {
		t.Errorf("applied %+v, %v", applied, err)
	}
}

func TestRunsAreAcknowledgedOnce(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	run := newRun(1, fleet.RunRan)
	run.Tail = strings.Repeat("x", 600) + "end"
	batch := api.RunBatch{Journal: fleet.JournalID(strings.Repeat("b", 32)), Records: []api.RunRecord{{Sequence: 7, Run: run}}}
	for range 2 {
		receipt := decoded[api.RunReceipt](t, h.do(t, http.MethodPost, api.AgentPath(hostID(1))+"/runs", asJSON(t, batch), "Content-Type", api.MediaJSON), http.StatusOK)
		if receipt.Acknowledged != 7 {
			t.Errorf("acknowledged %d", receipt.Acknowledged)
		}
	}
	list := decoded[api.List[api.RunView]](t, h.do(t, http.MethodGet, api.PathRuns+"?failed", ""), http.StatusOK)
	if len(list.Items) != 1 || list.Items[0].HostName != "host-1" || len(list.Items[0].Tail) != fleet.MaxTail || !strings.HasSuffix(list.Items[0].Tail, "end") {
		t.Errorf("list %+v", list)
	}
}

func TestPagesAreStableUnderInserts(t *testing.T) {
	h := newHouse(t)
	for n := 1; n < 20; n += 2 {
		h.addHost(t, n, nil)
	}
	var seen []string
	after := ""
	for {
		list := decoded[api.List[api.HostView]](t, h.do(t, http.MethodGet, api.PathHosts+"?limit=3&after="+after, ""), http.StatusOK)
		for _, host := range list.Items {
			seen = append(seen, host.Name)
		}
		h.addHost(t, 20+len(seen), nil) // a page before, or after
		if after = list.Next; after == "" || len(seen) > 40 {
			break
		}
	}
	counted := map[string]int{}
	for _, name := range seen {
		counted[name]++
	}
	for n := 1; n < 20; n += 2 {
		if name := "host-" + itoa(n); counted[name] != 1 {
			t.Errorf("%s was listed %d times", name, counted[name])
		}
	}
}

func TestUpcomingMergesFoundAndGiven(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addHost(t, 2, map[string]string{"role": "db"})
	h.addReport(t, 1, "/usr/bin/found")
	h.addTask(t)
	h.giveTask(t, `{"task":"often","on":{"every":"20m"},"run":{"command":"date"},"where":{"hosts":["host-2"]}}`)
	query := api.PathUpcoming + "?from=2026-07-01T00:00:00Z&until=2026-07-01T01:00:00Z"
	whole := decoded[api.List[api.Upcoming]](t, h.do(t, http.MethodGet, query, ""), http.StatusOK)
	var got []string
	for _, item := range whole.Items {
		got = append(got, item.At.Format("15:04")+" "+item.HostName+" "+string(item.Task)+" "+item.Command)
	}
	want := []string{
		"00:00 host-2 default/often date",
		"00:20 host-2 default/often date",
		"00:30 host-1  /usr/bin/found",
		"00:30 host-1 data/backup /usr/bin/backup --all",
		"00:30 host-2 data/backup /usr/bin/backup --all",
		"00:40 host-2 default/often date",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var paged []api.Upcoming
	for after := ""; ; {
		page := decoded[api.List[api.Upcoming]](t, h.do(t, http.MethodGet, query+"&limit=2&after="+after, ""), http.StatusOK)
		paged = append(paged, page.Items...)
		if after = page.Next; after == "" {
			break
		}
	}
	if diff := cmp.Diff(whole.Items, paged); diff != "" {
		t.Error(diff)
	}
	only := decoded[api.List[api.Upcoming]](t, h.do(t, http.MethodGet, query+"&host=host-1&task=data/backup", ""), http.StatusOK)
	if len(only.Items) != 1 {
		t.Errorf("%d items", len(only.Items))
	}
	h.addReport(t, 1) // the job is gone
	gone := decoded[api.List[api.Upcoming]](t, h.do(t, http.MethodGet, query+"&host=host-1", ""), http.StatusOK)
	if len(gone.Items) != 1 || gone.Items[0].Job != "" {
		t.Errorf("items %+v", gone.Items)
	}
}

func TestResolveChangesNothing(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addTask(t)
	before, _ := h.ledger.Applied()
	yaml := "task: backup\nnamespace: data\non: {every: 1h}\nrun: {command: date}\nwhere: {labels: role=db}\n"
	got := decoded[api.Resolution](t, h.do(t, http.MethodPost, api.PathResolve, yaml, "Content-Type", api.MediaYAML), http.StatusOK)
	if !got.Changes || got.Current != 1 || len(got.Hosts) != 1 || len(got.Hosts[0].Next) != 3 {
		t.Errorf("resolution %+v", got)
	}
	same := decoded[api.Resolution](t, h.do(t, http.MethodPost, api.PathResolve, backup, "Content-Type", api.MediaJSON), http.StatusOK)
	if same.Changes {
		t.Error("the same task is said to change")
	}
	if after, _ := h.ledger.Applied(); after != before {
		t.Errorf("index %d → %d", before, after)
	}
}

func TestOverviewAndCluster(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addHost(t, 2, nil)
	h.addReport(t, 1, "/bin/true", "/bin/false")
	h.addTask(t)
	h.record(t, 1, newRun(1, fleet.RunRan), newRun(1, fleet.RunRunning))
	h.do(t, http.MethodGet, api.AgentPath(hostID(2))+"/plan", "")
	got := decoded[api.Overview](t, h.do(t, http.MethodGet, api.PathOverview, ""), http.StatusOK)
	want := api.Overview{Hosts: 2, Alive: 1, Silent: 1, Jobs: 2, Tasks: 1, Runs: 2, Failed: 1, Running: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	cluster := decoded[api.Cluster](t, h.do(t, http.MethodPost, api.PathCollectors, `{"cluster":"`+clusterID+`","id":"c2","raft":"127.0.0.1:7781","api":"https://127.0.0.1:7780"}`, "Content-Type", api.MediaJSON, headerPeer, "c2"), http.StatusOK)
	if cluster.ID != clusterID || len(cluster.Collectors) != 2 || cluster.Collectors[1].API != "https://127.0.0.1:7780" {
		t.Errorf("cluster %+v", cluster)
	}
	p := decoded[api.Problem](t, h.do(t, http.MethodPost, api.PathCollectors, `{"cluster":"other","id":"c3","raft":"127.0.0.1:7781","api":"https://127.0.0.1:7780"}`, "Content-Type", api.MediaJSON, headerPeer, "c3"), http.StatusConflict)
	if p.Code != "other_cluster" {
		t.Errorf("problem %+v", p)
	}
	decoded[api.Cluster](t, h.do(t, http.MethodDelete, api.PathCollectors+"/c2", ""), http.StatusOK)
}

func TestHostShowsFoundAndGiven(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addReport(t, 1, "/bin/true")
	h.addTask(t)
	h.propose(t, &ledger.RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"data/backup": 1}, At: time.Now().UTC()}})
	for _, name := range []string{"host-1", string(hostID(1))} {
		detail := decoded[api.HostDetail](t, h.do(t, http.MethodGet, api.HostPath(name), ""), http.StatusOK)
		if len(detail.Inventory.Jobs) != 1 || len(detail.Assignments) != 1 || detail.Applied.Generations["data/backup"] != 1 {
			t.Errorf("detail %+v", detail)
		}
	}
	hosts := decoded[api.List[api.Resolved]](t, h.do(t, http.MethodGet, "/v1/tasks/data/backup/hosts", ""), http.StatusOK)
	if len(hosts.Items) != 1 || hosts.Items[0].Applied != 1 {
		t.Errorf("hosts %+v", hosts)
	}
	jobs := decoded[api.List[api.JobView]](t, h.do(t, http.MethodGet, api.PathJobs+"?q=true", ""), http.StatusOK)
	groups := decoded[api.List[api.JobGroup]](t, h.do(t, http.MethodGet, api.PathJobGroups, ""), http.StatusOK)
	if len(jobs.Items) != 1 || len(groups.Items) != 1 {
		t.Errorf("jobs %+v, groups %+v", jobs, groups)
	}
}

func TestHeadAnswersAsGetWithoutABody(t *testing.T) {
	h := newHouse(t)
	server := h.serve(t)
	reply, err := http.Head(server.URL + api.PathHosts)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if body := text(t, reply); reply.StatusCode != http.StatusOK || body != "" || reply.Header.Get(api.HeaderIndex) == "" {
		t.Errorf("%d %q %v", reply.StatusCode, body, reply.Header)
	}
}

func TestStrangersAreNotRemembered(t *testing.T) {
	h := newHouse(t)
	for n := range 50 {
		h.do(t, http.MethodGet, api.AgentPath(hostID(n))+"/plan", "")
		h.do(t, http.MethodGet, api.AgentPath(hostID(n))+"/asks", "")
	}
	if n := h.Remembered(); n != 0 {
		t.Errorf("%d hosts that nobody knows are remembered", n)
	}
}
