package findings

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// seen is a host that would see starts of every kind since a month ago.
func seen(f Fleet) Fleet {
	for i := range f.Hosts {
		f.Hosts[i].Since = map[fleet.JobKind]time.Time{}
		for _, kind := range []fleet.JobKind{fleet.KindCron, fleet.KindRunParts, fleet.KindAnacron, fleet.KindTimer} {
			f.Hosts[i].Since[kind] = installed
		}
	}
	return f
}

func last(ago time.Duration) func(*api.JobView) {
	return func(job *api.JobView) {
		job.Evidence = &fleet.Evidence{Last: noon.Add(-ago), Grade: fleet.GradeStarted}
	}
}

func kind(k fleet.JobKind) func(*api.JobView) { return func(job *api.JobView) { job.Kind = k } }

func TestOverdue(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		job    api.JobView
		change func(*Host)
		want   string
	}{
		"in time":        {newJob("/bin/x", due("0 4 * * *"), last(10*time.Hour)), nil, ""}, // 04:00 in Berlin is 02:00 UTC
		"once":           {newJob("/bin/x", due("0 4 * * *"), last(34*time.Hour)), nil, "warning overdue should have started at 2026-06-10T02:00:00Z and did not"},
		"three days":     {newJob("/bin/x", due("0 4 * * *"), last(3*day+10*time.Hour)), nil, "critical overdue should have started 3 times since 2026-06-08T02:00:00Z and did not"},
		"within grace":   {newJob("/bin/x", due("50 13 * * *"), last(day)), nil, ""},
		"after grace":    {newJob("/bin/x", due("45 13 * * *"), last(day)), nil, "warning overdue should have started at 2026-06-10T11:45:00Z and did not"},
		"never seen":     {newJob("/bin/x", due("0 4 * * 1")), nil, "critical overdue should have started 5 times since 2026-05-11T02:00:00Z and did not"},
		"not covered":    {newJob("/bin/x", due("0 4 * * *")), func(h *Host) { h.Since = nil }, ""},
		"unseen":         {newJob("/bin/x", due("0 4 * * *"), func(job *api.JobView) { job.Unseen = true }), nil, ""},
		"since today":    {newJob("/bin/x", due("0 4 * * *")), func(h *Host) { h.Since[fleet.KindCron] = noon.Add(-9 * time.Hour) }, ""},
		"does not run":   {newJob("/bin/x", due("0 4 * * *"), broken(fleet.Disabled)), nil, ""},
		"changed since":  {newJob("/bin/x", due("0 4 * * *"), last(9*day), func(job *api.JobView) { job.Changed = noon.Add(-time.Hour) }), nil, ""},
		"before we came": {newJob("/bin/x", due("0 4 * * *"), last(34*time.Hour), func(job *api.JobView) { job.FirstSeen, job.Changed = noon, noon }), nil, "warning overdue should have started at 2026-06-10T02:00:00Z and did not"},
		"silent then":    {newJob("/bin/x", due("0 4 * * *"), last(34*time.Hour)), func(h *Host) { h.Quiet = noon.Add(-10 * time.Hour) }, ""},
		"silent later":   {newJob("/bin/x", due("0 4 * * *"), last(34*time.Hour)), func(h *Host) { h.Quiet = noon.Add(-9 * time.Hour) }, "warning overdue should have started at 2026-06-10T02:00:00Z and did not"},
		"was down":       {newJob("/bin/x", due("0 4 * * *"), last(34*time.Hour)), func(h *Host) { h.Back = noon.Add(-9 * time.Hour) }, ""},
		"was down once":  {newJob("/bin/x", due("0 4 * * *"), last(3*day)), func(h *Host) { h.Back = noon.Add(-11 * time.Hour) }, "warning overdue should have started at 2026-06-10T02:00:00Z and did not"},
		"reboot":         {newJob("/bin/x", due("@reboot")), nil, ""},
		"run-parts":      {newJob("/bin/x", kind(fleet.KindRunParts), due("25 12 * * *"), last(day)), nil, ""},
		"parts late":     {newJob("/bin/x", kind(fleet.KindRunParts), due("25 11 * * *"), last(26*time.Hour)), nil, "warning overdue should have started at 2026-06-10T09:25:00Z and did not"},
		"timer":          {newJob("/bin/x", kind(fleet.KindTimer), due("*-*-* 06,18:00:00 UTC"), last(17*time.Hour)), nil, ""},
		"timer late":     {newJob("/bin/x", kind(fleet.KindTimer), due("*-*-* 06,18:00:00 UTC"), last(31*time.Hour)), nil, "critical overdue should have started 3 times since 2026-06-09T06:00:00Z and did not"},
		"monotonic":      {newJob("/bin/x", kind(fleet.KindTimer), due("OnBootSec=5min; OnUnitActiveSec=1h"), last(110*time.Minute)), nil, ""},
		"monotonic off":  {newJob("/bin/x", kind(fleet.KindTimer), due("OnBootSec=5min; OnUnitActiveSec=1h"), last(130*time.Minute)), nil, "warning overdue should have started 2 times since 2026-06-10T10:50:00Z and did not"},
		"anacron":        {newJob("/bin/x", kind(fleet.KindAnacron), due("7 10"), last(8*day-time.Hour), func(job *api.JobView) { job.Next = []time.Time{noon} }), nil, ""},
		"anacron late":   {newJob("/bin/x", kind(fleet.KindAnacron), due("7 10"), last(9*day), func(job *api.JobView) { job.Next = []time.Time{noon} }), nil, "warning overdue should have started at 2026-06-08T12:00:00Z and did not"},
	} {
		t.Run(name, func(t *testing.T) {
			f := seen(one(c.job))
			if c.change != nil {
				c.change(&f.Hosts[0])
			}
			got := ""
			for _, finding := range Evaluate(f, noon) {
				if finding.Kind == fleet.FindOverdue {
					got = fmt.Sprintf("%s %s %s", finding.Severity, finding.Kind, finding.Summary)
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestManyOverdueAreOne: something is wrong with the host.
func TestManyOverdueAreOne(t *testing.T) {
	var jobs []api.JobView
	for i := range 6 {
		jobs = append(jobs, newJob(fmt.Sprintf("/bin/%d", i), last(48*time.Hour), from("/etc/cron.d/x", i)))
	}
	list := Evaluate(seen(one(jobs...)), noon)
	if len(list) != 1 || list[0].Severity != fleet.Critical || !strings.HasPrefix(list[0].Summary, "6 jobs should have started") || list[0].Fix != "fleetctl jobs --host web-1 --overdue" {
		t.Errorf("%+v", list)
	}
}

// TestOverdueIsWhatEachMinuteSays compares with a search minute by minute, for
// schedules, evidence, coverage and silences by chance.
func TestOverdueIsWhatEachMinuteSays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	ago := func(most time.Duration) time.Time {
		return noon.Add(-time.Duration(random.Int64N(int64(most/time.Second))) * time.Second)
	}
	some := 0
	for range 3000 {
		minute, hour, step := random.IntN(60), random.IntN(24), 1+random.IntN(40)
		schedule := fmt.Sprintf("%d %d * * *", minute, hour)
		fits := func(at time.Time) bool { return at.Minute() == minute && at.Hour() == hour }
		if random.IntN(2) == 0 {
			schedule = fmt.Sprintf("*/%d * * * *", step)
			fits = func(at time.Time) bool { return at.Minute()%step == 0 }
		}
		job := newJob("/bin/x", due(schedule), func(job *api.JobView) {
			job.Timezone, job.FirstSeen, job.Changed = "UTC", ago(90*time.Hour), ago(90*time.Hour)
		})
		if random.IntN(3) > 0 {
			job.Evidence = &fleet.Evidence{Last: ago(72 * time.Hour)}
		}
		f := seen(one(job))
		host := &f.Hosts[0]
		host.Since[fleet.KindCron] = ago(90 * time.Hour)
		if random.IntN(3) == 0 {
			host.Back = ago(48 * time.Hour)
		}
		if random.IntN(3) == 0 {
			host.Quiet, host.Presence = ago(24*time.Hour), fleet.Silent
		}
		want, late := time.Time{}, false
		for at := noon.Add(-100 * time.Hour).Truncate(time.Minute); at.Before(noon); at = at.Add(time.Minute) {
			if fits(at) && at.After(host.Since[fleet.KindCron]) && (!job.Changed.After(job.FirstSeen) || at.After(job.Changed)) && (job.Evidence == nil && at.After(job.FirstSeen) || job.Evidence != nil && at.After(job.Evidence.Last)) && !at.Before(host.Back) {
				seenBy := at.Add(15 * time.Minute)
				want, late = at, !seenBy.After(noon) && (host.Quiet.IsZero() || !host.Quiet.Before(seenBy))
				break
			}
		}
		c := comparison{hosts: f.Hosts, surveys: map[fleet.HostID]*survey{}, almanac: newAlmanac(), now: noon}
		c.surveys[host.ID] = newSurvey(host, f.Found[host.ID], c.almanac, noon)
		got, is := c.compare().late[jobAt{host.ID, job.ID}]
		if is != late || is && !got.Equal(want) {
			t.Fatalf("%s: overdue %v %v, want %v %v; job %+v, host %+v", schedule, is, got, late, want, job, host)
		}
		if late {
			some++
		}
	}
	if some < 300 || some > 2700 {
		t.Errorf("%d of 3000 are overdue: the test asks too little", some)
	}
}

func TestChangesOfTheClock(t *testing.T) {
	for _, c := range []struct {
		schedule, dialect, zone string
		kind                    fleet.JobKind
		wall                    bool
		want                    string
	}{
		{"30 2 * * *", "debian", "Europe/Berlin", fleet.KindCron, false, ""}, // made up for at 03:00, and once only
		{"30 2 * * *", "cronie", "Europe/Berlin", fleet.KindCron, false, ""},
		{"30 2 * * *", "busybox", "Europe/Berlin", fleet.KindCron, false, "skipped doubled"},
		{"30 2 * * *", "cronie", "Europe/Berlin", fleet.KindCron, true, "skipped doubled"},
		{"*/30 2 * * *", "debian", "Europe/Berlin", fleet.KindCron, false, "skipped doubled"}, // a star follows elapsed time
		{"*-*-* 02:30:00", "debian", "Europe/Berlin", fleet.KindTimer, false, "skipped"},
		{"*-*-* 02:30:00 Europe/Berlin", "debian", "Europe/Berlin", fleet.KindTimer, false, "skipped"},
		{"*-*-* 02:30:00", "debian", "UTC", fleet.KindTimer, false, ""},
		{"*-*-* 04:30:00", "debian", "Europe/Berlin", fleet.KindTimer, false, ""},
		{"*-*-* *:00:00", "debian", "Europe/Berlin", fleet.KindTimer, false, ""},
		{"0 * * * *", "busybox", "Europe/Berlin", fleet.KindCron, false, ""},
		{"0 */2 * * *", "debian", "Europe/Berlin", fleet.KindCron, false, ""},
		{"30 1 * * *", "busybox", "America/New_York", fleet.KindCron, false, "doubled"},
		{"30 2 * * *", "busybox", "America/New_York", fleet.KindCron, false, "skipped"},
		{"15 2 * * *", "busybox", "Australia/Lord_Howe", fleet.KindCron, false, "skipped"},
		{"45 1 * * *", "busybox", "Australia/Lord_Howe", fleet.KindCron, false, "doubled"},
	} {
		job := newJob("/bin/x", byHand, due(c.schedule), kind(c.kind), func(job *api.JobView) {
			job.Timezone, job.ManagedBy = c.zone, "ansible"
			if c.wall {
				job.Env["CRON_TZ"] = c.zone
			}
		})
		f := one(job)
		f.Hosts[0].Cron = c.dialect
		when, _ := WhenOf(&job.Job, &f.Hosts[0].Host)
		known := newAlmanac()
		known.turn(noon)
		does, got := known.dstOf(when), []string{}
		if !does.skipped.IsZero() {
			got = append(got, "skipped")
		}
		if !does.doubled.IsZero() {
			got = append(got, "doubled")
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %s %s wall %v: %q, want %q", c.dialect, c.schedule, c.zone, c.wall, got, c.want)
		}
		if list := Evaluate(f, noon); len(list) == 1 != (c.want != "") || len(list) == 1 && list[0].Kind != fleet.FindDST {
			t.Errorf("%s %s: %s", c.dialect, c.schedule, shown(list))
		}
	}
	list := Evaluate(one(newJob("/bin/x", byHand, kind(fleet.KindTimer), due("*-*-* 02:30:00"), func(job *api.JobView) { job.ManagedBy = "salt" })), noon)
	if diff := cmp.Diff([]string{"notice dst web-1 /etc/cron.d/x:3: the change of the clock in Europe/Berlin at 2027-03-28T01:00:00Z skips it"}, shown(list)); diff != "" {
		t.Error(diff)
	}
}
