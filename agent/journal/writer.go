package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// retrySpace is how long the writer waits between two tries to get space.
const retrySpace = time.Second

// request is one record on its way to the disk.
type request struct {
	record record
	done   chan error
}

// active is the segment that is written to.
type active struct {
	file    *os.File
	end     int64 // of the good frames
	size    int64
	reserve bool      // the spare segment exists
	noSpace bool      // the last try to get space failed
	tried   time.Time // when
	failed  error     // fatal; answers everything from then on
	held    []record  // outcomes that wait for space
}

// staged is a record that has its number and its place, not yet its fdatasync.
type staged struct {
	request
	sequence uint64
}

func (j *Journal) writeLoop() {
	defer close(j.stopped)
	defer j.finish()
	for {
		var again <-chan time.Time
		if len(j.active.held) > 0 {
			again = time.After(retrySpace)
		}
		select {
		case first := <-j.requests:
			j.writeBatch(j.gather(first))
		case <-again:
			j.writeBatch(nil)
		case <-j.closing:
			return
		}
	}
}

// gather takes what waits, so that one fdatasync serves all of it.
func (j *Journal) gather(first request) []request {
	batch := []request{first}
	for len(batch) < cap(j.requests) {
		select {
		case next := <-j.requests:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// finish writes what came before the journal was closed.
func (j *Journal) finish() {
	for {
		select {
		case first := <-j.requests:
			j.writeBatch(j.gather(first))
			continue
		default:
		}
		break
	}
	j.mu.Lock()
	acknowledged := j.ackNew
	j.mu.Unlock()
	if acknowledged || len(j.active.held) > 0 {
		j.writeBatch(nil)
	}
	if j.active.file != nil {
		j.active.file.Close()
	}
}

// writeBatch answers every request of the batch.
func (j *Journal) writeBatch(batch []request) {
	batch = j.withOwn(batch)
	for len(batch) > 0 && j.active.failed == nil {
		batch = j.writeSome(batch)
	}
	for _, r := range batch {
		r.answer(j.active.failed)
	}
}

// withOwn puts the journal's own records before those of the callers: held
// outcomes and the last acknowledgement.
func (j *Journal) withOwn(batch []request) []request {
	var own []request
	for _, r := range j.active.held {
		own = append(own, request{record: r})
	}
	j.active.held = nil
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ackNew {
		own = append(own, request{record: record{acknowledged: &acknowledged{Sequence: j.state.acknowledged}}})
		j.ackNew = false
	}
	return append(own, batch...)
}

// writeSome writes as much of the batch as fits into one write and returns
// the rest.
func (j *Journal) writeSome(batch []request) []request {
	var buf []byte
	var written []staged
	sequence := j.state.next // only the writer changes it
	taken := 0
	for _, r := range batch {
		if len(buf) > maxBatch {
			break
		}
		owed, err := j.admit(r.record)
		if err != nil {
			if errors.Is(err, ErrFull) && r.record.settles() {
				j.hold(r.record)
			}
			r.answer(err)
			taken++
			continue
		}
		longer, err := appendFrame(buf, sequence, r.record)
		if err != nil {
			r.answer(err)
			taken++
			continue
		}
		if j.active.end+int64(len(longer)) > j.active.size {
			if len(written) > 0 {
				break
			}
			if err := j.rotate(owed); err != nil {
				j.refuse(r, err)
				taken++
			}
			return batch[taken:] // again, in the new segment or without it
		}
		buf, written = longer, append(written, staged{r, sequence})
		sequence++
		taken++
	}
	if len(written) > 0 {
		j.commit(buf, written)
	}
	return batch[taken:]
}

// admit says why a record must not be written, and whether it is owed: it says
// what became of a run that began, and there is room kept for it. Everything
// else about runs needs space of its own, and nothing begins before the
// outcomes of older instants that wait for it.
func (j *Journal) admit(r record) (owed bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.watermark != nil && len(j.active.held) > 0 {
		return false, ErrFull // not before the outcomes of instants that it follows
	}
	if err := j.state.allows(r); err != nil || r.run == nil {
		return false, err
	}
	_, owed = j.state.open[r.run.Run.ID]
	owed = owed && !r.begins() // which says again that it waits, or only now begins
	if !owed && (r.begins() && len(j.active.held) > 0 || !j.hasSpace()) {
		return false, ErrFull
	}
	return owed, nil
}

// hasSpace reports whether something may begin: there must be a spare segment
// for its outcome. The caller holds mu.
func (j *Journal) hasSpace() bool {
	full := !j.active.reserve || j.active.noSpace || j.bytes() >= j.options.MaxBytes
	if full && time.Since(j.active.tried) >= retrySpace {
		j.secureReserve()
		full = !j.active.reserve || j.bytes() >= j.options.MaxBytes
		j.active.noSpace = !j.active.reserve
	}
	j.stats.Full = full
	return !full
}

// commit makes the frames durable and only then takes them into the state.
func (j *Journal) commit(buf []byte, written []staged) {
	_, err := j.options.write(j.active.file, buf, j.active.end)
	if err == nil {
		err = j.options.sync(j.active.file)
	}
	if noSpace(err) {
		j.active.noSpace, j.active.tried = true, time.Now()
		for _, s := range written {
			j.refuse(s.request, err)
		}
		return
	}
	if err != nil {
		j.fail(err)
	} else {
		j.accept(int64(len(buf)), written)
	}
	for _, s := range written {
		s.answer(err)
	}
}

func (j *Journal) accept(bytes int64, written []staged) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.active.end += bytes
	current := &j.segments[len(j.segments)-1]
	for _, s := range written {
		j.state.step(s.sequence, s.record)
		if s.record.run != nil || s.record.watermark != nil {
			current.lastRun = s.sequence
			j.signal()
		}
	}
	j.stats.Held = len(j.active.held)
}

// fail ends the journal for good.
func (j *Journal) fail(err error) {
	j.active.failed = err
	j.options.Fatal(err)
}

// refuse answers a record for which there was no space. Outcomes are held.
func (j *Journal) refuse(r request, err error) {
	if !noSpace(err) {
		if j.active.failed == nil {
			j.fail(err)
		}
		r.answer(err)
		return
	}
	if r.record.settles() {
		j.hold(r.record)
	}
	r.answer(ErrFull)
}

// hold keeps an outcome in memory. Instants missed or skipped for the same
// reason in a row become one range, so that a long outage of the disk costs few
// records per task.
func (j *Journal) hold(r record) {
	switch {
	case r.memo != nil: // only the newest of a task counts
		j.active.held = slices.DeleteFunc(j.active.held, func(h record) bool { return h.memo != nil && h.memo.Task == r.memo.Task })
	case r.run != nil && j.widen(r):
		return
	}
	j.active.held = append(j.active.held, r)
	j.mu.Lock()
	j.stats.Held = len(j.active.held)
	j.mu.Unlock()
}

// widen lets the outcome of the task that is held last tell of this one, too, if
// it can. A run that is open gets its own: somebody waits for it.
func (j *Journal) widen(r record) bool {
	if _, open := j.state.open[r.run.Run.ID]; open {
		return false
	}
	for i := len(j.active.held) - 1; i >= 0; i-- {
		held := &j.active.held[i]
		if held.watermark != nil && held.watermark.Task == r.run.Run.Task {
			return false
		}
		if held.run == nil || held.run.Run.Task != r.run.Run.Task || held.run.Run.Order != "" {
			continue
		}
		earlier := &held.run.Run
		if _, open := j.state.open[earlier.ID]; open || !extends(earlier, &r.run.Run) {
			return false // the order on disk is that of the instants
		}
		earlier.Until = lastOf(&r.run.Run)
		earlier.Count = max(1, earlier.Count) + max(1, r.run.Run.Count)
		return true
	}
	return false
}

func extends(earlier, later *compact.Run) bool {
	return earlier.State == later.State && (later.State == fleet.RunMissed || later.State == fleet.RunSkipped) &&
		earlier.Generation == later.Generation && earlier.Reason == later.Reason &&
		later.Order == "" && later.Due > lastOf(earlier)
}

// rotate makes the next segment, from the spare one if it must be and the
// record to come is owed.
func (j *Journal) rotate(owed bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	full := j.active.noSpace && time.Since(j.active.tried) < retrySpace
	if full && !(owed && j.active.reserve) {
		return unix.ENOSPC
	}
	first := j.state.next
	content, err := appendFrame(header(j.id, first), first, record{checkpoint: j.state.checkpoint(time.Now(), j.wanted)})
	if err != nil {
		return err
	}
	size := segmentSize(len(content))
	name := segmentName(first)
	if full {
		err = unix.ENOSPC
	} else if err = j.options.create(j.dir, name, content, size); noSpace(err) {
		j.active.noSpace, j.active.tried = true, time.Now()
	}
	if noSpace(err) {
		j.stats.Full = true
		if !owed || !j.active.reserve {
			return err
		}
		if size, err = j.useReserve(name, content); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	j.state.next = first + 1
	j.segments = append(j.segments, segment{path: filepath.Join(j.dir, name), first: first, size: size})
	j.secureReserve()
	j.compact()
	return j.resume(len(content))
}

// segmentSize leaves room for records behind a large checkpoint.
func segmentSize(content int) int64 { return segmentBytes + 2*int64(content)&^(segmentBlock-1) }

// resume opens the last segment for writing from end on.
func (j *Journal) resume(end int) error {
	current := &j.segments[len(j.segments)-1]
	file, err := os.OpenFile(current.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if j.active.file != nil {
		j.active.file.Close()
	}
	j.active.file, j.active.end, j.active.size = file, int64(end), current.size
	return nil
}

// useReserve turns the spare segment into the next one: its blocks are there.
func (j *Journal) useReserve(name string, content []byte) (int64, error) {
	path := filepath.Join(j.dir, reserveName)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		return 0, err
	}
	if err := file.Sync(); err != nil {
		return 0, err
	}
	j.active.reserve = false
	if err := os.Rename(path, filepath.Join(j.dir, name)); err != nil {
		return 0, err
	}
	return info.Size(), durable.SyncDir(j.dir)
}

// secureReserve makes the spare segment if it is not there.
func (j *Journal) secureReserve() {
	j.active.tried = time.Now()
	if j.active.reserve {
		return
	}
	if _, err := os.Stat(filepath.Join(j.dir, reserveName)); err == nil {
		j.active.reserve = true
		return
	}
	err := j.options.create(j.dir, reserveName, nil, segmentSize(0))
	j.active.reserve = err == nil
	if err != nil {
		j.log.Warn("journal has no spare segment, nothing begins", "error", err)
	}
}

func (r request) answer(err error) {
	if r.done != nil {
		r.done <- err
	}
}

// begins reports whether the record announces something that will need
// another record: without space it is refused.
func (r *record) begins() bool {
	return r.run != nil && (r.run.Run.State == fleet.RunBegun || r.run.Run.State == fleet.RunPending)
}

// settles reports whether the record must never be dropped.
func (r *record) settles() bool {
	return r.run != nil && !r.begins() || r.watermark != nil || r.memo != nil || r.done != nil
}
