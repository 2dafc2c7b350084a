package turn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func plainTask(name string) *fleet.Task { return &fleet.Task{Name: name} }

func within(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// TestWhoNeedNotWaitLeavesNoTrace is what nearly every run is.
func TestWhoNeedNotWaitLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0))
		defer r.Close()
		r.begin(t, r.ask("r1", plainTask("a")))
		if !r.began("r1") || len(r.rows) != 0 || len(r.Waiting()) != 0 {
			t.Errorf("began %v, recorded %+v", r.begun, r.rows)
		}
		if slots, taken := r.Slots(); slots != DefaultSlots || taken != 1 {
			t.Errorf("%d of %d slots are taken", taken, slots)
		}
		r.over("r1")
		if _, taken := r.Slots(); taken != 0 {
			t.Errorf("it is over and keeps its slot")
		}
	})
}

func TestARunWaitsForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0), func(c *Config) { c.Slots = 2 })
		defer r.Close()
		r.Take("of the agent before")
		r.begin(t, r.ask("r1", plainTask("a")))
		r.begin(t, r.ask("r2", plainTask("b")))
		daemon := plainTask("d")
		daemon.On.Daemon = true
		r.begin(t, r.ask("d1", daemon))
		synctest.Wait()
		if !slices.Equal(r.begun, []fleet.RunID{"r1", "d1"}) {
			t.Errorf("began %v", r.begun)
		}
		if run := r.last("r2"); run.State != fleet.RunPending || !strings.Contains(run.Detail, "at most 2 runs at once") {
			t.Errorf("recorded %+v", run)
		}
		r.over("of the agent before")
		synctest.Wait()
		if !r.began("r2") || len(r.Waiting()) != 0 {
			t.Errorf("a slot came free, began %v", r.begun)
		}
	})
}

func TestNoSlotInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0), func(c *Config) { c.Slots = 1 })
		defer r.Close()
		r.begin(t, r.ask("long", plainTask("long")))
		for _, test := range []struct {
			id    fleet.RunID
			late  time.Duration // when it comes, after it was due
			until time.Duration
		}{
			{"in time", 10 * time.Second, 20 * time.Second}, // until its deadline
			{"caught up", time.Hour, 30 * time.Second},      // a deadline from now
		} {
			ask := r.ask(test.id, plainTask("a"))
			ask.Run.Due, ask.Deadline = time.Now().Add(-test.late), within(30*time.Second)
			r.begin(t, ask)
			time.Sleep(test.until - time.Millisecond)
			synctest.Wait()
			if got := r.last(test.id).State; got != fleet.RunPending {
				t.Errorf("%s: %s before its deadline", test.id, got)
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			r.want(t, test.id, fleet.RunMissed, fleet.MissedLoad)
		}
		if _, taken := r.Slots(); taken != 1 {
			t.Errorf("%d slots are taken", taken)
		}
	})
}

// TestTheNextAgentKeepsTheLine resumes those who waited for a slot.
func TestTheNextAgentKeepsTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := func(c *Config) { c.Slots = 1 }
		r := newRoom(newPlaces(0), one)
		r.begin(t, r.ask("long", plainTask("long")))
		for _, id := range []fleet.RunID{"r1", "late"} {
			ask := r.ask(id, plainTask(string(id)))
			ask.Deadline = within(time.Hour)
			if id == "late" {
				ask.Deadline = within(time.Minute)
			}
			r.begin(t, ask)
		}
		r.Close()
		r.over("long") // nobody begins any more
		synctest.Wait()
		if r.began("r1") || r.last("r1").State != fleet.RunPending {
			t.Fatal("a run begins although the agent has ended")
		}
		time.Sleep(2 * time.Minute)
		next := newRoom(newPlaces(0), one)
		defer next.Close()
		next.Take("long")
		for _, id := range []fleet.RunID{"late", "r1"} {
			ask := next.ask(id, plainTask(string(id)))
			ask.Run, ask.Deadline = r.last(id), within(time.Hour)
			if id == "late" {
				ask.Deadline = within(time.Minute)
			}
			next.Resume(ask, r.handles[id])
		}
		synctest.Wait()
		next.want(t, "late", fleet.RunMissed, fleet.MissedLoad)
		next.over("long")
		synctest.Wait()
		if !next.began("r1") {
			t.Error("it waits on for ever")
		}
	})
}

func TestNothingWaitsThatIsNotOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(1), func(c *Config) { c.Slots = 1 })
		defer r.Close()
		r.full = true
		r.begin(t, r.ask("r1", plainTask("a"))) // needs no place in the journal to wait
		r.begin(t, r.ask("r2", plainTask("b")))
		r.begin(t, r.ask("r3", leased(time.Hour)))
		r.over("r1")
		synctest.Wait()
		r.want(t, "r2", fleet.RunMissed, fleet.MissedJournal)
		r.want(t, "r3", fleet.RunMissed, fleet.MissedJournal)
		if len(r.Waiting()) != 0 || r.Cancel("r2", "", "") {
			t.Error("it waits all the same")
		}
	})
}

func TestAReasonOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0), func(c *Config) { c.Slots = 1 })
		defer r.Close()
		r.begin(t, r.ask("long", plainTask("long")))
		for id, because := range map[fleet.RunID]fleet.Reason{"r1": fleet.SkippedReplaced, "r2": fleet.RanStalled} {
			r.begin(t, r.ask(id, plainTask("a")))
			if !r.Cancel(id, because, "why") {
				t.Errorf("%s does not wait", id)
			}
			synctest.Wait()
		}
		r.want(t, "r1", fleet.RunSkipped, fleet.SkippedReplaced)
		r.want(t, "r2", fleet.RunSkipped, fleet.SkippedCancelled)
		if r.over("long"); len(r.line.order)+len(r.line.places) != 0 {
			t.Error("the line keeps them")
		}
	})
}

// TestACancelInTheMomentOfTheBegin is not lost.
func TestACancelInTheMomentOfTheBegin(t *testing.T) {
	for name, ending := range map[string]bool{"begun": false, "not begun": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(newPlaces(1))
				defer r.Close()
				r.ending = ending
				r.starts = func(id fleet.RunID) {
					if !r.Cancel(id, "", "not today") {
						t.Error("it does not wait any more, and has not begun yet")
					}
				}
				r.begin(t, r.ask("r1", leased(time.Hour)))
				synctest.Wait()
				if ending {
					r.want(t, "r1", fleet.RunSkipped, fleet.SkippedCancelled)
				} else if !slices.Equal(r.stopped, []fleet.RunID{"r1"}) || !r.began("r1") {
					t.Errorf("began %v, told to stop %v", r.begun, r.stopped)
				}
			})
		})
	}
}

func TestReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0), func(c *Config) { c.Slots = 1 })
		defer r.Close()
		r.begin(t, r.ask("long", plainTask("long")))
		r.begin(t, r.ask("gone", plainTask("gone")))
		r.begin(t, r.ask("paused", leased(time.Hour)))
		r.begin(t, r.ask("stays", plainTask("stays")))
		synctest.Wait()
		r.Review(func(run *fleet.Run) (fleet.Reason, string) {
			switch run.ID {
			case "gone":
				return fleet.SkippedCancelled, "the task is gone"
			case "paused":
				return fleet.SkippedPaused, "the task is paused"
			}
			return "", ""
		})
		synctest.Wait()
		r.want(t, "gone", fleet.RunSkipped, fleet.SkippedCancelled)
		r.want(t, "paused", fleet.RunSkipped, fleet.SkippedPaused)
		if waiting := r.Waiting(); len(waiting) != 1 || waiting[0].Run != "stays" {
			t.Errorf("waiting: %+v", waiting)
		}
	})
}

func TestMoreSlotsLetMoreBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0), func(c *Config) { c.Slots = 1 })
		defer r.Close()
		for n := range 4 {
			r.begin(t, r.ask(fleet.RunID(fmt.Sprint(n)), plainTask(fmt.Sprint(n))))
		}
		r.Bound(3, 1000)
		synctest.Wait()
		if len(r.begun) != 3 {
			t.Errorf("began %v", r.begun)
		}
	})
}

// TestTheRateSpreadsAMidnight lets 50 runs of one instant through at 10 a second.
func TestTheRateSpreadsAMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0), func(c *Config) { c.Rate = 10 })
		defer r.Close()
		for n := range 50 {
			ask := r.ask(fleet.RunID(fmt.Sprint(n)), plainTask(fmt.Sprint(n)))
			ask.Deadline = within(3 * time.Second)
			r.begin(t, ask)
		}
		time.Sleep(time.Millisecond)
		for second, want := range []int{10, 20, 30} {
			synctest.Wait()
			if begun := r.count(); begun != want {
				t.Errorf("%d began in %d seconds, want %d", begun, second, want)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		shed := 0
		for _, row := range r.rows {
			if row.Reason == fleet.MissedLoad {
				shed++
			}
		}
		if begun := r.count(); begun+shed != 50 || begun < 39 || begun > 40 {
			t.Errorf("%d began and %d were shed after the deadline of 3 s", begun, shed)
		}
	})
}

func TestAnErrorOfTheBeginIsTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0))
		defer r.Close()
		r.ending = true
		if err := r.Begin(t.Context(), r.ask("r1", plainTask("a"))); err == nil {
			t.Error("begun")
		}
		if _, taken := r.Slots(); taken != 0 || len(r.ends) != 0 {
			t.Errorf("%d slots taken, ended %v", taken, r.ends)
		}
	})
}

// need is a task that waits for what the test says.
func need(want fleet.WaitFor) *fleet.Task { return &fleet.Task{Name: "a", WaitFor: want} }

func TestAPreconditionHoldsARunBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0), func(c *Config) { c.Slots = 1 })
		defer r.Close()
		r.begin(t, r.ask("r1", need(fleet.WaitFor{Unit: []string{"db.service", "net.service"}, Every: fleet.Duration(10 * time.Second)})))
		synctest.Wait()
		if waiting := r.Waiting(); len(waiting) != 1 || !strings.Contains(waiting[0].Why, "unit db.service: is not active") {
			t.Errorf("waiting: %+v", waiting)
		}
		if run := r.last("r1"); run.State != fleet.RunPending || run.Detail != "waits for what the task needs: unit db.service, unit net.service" {
			t.Errorf("recorded %+v", run)
		}
		r.begin(t, r.ask("other", plainTask("b"))) // it does not take the slot meanwhile
		r.mu.Lock()
		r.units["db.service"] = true
		r.mu.Unlock()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if r.began("r1") {
			t.Error("began with half of what it needs")
		}
		r.mu.Lock()
		r.units["net.service"] = true
		r.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if why := r.Waiting()[0].Why; r.began("r1") || !strings.Contains(why, "at most 1 runs at once") || r.last("r1").Detail != why {
			t.Errorf("waits for %q, recorded %q", why, r.last("r1").Detail)
		}
		r.over("other")
		synctest.Wait()
		if !r.began("r1") {
			t.Error("everything is there, and it does not begin")
		}
	})
}

func TestAPreconditionThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0))
		defer r.Close()
		r.checks = func(argv []string) (string, error) { return "looking\nno route\n", errors.New("exit status 3") }
		r.begin(t, r.ask("r1", need(fleet.WaitFor{Command: []string{"/bin/ready", "--now"}, Timeout: fleet.Duration(time.Minute)})))
		time.Sleep(time.Minute - time.Millisecond)
		synctest.Wait()
		if r.last("r1").State != fleet.RunPending {
			t.Error("gave up too early")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		r.want(t, "r1", fleet.RunMissed, fleet.MissedPrecondition)
		if got, want := r.last("r1").Detail, "waited 1m0s: command /bin/ready --now: exit status 3: no route"; got != want {
			t.Errorf("detail %q, want %q", got, want)
		}
	})
}

func TestAWaitForWhatTheTaskNeedsIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0))
		defer r.Close()
		r.begin(t, r.ask("r1", need(fleet.WaitFor{Unit: []string{"db.service"}})))
		synctest.Wait()
		r.Cancel("r1", fleet.SkippedReplaced, "another takes its place")
		synctest.Wait()
		r.want(t, "r1", fleet.RunSkipped, fleet.SkippedReplaced)
	})
}
