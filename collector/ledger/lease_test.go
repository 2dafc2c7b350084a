package ledger

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// narrow is a task of which so many runs go on at once.
func narrow(name string, places int) *PutTask {
	put := testTask(name, "*")
	put.Task.Limits = fleet.Limits{Fleet: places, Timeout: fleet.Duration(time.Minute)}
	return put
}

func take(n int, at time.Time) *TakeLease {
	return &TakeLease{Task: "default/a", Run: runID(n, n), Host: hostID(1), At: at}
}

func TestLeasesAreAsManyAsThereArePlaces(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, narrow("a", 2), narrow("ab", 1))
	first := l.must(take(1, noon)).(fleet.Lease)
	if want := noon.Add(fleet.LeaseBegin + time.Minute + fleet.DefaultGrace + LeaseMargin); !first.Ends.Equal(want) || first.Fence != l.next {
		t.Errorf("%+v, want fence %d and end %s", first, l.next, want)
	}
	l.must(take(2, noon))
	l.refused(api.CodeNoPlace, take(3, noon))
	first.Ends = first.Ends.Add(time.Second)
	if again := l.must(take(1, noon.Add(time.Second))).(fleet.Lease); again != first {
		t.Errorf("asked again: %+v, want %+v", again, first)
	}
	other := take(9, noon)
	other.Task = "default/ab"
	l.must(other) // a task's places are its own, whatever its name begins with

	_, changed := l.Watch(Leases("default/a"))
	run := testRun(0, "default/a", fleet.RunRan)
	run.ID = first.Run
	l.must(recordRun1(1, run))
	select {
	case <-changed:
	default:
		t.Error("nobody is told that a place came free")
	}
	l.must(take(3, noon))
	l.refused("illegal_move", take(1, noon)) // it has ended

	l.must(&ReturnLease{Task: "default/a", Run: runID(2, 2), Host: hostID(2)}) // another host's word is nothing
	l.refused(api.CodeNoPlace, take(4, noon))
	l.must(&ReturnLease{Task: "default/a", Run: runID(2, 2), Host: hostID(1)}, take(4, noon))
}

// TestALostHostGivesItsPlaceUp shows that a run nobody hears of again holds its
// place until its host has stopped it for certain, and no longer.
func TestALostHostGivesItsPlaceUp(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, narrow("a", 1))
	lease := l.must(take(1, noon)).(fleet.Lease)
	l.refused(api.CodeNoPlace, take(2, lease.Ends))
	l.must(take(2, lease.Ends.Add(1)))

	l.must(&Prune{At: lease.Ends.Add(time.Hour)})
	if left, err := l.LeasesOf(everywhere, "default/a"); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestALeaseThatIsAskedForAgainCoversWhatFollows: its run may begin so much later
// as it is asked for again, because the first answer was lost or its agent died.
func TestALeaseThatIsAskedForAgainCoversWhatFollows(t *testing.T) {
	whole := fleet.LeaseBegin + time.Minute + fleet.DefaultGrace + LeaseMargin
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, narrow("a", 1))
	first := l.must(take(1, noon)).(fleet.Lease)
	for _, later := range []time.Duration{time.Minute, whole, 3 * whole} {
		at := noon.Add(later)
		again := l.must(take(1, at)).(fleet.Lease)
		if again.Ends.Before(at.Add(whole)) {
			t.Errorf("asked again %s later it ends %s after that, want %s", later, again.Ends.Sub(at), whole)
		}
		if over := first.Ends.Before(at); over != (again.Fence > first.Fence) {
			t.Errorf("asked again %s later the fence goes from %d to %d", later, first.Fence, again.Fence)
		}
		l.refused(api.CodeNoPlace, take(2, at.Add(whole)))
		first = again
	}
	if again := l.must(take(1, noon)).(fleet.Lease); again != first {
		t.Errorf("by a clock that is behind: %+v, want %+v", again, first)
	}
}

func TestLeasesAreForTasksWithAMaximum(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testTask("a", "*"))
	l.refused("invalid", take(1, noon))
	l.must(narrow("a", 1))
	stranger := take(1, noon)
	stranger.Host = hostID(7)
	l.refused("unknown_host", stranger)
	l.must(&SetTaskState{ID: "default/a", State: fleet.TaskRetired, At: noon})
	l.refused("not_found", take(1, noon))
}
