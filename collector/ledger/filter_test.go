package ledger

import (
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestFiltersByLabelUserAndNamespace(t *testing.T) {
	l := newLedger(t)
	troubled := testReport(2, testJob(1))
	troubled.Report.Problems = []fleet.Problem{{Source: "/etc/crontab", Reason: "x"}}
	foo, bar := testTask("foo", "role=db"), testTask("bar", "*")
	foo.Task.Run.User, bar.Task.Run.User, bar.Task.Namespace = "backup", "root", "ops"
	l.must(&RegisterHost{Host: testHost(1, "role", "db"), At: noon}, &RegisterHost{Host: testHost(2, "role", "web"), At: noon}, troubled, foo, bar)
	record := func(host, n int, task fleet.TaskID) {
		run := testRun(n, task, fleet.RunRan)
		run.ID, run.Host = runID(n, host), hostID(host)
		l.must(&RecordRuns{Batches: []HostBatch{{Host: hostID(host), Journal: journalID(host), Records: []api.RunRecord{{Sequence: uint64(n), Run: run}}}}, At: noon})
	}
	record(1, 1, "default/foo")
	record(1, 2, "ops/bar")
	record(2, 3, "ops/bar")
	for name, one := range map[string]struct {
		q    api.RunQuery
		want int
	}{
		"all": {api.RunQuery{}, 3}, "label": {api.RunQuery{Label: "role=db"}, 2}, "no such label": {api.RunQuery{Label: "none"}, 0},
		"namespace": {api.RunQuery{Namespace: "ops"}, 2}, "user": {api.RunQuery{User: "backup"}, 1}, "user and label": {api.RunQuery{User: "root", Label: "role=web"}, 1},
		"host and namespace": {api.RunQuery{Host: "host-1", Namespace: "ops"}, 1}, "nobody": {api.RunQuery{User: "nobody"}, 0},
	} {
		list, err := l.Runs(everywhere, one.q)
		if err != nil || len(list.Items) != one.want {
			t.Errorf("runs, %s: %d, %v; want %d", name, len(list.Items), err, one.want)
		}
	}
	for name, one := range map[string]struct {
		q    api.TaskQuery
		want int
	}{
		"all": {api.TaskQuery{}, 2}, "label": {api.TaskQuery{Label: "role=web"}, 1}, "both": {api.TaskQuery{Label: "role=db"}, 2},
		"no such label": {api.TaskQuery{Label: "none"}, 0}, "user": {api.TaskQuery{User: "backup"}, 1}, "user and label": {api.TaskQuery{User: "backup", Label: "role=web"}, 0},
	} {
		list, err := l.Tasks(everywhere, one.q)
		if err != nil || len(list.Items) != one.want || list.Total != one.want {
			t.Errorf("tasks, %s: %d, %v; want %d", name, len(list.Items), err, one.want)
		}
	}
	if page, err := l.Hosts(everywhere, api.HostQuery{Problems: true}, nil); err != nil || page.Total != 1 || page.Hosts[0].Name != "host-2" {
		t.Errorf("hosts with problems: %+v, %v", page, err)
	}
	if _, err := l.Runs(everywhere, api.RunQuery{Label: "=="}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("runs: %v", err)
	}
	if _, err := l.Tasks(everywhere, api.TaskQuery{Label: "=="}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("tasks: %v", err)
	}
}
