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
)

// accountHouse has a task due every minute on two hosts for ten minutes. On the
// first all went well but for the last three, which were missed; of the second,
// the sixth minute is lost.
func accountHouse(t *testing.T) (*house, time.Time) {
	h := newHouse(t)
	for n := range 2 {
		h.addHost(t, n, map[string]string{"role": []string{"db", "web"}[n]})
	}
	h.giveTask(t, `{"task":"minutely","namespace":"data","on":{"cron":"* * * * *"},"run":{"command":"true"},"where":{"labels":"*"}}`)
	h.giveTask(t, `{"task":"never","on":{"manual":true},"run":{"command":"true"},"where":{"labels":"*"}}`)
	from := time.Now().UTC().Truncate(time.Minute).Add(-15 * time.Minute)
	for n := range 2 {
		records := []api.RunRecord{{Sequence: 1, Stint: &fleet.Stint{Task: "data/minutely", Generation: 1, After: from}}}
		add := func(minute int, run fleet.Run) {
			run.Task, run.Generation, run.Host, run.Due = "data/minutely", 1, hostID(n), from.Add(time.Duration(minute)*time.Minute)
			run.ID = newRun(100*n+minute, run.State).ID
			records = append(records, api.RunRecord{Sequence: uint64(len(records) + 1), Run: run})
		}
		for minute := 1; minute <= 7; minute++ {
			if exit := minute / 7; n == 0 || minute != 6 {
				add(minute, fleet.Run{State: fleet.RunRan, Exit: &exit})
			}
		}
		end := from.Add(10 * time.Minute)
		add(8, fleet.Run{State: fleet.RunMissed, Reason: fleet.MissedAgentDown, Until: &end, Count: 3})
		batch := ledger.HostBatch{Host: hostID(n), Journal: fleet.JournalID(strings.Repeat("e", 32)), Records: records}
		h.propose(t, &ledger.RecordRuns{Batches: []ledger.HostBatch{batch}, At: from})
		over := []api.RunRecord{{Sequence: 100, Stint: &fleet.Stint{Task: "data/minutely", After: end, Last: end}}}
		batch.Records = over
		h.propose(t, &ledger.RecordRuns{Batches: []ledger.HostBatch{batch}, At: from})
	}
	return h, from
}

func TestAccount(t *testing.T) {
	h, from := accountHouse(t)
	ask := func(q api.AccountQuery) []api.AccountLine {
		t.Helper()
		list, err := h.Account(as(t, "admin"), q)
		if err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	well := api.AccountLine{Task: "data/minutely", Due: 10, Ran: 7, OK: 6, Failed: 1, Missed: 3}
	first, second := well, well
	first.Host, first.HostName = hostID(0), "host-0"
	second.Host, second.HostName, second.Ran, second.OK, second.Difference = hostID(1), "host-1", 6, 5, 1
	sum := api.AccountLine{Task: "data/minutely", Due: 20, Ran: 13, OK: 11, Failed: 2, Missed: 6, Difference: 1}
	window := api.AccountLine{Task: "data/minutely", Due: 4, Ran: 3, OK: 2, Failed: 1, Missed: 1}
	for name, c := range map[string]struct {
		query api.AccountQuery
		want  []api.AccountLine
	}{
		"all":           {api.AccountQuery{}, []api.AccountLine{sum}},
		"by host":       {api.AccountQuery{Hosts: true}, []api.AccountLine{first, second}},
		"one host":      {api.AccountQuery{Host: "host-0"}, []api.AccountLine{well}},
		"a label":       {api.AccountQuery{Label: "role=web", Hosts: true}, []api.AccountLine{second}},
		"a namespace":   {api.AccountQuery{Namespace: "other"}, []api.AccountLine{}},
		"no runs":       {api.AccountQuery{Task: "never"}, []api.AccountLine{}},
		"a window":      {api.AccountQuery{Host: "host-0", Since: from.Add(5 * time.Minute), Until: from.Add(9 * time.Minute)}, []api.AccountLine{window}},
		"the next page": {api.AccountQuery{Hosts: true, Page: api.Page{After: cursorAfter(t, h)}}, []api.AccountLine{second}},
	} {
		if diff := cmp.Diff(c.want, ask(c.query)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, q := range map[string]api.AccountQuery{
		"no such task": {Task: "data/none"}, "no task's name": {Task: "a/b/c"}, "no such host": {Host: "none"}, "the wrong way round": {Since: from, Until: from.Add(-time.Hour)},
	} {
		if list, err := h.Account(as(t, "admin"), q); err == nil {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

func cursorAfter(t *testing.T, h *house) string {
	t.Helper()
	list, err := h.Account(as(t, "admin"), api.AccountQuery{Hosts: true, Page: api.Page{Limit: 1}})
	if err != nil || len(list.Items) != 1 || list.Total != 2 {
		t.Fatal(list, err)
	}
	return list.Next
}

func TestProofNamesWhatIsMissing(t *testing.T) {
	h, from := accountHouse(t)
	proof := decoded[api.Proof](t, h.do(t, http.MethodGet, api.PathProof, ""), http.StatusOK)
	lost := from.Add(6 * time.Minute)
	if proof.Accounts != 2 || proof.Due != 20 || proof.Difference != 1 || len(proof.Faults) != 2 {
		t.Fatalf("%+v", proof)
	}
	if f := proof.Faults[1]; f.Kind != api.FaultMissing || !f.Instant.Equal(lost) || f.HostName != "host-1" || f.Task != "data/minutely" {
		t.Errorf("%+v", f)
	}
	well := decoded[api.Proof](t, h.do(t, http.MethodGet, api.PathProof+"?host=host-0", ""), http.StatusOK)
	if well.Accounts != 1 || well.Difference != 0 || len(well.Faults) != 0 {
		t.Errorf("%+v", well)
	}
	metrics := text(t, h.do(t, http.MethodGet, api.PathMetrics, ""))
	for _, want := range []string{"fleetcron_occurrences_due 20", `fleetcron_occurrences_total{state="ran"} 13`, `fleetcron_occurrences_total{state="missed"} 6`, "fleetcron_occurrences_difference 1"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}
