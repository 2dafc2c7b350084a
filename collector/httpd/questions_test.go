package httpd_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// found records jobs found on host n.
func (h *house) found(t testing.TB, n int, at time.Time, jobs ...fleet.Job) {
	t.Helper()
	r := fleet.Report{Host: fmt.Sprintf("host-%d", n), Scanned: at, Jobs: jobs, Problems: []fleet.Problem{}}
	h.propose(t, &ledger.RecordReport{Host: hostID(n), Report: r, Hash: r.ContentHash(), At: at})
}

// cronJob is a job of a crontab, in UTC.
func cronJob(line int, schedule, command string) fleet.Job {
	return fleet.Job{
		ID: fleet.NewJobID(fleet.KindCron, "/etc/cron.d/x", "root", command, line), Kind: fleet.KindCron, Source: "/etc/cron.d/x", Line: line, User: "root",
		Schedule: schedule, Timezone: "UTC", Command: command, Enabled: true, Verdict: fleet.Verdict{Runs: true}, Fingerprint: fleet.CommandFingerprint(command),
	}
}

// busyHouse is six hosts of two roles with found jobs and a task of each kind.
func busyHouse(t *testing.T) *house {
	h := newHouse(t)
	for n := range 6 {
		h.addHost(t, n, map[string]string{"role": []string{"db", "web"}[n%2]})
		h.found(t, n, epoch,
			cronJob(1, "*/7 * * * *", "/bin/often"), cronJob(2, "0 3 * * *", "/bin/backup"), cronJob(3, "0 3 * * *", fmt.Sprintf("/bin/own-%d", n)),
			cronJob(4, "30 */4 * * *", "/bin/report"), cronJob(5, "@daily", "/bin/daily"), cronJob(6, "15 2 * * 1", "/bin/weekly"))
	}
	for i, on := range []string{`{"cron":"0 3 * * *","timezone":"UTC"}`, `{"cron":"0 * * * *","spread":"20m","timezone":"UTC"}`, `{"every":"50m"}`} {
		h.giveTask(t, fmt.Sprintf(`{"task":"given%d","on":%s,"run":{"command":["/bin/true"],"user":"root"},"where":{"labels":%q}}`, i, on, []string{"*", "role=db"}[i%2]))
	}
	return h
}

var epoch = time.Unix(1_700_000_100, 0).UTC()

// all returns every upcoming start of a query, page by page.
func (h *house) all(t *testing.T, q api.UpcomingQuery) (items []api.Upcoming) {
	t.Helper()
	q.Limit = 100
	for {
		page, err := h.Upcoming(as(t, "admin"), q)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, page.Items...)
		if q.After = page.Next; q.After == "" {
			if page.Total != len(items) {
				t.Errorf("total %d of %d for %+v", page.Total, len(items), q)
			}
			return items
		}
	}
}

func TestUpcomingByLabelAndText(t *testing.T) {
	h := busyHouse(t)
	from := time.Date(2030, 1, 1, 2, 0, 0, 0, time.UTC)
	window := api.UpcomingQuery{From: from, Until: from.Add(2 * time.Hour)}
	everything := h.all(t, window)
	count := func(keep func(api.Upcoming) bool) (n int) {
		for _, one := range everything {
			if keep(one) {
				n++
			}
		}
		return n
	}
	isDB := func(one api.Upcoming) bool { return strings.Contains("host-0 host-2 host-4", one.HostName) }
	for name, c := range map[string]struct {
		q    api.UpcomingQuery
		want int
	}{
		"label":          {api.UpcomingQuery{Label: "role=db"}, count(isDB)},
		"text":           {api.UpcomingQuery{Text: "BACKUP"}, 6},
		"text of a task": {api.UpcomingQuery{Text: "given0"}, 6},
		"both":           {api.UpcomingQuery{Text: "/bin/own", Label: "role!=db"}, 3},
		"no label fits":  {api.UpcomingQuery{Label: "role=db", Host: "host-1"}, 0},
		"one host":       {api.UpcomingQuery{Host: "host-2"}, count(func(one api.Upcoming) bool { return one.HostName == "host-2" })},
	} {
		c.q.From, c.q.Until = window.From, window.Until
		if got := h.all(t, c.q); len(got) != c.want || c.want == len(everything) {
			t.Errorf("%s: %d, want %d of %d", name, len(got), c.want, len(everything))
		}
	}
}

// TestUpcomingHasWhatNoClockTells: at jobs at their instant, anacron's where
// the host foretold it, and again a period later.
func TestUpcomingHasWhatNoClockTells(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	due := time.Date(2030, 1, 1, 7, 35, 0, 0, time.UTC)
	at, anacron, daily := cronJob(0, due.Add(time.Hour).Format(time.RFC3339), "/bin/at"), cronJob(0, "7 10", "/bin/anacron"), cronJob(0, "1 5", "/etc/cron.daily/x")
	at.Kind, anacron.Kind, daily.Kind = fleet.KindAt, fleet.KindAnacron, fleet.KindRunParts
	anacron.Next, daily.Next = []time.Time{due.AddDate(0, 0, -7)}, []time.Time{due.AddDate(0, 0, -3)}
	h.found(t, 1, epoch, at, anacron, daily)
	var got []string
	for _, one := range h.all(t, api.UpcomingQuery{From: due.Add(-time.Hour), Until: due.Add(20 * time.Hour)}) {
		got = append(got, one.At.Format("15:04 ")+one.Command)
	}
	if diff := cmp.Diff([]string{"07:35 /bin/anacron", "07:35 /etc/cron.daily/x", "08:35 /bin/at"}, sorted(got)); diff != "" {
		t.Error(diff)
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// TestDensityCountsWhatComes compares each hour with what comes in it, over a
// change of the clock.
func TestDensityCountsWhatComes(t *testing.T) {
	h := busyHouse(t)
	from := time.Date(2030, 3, 28, 22, 0, 0, 0, time.UTC) // Berlin goes forward on the 31st
	for _, q := range []api.DensityQuery{{From: from, Zone: "Europe/Berlin"}, {From: from, Label: "role=db"}, {From: from, Host: "host-3"}} {
		density, err := h.Density(as(t, "admin"), q)
		if err != nil {
			t.Fatal(err)
		}
		zone, err := time.LoadLocation(density.Zone)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]int, 168)
		begin := from.In(zone)
		hour := func(i int) time.Time {
			return time.Date(begin.Year(), begin.Month(), begin.Day(), begin.Hour()+i, 0, 0, 0, zone)
		}
		for i := range want {
			if a, b := hour(i), hour(i+1); a.Before(b) {
				want[i] = len(h.all(t, api.UpcomingQuery{From: a, Until: b, Host: q.Host, Label: q.Label}))
			}
		}
		if diff := cmp.Diff(want, density.Hours); diff != "" || density.Max != slices.Max(want) || density.Max == 0 || !density.From.Equal(from) {
			t.Errorf("%+v: max %d, from %v: %s", q, density.Max, density.From, diff)
		}
		again, err := h.Density(as(t, "admin"), q)
		if diff := cmp.Diff(density, again); err != nil || diff != "" {
			t.Errorf("asked again: %v %s", err, diff)
		}
	}
}

// TestCollisionsAreTheFullMinutes compares with what comes, minute by minute.
func TestCollisionsAreTheFullMinutes(t *testing.T) {
	h := busyHouse(t)
	from := time.Date(2030, 1, 7, 0, 0, 0, 0, time.UTC)
	starts, hosts := map[time.Time]int{}, map[time.Time]map[string]bool{}
	for _, one := range h.all(t, api.UpcomingQuery{From: from, Until: from.Add(24 * time.Hour)}) {
		minute := one.At.Truncate(time.Minute)
		if starts[minute]++; hosts[minute] == nil {
			hosts[minute] = map[string]bool{}
		}
		hosts[minute][one.HostName] = true
	}
	var got []api.Collision
	q := api.CollisionQuery{From: from, Least: 7, Page: api.Page{Limit: 2}}
	for {
		page, err := h.Collisions(as(t, "admin"), q)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, page.Items...); page.Next == "" {
			if page.Total != len(got) {
				t.Errorf("total %d of %d", page.Total, len(got))
			}
			break
		}
		q.After = page.Next
	}
	for minute, n := range starts {
		at := slices.IndexFunc(got, func(c api.Collision) bool { return c.At.Equal(minute) })
		if (at >= 0) != (n >= 7) || at >= 0 && (got[at].Starts != n || got[at].Hosts != len(hosts[minute]) || len(got[at].Sample) != min(n, 10)) {
			t.Errorf("%v: %d starts on %d hosts; got %d", minute, n, len(hosts[minute]), at)
		}
	}
	if len(got) < 3 || got[0].Starts != 12+6 && got[0].Starts < got[1].Starts {
		t.Errorf("%d collisions, first %+v", len(got), got[0])
	}
	if !slices.IsSortedFunc(got, func(a, b api.Collision) int { return b.Starts - a.Starts }) {
		t.Error("not the fullest first")
	}
}

// TestSpreadHoldsWhatItPromises makes the shifts that are advised and counts again.
func TestSpreadHoldsWhatItPromises(t *testing.T) {
	h := busyHouse(t)
	packaged := cronJob(9, "0 3 * * *", "/bin/packaged")
	packaged.Package = "x"
	jobs := []fleet.Job{packaged, cronJob(1, "0 3 * * *", "/bin/a"), cronJob(2, "0 3 * * *", "/bin/b"), cronJob(3, "@daily", "/bin/c"), cronJob(4, "*/5 * * * *", "/bin/d"), cronJob(5, "@reboot", "/bin/e")}
	h.found(t, 0, epoch.Add(time.Hour), jobs...)
	from := time.Date(2030, 1, 7, 0, 0, 0, 0, time.UTC)
	fullest := func() int {
		page, err := h.Collisions(as(t, "admin"), api.CollisionQuery{From: from, Least: 1, Page: api.Page{Limit: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return page.Items[0].Starts
	}
	advice, err := h.Spread(as(t, "admin"), api.SpreadQuery{From: from, Most: fleet.Duration(10 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if advice.Before != fullest() || advice.After >= advice.Before || len(advice.Shifts) < 5 {
		t.Fatalf("from %d to %d by %d shifts; the fullest has %d", advice.Before, advice.After, len(advice.Shifts), fullest())
	}
	again, err := h.Spread(as(t, "admin"), api.SpreadQuery{From: from, Most: fleet.Duration(10 * time.Minute)})
	if diff := cmp.Diff(advice, again); err != nil || diff != "" {
		t.Errorf("%v: not the same advice twice: %s", err, diff)
	}
	shifted := map[fleet.HostID][]fleet.Job{}
	for _, shift := range advice.Shifts {
		by := time.Duration(shift.By)
		old, err := cron.Debian.Parse(shift.Job.Schedule)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := cron.Debian.Parse(shift.Schedule)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := old.Next(from.Add(-time.Second))
		second, _ := fresh.Next(from.Add(-time.Second))
		if by == 0 || by.Abs() > 10*time.Minute || !first.Add(by).Equal(second) && second.Sub(first).Abs() < 23*time.Hour || shift.Job.Package != "" {
			t.Errorf("%s to %s by %v", shift.Job.Schedule, shift.Schedule, by)
		}
		if want := fmt.Sprintf("fleetctl adopt %s:%s --schedule '%s'", shift.Job.HostName, shift.Job.ID, shift.Schedule); shift.Fix != want {
			t.Errorf("fix %s", shift.Fix)
		}
		moved := shift.Job.Job
		moved.Schedule, moved.Evidence = shift.Schedule, nil
		shifted[shift.Job.Host] = append(shifted[shift.Job.Host], moved)
	}
	for n := range 6 {
		report, err := h.ledger.Report(everywhere, hostID(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, moved := range shifted[hostID(n)] {
			at := slices.IndexFunc(report.Jobs, func(job fleet.Job) bool { return job.ID == moved.ID })
			report.Jobs[at] = moved
		}
		h.found(t, n, epoch.Add(2*time.Hour), report.Jobs...)
	}
	if got := fullest(); got != advice.After {
		t.Errorf("the fullest minute has %d starts after the shifts, %d were promised", got, advice.After)
	}
}

func TestWhatWouldStopWithAHost(t *testing.T) {
	h := busyHouse(t)
	broken := cronJob(8, "1 1 * * *", "/bin/broken")
	broken.Verdict = fleet.Verdict{Code: fleet.NoCommand, Why: "gone"}
	h.found(t, 2, epoch.Add(time.Hour), cronJob(1, "*/7 * * * *", "/bin/often"), cronJob(3, "0 3 * * *", "/bin/own-2"), broken)
	for n := range 6 {
		h.do(t, "GET", api.AgentPath(hostID(n))+"/plan", "") // it is alive
	}
	loss, err := h.Loss(as(t, "admin"), "host-2")
	if err != nil {
		t.Fatal(err)
	}
	if len(loss.Jobs) != 2 || loss.Host.Name != "host-2" {
		t.Fatalf("%+v", loss)
	}
	own, often := loss.Jobs[0], loss.Jobs[1]
	want := api.LossJob{Job: own.Job, Elsewhere: []string{}, Move: []string{"host-0", "host-4", "host-1"}, Fix: "fleetctl adopt host-2:" + string(own.Job.ID)}
	if diff := cmp.Diff(want, own); diff != "" || own.Job.Command != "/bin/own-2" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"host-0", "host-1", "host-3", "host-4", "host-5"}, often.Elsewhere); diff != "" || len(often.Move) > 0 {
		t.Error(diff)
	}
	if diff := cmp.Diff([]api.LossTask{{Task: "default/given0", Hosts: 5}, {Task: "default/given1", Hosts: 2}, {Task: "default/given2", Hosts: 5}}, loss.Tasks); diff != "" {
		t.Error(diff)
	}
}

// TestOverdueIsToldWithTheJob, in a list, in a search, as a finding that can be
// acknowledged.
func TestOverdueIsToldWithTheJob(t *testing.T) {
	h := newHouse(t)
	now := time.Now().UTC()
	h.addHost(t, 1, nil)
	late, fine := cronJob(1, "* * * * *", "/bin/late"), cronJob(2, "* * * * *", "/bin/fine")
	late.Package, fine.Package = "x", "x"
	h.found(t, 1, now.Add(-48*time.Hour), late, fine)
	h.propose(t, &ledger.RecordSightings{Host: hostID(1), At: now, Sightings: fleet.Sightings{
		Since: map[fleet.JobKind]time.Time{fleet.KindCron: now.Add(-72 * time.Hour)},
		Jobs:  map[fleet.JobID]fleet.Evidence{late.ID: {Last: now.Add(-3 * time.Hour), Grade: fleet.GradeStarted}, fine.ID: {Last: now, Grade: fleet.GradeStarted}},
	}})
	h.do(t, "GET", api.AgentPath(hostID(1))+"/plan", "")
	list, err := h.Findings(as(t, "admin"), api.FindingQuery{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Kind != fleet.FindOverdue || list.Items[0].Job != late.ID || list.Counts[fleet.Warning] != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, q := range []api.JobQuery{{}, {Overdue: true}, {Text: "is:overdue"}, {Text: "-is:overdue"}} {
		jobs, err := h.Jobs(as(t, "admin"), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range jobs.Items {
			if (job.Overdue != nil) != (job.ID == late.ID) {
				t.Errorf("%s: overdue %v", job.Command, job.Overdue)
			}
		}
		if want := map[string]int{"": 2, "is:overdue": 1, "-is:overdue": 1}[q.Text]; len(jobs.Items) != want && !q.Overdue || q.Overdue && len(jobs.Items) != 1 {
			t.Errorf("%+v: %d jobs", q, len(jobs.Items))
		}
	}
	h.propose(t, &ledger.PutAck{Ack: fleet.Ack{Finding: list.Items[0].ID, By: "anna", Reason: "known", At: now}})
	if again, err := h.Findings(as(t, "admin"), api.FindingQuery{}); err != nil || len(again.Items) != 0 {
		t.Errorf("%+v, %v", again, err)
	}
	one, err := h.Finding(as(t, "admin"), list.Items[0].ID)
	if err != nil || one.Ack == nil || one.Ack.By != "anna" {
		t.Errorf("%+v, %v", one, err)
	}
}

// TestTheServerFollows: with Follow, a change of the ledger is seen without
// anyone asking for it.
func TestTheServerFollows(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Follow(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
