package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// tombstones lists what a host is told of things that it is not given.
func tombstones(l *bench, host int) (texts []string) {
	plan, err := l.Plan(everywhere, hostID(host))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, text := range plan.Tombstones {
		texts = append(texts, string(text))
	}
	return texts
}

// TestATaskThatEndsBeforeItsHostSaidThatItHasIt is the race between a plan on its
// way, the host's word that it took it, and the end: the host hears of the end.
func TestATaskThatEndsBeforeItsHostSaidThatItHasIt(t *testing.T) {
	for name, end := range map[string]Command{"retired": ended("a", 2), "moved": sealed("a", "role=x", 2)} {
		for what, applied := range map[string]fleet.Applied{
			"runs":  {Generations: map[fleet.TaskID]uint64{"default/a": 1}},
			"holds": {Held: []fleet.TaskID{"default/a"}},
		} {
			t.Run(name+", it "+what, func(t *testing.T) {
				l := newLedger(t)
				l.enrol(1, "default")
				l.must(sealed("a", "*", 1))
				if plan, _ := l.Plan(everywhere, hostID(1)); len(plan.Assignments) != 1 {
					t.Fatalf("%+v", plan)
				}
				l.must(end)
				if got := tombstones(l, 1); got != nil {
					t.Fatalf("before anybody knows that it has it: %q", got)
				}
				index, news := l.Watch(PlanOf(hostID(1)))
				applied.Host, applied.At = hostID(1), noon
				l.must(&RecordApplied{Applied: applied})
				select {
				case <-news:
				default:
					t.Error("the host that waits for news of its plan hears nothing")
				}
				if next, _ := l.Watch(PlanOf(hostID(1))); next <= index {
					t.Errorf("its plan is as old as before: %d, %d", next, index)
				}
				if got := tombstones(l, 1); len(got) != 1 {
					t.Errorf("it is told %q", got)
				}
				l.reopen()
				if got := tombstones(l, 1); len(got) != 1 {
					t.Errorf("after a restart it is told %q", got)
				}
			})
		}
	}
}

// TestWhatAHostNamesThatStandsIsNoNews: only what ends wakes it.
func TestWhatAHostNamesThatStandsIsNoNews(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "default")
	l.must(sealed("a", "*", 1), testTask("plain", "*"), &SetTaskState{ID: "default/plain", State: fleet.TaskRetired, At: noon})
	_, news := l.Watch(PlanOf(hostID(1)))
	l.must(&RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"default/a": 1, "default/plain": 1, "default/none": 1}, At: noon}})
	select {
	case <-news:
		t.Error("its plan is another")
	default:
	}
}

// TestAHostHearsOfEndsForAsLongAsItNeeds: of many tasks, however they left it.
func TestAHostHearsOfEndsForAsLongAsItNeeds(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "default")
	generations := map[fleet.TaskID]uint64{}
	for i := range 300 {
		name := fmt.Sprintf("t%03d", i)
		l.must(sealed(name, "*", 1))
		generations["default/"+fleet.TaskID(name)] = 1
	}
	l.must(&RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: generations, At: noon}})
	for i := range 300 {
		l.must(ended(fmt.Sprintf("t%03d", i), 2))
	}
	l.must(&Prune{At: noon.AddDate(5, 0, 0), RunsBefore: noon.AddDate(5, 0, 0), ChangesBefore: noon.AddDate(5, 0, 0), TrustBefore: noon.AddDate(5, 0, 0)})
	l.reopen()
	if got := tombstones(l, 1); len(got) != 300 {
		t.Errorf("it hears of %d ends", len(got))
	}
}

// TestAHostThatServesLessHearsOfEndsAndOfNothingElse: it may hold tasks of a
// namespace that it no longer serves, or claim to.
func TestAHostThatServesLessHearsOfEndsAndOfNothingElse(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "default", "data")
	in := func(p *PutTask) { p.Task.Namespace = "data" }
	l.must(sealed("a", "*", 1, in), sealed("b", "*", 1, in))
	both := map[fleet.TaskID]uint64{"data/a": 1, "data/b": 1}
	l.must(&RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: both, At: noon}})
	l.enrol(1, "default")
	if got := tombstones(l, 1); got != nil {
		t.Errorf("before it says what it has now, it is told what is another namespace's: %q", got)
	}
	l.must(&RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"data/a": 1}, Held: []fleet.TaskID{"data/b"}, At: noon.Add(time.Second)}})
	if got := tombstones(l, 1); got != nil {
		t.Errorf("it is told what is another namespace's: %q", got)
	}
	applied, err := l.AppliedBy(everywhere, hostID(1))
	if err != nil || len(applied.Generations)+len(applied.Held) != 0 {
		t.Errorf("it speaks of what is not its own: %+v, %v", applied, err)
	}
	l.must(&SetTaskState{ID: "data/a", State: fleet.TaskRetired, At: noon, Serial: 2, Envelope: []byte("a ends")}, &SetTaskState{ID: "data/b", State: fleet.TaskRetired, At: noon, Serial: 2, Envelope: []byte("b ends")})
	if got := tombstones(l, 1); !slices.Equal(got, []string{"a ends", "b ends"}) {
		t.Errorf("it is told %q", got)
	}
}
