package simulation

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// entry is one record, as small as it can be: a day of a thousand hosts has
// millions.
type entry struct {
	id, order                  string
	task                       uint16
	generation                 uint16
	attempt, state, reason     uint8
	exit                       int8 // -1: none
	stint, cancelled, timedOut bool
	count                      int32
	due, until, again          int64 // of a stint: after, last
	started, ended             int64

	travels bool
	boot    uint16 // in which the host was when it began; in the handle
	memo    []byte // of a memo: what is remembered of the task named by id
	before  *entry // of a pending attempt: the outcome that it follows; in the handle
	first   int64  // when the first attempt began; in the handle
	came    int64  // of one that waits: since when, on the clock that nobody sets; in the handle
	holds          // what it begins under; in memory
}

// disk is a journal: what is durable in it, and what that adds up to.
type disk struct {
	host    *host
	entries []entry // sequence numbers from 1
	held    []entry // outcomes that wait for space, in memory
	full    bool

	decided map[uint16]int64
	counted map[uint16]uint64
	orders  map[string]bool
	memos   map[string][]byte
	open    map[string]entry
	acked   uint64
	newest  map[string]uint64 // of a run in one batch; kept for the next
}

func newDisk(h *host) disk {
	return disk{
		host: h, decided: map[uint16]int64{}, counted: map[uint16]uint64{}, orders: map[string]bool{},
		memos: map[string][]byte{}, open: map[string]entry{}, newest: map[string]uint64{},
	}
}

// append makes a record durable.
func (d *disk) append(e entry) {
	if e.memo != nil {
		d.memos[e.id] = e.memo
		return
	}
	if !e.travels {
		d.orders[e.order] = true
		return
	}
	d.entries = append(d.entries, e)
	switch {
	case e.stint:
		d.decided[e.task] = max(d.decided[e.task], e.due)
		d.counted[e.task] = uint64(e.generation)
		return
	case e.order != "":
		d.orders[e.order] = true
	default:
		d.decided[e.task] = max(d.decided[e.task], e.due, e.until)
	}
	if states[e.state].Terminal() {
		delete(d.open, e.id)
	} else {
		d.open[e.id] = e
	}
}

// owed reports whether there is room for a record on a full disk: it is of a run
// that has begun or waits, and does not say that it only now begins or waits.
func (d *disk) owed(e *entry) bool {
	_, known := d.open[e.id]
	return (known && e.state != begun && e.state != pending || e.state == pending && e.before != nil) && !e.stint
}

// item is a record on its way, and what follows when it is durable. Without a
// record it only follows what is before it.
type item struct {
	entry
	blank bool
	done  func(full bool)
}

// flight is what is on its way to the disk: several rows of records, each in
// order and apart from the others.
type flight struct {
	host *host
	rows [][]item
	done func()
}

// write makes records durable in a while, and then goes on.
func (h *host) write(rows [][]item, done func()) {
	f := &flight{h, rows, done}
	h.flights = append(h.flights, f)
	delay := h.spell(200*time.Microsecond, 5*time.Millisecond)
	if h.chance(2000) {
		delay = h.spell(100*time.Millisecond, 2*time.Second)
	}
	h.written = max(h.written, h.now+delay) // one after the other
	h.at(h.written, h.alive(f.land))
	if h.chance(1500) && !h.calm() { // at one of the edges between disk and process
		h.after(h.spell(0, 8*time.Millisecond), h.alive(func() {
			h.kill()
			h.after(h.pause(), h.start)
		}))
	}
}

// land makes all of it durable. What finds a full disk waits in memory, if it is
// an outcome.
func (f *flight) land() {
	h := f.host
	if i := slices.Index(h.flights, f); i >= 0 {
		h.flights = slices.Delete(h.flights, i, i+1)
	}
	for _, row := range f.rows {
		for i := range row {
			f.one(&row[i])
		}
	}
	if f.done != nil {
		f.done()
	}
	h.send()
}

func (f *flight) one(i *item) {
	d := &f.host.disk
	full := !i.blank && i.travels && d.full && !d.owed(&i.entry)
	switch {
	case i.blank:
	case !full:
		d.append(i.entry)
	case i.state != begun && i.state != pending || i.stint:
		d.held = append(d.held, i.entry)
	}
	if i.done != nil {
		i.done(full)
	}
}

// crash makes a part of it durable: of each row the first few. It is false when
// something is missing.
func (f *flight) crash() bool {
	if f.host.disk.full {
		return false
	}
	whole := f.host.chance(2)
	for _, row := range f.rows {
		n := len(row)
		if !whole {
			n = f.host.rand.IntN(len(row) + 1)
		}
		for i := range row[:n] {
			if !row[i].blank {
				f.host.disk.append(row[i].entry)
			}
		}
	}
	return whole
}

// space lets the disk have space again.
func (d *disk) space() {
	d.full = false
	held := d.held
	d.held = nil
	for i := range held {
		d.append(held[i])
	}
	d.host.send()
}

// memory is what the scheduler asks the disk.
type memory struct{ host *host }

func (h *host) memory() scheduler.Memory { return h.Mutant.memory(memory{h}) }

// LastDecided returns what the records add up to.
func (m memory) LastDecided(id fleet.TaskID) (time.Time, bool) {
	nanos, known := m.host.disk.decided[m.host.plan.number(id)]
	return time.Unix(0, nanos).UTC(), known
}

// Counted returns the generation of the last stint.
func (m memory) Counted(id fleet.TaskID) uint64 { return m.host.disk.counted[m.host.plan.number(id)] }

// Counting returns the tasks of the stints that go on.
func (m memory) Counting() (tasks []fleet.TaskID) {
	for number, generation := range m.host.disk.counted {
		if generation != 0 {
			tasks = append(tasks, m.host.plan.tasks[number].id)
		}
	}
	return tasks
}

// OrderDecided reports whether the order was carried out.
func (m memory) OrderDecided(order fleet.OrderID) bool { return m.host.disk.orders[string(order)] }

// Recall returns what was remembered last.
func (m memory) Recall(id fleet.TaskID) []byte { return m.host.disk.memos[string(id)] }

// openRuns are the runs that the disk knows to have no outcome, oldest first.
func (d *disk) openRuns() []entry {
	return slices.SortedFunc(maps.Values(d.open), func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.attempt, b.attempt), cmp.Compare(a.id, b.id))
	})
}

// states and reasons number what entries name.
var (
	states  = []fleet.RunState{fleet.RunPending, fleet.RunBegun, fleet.RunRunning, fleet.RunRan, fleet.RunSkipped, fleet.RunMissed, fleet.RunUnknown}
	reasons = append([]fleet.Reason{""}, slices.Sorted(maps.Keys(fleet.Reasons))...)
)

// The numbers of those states.
var (
	begun   = uint8(slices.Index(states, fleet.RunBegun))
	pending = uint8(slices.Index(states, fleet.RunPending))
)

func (h *host) entryOf(run *fleet.Run) entry {
	e := entry{
		id: string(run.ID), order: string(run.Order), task: h.plan.number(run.Task), generation: uint16(run.Generation),
		attempt: uint8(run.Attempt), state: uint8(slices.Index(states, run.State)), reason: uint8(slices.Index(reasons, run.Reason)),
		exit: -1, cancelled: run.Cancelled, timedOut: run.TimedOut, count: int32(run.Count), due: run.Due.UnixNano(),
		until: nanos(run.Until), again: nanos(run.Again), started: nanos(run.Started), ended: nanos(run.Ended), travels: true,
	}
	if run.Exit != nil {
		e.exit = int8(*run.Exit)
	}
	return e
}

func (h *host) runOf(e *entry) fleet.Run {
	run := fleet.Run{
		ID: fleet.RunID(e.id), Order: fleet.OrderID(e.order), Task: h.plan.tasks[e.task].id, Generation: uint64(e.generation), Host: h.id,
		Attempt: int(e.attempt), State: states[e.state], Reason: reasons[e.reason], Cancelled: e.cancelled, TimedOut: e.timedOut,
		Count: int(e.count), Due: time.Unix(0, e.due).UTC(), Until: instant(e.until), Again: instant(e.again),
		Started: instant(e.started), Ended: instant(e.ended),
	}
	if e.exit >= 0 {
		code := int(e.exit)
		run.Exit = &code
	}
	return run
}

func stintEntry(task uint16, s fleet.Stint) entry {
	e := entry{task: task, generation: uint16(s.Generation), stint: true, due: s.After.UnixNano(), travels: true}
	if !s.Last.IsZero() {
		e.until = s.Last.UnixNano()
	}
	return e
}

func (h *host) stintOf(e *entry) *fleet.Stint {
	s := &fleet.Stint{Task: h.plan.tasks[e.task].id, Generation: uint64(e.generation), After: time.Unix(0, e.due).UTC()}
	if at := instant(e.until); at != nil {
		s.Last = *at
	}
	return s
}

func nanos(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixNano()
}

func instant(nanos int64) *time.Time {
	if nanos == 0 {
		return nil
	}
	t := time.Unix(0, nanos).UTC()
	return &t
}
