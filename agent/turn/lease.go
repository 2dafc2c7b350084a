package turn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	leasePoll     = 20 * time.Second // of one request; a place granted late in it can still be used
	leasePauseMin = 500 * time.Millisecond
	leasePauseMax = 15 * time.Second
	// giveBackTime is how long giving a lease back may take; it ends by itself, too.
	giveBackTime = 2 * time.Second
)

// underLease asks for a place until it is granted or the run has waited long
// enough, and begins the run under it.
func (t *Turn) underLease(w *waiter) {
	patience := time.Duration(w.ask.Task.Limits.Wait)
	if patience == 0 {
		patience = fleet.DefaultLeaseWait
	}
	t.note(w, fmt.Sprintf("waits for one of %d places in the fleet", w.ask.Task.Limits.Fleet))
	end := w.came.Add(patience)
	why := "no place came free"
	for pause := leasePauseMin; time.Now().Before(end); {
		asked := t.elapsed()
		lease, err := t.config.Grantor.Lease(w.ctx, t.config.Host, fleet.LeaseRequest{
			Task: w.ask.Run.Task, Run: w.ask.Run.ID, Wait: fleet.Duration(min(leasePoll, time.Until(end))),
		})
		e, said := errors.AsType[*fleet.Error](err)
		switch {
		case err == nil:
			if t.elapsed()-asked < fleet.LeaseBegin { // or the grantor may count on its end already
				if t.beginUnder(w, lease, asked+fleet.LeaseBegin) {
					return
				}
				why = "a place was granted, and no slot of this host came free in time to use it"
			}
			t.giveBack(w)
			if w.ctx.Err() != nil {
				t.leave(w)
				return
			}
		case w.ctx.Err() != nil:
			t.giveBack(w)
			t.leave(w)
			return
		case said && e.Code == fleet.CodeNoPlace:
			why, pause = err.Error(), leasePauseMin
			continue
		case said && e.Kind != fleet.Unavailable && e.Kind != fleet.Internal:
			t.giveUp(w, fleet.MissedNoLease, err.Error())
			return
		default:
			why = "nobody was there to grant a place: " + err.Error()
		}
		t.say(w, fmt.Sprintf("waits for one of %d places in the fleet: %s", w.ask.Task.Limits.Fleet, why))
		select {
		case <-w.ctx.Done():
			t.giveBack(w)
			t.leave(w)
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, leasePauseMax)
	}
	t.giveBack(w) // an answer may have been lost
	t.giveUp(w, fleet.MissedNoLease, fmt.Sprintf("waited %s: %s", patience, why))
}

// beginUnder begins a run under its lease as soon as it has a slot, and reports
// whether that was in time. It must not begin after the bound.
func (t *Turn) beginUnder(w *waiter, lease fleet.Lease, bound time.Duration) bool {
	t.mu.Lock()
	if t.closed || w.ctx.Err() != nil {
		t.mu.Unlock()
		return false
	}
	w.lined = make(chan bool, 1)
	t.lineUp(w, time.Now().Add(bound-t.elapsed()))
	t.mu.Unlock()
	granted := false
	select {
	case granted = <-w.lined:
	case <-w.ctx.Done():
	}
	t.mu.Lock()
	if !granted && !t.line.withdraw(w.ask.Run.ID) {
		select { // it was decided in the same moment
		case granted = <-w.lined:
		default:
		}
	}
	w.lined = nil
	t.mu.Unlock()
	if !granted {
		return false
	}
	return t.start(w, Leave{Fence: lease.Fence, Begin: bound})
}

func (t *Turn) giveBack(w *waiter) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.life), giveBackTime)
	defer cancel()
	if err := t.config.Grantor.ReturnLease(ctx, t.config.Host, w.ask.Run.Task, w.ask.Run.ID); err != nil {
		t.log.Debug("lease not given back, it ends by itself", "run", w.ask.Run.ID, "task", w.ask.Run.Task, "error", err)
	}
}
