package journal

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// orderMemory is how long an order is remembered that is in no plan any more: a
// collector that is behind may still send an older one.
const orderMemory = 7 * 24 * time.Hour

// state is what the records of a journal add up to. It is pure: the same
// records give the same state, whoever reads them.
type state struct {
	next         uint64 // sequence of the next record; the first is 1
	acknowledged uint64
	lastRun      uint64 // sequence of the newest record that travels; what the outbox ends with
	decided      map[fleet.TaskID]int64
	counted      map[fleet.TaskID]uint64 // the generation that tasks are due under now
	orders       map[fleet.OrderID]int64
	open         map[fleet.RunID]runEntry
	memos        map[fleet.TaskID][]byte
}

func newState() *state {
	return &state{
		next:    1,
		decided: map[fleet.TaskID]int64{},
		counted: map[fleet.TaskID]uint64{},
		orders:  map[fleet.OrderID]int64{},
		open:    map[fleet.RunID]runEntry{},
		memos:   map[fleet.TaskID][]byte{},
	}
}

// allows returns a Conflict where the run may not move to the state that the
// record says. A run that is not open may begin, or be settled at once; one that
// waits may say anew what it waits for.
func (s *state) allows(r record) error {
	if r.run == nil {
		return nil
	}
	to := r.run.Run.State
	open, known := s.open[r.run.Run.ID]
	switch {
	case known && open.Run.State == fleet.RunPending && to == fleet.RunPending:
	case known && !open.Run.State.MayMoveTo(to):
		return fleet.Errorf(fleet.Conflict, "run %s is %s and cannot become %s", r.run.Run.ID, open.Run.State, to)
	case !known && to == fleet.RunRunning:
		return fleet.Errorf(fleet.Conflict, "run %s cannot be running, it has not begun", r.run.Run.ID)
	}
	return nil
}

// step takes one record in.
func (s *state) step(sequence uint64, r record) {
	s.next = sequence + 1
	switch {
	case r.run != nil:
		s.stepRun(sequence, *r.run)
	case r.watermark != nil:
		s.stepWatermark(sequence, r.watermark)
	case r.acknowledged != nil:
		s.acknowledged = max(s.acknowledged, r.acknowledged.Sequence)
	case r.memo != nil:
		s.stepMemo(r.memo)
	case r.done != nil:
		s.orders[r.done.Order] = max(s.orders[r.done.Order], r.done.At)
	case r.checkpoint != nil:
		s.restore(r.checkpoint)
	}
}

func (s *state) stepRun(sequence uint64, run runEntry) {
	s.lastRun = sequence
	if run.Run.Order != "" {
		s.orders[run.Run.Order] = max(s.orders[run.Run.Order], run.Run.Due)
	} else {
		s.decide(run.Run.Task, lastOf(&run.Run))
	}
	if run.Run.State.Terminal() {
		delete(s.open, run.Run.ID)
		return
	}
	run.Sequence = sequence
	s.open[run.Run.ID] = run
}

func (s *state) stepWatermark(sequence uint64, w *watermark) {
	s.lastRun = sequence
	s.decide(w.Task, w.Nominal)
	if w.Generation == 0 {
		delete(s.counted, w.Task)
	} else {
		s.counted[w.Task] = w.Generation
	}
}

func (s *state) stepMemo(m *memo) {
	if len(m.Text) == 0 {
		delete(s.memos, m.Task)
	} else {
		s.memos[m.Task] = m.Text
	}
}

func (s *state) decide(task fleet.TaskID, nominal int64) {
	if last, known := s.decided[task]; !known || nominal > last {
		s.decided[task] = nominal
	}
}

// checkpoint writes the state down. Orders decided longer than orderMemory
// before now are forgotten, but for those that are wanted; nil: all are.
func (s *state) checkpoint(now time.Time, wanted map[fleet.OrderID]bool) *checkpoint {
	forgotten := now.Add(-orderMemory).UnixNano()
	maps.DeleteFunc(s.orders, func(id fleet.OrderID, due int64) bool { return due < forgotten && wanted != nil && !wanted[id] })
	return &checkpoint{
		Decided:      maps.Clone(s.decided),
		Orders:       maps.Clone(s.orders),
		Open:         s.openRuns(),
		Acknowledged: s.acknowledged,
		LastRun:      s.lastRun,
		Counted:      maps.Clone(s.counted),
		Memos:        maps.Clone(s.memos),
	}
}

func (s *state) restore(c *checkpoint) {
	s.acknowledged = max(s.acknowledged, c.Acknowledged)
	s.lastRun = c.LastRun
	s.decided, s.orders, s.counted, s.memos = copied(c.Decided), copied(c.Orders), copied(c.Counted), copied(c.Memos)
	s.open = make(map[fleet.RunID]runEntry, len(c.Open))
	for _, run := range c.Open {
		s.open[run.Run.ID] = run
	}
}

// copied returns a copy that may be written to, also of no map.
func copied[M ~map[K]V, K comparable, V any](m M) M {
	if m == nil {
		return M{}
	}
	return maps.Clone(m)
}

func (s *state) openRuns() []runEntry {
	return slices.SortedFunc(maps.Values(s.open), func(a, b runEntry) int {
		return strings.Compare(string(a.Run.ID), string(b.Run.ID))
	})
}
