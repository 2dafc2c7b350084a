package runner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// rows lists what was recorded, as attempt and state.
func (m *memory) rows() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rows []string
	for _, r := range m.records {
		if r.State.Terminal() || r.State == fleet.RunPending {
			rows = append(rows, strings.Repeat("I", r.Attempt)+" "+string(r.State))
		}
	}
	return rows
}

// TestAFailedAttemptIsFollowedByAnother runs three attempts as a scheduler
// would, each from what was recorded when the one before was settled.
func TestAFailedAttemptIsFollowedByAnother(t *testing.T) {
	b := newBench(t)
	retry := fleet.Retry{Attempts: 3, Base: fleet.Duration(time.Minute), Cap: fleet.Duration(90 * time.Second)}
	spec := b.spec(sh("exit 9"))
	spec.Retry = retry
	spec.Facts = []Fact{{"CAUSE", "webhook"}, {"PAYLOAD", "of it"}}
	first := due.Add(-time.Hour)
	spec.First = first
	for attempt := 1; ; attempt++ {
		got := b.run(spec)
		if got.Exit == nil || *got.Exit != 9 || got.Attempt != attempt {
			t.Fatalf("attempt %d: %+v", attempt, got)
		}
		if attempt == 3 {
			if got.Again != nil || got.Reason != fleet.RanExhausted || got.Detail != "attempt 3 of 3" || got.Validate() != nil {
				t.Errorf("the last one: again %v, %s: %s", got.Again, got.Reason, got.Detail)
			}
			break
		}
		wait := min(time.Duration(attempt)*time.Minute, 90*time.Second)
		if got.Again == nil || !got.Again.Equal(got.Ended.Add(wait)) || got.Reason != "" {
			t.Fatalf("attempt %d ended %v, again %v, %s", attempt, got.Ended, got.Again, got.Reason)
		}
		next := got.NextAttempt()
		handle := b.memory.handles[next.ID]
		before, began, is := Before(handle)
		if !is || before.ID != got.ID || !began.Equal(first) {
			t.Errorf("the handle of attempt %d says %v, first %v, %v", attempt+1, before.ID, began, is)
		}
		if diff := cmp.Diff(spec.Facts, Facts(handle)); diff != "" {
			t.Errorf("attempt %d is told otherwise: %s", attempt+1, diff)
		}
		spec.Run = next
		spec.Run.Again, spec.First = nil, began
	}
	want := []string{"II pending", "I ran", "III pending", "II ran", "III ran"}
	if diff := cmp.Diff(want, b.memory.rows()); diff != "" {
		t.Error("recorded:", diff)
	}
}

func TestWhatIsNotAttemptedAgain(t *testing.T) {
	three := fleet.Retry{Attempts: 3}
	for _, test := range []struct {
		name    string
		command fleet.Command
		retry   fleet.Retry
		reason  fleet.Reason
		detail  string
	}{
		{"success", sh("exit 0"), three, "", ""},
		{"another exit code", sh("exit 3"), fleet.Retry{Attempts: 3, On: []string{"75"}}, "", ""},
		{"no policy", sh("exit 3"), fleet.Retry{}, "", ""},
		{"the budget is spent", sh("exit 3"), fleet.Retry{Attempts: 3, Budget: 1}, fleet.RanExhausted, "attempt 1 of 3, and another would begin more than 1ns after the first"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			spec := b.spec(test.command)
			spec.Retry = test.retry
			got := b.run(spec)
			if got.Again != nil || got.Reason != test.reason || got.Detail != test.detail {
				t.Errorf("again %v, %s: %q", got.Again, got.Reason, got.Detail)
			}
		})
	}
}

// TestAStartThatFailedIsAttemptedAgain waits from the failure on.
func TestAStartThatFailedIsAttemptedAgain(t *testing.T) {
	b := newBench(t)
	spec := b.spec(fleet.Command{Argv: []string{"/no/such/program"}})
	spec.Retry, spec.First = fleet.Retry{Attempts: 3}, due.Add(-time.Hour)
	before := time.Now()
	got := b.run(spec)
	if got.Reason != fleet.MissedForkFailed || got.Again == nil || got.Again.Before(before) {
		t.Errorf("%s, again %v", got.Reason, got.Again)
	}
}

// dying is a recorder of an agent that dies right after it has recorded that
// another attempt follows.
type dying struct{ *memory }

var errDead = errors.New("dead")

func (d dying) Record(ctx context.Context, run fleet.Run, handle []byte) error {
	if run.State.Terminal() {
		return errDead
	}
	return d.memory.Record(ctx, run, handle)
}

// TestAnAgentThatDiesBetweenTheTwoRecords leaves an attempt that waits beside
// one whose outcome is not on disk: the next agent says what was decided, even
// where it could not find out again, and makes no second attempt of it.
func TestAnAgentThatDiesBetweenTheTwoRecords(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"a bad exit":          func(*Spec) {},
		"a start that failed": func(s *Spec) { s.Execute.Command = fleet.Command{Argv: []string{"/no/such/program"}} },
	} {
		t.Run(name, func(t *testing.T) {
			first := newBench(t, alone, func(c *Config) { c.Recorder = dying{c.Recorder.(*memory)} })
			spec := first.spec(sh("exit 9"))
			spec.Retry = fleet.Retry{Attempts: 2}
			change(&spec)
			decided := first.run(spec)
			rows := first.memory.records
			waits := rows[len(rows)-1]
			if waits.State != fleet.RunPending || waits.Attempt != 2 || !waits.Again.Equal(*decided.Again) {
				t.Fatalf("the last record is %+v", waits)
			}

			second := newBench(t)
			before, _, is := Before(first.memory.handles[waits.ID])
			if !is || before.ID != spec.Run.ID {
				t.Fatalf("no trace of the attempt before: %+v", before)
			}
			second.Attach(before, first.memory.handles[spec.Run.ID])
			got := second.wait()
			if diff := cmp.Diff(decided, got); diff != "" {
				t.Error("decided and said again:", diff)
			}
			if rows := second.memory.rows(); len(rows) != 1 {
				t.Errorf("recorded %v, want the outcome only", rows)
			}
		})
	}
}

func TestThePolicyOutlivesTheAgent(t *testing.T) {
	b := newBench(t)
	spec, _, hold := held(t, b, `echo $$ > $STARTED; read x < $HOLD; exit 5`)
	spec.Execute.Env["STARTED"] = "/dev/null"
	spec.Retry = fleet.Retry{Attempts: 2, Base: fleet.Duration(time.Hour), Budget: fleet.Duration(2 * time.Hour)}
	last := killedAgent(t, b, spec, fleet.RunRunning)
	b.Attach(last.Run, last.Handle)
	write(t, hold, "\n", 0o600)
	got := b.wait()
	if got.Exit == nil || *got.Exit != 5 || got.Again == nil || got.Again.Sub(*got.Ended) != fleet.DefaultRetryCap {
		t.Errorf("%+v, again %v", got, got.Again)
	}
	if diff := cmp.Diff([]string{"II pending", "I ran"}, b.memory.rows()); diff != "" {
		t.Error("recorded:", diff)
	}
}

// TestNoAttemptWithoutARecord gives up what cannot be made durable.
func TestNoAttemptWithoutARecord(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Recorder = noPending{c.Recorder.(*memory)} })
	spec := b.spec(sh("exit 5"))
	spec.Retry = fleet.Retry{Attempts: 2}
	got := b.run(spec)
	if got.Again != nil || got.State != fleet.RunRan || !strings.Contains(got.Detail, "not attempted again") {
		t.Errorf("%+v", got)
	}
}

// noPending has no space for what only waits.
type noPending struct{ *memory }

func (n noPending) Record(ctx context.Context, run fleet.Run, handle []byte) error {
	if run.State == fleet.RunPending {
		return errors.New("no space")
	}
	return n.memory.Record(ctx, run, handle)
}

func TestARunThatIsStoppedForAReasonFailed(t *testing.T) {
	b := newBench(t)
	path, line := fifo(t)
	spec := b.spec(sh(`trap 'exit 0' TERM; echo up > $F; while :; do sleep 0.01; done`))
	spec.Execute.Env = map[string]string{"F": path}
	spec.Limits.Grace = fleet.Duration(time.Hour)
	spec.Retry = fleet.Retry{Attempts: 2}
	over := make(chan fleet.RunID, 1)
	b.config.Over = func(run fleet.RunID) { over <- run }
	b.begin(spec)
	line()
	if !b.Stop(spec.Run.ID, fleet.RanStalled, "no progress for 5m") {
		t.Fatal("nothing to stop")
	}
	b.Cancel(spec.Run.ID, "too late: it is being stopped")
	got := b.wait()
	if got.State != fleet.RunRan || got.Reason != fleet.RanStalled || got.Cancelled || got.Detail != "no progress for 5m" || !got.Failed() {
		t.Errorf("%+v", got)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	select {
	case run := <-over:
		if run != got.ID {
			t.Errorf("over: %s", run)
		}
	default:
		t.Error("nobody was told that the process is gone")
	}
}
