package web

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestMoment(t *testing.T) {
	now := time.Date(2026, 11, 21, 14, 2, 11, 0, time.UTC)
	berlin := time.FixedZone("", 3600)
	for _, c := range []struct {
		at   time.Time
		want *moment
	}{
		{time.Time{}, nil},
		{now, &moment{"2026-11-21T14:02:11Z", "", "14:02:11", "now"}},
		{now.Add(49 * time.Second), &moment{"2026-11-21T14:03:00Z", "", "14:03", "in 49 s"}},
		{now.Add(-12 * time.Minute), &moment{"2026-11-21T13:50:11Z", "", "13:50:11", "12 min ago"}},
		{time.Date(2026, 11, 21, 16, 30, 0, 0, berlin), &moment{"2026-11-21T15:30:00Z", "", "15:30", "in 87 min"}},
		{time.Date(2026, 11, 22, 2, 30, 0, 0, time.UTC), &moment{"2026-11-22T02:30:00Z", "22 Nov", "02:30", "in 12 h"}},
		{time.Date(2025, 11, 21, 2, 30, 0, 0, time.UTC), &moment{"2025-11-21T02:30:00Z", "21 Nov 2025", "02:30", "1.0 years ago"}},
		{time.Date(2026, 11, 1, 2, 30, 0, 0, time.UTC), &moment{"2026-11-01T02:30:00Z", "1 Nov", "02:30", "20 days ago"}},
	} {
		if diff := cmp.Diff(c.want, momentOf(c.at, now)); diff != "" {
			t.Errorf("%s:\n%s", c.at, diff)
		}
	}
}

func TestElapsed(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "", 0: "0 ms", 340 * time.Millisecond: "340 ms", 2500 * time.Millisecond: "2.5 s", 42 * time.Second: "42 s",
		61 * time.Second: "1 min 01 s", 2*time.Hour + 5*time.Minute: "2 h 05 min",
	} {
		if got := elapsed(d); got != want {
			t.Errorf("elapsed(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestSchedules(t *testing.T) {
	at := time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		got  schedule
		want schedule
	}{
		{taskSchedule(&fleet.Trigger{Cron: "30 2 * * 1-5", Timezone: "Europe/Berlin"}), schedule{"every weekday at 02:30", "Europe/Berlin", "30 2 * * 1-5"}},
		{taskSchedule(&fleet.Trigger{Cron: "*/5 * * * *"}), schedule{"every 5 minutes", "UTC", "*/5 * * * *"}},
		{taskSchedule(&fleet.Trigger{Every: fleet.Duration(90 * time.Minute)}), schedule{"every 1h30m", "", "every: 1h30m"}},
		{taskSchedule(&fleet.Trigger{At: &at}), schedule{"once, 1 Dec 2026 at 02:00:00", "UTC", "at: 2026-12-01T02:00:00Z"}},
		{taskSchedule(&fleet.Trigger{Manual: true}), schedule{"when someone asks", "", "manual"}},
		{taskSchedule(&fleet.Trigger{}), schedule{}},
		{jobSchedule(&fleet.Job{Kind: fleet.KindCron, Schedule: "30 2 * * 1-5", Timezone: "Europe/Berlin"}, "debian"), schedule{"every weekday at 02:30", "Europe/Berlin", "30 2 * * 1-5"}},
		{jobSchedule(&fleet.Job{Kind: fleet.KindTimer, Schedule: "*-*-* 06:00"}, ""), schedule{"", "", "*-*-* 06:00"}},
		{jobSchedule(&fleet.Job{Kind: fleet.KindCron, Schedule: "no schedule"}, "cronie"), schedule{"", "", "no schedule"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Error(diff)
		}
	}
	if got := jobSchedule(&fleet.Job{Kind: fleet.KindCron, Schedule: "@reboot", Timezone: "Europe/Berlin"}, ""); got.Zone != "" || got.Words == "" {
		t.Errorf("@reboot is %+v", got)
	}
}

func TestNextOfFoundJob(t *testing.T) {
	now := time.Date(2026, 11, 21, 14, 2, 0, 0, time.UTC)
	job := fleet.Job{Kind: fleet.KindCron, Schedule: "30 2 * * *", Timezone: "Europe/Berlin", Verdict: fleet.Verdict{Runs: true}}
	if got := nextOf(&job, "debian", now); !got.Equal(time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC)) {
		t.Errorf("by its schedule it comes at %s", got)
	}
	job.Next = []time.Time{now.Add(-time.Hour), now.Add(time.Hour)}
	if got := nextOf(&job, "debian", now); !got.Equal(now.Add(time.Hour)) {
		t.Errorf("by its host's word it comes at %s", got)
	}
	timer := fleet.Job{Kind: fleet.KindTimer, Schedule: "OnBootSec=5min; Mon *-*-* 06:00:00", Timezone: "Europe/Berlin", Verdict: fleet.Verdict{Runs: true}}
	if got := nextOf(&timer, "debian", now); !got.Equal(time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)) {
		t.Errorf("by its schedule the timer comes at %s", got)
	}
	job.Verdict.Runs = false
	if got := nextOf(&job, "debian", now); !got.IsZero() {
		t.Errorf("a job that will not run comes at %s", got)
	}
}

func TestEveryStateHasAPicture(t *testing.T) {
	icons, err := files.ReadFile("assets/icons.svg")
	if err != nil {
		t.Fatal(err)
	}
	var all []status
	for state := range fleet.RunMoves {
		all = append(all, runStatus(&fleet.Run{State: state}))
	}
	for state := range fleet.TaskMoves {
		all = append(all, taskStatus(state))
	}
	exit, zero := 3, 0
	for _, run := range []fleet.Run{{Exit: &zero}, {Exit: &exit}, {TimedOut: true}, {Cancelled: true}, {Signal: "SIGKILL"}, {}} {
		run.State = fleet.RunRan
		all = append(all, runStatus(&run))
	}
	all = append(all, presenceStatus(fleet.Alive), presenceStatus(fleet.Silent), presenceStatus(fleet.Left), presenceStatus("odd"),
		verdictStatus(&fleet.Job{}), verdictStatus(&fleet.Job{Verdict: fleet.Verdict{Runs: true}}))
	for _, s := range all {
		if s.Word == "" || s.Tone == "" || !bytes.Contains(icons, []byte(`id="`+s.Icon+`"`)) {
			t.Errorf("state %+v has no word, tone or picture", s)
		}
	}
	for _, place := range (frame{}).Places() {
		if !bytes.Contains(icons, []byte(`id="`+place.Section+`"`)) {
			t.Errorf("%s has no picture", place.Word)
		}
	}
}

func TestRunWords(t *testing.T) {
	exit := 3
	for want, run := range map[string]fleet.Run{
		"exit 3":             {State: fleet.RunRan, Exit: &exit},
		"killed by SIGKILL":  {State: fleet.RunRan, Signal: "SIGKILL"},
		"timed out":          {State: fleet.RunRan, Signal: "SIGKILL", TimedOut: true},
		"missed: agent down": {State: fleet.RunMissed, Reason: fleet.MissedAgentDown},
		"skipped: overlap":   {State: fleet.RunSkipped, Reason: fleet.SkippedOverlap},
		"running":            {State: fleet.RunRunning},
	} {
		if got := runStatus(&run); got.Word != want {
			t.Errorf("%q, want %q", got.Word, want)
		}
	}
}

func TestStripCountsEachMinute(t *testing.T) {
	now := time.Date(2026, 11, 21, 14, 7, 30, 0, time.UTC)
	at := func(minute, second int) time.Time { return time.Date(2026, 11, 21, 14, minute, second, 0, time.UTC) }
	items := []api.Upcoming{{At: at(8, 0)}, {At: at(8, 59)}, {At: at(8, 30), Task: "a/b"}, {At: at(9, 0)}, {At: at(200, 0)}}
	s := newStrip(items, false, now)
	if s.Instants != 4 || s.Given != 1 || s.Peak != 3 || s.PeakAt.Clock != "14:08" || s.NowX != 75 || s.Until.Clock != "15:15" {
		t.Errorf("%+v", s)
	}
	c := s.Columns[8]
	if c.Found != 2 || c.Given != 1 || c.GivenY+c.GivenHeight != c.FoundY || c.FoundY+c.FoundHeight != stripHeight || c.Label != "14:08 UTC: 2 found, 1 given" {
		t.Errorf("%+v", c)
	}
	if s.Through == nil {
		t.Error("it does not say that it is not whole")
	}
	if ahead := stripEnd(now).Sub(now); ahead < time.Hour {
		t.Errorf("only %s lie ahead", ahead)
	}
}

func TestSoonestFoldsHosts(t *testing.T) {
	at := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	var items []api.Upcoming
	for i := range 5 {
		items = append(items, api.Upcoming{At: at, Host: fleet.HostID(rune('a' + i)), Command: "x", User: "root"}, api.Upcoming{At: at, Task: "a/b", Command: "x", User: "u"})
	}
	items = append(items, api.Upcoming{At: at.Add(time.Minute), Command: "y"})
	got := soonest(items, 2)
	if len(got) != 2 || len(got[0].Hosts) != 5 || got[0].More() != 2 || got[1].Task != "a/b" || len(got[0].Users) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestConcerns(t *testing.T) {
	leader := api.Cluster{Leader: "c1"}
	if got := concerns(&overview{Sum: api.Overview{Hosts: 3, Alive: 3, Runs: 9}, Cluster: leader}); len(got) != 0 {
		t.Errorf("all is well, but: %+v", got)
	}
	got := concerns(&overview{Sum: api.Overview{Silent: 1, Failed: 2, Runs: 1200, Broken: 1}, Cluster: api.Cluster{Collectors: []api.Collector{{}, {Reachable: true}}},
		Findings: api.FindingList{Counts: map[fleet.Severity]int{fleet.Critical: 3, fleet.Notice: 9}}, Overdue: api.List[api.JobView]{Total: -1, Items: make([]api.JobView, 2)}})
	var words []string
	for _, c := range got {
		words = append(words, c.Status.Word)
	}
	want := []string{"no leader: agents go on alone, changes wait", "1 collector unreachable", "2 of 1,200 runs failed in 24 hours", "3 critical findings", "2 found jobs overdue",
		"1 host silent", "1 found job will not run"}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Error(diff)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -12345: "-12,345", 1234567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
	for want, got := range map[string]string{
		"1 host": count(1, "host"), "0 hosts": count(0, "host"), "2 entries": count(2, "entry"),
		"999 bytes": size(999), "1.2 kB": size(1200), "3.4 MB": size(3_400_000), "ab…": clip("abcdef", 2), "鐘…": clip("鐘鐘", 5),
		"It is.": sentence("it is"), "": sentence(""),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCollectorsTellContactInFewDigits(t *testing.T) {
	page := get(Handler(&fake{n: 3, text: "plain", lead: "c1"}, opened), "/collectors").Body.String()
	if !strings.Contains(page, "23 ms ago") {
		t.Errorf("want 23 ms ago in\n%s", page)
	}
}
