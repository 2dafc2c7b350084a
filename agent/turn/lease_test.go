package turn

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// leased is a task with one place in the fleet.
func leased(wait time.Duration) *fleet.Task {
	return &fleet.Task{Name: "a", Limits: fleet.Limits{Fleet: 1, Timeout: fleet.Duration(time.Minute), Wait: fleet.Duration(wait)}}
}

func TestARunWaitsForItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1)
		r := newRoom(p)
		defer r.Close()
		for _, id := range []fleet.RunID{"r1", "r2"} {
			r.begin(t, r.ask(id, leased(time.Hour)))
			synctest.Wait()
			if run := r.last(id); run.State != fleet.RunPending || run.Detail == "" {
				t.Errorf("%s is %+v, want pending with why", id, run)
			}
		}
		if !r.began("r1") || r.began("r2") {
			t.Fatalf("began %v", r.begun)
		}
		if got, want := r.leaves["r1"], (Leave{Fence: 42, Begin: fleet.LeaseBegin}); got != want {
			t.Errorf("begins under %+v, want %+v", got, want)
		}
		if waiting := r.Waiting(); len(waiting) != 1 || waiting[0].Run != "r2" || waiting[0].Why == "" {
			t.Errorf("waiting: %+v", waiting)
		}
		time.Sleep(30 * time.Minute)
		r.over("r1")
		p.give("r1")
		synctest.Wait()
		if !r.began("r2") {
			t.Error("a place came free and r2 did not begin")
		}
	})
}

func TestNoPlaceInTime(t *testing.T) {
	for name, change := range map[string]func(*places){
		"taken":       func(p *places) { p.free = 0 },
		"nobody":      func(p *places) { p.down = true },
		"slow grants": func(p *places) { p.slow = time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlaces(1)
				change(p)
				r := newRoom(p)
				defer r.Close()
				r.begin(t, r.ask("r1", leased(10*time.Minute)))
				time.Sleep(12 * time.Minute)
				synctest.Wait()
				r.want(t, "r1", fleet.RunMissed, fleet.MissedNoLease)
				if p.asked > 100 {
					t.Errorf("asked %d times in ten minutes", p.asked)
				}
			})
		})
	}
}

// TestAPlaceIsOfNoUseWithoutASlot gives a place back that cannot be used in time,
// and asks for it again.
func TestAPlaceIsOfNoUseWithoutASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1)
		r := newRoom(p, func(c *Config) { c.Slots = 1 })
		defer r.Close()
		r.begin(t, r.ask("long", &fleet.Task{Name: "long"}))
		r.begin(t, r.ask("r1", leased(time.Hour)))
		synctest.Wait()
		if r.began("r1") || p.left() != 0 {
			t.Fatalf("began %v with %d places free", r.begun, p.left())
		}
		time.Sleep(fleet.LeaseBegin + time.Millisecond)
		synctest.Wait()
		if p.left() != 1 {
			t.Error("it keeps a place that it cannot use")
		}
		time.Sleep(20 * time.Second) // it has a place again
		r.over("long")
		synctest.Wait()
		if !r.began("r1") {
			t.Error("a slot came free, and it did not begin")
		}
	})
}

func TestACancelledRunWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0))
		defer r.Close()
		r.begin(t, r.ask("r1", leased(time.Hour)))
		synctest.Wait()
		if r.Cancel("r2", "", "") || !r.Cancel("r1", "", "not today") {
			t.Error("cancelled the wrong run")
		}
		synctest.Wait()
		r.want(t, "r1", fleet.RunSkipped, fleet.SkippedCancelled)
		if run := r.last("r1"); run.Detail != "not today" {
			t.Errorf("detail %q", run.Detail)
		}
	})
}

// TestTheNextAgentWaitsOn shows that a run keeps waiting when its agent ends,
// and gives no place away that it could not use.
func TestTheNextAgentWaitsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(0)
		r := newRoom(p)
		ask := r.ask("r1", leased(time.Hour))
		ask.Keep = []byte("what the caller wants back")
		r.begin(t, ask)
		came := time.Now()
		time.Sleep(20 * time.Minute)
		r.Close()
		left := r.last("r1")
		if left.State != fleet.RunPending || len(r.ends) != 0 {
			t.Fatalf("the agent ended, and the run is %+v", left)
		}
		at, keep := Reopen(r.handles["r1"])
		if !at.Equal(came) || string(keep) != string(ask.Keep) {
			t.Errorf("kept %s and %q", at, keep)
		}
		next := newRoom(p)
		defer next.Close()
		again := next.ask("r1", leased(time.Hour))
		again.Run = left
		again.Run.Detail = "started again after exit 1"
		next.Resume(again, r.handles["r1"])
		synctest.Wait()
		if waiting := next.Waiting(); len(waiting) != 1 || waiting[0].Why == "" {
			t.Errorf("waiting: %+v", waiting)
		}
		time.Sleep(39 * time.Minute)
		p.mu.Lock()
		p.held["other"] = true
		p.mu.Unlock()
		p.give("other")
		synctest.Wait()
		if !next.began("r1") {
			t.Error("it did not begin")
		}
	})
}

// TestPatienceOutlivesTheAgent counts it from when the run came.
func TestPatienceOutlivesTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0))
		ask := r.ask("r1", leased(time.Hour))
		r.begin(t, ask)
		r.Close()
		time.Sleep(2 * time.Hour)
		next := newRoom(newPlaces(0))
		defer next.Close()
		next.Resume(next.ask("r1", leased(time.Hour)), r.handles["r1"])
		synctest.Wait()
		next.want(t, "r1", fleet.RunMissed, fleet.MissedNoLease)
	})
}

func TestAnEndingAgentGivesItsPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1)
		r := newRoom(p)
		r.ending = true
		r.begin(t, r.ask("r1", leased(time.Hour)))
		synctest.Wait()
		r.Close()
		if p.free != 1 || r.last("r1").State != fleet.RunPending || len(r.ends) != 0 {
			t.Errorf("%d places are free, the run is %+v", p.free, r.last("r1"))
		}
		if _, taken := r.Slots(); taken != 0 {
			t.Errorf("%d slots are taken", taken)
		}
	})
}

func TestAForeignRefusalEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(newPlaces(0), func(c *Config) { c.Grantor = refusing{fleet.Errorf(fleet.NotFound, "no task default/a")} })
		defer r.Close()
		r.begin(t, r.ask("r1", leased(time.Hour)))
		synctest.Wait()
		r.want(t, "r1", fleet.RunMissed, fleet.MissedNoLease)
	})
}

type refusing struct{ err error }

func (r refusing) Lease(context.Context, fleet.HostID, fleet.LeaseRequest) (fleet.Lease, error) {
	return fleet.Lease{}, r.err
}

func (r refusing) ReturnLease(context.Context, fleet.HostID, fleet.TaskID, fleet.RunID) error {
	return errors.New("no")
}
