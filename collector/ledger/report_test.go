package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestRecordReportWritesOnlyWhatDiffers(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	jobs := make([]fleet.Job, 50)
	for i := range jobs {
		jobs[i] = testJob(i)
		jobs[i].Next = []time.Time{noon.Add(time.Hour)}
	}
	if got := l.must(testReport(1, jobs...)); got != (Recorded{Changed: true, Written: 50}) {
		t.Errorf("the first: %+v", got)
	}
	before := dump(t, l.Ledger)
	if got := l.must(testReport(1, jobs...)); got != (Recorded{}) {
		t.Errorf("the same hash: %+v", got)
	}
	after := dump(t, l.Ledger)
	delete(before, "meta/applied")
	delete(after, "meta/applied")
	if diff := diffDumps(before, after); diff != "" {
		t.Errorf("the same hash changed something: %s", diff)
	}

	// A day later one schedule is another; the coming instants of all are.
	for i := range jobs {
		jobs[i].Next = []time.Time{noon.Add(25 * time.Hour)}
	}
	jobs[7].Schedule = "0 4 * * *"
	report := testReport(1, jobs...)
	report.At = noon.Add(24 * time.Hour)
	if got := l.must(report); got != (Recorded{Changed: true, Written: 1}) {
		t.Errorf("one job of fifty: %+v", got)
	}
	changed := l.job(1, jobs[7].ID)
	if !changed.FirstSeen.Equal(noon) || !changed.Changed.Equal(report.At) || !changed.Next[0].Equal(noon.Add(25*time.Hour)) {
		t.Errorf("the changed job: %+v", changed)
	}
	if still := l.job(1, jobs[8].ID); !still.Changed.Equal(noon) || !still.Next[0].Equal(noon.Add(time.Hour)) {
		t.Errorf("a job that is the same: %+v", still)
	}

	// It moved down a line: written, but no change of it. Evidence does not ride
	// in reports.
	jobs[8].Line, jobs[8].Evidence = 99, &fleet.Evidence{Last: noon, Grade: "started"}
	report = testReport(1, jobs[1:]...)
	report.At = noon.Add(48 * time.Hour)
	if got := l.must(report); got != (Recorded{Changed: true, Written: 1, Removed: 1}) {
		t.Errorf("moved, and one gone: %+v", got)
	}
	if moved := l.job(1, jobs[8].ID); moved.Line != 99 || moved.Evidence != nil || !moved.Changed.Equal(noon) {
		t.Errorf("the moved job: %+v", moved)
	}
	if _, found, err := l.Job(everywhere, hostID(1), jobs[0].ID); found || err != nil {
		t.Errorf("the job that is gone: %v, %v", found, err)
	}
}

func (b *bench) job(host int, id fleet.JobID) api.JobView {
	b.t.Helper()
	job, found, err := b.Job(everywhere, hostID(host), id)
	if err != nil || !found {
		b.t.Fatalf("job %s: %v, %v", id, found, err)
	}
	return job
}

func TestRecordReportRefuses(t *testing.T) {
	l := newLedger(t)
	l.refused("unknown_host", testReport(1, testJob(1)))
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	l.refused("invalid", testReport(1, testJob(1), testJob(1)))
	nameless := testJob(1)
	nameless.ID = ""
	l.refused("invalid", testReport(1, testJob(2), nameless))
	nameless.ID = "a\x00b"
	l.refused("invalid", testReport(1, nameless))
}

func TestReportComesBack(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, &RegisterHost{Host: testHost(16), At: noon})
	report, bad := testReport(1, testJob(2), testJob(1)), testJob(3)
	bad.Verdict = fleet.Verdict{Why: "no such user"}
	bad.Command = "bytes \xff\xfe that are no text"
	report.Report.Jobs = append(report.Report.Jobs, bad)
	report.Report.Problems = []fleet.Problem{{Source: "/etc/cron.d/x", Line: 2, Text: "? * * *", Reason: "bad minute"}}
	l.must(report, testReport(16, testJob(1)))
	got, err := l.Report(everywhere, hostID(1))
	if err != nil {
		t.Fatal(err)
	}
	want := report.Report
	want.Jobs = []fleet.Job{testJob(1), testJob(2), bad}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	host, _ := l.Host(everywhere, hostID(1))
	if host.Jobs != 3 || host.Broken != 1 || host.Problems != 1 || host.Hash != report.Hash || !host.Reported.Equal(noon) {
		t.Errorf("%+v", host)
	}
	if totals, want := l.Totals(everywhere), (Totals{Hosts: 2, Jobs: 4, Broken: 1, Problems: 1}); totals != want {
		t.Errorf("%+v, want %+v", totals, want)
	}
	n := 0
	if err := l.EachJob(everywhere, func(*Host, api.JobView) error { n++; return nil }); err != nil || n != 4 {
		t.Errorf("EachJob: %d, %v", n, err)
	}

	// An empty report empties the host and nothing beside it.
	l.must(testReport(1))
	if jobs, err := l.Jobs(everywhere, hostID(1)); err != nil || len(jobs) != 0 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	if jobs, err := l.Jobs(everywhere, hostID(16)); err != nil || len(jobs) != 1 {
		t.Errorf("the other host has %d jobs, %v", len(jobs), err)
	}
	if _, err := l.Report(everywhere, hostID(9)); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("report of no host: %v", err)
	}
}
