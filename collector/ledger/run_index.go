package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// runIndexes is every range that runs are found by. The key is nil for a run
// that is not in the range.
var runIndexes = []struct {
	in  bucket
	key func(*fleet.Run) []byte
}{
	{inRunsByTask, func(r *fleet.Run) []byte { return key(string(r.Task), string(r.ID)) }},
	{inRunsByHost, func(r *fleet.Run) []byte { return key(string(r.Host), string(r.ID)) }},
	{inRunsByOrder, func(r *fleet.Run) []byte { return keyIf(r.Order != "", string(r.Order), string(r.ID)) }},
	{inRunsFailed, func(r *fleet.Run) []byte { return keyIf(r.Failed(), string(r.ID)) }},
	{inRunsFailedByTask, func(r *fleet.Run) []byte { return keyIf(r.Failed(), string(r.Task), string(r.ID)) }},
	{inRunsFailedByHost, func(r *fleet.Run) []byte { return keyIf(r.Failed(), string(r.Host), string(r.ID)) }},
	{inRunsOpen, func(r *fleet.Run) []byte { return keyIf(!r.State.Terminal(), string(r.ID)) }},
}

func keyIf(condition bool, parts ...string) []byte {
	if !condition {
		return nil
	}
	return key(parts...)
}

func storedRun(c *change, id fleet.RunID) (fleet.Run, bool) {
	if id == "" {
		return fleet.Run{}, false
	}
	row, found := stored[compact.Run](c, inRuns, key(string(id)))
	return row.Whole(), found
}

// writeRun writes a run and moves it between the ranges. known says that old
// is the run as it was.
func writeRun(c *change, old, next *fleet.Run, known bool, tally *tally) {
	c.put(inRuns, key(string(next.ID)), encode(compact.Of(next)))
	for _, index := range runIndexes {
		var before []byte
		if known {
			before = index.key(old)
		}
		after := index.key(next)
		if bytes.Equal(before, after) {
			continue
		}
		if before != nil {
			c.delete(index.in, before)
		}
		if after != nil {
			c.put(index.in, after, nil)
		}
	}
	tally.count(old, next, known)
	tally.book(c, old, next, known)
}

// removeRun removes a run and its keys.
func removeRun(c *change, run *fleet.Run) {
	c.delete(inRuns, key(string(run.ID)))
	if k := key(string(run.ID)); c.get(inPresumed, k) != nil {
		c.delete(inPresumed, k)
	}
	for _, index := range runIndexes {
		if k := index.key(run); k != nil {
			c.delete(index.in, k)
		}
	}
}

// madeAt returns when the run id was made, and false for an id that does not
// tell.
func madeAt(id []byte) (time.Time, bool) {
	if len(id) != 36 || id[14] != '7' {
		return time.Time{}, false
	}
	millis, err := strconv.ParseInt(string(id[:8])+string(id[9:13]), 16, 64)
	return time.UnixMilli(millis).UTC(), err == nil
}

// tally sums up what one command does to the counts, so that each is written
// once.
type tally struct {
	hours    map[uint64]hourCount
	kept     map[fleet.TaskID]int
	hoursOf  map[namespaceHour]hourCount
	open     map[string]int // by namespace
	accounts map[accountKey]*accountRow
	daemons  map[string]bool // by generation key: no schedule says when it is due
}

type hourCount struct{ runs, failed int }

type namespaceHour struct {
	namespace string
	hour      uint64
}

func newTally() *tally {
	return &tally{
		hours: map[uint64]hourCount{}, hoursOf: map[namespaceHour]hourCount{}, open: map[string]int{}, kept: map[fleet.TaskID]int{},
		accounts: map[accountKey]*accountRow{}, daemons: map[string]bool{},
	}
}

func (t *tally) count(old, next *fleet.Run, known bool) {
	hour, namespace := hourOf(next), next.Task.Namespace()
	var more hourCount
	if !known {
		more.runs++
		t.kept[next.Task]++
	} else if _, counted := t.kept[next.Task]; !counted {
		t.kept[next.Task] = 0
	}
	switch failed := known && old.Failed(); {
	case next.Failed() && !failed:
		more.failed++
	case failed && !next.Failed():
		more.failed--
	}
	t.hours[hour] = t.hours[hour].plus(more)
	if more != (hourCount{}) {
		own := namespaceHour{namespace, hour}
		t.hoursOf[own] = t.hoursOf[own].plus(more)
	}
	if opened := opens(next) - opens(old); opened != 0 {
		t.open[namespace] += opened
	}
}

// forget takes a run out of the sums that should never have been in them.
func (t *tally) forget(run *fleet.Run) {
	less := hourCount{runs: -1}
	if run.Failed() {
		less.failed--
	}
	own := namespaceHour{run.Task.Namespace(), hourOf(run)}
	t.hours[own.hour] = t.hours[own.hour].plus(less)
	t.hoursOf[own] = t.hoursOf[own].plus(less)
	t.kept[run.Task]--
	t.open[own.namespace] -= opens(run)
}

// opens counts a run that has begun and not ended; a run that is not there has
// no state.
func opens(run *fleet.Run) int {
	if run.State == "" || run.State == fleet.RunPending || run.State.Terminal() {
		return 0
	}
	return 1
}

// hourOf returns the hour in which the run's id was made; of an id that does
// not tell, the hour in which it was due.
func hourOf(run *fleet.Run) uint64 {
	made, ok := madeAt([]byte(run.ID))
	if !ok {
		made = run.Due
	}
	return hourNumber(made)
}

func hourNumber(at time.Time) uint64 { return uint64(max(0, at.Unix()/3600)) }

// write adds the sums to what is on disk and wakes who watches.
func (t *tally) write(c *change) {
	for hour, more := range sorted(t.hours) {
		addHour(c, inHours, bigEndian(hour), more)
	}
	for _, own := range slices.SortedFunc(maps.Keys(t.hoursOf), namespaceHour.compare) {
		addHour(c, inHoursOf, append(prefix(own.namespace), bigEndian(own.hour)...), t.hoursOf[own])
	}
	t.writeAccounts(c)
	for task, more := range sorted(t.kept) {
		if more != 0 {
			addKept(c, task, more)
		}
		c.notify(RunsOf(task))
	}
	if len(t.kept) == 0 {
		return
	}
	c.notify(Runs)
	c.after(func(l *Ledger) {
		for namespace, more := range t.open {
			l.memory.addOpen(namespace, more)
		}
	})
}

func (a namespaceHour) compare(b namespaceHour) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.hour, b.hour))
}

func addHour(c *change, b bucket, k []byte, more hourCount) {
	if more == (hourCount{}) {
		return
	}
	count := hourCountOf(c.get(b, k)).plus(more)
	count.failed = max(0, count.failed)
	c.put(b, k, count.bytes())
}

func (h hourCount) plus(more hourCount) hourCount {
	return hourCount{h.runs + more.runs, h.failed + more.failed}
}

func addKept(c *change, task fleet.TaskID, more int) {
	kept := int(number(c.get(inKept, key(string(task))))) + more
	if kept <= 0 {
		c.delete(inKept, key(string(task)))
		return
	}
	c.put(inKept, key(string(task)), bigEndian(uint64(kept)))
}

func (h hourCount) bytes() []byte {
	return append(bigEndian(uint64(h.runs)), bigEndian(uint64(h.failed))...)
}

func hourCountOf(data []byte) hourCount {
	if len(data) != 16 {
		return hourCount{}
	}
	return hourCount{int(binary.BigEndian.Uint64(data)), int(binary.BigEndian.Uint64(data[8:]))}
}
