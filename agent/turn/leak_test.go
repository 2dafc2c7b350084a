package turn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestNothingLeaks lets runs of all kinds come, begin, fail to, be cancelled in
// every moment and end, on a disk that is full now and then. When all is over no
// slot and no place is taken, and every run has one outcome.
func TestNothingLeaks(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	total := map[string]int{}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { playTurn(t, seed, total) })
	}
	t.Log(total)
	for _, what := range []string{"begun", "error", "refused", "cancelled", "reviewed", "told over"} {
		if 2*total[what] < int(seeds) {
			t.Errorf("too little happened to prove anything: %s %d times", what, total[what])
		}
	}
}

func playTurn(t *testing.T, seed uint64, total map[string]int) {
	random := rand.New(rand.NewPCG(seed, 5))
	p := newPlaces(2)
	r := newRoom(p, func(c *Config) { c.Slots, c.Rate = 3, 20 })
	r.checks = func([]string) (string, error) { return "", nil }
	var all []fleet.RunID
	failed := map[fleet.RunID]bool{}
	someone := func() fleet.RunID { return all[max(0, len(all)-1-random.IntN(8))] }
	for n := range 120 {
		r.mu.Lock()
		r.full = random.IntN(8) == 0
		r.mu.Unlock()
		switch k := random.IntN(10); {
		case k < 5 || len(all) == 0:
			id := fleet.RunID(fmt.Sprint("r", n))
			task := plainTask(fmt.Sprint("t", random.IntN(4)))
			if random.IntN(3) == 0 {
				task.Limits.Fleet, task.Limits.Wait = 2, fleet.Duration(time.Minute)
			}
			if random.IntN(4) == 0 {
				task.WaitFor = fleet.WaitFor{Command: []string{"/bin/true"}}
			}
			task.On.Daemon = random.IntN(6) == 0
			ask := r.ask(id, task)
			ask.Deadline = within(time.Duration(1+random.IntN(30)) * time.Second)
			start, fails, ends := ask.Start, random.IntN(10) == 0, random.IntN(10) == 0
			slow := time.Duration(random.IntN(3)) * time.Millisecond
			ask.Start = func(ctx context.Context, leave Leave) error {
				time.Sleep(slow)
				if fails {
					r.mu.Lock()
					failed[id] = true
					r.mu.Unlock()
					return errors.New("the agent is ending")
				}
				if err := start(ctx, leave); err != nil || !ends {
					return err
				}
				r.end(p, id) // it found another outcome
				return nil
			}
			all = append(all, id)
			if err := r.Begin(t.Context(), ask); err != nil {
				total["refused"]++
			}
		case k < 7:
			r.mu.Lock()
			var going []fleet.RunID
			going = append(going, r.begun...)
			r.mu.Unlock()
			if len(going) > 0 {
				r.end(p, going[random.IntN(len(going))])
			}
		case k == 7:
			if r.Cancel(someone(), fleet.SkippedCancelled, "enough") {
				total["cancelled"]++
			}
		case k == 8:
			name := fleet.TaskID(fmt.Sprint("default/t", random.IntN(4)))
			r.Review(func(run *fleet.Run) (fleet.Reason, string) {
				if run.Task != name {
					return "", ""
				}
				total["reviewed"]++
				return fleet.SkippedPaused, "paused"
			})
		default:
			time.Sleep(time.Duration(random.IntN(20)) * time.Second)
		}
		if random.IntN(3) == 0 {
			synctest.Wait()
		}
	}
	for range 100 { // until nobody waits, all that begins ends
		for _, id := range r.allBegun() {
			r.end(p, id)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
	}
	if waiting := r.Waiting(); len(waiting) != 0 {
		t.Errorf("seed %d: %+v still wait", seed, waiting)
	}
	if _, taken := r.Slots(); taken != 0 {
		t.Errorf("seed %d: %d slots are taken", seed, taken)
	}
	if left := p.left(); left != 2 {
		t.Errorf("seed %d: %d places are free, want 2", seed, left)
	}
	outcomes := map[fleet.RunID]int{}
	for _, id := range append(r.allBegun(), r.ends...) {
		outcomes[id]++
	}
	total["begun"] += len(r.begun)
	total["told over"] += len(r.ends)
	total["error"] += len(failed)
	for _, id := range all {
		if n := outcomes[id]; n != 1 && !(n == 0 && failed[id]) {
			t.Errorf("seed %d: %s has %d outcomes", seed, id, n)
		}
	}
	r.Close()
}

// end ends a run, wherever it is, as the runner and the collectors tell of it.
func (r *room) end(p *places, id fleet.RunID) {
	r.Ended(id)
	p.mu.Lock()
	held := p.held[id]
	p.mu.Unlock()
	if held {
		p.give(id)
	}
}

func (r *room) allBegun() []fleet.RunID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]fleet.RunID(nil), r.begun...)
}
