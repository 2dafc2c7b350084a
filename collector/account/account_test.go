package account

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	host    = fleet.HostID("0123456789abcdef0123456789abcdef")
	journal = fleet.JournalID("fedcba9876543210fedcba9876543210")
	task    = fleet.TaskID("default/t")
)

// start is in the night in which Berlin's clocks go forward.
var start = time.Date(2026, 3, 28, 20, 0, 0, 0, time.UTC)

// life is one host's life with one task, as it reaches a ledger.
type life struct {
	t      *testing.T
	rand   *rand.Rand
	ledger *ledger.Ledger
	book   *Book
	index  uint64

	now        time.Time
	sequence   uint64
	runs       int
	clock      fleet.Clock
	generation uint64
	seen       time.Time // the last instant decided
	outbox     []api.RunRecord
	open       []fleet.Run
	orders     int
	attempts   int  // after the first ones
	free       bool // no schedule says when it is due
	retry      fleet.Retry
	spoil      func(*life, *fleet.Run) []fleet.Run // what goes wrong with one record; nil: nothing
	spoilt     bool
}

func newLife(t *testing.T, seed uint64) *life {
	l, err := ledger.Open(filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	life := &life{t: t, rand: rand.New(rand.NewPCG(seed, 5)), ledger: l, book: New(l), now: start}
	life.apply(&ledger.RegisterHost{Host: fleet.Host{ID: host, Name: "h"}, At: start})
	return life
}

func (l *life) apply(command ledger.Command) {
	l.t.Helper()
	data, err := ledger.Encode(command)
	if err != nil {
		l.t.Fatal(err)
	}
	l.index++
	if refusal, refused := ledger.IsRefusal(l.ledger.Apply([]ledger.Entry{{Index: l.index, Term: 1, Data: data}})[0]); refused {
		l.t.Fatal(refusal)
	}
}

func (l *life) tell(record api.RunRecord) {
	if l.spoil != nil && !l.spoilt && l.sequence > 40 && record.Run.Attempt == 0 && (record.Run.State == fleet.RunMissed || record.Run.State == fleet.RunSkipped) {
		l.spoilt = true
		for _, run := range l.spoil(l, &record.Run) {
			l.tell(api.RunRecord{Run: run})
		}
		return
	}
	l.sequence++
	record.Sequence = l.sequence
	l.outbox = append(l.outbox, record)
}

func (l *life) pick(choices ...string) string { return choices[l.rand.IntN(len(choices))] }

// change gives the task another schedule.
func (l *life) change() {
	l.generation++
	t := fleet.Task{Name: "t", On: fleet.Trigger{Spread: fleet.Duration(l.rand.IntN(2)) * fleet.Duration(time.Minute)}}
	l.retry = fleet.Retry{Attempts: 1 + l.rand.IntN(4), On: []string{fleet.RetryFailure, fleet.RetryUnknown}}
	l.free = l.generation > 1 && l.rand.IntN(4) == 0
	if l.free {
		t.On = []fleet.Trigger{{Daemon: true}, {Startup: fleet.StartupAgent}, {Every: fleet.Duration(time.Hour), AfterEnd: true}}[l.rand.IntN(3)]
	} else if l.rand.IntN(3) == 0 {
		t.On.Every = fleet.Duration(time.Duration(1+l.rand.IntN(900)) * time.Second)
	} else {
		t.On.Cron, t.On.Timezone = l.pick("*/5 * * * *", "30 2 * * *", "*/20 * * * * *", "7 * * * *"), l.pick("", "Europe/Berlin")
	}
	l.apply(&ledger.PutTask{Task: t, Document: fmt.Append(nil, l.generation), At: l.now})
	last := l.seen
	l.seen = l.now
	if l.generation == 1 {
		last = time.Time{}
	}
	l.clock, _ = t.Clock(host)
	l.tell(api.RunRecord{Stint: &fleet.Stint{Task: task, Generation: l.generation, After: l.seen, Last: last}})
}

func (l *life) id(due time.Time) fleet.RunID {
	l.runs++
	millis := due.UnixMilli()
	return fleet.RunID(fmt.Sprintf("%08x-%04x-7000-8000-%012x", millis>>16, millis&0xffff, l.runs))
}

// live lets time pass; what comes due is begun, skipped or missed.
func (l *life) live(passes time.Duration) {
	l.now = l.now.Add(passes)
	if l.free && passes > 0 {
		l.seen = l.now
		l.begin(fleet.Run{ID: l.id(l.now), Task: task, Generation: l.generation, Host: host, Due: l.now})
	}
	for at, ok := l.clock.Next(l.seen); ok && !at.After(l.now); at, ok = l.clock.Next(l.seen) {
		run := fleet.Run{ID: l.id(at), Task: task, Generation: l.generation, Host: host, Due: at}
		if l.rand.IntN(4) > 0 {
			l.seen = at
			l.begin(run)
			continue
		}
		run.State, run.Reason = fleet.RunSkipped, fleet.SkippedBlackout
		if l.rand.IntN(2) == 0 {
			run.State, run.Reason = fleet.RunMissed, fleet.MissedAgentDown
		}
		end := at.Add(time.Duration(l.rand.IntN(200)) * time.Minute)
		for n := 0; ok && !at.After(end) && !at.After(l.now); at, ok = l.clock.Next(at) {
			n++
			if l.seen = at; n > 1 {
				last := at
				run.Until, run.Count = &last, n
			}
		}
		l.tell(api.RunRecord{Run: run})
	}
}

// begin begins the first attempt, and ends some that go on.
func (l *life) begin(run fleet.Run) {
	run.Attempt, run.State = 1, fleet.RunBegun
	l.tell(api.RunRecord{Run: run})
	l.open = append(l.open, run)
	l.endSome()
}

// endSome ends some runs, and begins or gives up some attempts that wait.
func (l *life) endSome() {
	open := l.open
	l.open = nil
	for _, run := range open {
		switch {
		case l.rand.IntN(3) == 0:
			l.open = append(l.open, run)
		case run.State == fleet.RunBegun:
			l.end(run)
		default: // an attempt that waited
			if run.Again, run.State = nil, fleet.RunBegun; l.rand.IntN(4) == 0 {
				run.State, run.Reason = fleet.RunSkipped, fleet.SkippedReplaced
			}
			l.tell(api.RunRecord{Run: run})
			if run.State == fleet.RunBegun {
				l.open = append(l.open, run)
			}
		}
	}
}

// end ends an attempt. Another one may follow, and is told of before or after.
func (l *life) end(run fleet.Run) {
	exit, ended := l.rand.IntN(2), l.now
	if run.State, run.Exit, run.Ended = fleet.RunRan, &exit, &ended; l.rand.IntN(6) == 0 {
		run.State, run.Exit, run.Reason = fleet.RunUnknown, nil, fleet.UnknownAgentDied
	}
	again, another := l.retry.Again(&run, run.Due)
	if !another {
		l.tell(api.RunRecord{Run: run})
		return
	}
	run.Again = &again
	next := run.NextAttempt()
	words := []fleet.Run{next, run}
	if l.rand.IntN(3) == 0 {
		slices.Reverse(words)
	}
	for _, word := range words {
		l.tell(api.RunRecord{Run: word})
	}
	l.open = append(l.open, next)
	l.attempts++
}

func (l *life) order() {
	l.orders++
	id := fleet.OrderID(fmt.Sprint("o", l.orders))
	order := fleet.Order{ID: id, Kind: fleet.OrderRun, Host: host, Task: task, Run: l.id(l.now), Due: l.now, Expires: l.now.Add(time.Hour)}
	known := l.rand.IntN(3) > 0
	if known { // otherwise the host gave it itself
		l.apply(&ledger.PutOrders{Orders: []fleet.Order{order}, At: l.now})
	}
	if !known || l.rand.IntN(3) > 0 { // otherwise it expires
		l.begin(fleet.Run{ID: order.Run, Task: task, Generation: l.generation, Host: host, Due: order.Due, Order: id})
	}
}

// deliver brings some of the outbox to the ledger, some of it twice.
func (l *life) deliver() {
	if len(l.outbox) == 0 {
		return
	}
	n := 1 + l.rand.IntN(len(l.outbox))
	batch := slices.Clone(l.outbox[:n])
	runs := &ledger.RecordRuns{Batches: []ledger.HostBatch{{Host: host, Journal: journal, Records: batch}}, At: l.now}
	l.apply(runs)
	if l.rand.IntN(3) == 0 {
		l.apply(runs) // the acknowledgement was lost
		return
	}
	l.outbox = l.outbox[n:]
}

// step does one thing that may happen.
func (l *life) step() {
	switch l.rand.IntN(12) {
	case 0:
		l.live(0)
		l.change()
	case 1:
		l.order()
	case 2, 3:
		if l.spoilt { // what is forgotten proves nothing
			return
		}
		l.apply(&ledger.Prune{At: l.now, RunsBefore: l.now.Add(-30 * time.Hour), RunsOfTask: 400, Limit: 50 + l.rand.IntN(50)})
	case 4: // the task leaves the host for a while
		l.live(0)
		l.tell(api.RunRecord{Stint: &fleet.Stint{Task: task, After: l.seen, Last: l.seen}})
		l.now = l.now.Add(time.Duration(l.rand.IntN(60)) * time.Minute)
		l.seen = l.now
		l.tell(api.RunRecord{Stint: &fleet.Stint{Task: task, Generation: l.generation, After: l.seen}})
	case 5, 6, 7:
		l.deliver()
	default:
		l.live(time.Duration(l.rand.IntN(180)) * time.Minute)
	}
}

// balanced compares the account with the promise, whole and in a window.
func (l *life) balanced() (difference int) {
	l.t.Helper()
	for _, q := range []Query{{}, {Since: l.now.Add(-20 * time.Hour), Until: l.now.Add(-3 * time.Hour)}} {
		lines, err := l.book.Lines(everywhere, q, l.now)
		if err != nil || len(lines) > 1 {
			l.t.Fatal(lines, err)
		}
		for _, line := range lines {
			if line.Due != line.Ran+line.Skipped+line.Missed+line.Unknown+line.Pending+line.Difference || line.Ran != line.OK+line.Failed {
				l.t.Fatalf("%+v does not add up", line)
			}
			if line.Difference != 0 {
				difference = line.Difference
			}
		}
	}
	return difference
}

// TestTheSumAlwaysHolds plays lives at random and looks at the account after
// each step.
func TestTheSumAlwaysHolds(t *testing.T) {
	due, attempts := 0, 0
	for seed := range uint64(8) {
		l := newLife(t, seed)
		l.change()
		for step := range 120 {
			if l.step(); l.balanced() != 0 {
				lines, _ := l.book.Lines(everywhere, Query{}, l.now)
				t.Fatalf("seed %d, step %d: %+v", seed, step, lines)
			}
		}
		proof, err := l.book.Prove(everywhere, Query{}, l.now)
		if err != nil || len(proof.Faults) > 0 || proof.Difference != 0 {
			t.Fatalf("seed %d: difference %d, %d faults, first %+v, %v", seed, proof.Difference, len(proof.Faults), proof.Faults[:min(3, len(proof.Faults))], err)
		}
		due += proof.Due
		attempts += l.attempts
		again, err := New(l.ledger).Lines(everywhere, Query{}, l.now) // with nothing remembered
		if lines, _ := l.book.Lines(everywhere, Query{}, l.now); err != nil || fmt.Sprint(again) != fmt.Sprint(lines) {
			t.Errorf("seed %d: %+v, and counted anew %+v", seed, lines, again)
		}
	}
	if due < 2000 || attempts < 400 {
		t.Errorf("only %d instants were compared and %d attempts made, too few to prove anything", due, attempts)
	}
}

// mutants are what may go wrong with the records of a schedule.
var mutants = map[string]func(l *life, run *fleet.Run) []fleet.Run{
	"dropped": func(*life, *fleet.Run) []fleet.Run { return nil },
	"doubled": func(l *life, run *fleet.Run) []fleet.Run {
		again := *run
		again.ID = l.id(run.Due)
		return []fleet.Run{*run, again}
	},
	"shifted": func(_ *life, run *fleet.Run) []fleet.Run {
		moved := *run
		moved.Due = moved.Due.Add(time.Second)
		return []fleet.Run{moved}
	},
	"miscounted": func(_ *life, run *fleet.Run) []fleet.Run {
		more := *run
		more.Count = run.Instants() + 1
		return []fleet.Run{more}
	},
}

// TestAnAttemptOfItsOwnIsCaught begins an instant twice, as a retry would that
// does not say which attempt it follows.
func TestAnAttemptOfItsOwnIsCaught(t *testing.T) {
	for seed := range uint64(4) {
		l := newLife(t, seed)
		l.change()
		l.retry.Attempts = 3
		l.live(24 * time.Hour)
		at := slices.IndexFunc(l.outbox, func(record api.RunRecord) bool { return record.Run.State == fleet.RunBegun })
		again := l.outbox[at].Run
		again.ID = l.id(again.Due)
		l.tell(api.RunRecord{Run: again})
		for len(l.outbox) > 0 {
			l.deliver()
		}
		proof, err := l.book.Prove(everywhere, Query{}, l.now)
		if err != nil || proof.Difference != -1 || len(proof.Faults) == 0 {
			t.Errorf("seed %d: difference %d, faults %+v, %v", seed, proof.Difference, proof.Faults, err)
		}
	}
}

// TestMutantsAreCaught spoils one record of a life. The proof must see it, and
// the account too unless only an instant was moved.
func TestMutantsAreCaught(t *testing.T) {
	for name, spoil := range mutants {
		for seed := range uint64(4) {
			l := newLife(t, seed)
			l.change()
			l.spoil = spoil
			for range 120 {
				l.step()
			}
			if !l.spoilt {
				t.Fatalf("%s, seed %d: nothing was spoilt", name, seed)
			}
			l.live(24 * time.Hour) // more comes after it
			for len(l.outbox) > 0 {
				l.deliver()
			}
			proof, err := l.book.Prove(everywhere, Query{}, l.now)
			if err != nil {
				t.Fatal(err)
			}
			if len(proof.Faults) == 0 {
				t.Errorf("%s, seed %d: the proof finds no fault", name, seed)
			}
			if name != "shifted" && proof.Difference == 0 {
				t.Errorf("%s, seed %d: the account shows no difference", name, seed)
			}
		}
	}
}
