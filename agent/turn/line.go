package turn

import (
	"cmp"
	"container/heap"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// line is the queue for slots. It reads no clock; instants that it is given must
// come from one that is never set.
type line struct {
	slots  int
	rate   float64 // starts per second; as many may begin at once as in one second
	tokens float64
	filled time.Time // when tokens was right

	taken   map[fleet.RunID]struct{} // runs that have a slot
	places  map[fleet.RunID]*place   // of those who wait
	order   byTurn
	ends    byEnd
	virtual uint64                  // the round that is served
	rounds  map[fleet.TaskID]uint64 // the last round that the task has a place in
	entered uint64
}

// place is a run that waits for its slot.
type place struct {
	run  fleet.RunID
	task fleet.TaskID
	due  time.Time
	end  time.Time // it waits no longer; zero: for ever
	slot bool      // it needs one

	round, entered  uint64
	inOrder, inEnds int // where it is in the heaps
}

func newLine(slots, rate int) *line {
	l := &line{taken: map[fleet.RunID]struct{}{}, places: map[fleet.RunID]*place{}, rounds: map[fleet.TaskID]uint64{}}
	l.bound(slots, rate)
	l.tokens = l.rate
	return l
}

// bound changes how many there are of both.
func (l *line) bound(slots, rate int) {
	l.slots, l.rate = max(1, slots), float64(max(1, rate))
	l.tokens = min(l.tokens, l.rate)
}

// straight lets a run through that need not wait.
func (l *line) straight(now time.Time, run fleet.RunID, slot bool) bool {
	l.refill(now)
	if l.tokens < 1 || len(l.order) > 0 && (slot || !l.order[0].slot) || slot && l.free() < 1 {
		return false
	}
	l.let(run, slot)
	return true
}

// enter puts a run at its place in the line.
func (l *line) enter(p *place) {
	l.entered++
	p.entered = l.entered
	if p.slot {
		p.round = max(l.virtual, l.rounds[p.task]) + 1
		l.rounds[p.task] = p.round
	}
	l.places[p.run] = p
	heap.Push(&l.order, p)
	if p.inEnds = -1; !p.end.IsZero() {
		heap.Push(&l.ends, p)
	}
}

// withdraw takes a run out of the line, and reports whether it was there.
func (l *line) withdraw(run fleet.RunID) bool {
	p := l.places[run]
	if p != nil {
		l.remove(p)
	}
	return p != nil
}

// take notes that a run has a slot, whether there is one or not.
func (l *line) take(run fleet.RunID) { l.taken[run] = struct{}{} }

// release gives the slot of a run to another one.
func (l *line) release(run fleet.RunID) { delete(l.taken, run) }

func (l *line) free() int { return l.slots - len(l.taken) }

// step says who begins now, who has waited long enough, and when to step again;
// zero: only when something happens.
func (l *line) step(now time.Time) (begin, shed []*place, wake time.Time) {
	l.refill(now)
	for len(l.ends) > 0 && !l.ends[0].end.After(now) {
		p := l.ends[0]
		l.remove(p)
		shed = append(shed, p)
	}
	for len(l.order) > 0 && l.tokens >= 1 && (!l.order[0].slot || l.free() > 0) {
		p := l.order[0]
		l.remove(p)
		l.let(p.run, p.slot)
		if p.slot {
			l.virtual = p.round
		}
		begin = append(begin, p)
	}
	l.tidy()
	return begin, shed, l.wake(now)
}

func (l *line) wake(now time.Time) (at time.Time) {
	if len(l.ends) > 0 {
		at = l.ends[0].end
	}
	if len(l.order) > 0 && (!l.order[0].slot || l.free() > 0) {
		next := now.Add(time.Duration((1-l.tokens)/l.rate*float64(time.Second)) + time.Microsecond)
		if at.IsZero() || next.Before(at) {
			at = next
		}
	}
	return at
}

// tidy forgets rounds that are over.
func (l *line) tidy() {
	if len(l.order) == 0 {
		clear(l.rounds)
		l.virtual = 0
	}
}

func (l *line) let(run fleet.RunID, slot bool) {
	l.tokens--
	if slot {
		l.take(run)
	}
}

func (l *line) refill(now time.Time) {
	if passed := now.Sub(l.filled); !l.filled.IsZero() && passed > 0 {
		l.tokens = min(l.rate, l.tokens+l.rate*passed.Seconds())
	}
	l.filled = now
}

func (l *line) remove(p *place) {
	delete(l.places, p.run)
	heap.Remove(&l.order, p.inOrder)
	if p.inEnds >= 0 {
		heap.Remove(&l.ends, p.inEnds)
	}
}

// precedes reports whether a goes before b: what needs no slot, then the earlier
// round, then who was due earlier, then who came earlier.
func precedes(a, b *place) bool {
	if a.slot != b.slot {
		return !a.slot
	}
	return cmp.Or(cmp.Compare(a.round, b.round), a.due.Compare(b.due), cmp.Compare(a.entered, b.entered)) < 0
}

// byTurn is a heap of those who wait: the first goes first.
type byTurn []*place

func (h byTurn) Len() int           { return len(h) }
func (h byTurn) Less(i, j int) bool { return precedes(h[i], h[j]) }
func (h byTurn) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].inOrder, h[j].inOrder = i, j
}
func (h *byTurn) Push(p any) {
	p.(*place).inOrder = len(*h)
	*h = append(*h, p.(*place))
}
func (h *byTurn) Pop() any { return popped((*[]*place)(h)) }

// byEnd is a heap of those who do not wait for ever: the first waits no longer
// first.
type byEnd []*place

func (h byEnd) Len() int           { return len(h) }
func (h byEnd) Less(i, j int) bool { return h[i].end.Before(h[j].end) }
func (h byEnd) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].inEnds, h[j].inEnds = i, j
}
func (h *byEnd) Push(p any) {
	p.(*place).inEnds = len(*h)
	*h = append(*h, p.(*place))
}
func (h *byEnd) Pop() any { return popped((*[]*place)(h)) }

func popped(h *[]*place) *place {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return p
}
