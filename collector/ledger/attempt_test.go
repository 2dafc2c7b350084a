package ledger

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// attempts returns n attempts of a run, of which all but the last failed and
// the last is pending.
func attempts(first fleet.Run, n int) []fleet.Run {
	first.Attempt, first.State = 1, fleet.RunPending
	runs := []fleet.Run{first}
	for len(runs) < n {
		last, exit := &runs[len(runs)-1], 1
		again := last.Due.Add(time.Duration(len(runs)) * time.Second)
		last.State, last.Exit, last.Again = fleet.RunRan, &exit, &again
		runs = append(runs, last.NextAttempt())
	}
	return runs
}

func TestAttemptsOfAnOccurrence(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	own := attempts(testRun(1, "default/a", fleet.RunPending), 4)
	sameInstant := testRun(1, "default/a", fleet.RunSkipped) // made in the same millisecond, ordered
	sameInstant.ID, sameInstant.Order = runID(60_000, 77), "o1"
	other := attempts(testRun(1, "default/b", fleet.RunPending), 2)
	other[0].ID, other[1].ID = runID(60_000, 78), runID(60_000, 79)
	l.must(recordRun1(1, own[2], own[0], sameInstant, own[3], other[0], own[1], other[1]))
	for _, asked := range own {
		got, err := l.Attempts(everywhere, asked.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(own, got); diff != "" {
			t.Errorf("attempts of attempt %d: %s", asked.Attempt, diff)
		}
	}
	list, err := l.Runs(everywhere, api.RunQuery{Task: "default/a"})
	if err != nil || len(list.Items) != 5 {
		t.Fatalf("%d runs, %v", len(list.Items), err)
	}
	place := len(own)
	for _, run := range list.Items { // the newest first
		if run.ID == sameInstant.ID {
			continue
		}
		if place--; run.ID != own[place].ID {
			t.Errorf("the list has attempt %d where attempt %d belongs", run.Attempt, own[place].Attempt)
		}
	}
	if got, err := l.Attempts(everywhere, sameInstant.ID); err != nil || len(got) != 1 || got[0].ID != sameInstant.ID {
		t.Errorf("an order at the same instant: %+v, %v", got, err)
	}
	if _, err := l.Attempts(everywhere, "none"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("of a run that is not there: %v", err)
	}
}

// TestAnOccurrenceCountsOnce tells the states of the attempts of several
// occurrences in any order, as long as each attempt only goes forward. At all
// times as many have an outcome or none yet as were heard of.
func TestAnOccurrenceCountsOnce(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 11))
		l := newLedger(t)
		l.must(&RegisterHost{Host: testHost(1), At: noon})
		startup := testTask("a", "*")
		startup.Task.On = fleet.Trigger{Startup: fleet.StartupAgent}
		l.must(startup)
		words, outcomes := someOccurrences(random)
		heard := map[time.Time]bool{}
		for sequence, run := range words {
			batch := HostBatch{Host: hostID(1), Journal: journalID(1), Records: []api.RunRecord{{Sequence: uint64(sequence + 1), Run: run}}}
			if got := l.must(&RecordRuns{Batches: []HostBatch{batch}, At: noon}).([]Receipt)[0]; got.Refused != 0 {
				t.Fatalf("seed %d: %+v", seed, got)
			}
			heard[run.Due] = true
			a := l.accountOn1()
			due, told := a.Ordered+a.Started, a.Ran+a.Skipped+a.Missed+a.Unknown+a.Open
			if due != len(heard) || told != due {
				t.Fatalf("seed %d, after %d words: %d occurrences, due %d, %d told: %+v", seed, sequence+1, len(heard), due, told, a)
			}
		}
		got := l.accountOn1()
		want := Account{Ran: outcomes[fleet.RunRan], Failed: got.Failed, Skipped: outcomes[fleet.RunSkipped], Unknown: outcomes[fleet.RunUnknown], Retried: got.Retried}
		if got.Ran != want.Ran || got.Skipped != want.Skipped || got.Unknown != want.Unknown || got.Open != 0 || got.Retried != len(words)/2-len(heard) {
			t.Errorf("seed %d: %+v, want %+v", seed, got, want)
		}
	}
}

// someOccurrences returns two words about each of their attempts in some order,
// and what became of them.
func someOccurrences(random *rand.Rand) (words []fleet.Run, outcomes map[fleet.RunState]int) {
	outcomes = map[fleet.RunState]int{}
	for n := range 5 {
		first := testRun(n, "default/a", fleet.RunPending)
		if n%2 == 0 {
			first.Order = fleet.OrderID(first.ID)
		}
		all := attempts(first, 1+random.IntN(4))
		last := &all[len(all)-1]
		last.State = []fleet.RunState{fleet.RunRan, fleet.RunSkipped, fleet.RunUnknown}[random.IntN(3)]
		last.Again = nil
		outcomes[last.State]++
		for _, run := range all {
			begun := run
			begun.State, begun.Again, begun.Exit = fleet.RunPending, nil, nil
			words = append(words, begun, run)
		}
	}
	random.Shuffle(len(words)/2, func(i, j int) { // whole pairs: a run's own words stay in order
		words[2*i], words[2*j] = words[2*j], words[2*i]
		words[2*i+1], words[2*j+1] = words[2*j+1], words[2*i+1]
	})
	for i := len(words) - 2; i > 0; i-- { // and then its end may come later
		if words[i].ID != words[i+1].ID && random.IntN(2) == 0 {
			words[i], words[i+1] = words[i+1], words[i]
		}
	}
	return words, outcomes
}

// TestAttemptsGoTogether removes what is old: an occurrence whose last attempt
// is still to come stays whole.
func TestAttemptsGoTogether(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	over, waits, lost := attempts(testRun(1, "default/a", fleet.RunPending), 3), attempts(testRun(2, "default/a", fleet.RunPending), 2), attempts(testRun(3, "default/a", fleet.RunPending), 2)
	over[2].State, over[2].Again = fleet.RunUnknown, nil
	l.must(recordRun1(1, over...), recordRun1(10, waits...), recordRun1(20, lost[0])) // lost[1] was not told yet
	before := l.accountOn1()
	for _, prune := range []*Prune{{At: noon, RunsBefore: noon.Add(time.Hour), Limit: 1}, {At: noon, RunsOfTask: 1}} {
		l.must(prune)
		for _, run := range over {
			if _, err := l.Run(everywhere, run.ID); fleet.KindOf(err) != fleet.NotFound {
				t.Errorf("attempt %d of what is over stays: %v", run.Attempt, err)
			}
		}
		for _, run := range []fleet.Run{waits[0], waits[1], lost[0]} {
			if _, err := l.Run(everywhere, run.ID); err != nil {
				t.Errorf("attempt %d of what is not over went: %v", run.Attempt, err)
			}
		}
	}
	lost[1].State, lost[1].Again = fleet.RunSkipped, nil
	l.must(recordRun1(30, lost[1]))
	if after := l.accountOn1(); after.Open != before.Open-1 || after.Skipped != 1 || after.Unknown != 1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}
