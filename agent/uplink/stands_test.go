package uplink

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func standing(restarts int) api.Stands {
	return api.Stands{
		Standings: []fleet.Standing{{Task: "a/b", Phase: fleet.PhaseRunning, Restarts: restarts}},
		Done:      []fleet.OrderID{fleet.OrderID(fmt.Sprint(restarts))},
	}
}

// toldLast is what the collectors heard last, and how often they heard anything.
func (c *collectors) toldLast() (last api.Stands, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if times = len(c.stands); times > 0 {
		last = c.stands[times-1]
	}
	return last, times
}

func TestStandingsAreSentUntilTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.c.set(func() { w.c.down = true })
		w.SetStands(standing(1))
		time.Sleep(time.Hour)
		w.SetStands(standing(2))
		w.c.set(func() { w.c.down = false })
		time.Sleep(time.Minute)
		last, times := w.c.toldLast()
		if diff := cmp.Diff(standing(2), last); diff != "" || times != 1 {
			t.Errorf("told %d times, last %s", times, diff)
		}
	})
}

// TestManyChangesAreFewMessages changes a standing a thousand times in ten
// seconds, as a command does that ends at once.
func TestManyChangesAreFewMessages(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for n := range 1000 {
			w.SetStands(standing(n))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		last, times := w.c.toldLast()
		if diff := cmp.Diff(standing(999), last); diff != "" || times > 12 {
			t.Errorf("told %d times, last %s", times, diff)
		}
	})
}

// TestOtherCollectorsHearItAll has them know nothing of this host any more.
func TestOtherCollectorsHearItAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.SetStands(standing(1))
		time.Sleep(time.Minute)
		if _, times := w.c.toldLast(); times != 1 {
			t.Errorf("told %d times", times)
		}
		w.c.set(func() { w.c.host, w.c.stands = nil, nil })
		time.Sleep(time.Hour)
		if last, _ := w.c.toldLast(); cmp.Diff(standing(1), last) != "" {
			t.Errorf("told %+v", last)
		}
		w.stop()
	})
}

// TestWhoAsksNobodyHearsFromNobody keeps the log from saying that collectors are
// back where nobody was asked.
func TestWhoAsksNobodyHearsFromNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.c.set(func() { w.c.down = true })
		w.SetAdoptions([]fleet.Adoption{{Task: "a/b"}})
		time.Sleep(time.Minute)
		w.SetAdoptions(nil)
		w.SetSightings(fleet.Sightings{})
		time.Sleep(time.Minute)
		w.link.mu.Lock()
		defer w.link.mu.Unlock()
		if w.link.down.IsZero() {
			t.Error("the collectors are said to be reached again")
		}
	})
}

func TestNothingIsSaidBeforeItIsKnown(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		time.Sleep(24 * time.Hour)
		if _, times := w.c.toldLast(); times != 0 {
			t.Errorf("told %d times", times)
		}
	})
}
