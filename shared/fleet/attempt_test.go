package fleet

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestWhatIsAttemptedAgain(t *testing.T) {
	first := time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC)
	ended := first.Add(time.Minute)
	exit := func(n int) *int { return &n }
	ran := func(change func(*Run)) Run {
		run := Run{ID: "01958d2c-0000-7000-8000-000000000001", State: RunRan, Attempt: 1, Ended: &ended, Exit: exit(1)}
		change(&run)
		return run
	}
	three := Retry{Attempts: 3}
	for _, test := range []struct {
		name  string
		retry Retry
		run   Run
		want  time.Duration // after the end; -1: not at all
	}{
		{"a failure", three, ran(func(*Run) {}), time.Second},
		{"the second waits twice as long", three, ran(func(r *Run) { r.Attempt = 2 }), 2 * time.Second},
		{"the third was the last", three, ran(func(r *Run) { r.Attempt = 3 }), -1},
		{"no policy", Retry{}, ran(func(*Run) {}), -1},
		{"success", three, ran(func(r *Run) { r.Exit = exit(0) }), -1},
		{"cancelled", three, ran(func(r *Run) { r.Cancelled = true }), -1},
		{"a time-out", three, ran(func(r *Run) { r.Exit, r.Signal, r.TimedOut = nil, "SIGTERM", true }), time.Second},
		{"a signal", three, ran(func(r *Run) { r.Exit, r.Signal = nil, "SIGSEGV" }), time.Second},
		{"a start that failed", three, ran(func(r *Run) { r.State, r.Reason, r.Exit = RunMissed, MissedForkFailed, nil }), time.Second},
		{"no user", three, ran(func(r *Run) { r.State, r.Reason, r.Exit = RunMissed, MissedNoUser, nil }), -1},
		{"an unknown end is not repeated", three, ran(func(r *Run) { r.State, r.Exit = RunUnknown, nil }), -1},
		{"unless it is asked for", Retry{Attempts: 3, On: []string{RetryUnknown}}, ran(func(r *Run) { r.State, r.Exit = RunUnknown, nil }), time.Second},
		{"only what is listed", Retry{Attempts: 3, On: []string{"75"}}, ran(func(*Run) {}), -1},
		{"the listed exit code", Retry{Attempts: 3, On: []string{"75"}}, ran(func(r *Run) { r.Exit = exit(75) }), time.Second},
		{"the listed signal", Retry{Attempts: 3, On: []string{"SIGTERM"}}, ran(func(r *Run) { r.Exit, r.Signal = nil, "SIGTERM" }), time.Second},
		{"a time-out is no listed signal", Retry{Attempts: 3, On: []string{"SIGTERM"}}, ran(func(r *Run) { r.Exit, r.Signal, r.TimedOut = nil, "SIGTERM", true }), -1},
		{"stopped for its health", three, ran(func(r *Run) { r.Exit, r.Signal, r.Reason = nil, "SIGTERM", RanUnhealthy }), time.Second},
		{"the cap", Retry{Attempts: 100, Base: Duration(time.Minute), Cap: Duration(90 * time.Second)}, ran(func(r *Run) { r.Attempt = 99 }), 90 * time.Second},
		{"a factor of one", Retry{Attempts: 9, Base: Duration(time.Minute), Factor: 1}, ran(func(r *Run) { r.Attempt = 5 }), time.Minute},
		{"within the budget", Retry{Attempts: 3, Budget: Duration(61 * time.Second)}, ran(func(*Run) {}), time.Second},
		{"beyond the budget", Retry{Attempts: 3, Budget: Duration(60 * time.Second)}, ran(func(*Run) {}), -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			at, more := test.retry.Again(&test.run, first)
			if more != (test.want >= 0) || more && !at.Equal(ended.Add(test.want)) {
				t.Errorf("%s %v, want %s after the end", at.Sub(ended), more, test.want)
			}
		})
	}
}

func TestJitterIsDrawnFromTheRun(t *testing.T) {
	retry := Retry{Attempts: 2, Base: Duration(time.Minute), Jitter: 0.5}
	ended, bad := time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC), 1
	seen := map[time.Time]bool{}
	for range 50 {
		run := Run{ID: RunID(uuid.NewString()), State: RunRan, Attempt: 1, Ended: &ended, Exit: &bad}
		at, _ := retry.Again(&run, ended)
		if again, _ := retry.Again(&run, ended); !again.Equal(at) {
			t.Fatalf("asked twice: %s and %s", at, again)
		}
		if at.Before(ended.Add(time.Minute)) || !at.Before(ended.Add(90*time.Second)) {
			t.Fatalf("%s after the end, want 1m–1m30s", at.Sub(ended))
		}
		seen[at] = true
	}
	if len(seen) < 40 {
		t.Errorf("50 runs wait %d different times", len(seen))
	}
}

func TestTheNextAttemptIsOfTheSameOccurrence(t *testing.T) {
	at := time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC)
	again, bad := at.Add(time.Minute), 1
	run := Run{
		ID: "01958d2c-0000-7000-8000-000000000001", Task: "a/b", Generation: 3, Host: "h", Due: at, Order: "o", Parent: "p", Attempt: 1, Again: &again,
		State: RunRan, Exit: &bad, Tail: "no", PID: 7,
	}
	next := run.NextAttempt()
	want := Run{ID: next.ID, Task: "a/b", Generation: 3, Host: "h", Due: at, Order: "o", Parent: "p", Attempt: 2, Again: &again, State: RunPending}
	if diff := cmp.Diff(want, next); diff != "" {
		t.Error(diff)
	}
	if !run.Attempted() || next.Attempted() {
		t.Error("the one that failed is not the occurrence's outcome, the one that waits is none yet")
	}
	id, err := uuid.Parse(string(next.ID))
	if err != nil || id.Version() != 7 || next.ID[:13] != run.ID[:13] || next.ID == run.ID {
		t.Errorf("%s follows %s: want a UUIDv7 of the same instant", next.ID, run.ID)
	}
	if again := run.NextAttempt(); again.ID != next.ID {
		t.Errorf("%s, and asked again %s", next.ID, again.ID)
	}
	third := next.NextAttempt()
	if third.ID <= next.ID || next.ID <= run.ID {
		t.Errorf("attempts do not sort as they are made: %s, %s, %s", run.ID, next.ID, third.ID)
	}
	last := Run{ID: "01958d2c-0000-7fff-8000-000000000001"}
	if next := last.NextAttempt(); next.ID == last.ID || next.ID[:18] != last.ID[:18] {
		t.Errorf("%s follows %s", next.ID, last.ID)
	}
	unsaid := run
	unsaid.Attempt = 0 // as it was promised
	stranger := third
	stranger.ID = nextAttemptID("01958d2c-0000-7000-8000-000000000002")
	for _, test := range []struct {
		a, b Run
		want bool
	}{
		{run, next, true}, {run, third, true}, {next, third, true}, {unsaid, next, true}, {unsaid, third, true},
		{next, run, false}, {run, run, false}, {run, unsaid, false}, {run, stranger, false}, {Run{}, Run{}, false},
	} {
		if got := test.a.LeadsTo(&test.b); got != test.want {
			t.Errorf("attempt %d leads to attempt %d: %v", test.a.Attempt, test.b.Attempt, got)
		}
	}
}

func TestFrequencies(t *testing.T) {
	for text, want := range map[string]Frequency{"10/1h": {10, Duration(time.Hour)}, "3/90s": {3, Duration(90 * time.Second)}, "": {}} {
		var got Frequency
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		var again Frequency
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != want {
			t.Errorf("%q comes back from %q as %v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"10", "/1h", "0/1h", "-1/1h", "10/0s", "10/", "1.5/1h", "70000/1h"} {
		if err := new(Frequency).UnmarshalText([]byte(text)); KindOf(err) != Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}
