package adopt

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// move is what is to be done about one adoption.
type move uint8

const (
	rest    move = iota
	begin        // silence the job
	goBack       // put it back
	forget       // nobody asks for it any more
	rebuild      // the collectors know of it and this host does not: look
	settle       // an intent has no outcome yet: look again
	concede      // what is so is the answer to a new wish, too
)

// knowledge is what is known of one adoption at one instant.
type knowledge struct {
	record   *record         // nil: none on disk
	wish     *fleet.Adoption // nil: not in the plan
	fresh    bool            // the plan came from a collector, not from disk
	assigned bool            // the plan has the task
}

// decide is the whole protocol: what follows from what is known. It is pure.
func decide(k knowledge) move {
	switch {
	case k.record == nil && k.wish == nil:
		return rest
	case k.record == nil && k.wish.State == fleet.AdoptionWanted:
		return begin
	case k.record == nil:
		return rebuild
	case k.record.Phase == silencing || k.record.Phase == restoring:
		return settle
	case k.wish == nil:
		return decideOrphan(k)
	}
	again := k.wish.Asked.After(k.record.Asked) // a person asked once more
	switch k.wish.State {
	case fleet.AdoptionWanted:
		switch {
		case !again:
		case !k.record.armed():
			return begin
		case k.wish.Job.ID == k.record.Job.ID:
			return concede
		default:
			return goBack // the name is another job's now
		}
	case fleet.AdoptionReleasing:
		switch {
		case k.record.Phase == silent || k.record.Phase == stuck && again:
			return goBack
		case again:
			return concede
		}
	}
	return rest
}

// decideOrphan is for records that the plan does not speak of. While the task
// stands here it runs, whatever a plan leaves out. Once it does not, nobody would
// run the job, so it goes back.
func decideOrphan(k knowledge) move {
	switch {
	case !k.fresh:
		return rest
	case !k.record.armed():
		return forget
	case !k.assigned:
		return goBack
	}
	return rest
}

// guard is how far from a due instant the hand-over must be.
type guard struct{ after, before time.Duration }

// guards: cron reads its tables at the turn of each minute, before it starts
// what is due, and is done within seconds; systemd may be as late as its
// AccuracySec, one minute by default, and to be told of a change takes it up to
// half a minute, twice.
var guards = map[fleet.JobKind]guard{
	fleet.KindCron:     {after: 10 * time.Second, before: 10 * time.Second},
	fleet.KindRunParts: {after: time.Minute, before: 10 * time.Second},
	fleet.KindTimer:    {after: 2 * time.Minute, before: time.Minute},
}

// window says whether the hand-over may be made now and until when; if not,
// when to look again. Every clock counts: that of the host's scheduler and,
// where it has another, the task's.
func (g guard) window(now time.Time, clocks ...takeover.Next) (until time.Time, open bool) {
	until, open = now.Add(24*time.Hour), true
	for _, next := range clocks {
		due, comes := next(now.Add(-g.after))
		switch {
		case !comes:
		case due.After(now.Add(g.before)):
			if closes := due.Add(-g.before); open && closes.Before(until) {
				until = closes
			}
		default: // one has just been, or is about to come
			if again := due.Add(g.after + time.Millisecond); open || again.After(until) {
				until, open = again, false
			}
		}
	}
	return until, open
}

// opens reports whether the window opens at all within the next instants.
func (g guard) opens(now time.Time, clocks ...takeover.Next) bool {
	for range 100 {
		until, open := g.window(now, clocks...)
		if open {
			return true
		}
		now = until
	}
	return false
}
