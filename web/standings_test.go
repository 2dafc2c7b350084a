package web

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestStandingsAreFiltered(t *testing.T) {
	f := &fake{n: 2, text: "x"}
	get(Handler(f, opened), "/standings?bad=true&task=data/nightly-backup&host=db-1&phase=crash_loop&breaker=half_open&health=unhealthy&after=c1")
	want := api.StandingQuery{
		Page: api.Page{After: "c1", Limit: rowsPerPage}, Task: aTask, Host: "db-1", Phase: fleet.PhaseCrashLoop,
		Breaker: fleet.BreakerHalfOpen, Health: fleet.Unhealthy, Bad: true,
	}
	if diff := cmp.Diff(want, last[api.StandingQuery](t, f)); diff != "" {
		t.Error(diff)
	}
	if got := get(Handler(f, opened), "/standings?phase=asleep"); got.Code != 422 {
		t.Errorf("an unknown phase is answered %d", got.Code)
	}
}

func TestATaskShowsHowItStands(t *testing.T) {
	f := &fake{n: 1, text: "crash_loop"}
	body := get(Handler(f, opened), "/tasks/data/nightly-backup").Body.String()
	for _, want := range []string{`id="standings"`, "crash loop", `href="/standings?task=data`, `href="/calendars#year-end"`, "3 attempts", "opens after 5 failures"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of a task lacks %q", want)
		}
	}
	if q := last[api.StandingQuery](t, f); q.Task != aTask {
		t.Errorf("asked for the standings of %q", q.Task)
	}
}

func TestARunThatGoesOnShowsWhatItDoes(t *testing.T) {
	running := get(Handler(&fake{n: 1, text: "loading", state: fleet.RunRunning}, opened), "/runs/"+string(aRun)).Body.String()
	for _, want := range []string{`id="now"`, "42.5 %", "loading", "5.2 MB"} {
		if !strings.Contains(running, want) {
			t.Errorf("the page of a run that goes on lacks %q", want)
		}
	}
	ended := get(Handler(&fake{n: 1, text: "x"}, opened), "/runs/"+string(aRun)).Body.String()
	if strings.Contains(ended, `id="now"`) {
		t.Error("a run that is over does something")
	}
}

func TestAttemptsStandTogether(t *testing.T) {
	f := &fake{n: 3, text: "x"}
	run := f.run()
	page := get(Handler(&once{f, run}, opened), "/runs/"+string(aRun)).Body.String()
	if !strings.Contains(page, `id="attempts"`) || !strings.Contains(page, "attempted again") {
		t.Error("a run that is attempted again does not show its attempts")
	}
	if q := last[api.RunQuery](t, f); q.Task != aTask || q.Host != string(hostID) || !q.Since.Equal(run.Due) || !q.Until.Equal(run.Due.Add(1)) {
		t.Errorf("asked for %+v", q)
	}
	run.Attempt, run.Again = 1, nil
	if page := get(Handler(&once{f, run}, opened), "/runs/"+string(aRun)).Body.String(); strings.Contains(page, `id="attempts"`) {
		t.Error("a run of one attempt lists others")
	}
}

func TestWindowsInWords(t *testing.T) {
	from, to := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 2, 6, 30, 0, 0, time.UTC)
	for want, w := range map[string]fleet.Window{
		"from 24 Dec 2026 00:00 UTC to 2 Jan 2027 06:30 UTC":               {From: &from, To: &to},
		"every Friday at 22:00 for 56h":                                    {Cron: "0 22 * * 5", For: fleet.Duration(56 * time.Hour)},
		"from 24 Dec 2026 00:00 UTC for 24h, again by FREQ=YEARLY;COUNT=3": {From: &from, For: fleet.Duration(24 * time.Hour), Rule: "FREQ=YEARLY;COUNT=3"},
	} {
		if got := windowWords(&w); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
