package journal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// ErrFull says that a record could not be made durable because there is no
// space. Nothing may begin then. An outcome that gets it is kept in memory and
// written as soon as there is space again.
var ErrFull = errors.New("journal is full: no space left for a new record")

// errClosed is what a closed journal answers.
var errClosed = errors.New("journal is closed")

const (
	segmentBytes = 1 << 20
	segmentBlock = 4096      // the size of a segment is a multiple of it
	maxBatch     = 256 << 10 // bytes that share one fdatasync
)

// Options tune a journal. The zero value works.
type Options struct {
	// MaxBytes bounds all segments together; zero: 1 GiB. Beyond it nothing
	// begins until a collector has acknowledged enough.
	MaxBytes int64
	// Fatal is called once, with the journal's lock held by nobody, when a
	// write could not be made durable for another reason than space. The
	// process must end: repeating an fsync would lie. Nil: log and exit 1.
	Fatal  func(error)
	Logger *slog.Logger // nil: slog.Default

	// The disk, so that tests can fill and break it.
	create func(dir, name string, content []byte, size int64) error
	write  func(*os.File, []byte, int64) (int, error)
	sync   func(*os.File) error
	place  func(path string, content []byte) error
}

// Stats are a journal's counters.
type Stats struct {
	ID           fleet.JournalID
	Newest       uint64 // sequence of the newest record that travels
	Acknowledged uint64 // what the collectors have, up to here
	Open         int    // runs begun and not ended
	Segments     int
	Bytes        int64
	Torn         int  // tails cut when it was opened
	Damaged      int  // segments set aside in part or whole when it was opened
	Held         int  // outcomes that wait in memory for space
	Full         bool // nothing begins
}

// Pending reports whether records wait for a collector.
func (s Stats) Pending() bool { return s.Newest > s.Acknowledged }

// OpenRun is a run that was begun and not ended, with the handle that its keeper
// gave last.
type OpenRun struct {
	Run    fleet.Run
	Handle []byte
}

// Journal is an open journal; its methods may be called from any goroutine.
type Journal struct {
	dir      string
	id       fleet.JournalID
	options  Options
	log      *slog.Logger
	lock     *os.File
	requests chan request
	changed  chan struct{}
	stopped  chan struct{} // closed when the writer has ended
	closing  chan struct{}
	closed   sync.Once

	compacts  chan struct{} // holds one when a segment may be made dense
	compacted chan struct{} // closed when none is any more

	// mu guards what the writer changes and others read.
	mu       sync.Mutex
	state    *state
	segments []segment // in order; the last one is written to
	stats    Stats     // Torn, Damaged, Held and Full only
	ackNew   bool      // acknowledged since the last write
	cursor   cursor
	wanted   map[fleet.OrderID]bool // orders of the saved plan; nil: not known

	// active is the end of the last segment; only the writer uses it.
	active active
}

// Open opens the journal in dir and creates it when there is none. Only one
// process can have it open: for any other, and as long as it lives, the answer
// is a Conflict.
func Open(dir string, options Options) (*Journal, error) {
	options = options.withDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		dir: dir, options: options, log: options.Logger, lock: lock,
		requests: make(chan request, 1024),
		changed:  make(chan struct{}, 1),
		stopped:  make(chan struct{}),
		closing:  make(chan struct{}),
		state:    newState(),

		compacts: make(chan struct{}, 1), compacted: make(chan struct{}),
	}
	if err := j.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open journal %s: %w", dir, err)
	}
	if j.Stats().Pending() {
		j.signal()
	}
	go j.writeLoop()
	go j.compactLoop()
	j.compact()
	return j, nil
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Fatal == nil {
		log := o.Logger
		o.Fatal = func(err error) {
			log.Error("journal cannot be written, ending", "error", err)
			os.Exit(1)
		}
	}
	if o.sync == nil {
		o.sync = fdatasync
	}
	if o.write == nil {
		o.write = (*os.File).WriteAt
	}
	if o.place == nil {
		o.place = placeDense
	}
	if o.create == nil {
		o.create = writeZeroed
	}
	return o
}

// load reads the segments and leaves the last one ready to be written.
func (j *Journal) load() error {
	os.Remove(filepath.Join(j.dir, freshName))
	os.Remove(filepath.Join(j.dir, freshName+denseSuffix))
	segments, err := listSegments(j.dir)
	if err != nil {
		return err
	}
	base := newestCheckpoint(segments)
	var last loaded
	for i := range segments {
		if last, err = j.loadSegment(&segments[i], i >= base, i == len(segments)-1); err != nil {
			return err
		}
		if last.kept {
			j.segments = append(j.segments, segments[i])
		}
	}
	if j.id == "" {
		j.id = mintID()
	}
	_, missing := os.Stat(filepath.Join(j.dir, reserveName))
	j.active.reserve = missing == nil
	if n := len(j.segments); n > 0 && last.kept && last.found == intact && !j.segments[n-1].dense {
		err = j.resume(last.end)
	} else {
		err = j.rotate(true)
	}
	if err == nil {
		j.secureReserve()
	}
	return err
}

type loaded struct {
	kept  bool
	end   int
	found damage
}

// newestCheckpoint returns the place of the last segment whose checkpoint can
// be read: the state is built from there on. It is the last segment of all
// unless that one is damaged.
func newestCheckpoint(segments []segment) int {
	for i := len(segments) - 1; i > 0; i-- {
		data, err := readSegment(segments[i].path)
		if err != nil || len(data) < headerBytes {
			continue
		}
		if _, payload, _, err := readFrame(data[headerBytes:]); err == nil && payload[0] == kindCheckpoint {
			return i
		}
	}
	return 0
}

// loadSegment checks every frame of a segment and, when needed, takes its
// records into the state. The newest segment still has the size it was made
// with, the others end where they were cut.
func (j *Journal) loadSegment(seg *segment, needed, newest bool) (loaded, error) {
	if seg.dense && !needed && j.glance(seg) {
		return loaded{kept: true}, nil
	}
	data, err := readSegment(seg.path)
	if err != nil {
		return loaded{}, err
	}
	id, first, err := readHeader(data)
	if err != nil || first != seg.first || j.id != "" && id != j.id {
		j.stats.Damaged++
		j.log.Warn("journal segment set aside", "segment", seg.path)
		j.state.next = max(j.state.next, seg.first+skipped(len(data)))
		return loaded{}, os.Rename(seg.path, seg.path+damagedSuffix)
	}
	j.id, seg.size = id, int64(len(data))
	if seg.dense {
		if seg.size, err = j.sizeOf(seg); err != nil {
			return loaded{}, err
		}
	}
	j.state.next = max(j.state.next, first)
	end, next, found := scan(data, func(sequence uint64, payload []byte) error {
		if travels(payload[0]) {
			seg.lastRun = sequence
		}
		if !needed {
			return nil
		}
		r, err := decodeRecord(payload)
		if err == nil {
			j.state.step(sequence, r)
		}
		return err
	})
	if found == intact && (len(data)%segmentBlock == 0 || !newest || seg.dense) {
		return loaded{kept: true, end: end}, nil
	}
	if found == intact {
		found = torn // the file itself was cut
	}
	j.state.next = max(j.state.next, next+skipped(len(data)-end))
	return loaded{kept: end > headerBytes, end: end, found: found}, j.mend(seg, data, end, found)
}

// sizeOf returns how many bytes a dense segment takes, and removes what is left of
// its other form.
func (j *Journal) sizeOf(seg *segment) (int64, error) {
	info, err := os.Stat(seg.path)
	if err != nil {
		return 0, err
	}
	loose := strings.TrimSuffix(seg.path, denseSuffix) + segmentSuffix
	if err := os.Remove(loose); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return info.Size(), nil
}

func (j *Journal) mend(seg *segment, data []byte, end int, found damage) error {
	seg.size = int64(end)
	if found == torn {
		j.stats.Torn++
		j.log.Warn("journal tail cut", "segment", seg.path, "bytes", len(data)-end)
		return cut(seg.path, end)
	}
	j.stats.Damaged++
	j.log.Warn("journal segment damaged, the rest set aside", "segment", seg.path, "bytes", len(data)-end)
	if seg.dense {
		return seg.restore(data, end)
	}
	return setAside(seg.path, data, end)
}

func mintID() fleet.JournalID {
	raw := make([]byte, 16)
	rand.Read(raw) // never fails
	return fleet.JournalID(hex.EncodeToString(raw))
}

// ID returns the journal's identity, minted when it was created.
func (j *Journal) ID() fleet.JournalID { return j.id }

// Record makes one change of a run durable. The handle is what the run's
// keeper wants back from OpenRuns; nil keeps none. A change that RunMoves does
// not allow is a Conflict. When there is no space the answer is ErrFull.
func (j *Journal) Record(ctx context.Context, run fleet.Run, handle []byte) error {
	return j.append(ctx, record{run: &runEntry{Run: compact.Of(&run), Handle: handle}})
}

// Count notes what is due from the stint's After on, and that every instant up
// to there is decided. It travels to the collectors.
func (j *Journal) Count(ctx context.Context, stint fleet.Stint) error {
	return j.append(ctx, record{watermark: watermarkOf(&stint)})
}

// MaxMemo is how many bytes of a task are remembered: more than a daemon needs
// that crashes 500 times, whatever was said about it.
const MaxMemo = 64 << 10

// Remember keeps what the scheduler wants to know of a task in its next life, in
// place of what it said before; nothing forgets it. It does not travel. While
// there is no space the newest is kept in memory, and the answer is ErrFull.
func (j *Journal) Remember(ctx context.Context, task fleet.TaskID, text []byte) error {
	if len(text) > MaxMemo {
		return fmt.Errorf("remember %s: %d bytes, at most %d are kept of a task", task, len(text), MaxMemo)
	}
	return j.append(ctx, record{memo: &memo{Task: task, Text: text}})
}

// Recall returns what was remembered of a task last; nil: nothing.
func (j *Journal) Recall(task fleet.TaskID) []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Clone(j.state.memos[task])
}

// Remembered lists the tasks of which something is remembered, by name.
func (j *Journal) Remembered() []fleet.TaskID {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Sorted(maps.Keys(j.state.memos))
}

// Did notes that an order was carried out that has no run to show for it, so that
// OrderDecided says so. It does not travel. While there is no space it is kept in
// memory, and the answer is ErrFull.
func (j *Journal) Did(ctx context.Context, order fleet.OrderID, at time.Time) error {
	return j.append(ctx, record{done: &done{Order: order, At: at.UnixNano()}})
}

func (j *Journal) append(ctx context.Context, r record) error {
	done := make(chan error, 1)
	select {
	case j.requests <- request{record: r, done: done}:
	case <-ctx.Done():
		return ctx.Err()
	case <-j.closing:
		return errClosed
	}
	// Once it is on its way the answer is awaited, whatever ctx says: it must
	// not be on disk while the caller believes it is not.
	select {
	case err := <-done:
		return err
	case <-j.stopped:
		select {
		case err := <-done:
			return err
		default:
			return errClosed
		}
	}
}

// LastDecided returns the last nominal instant of the task's schedule that was
// begun, settled or passed over, and false when none was.
func (j *Journal) LastDecided(task fleet.TaskID) (time.Time, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	nanos, known := j.state.decided[task]
	return time.Unix(0, nanos).UTC(), known
}

// Counted returns the generation that the task is due under since the last
// stint; zero: it is not.
func (j *Journal) Counted(task fleet.TaskID) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.counted[task]
}

// Counting returns the tasks that are due since their last stints, in any order.
func (j *Journal) Counting() (tasks []fleet.TaskID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for task, generation := range j.state.counted {
		if generation != 0 {
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// OrderDecided reports whether the order was carried out or settled before.
func (j *Journal) OrderDecided(order fleet.OrderID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, known := j.state.orders[order]
	return known
}

// OpenRuns returns the runs that are begun and not ended, oldest id first.
func (j *Journal) OpenRuns() []OpenRun {
	j.mu.Lock()
	defer j.mu.Unlock()
	var runs []OpenRun
	for _, run := range j.state.openRuns() {
		runs = append(runs, OpenRun{Run: run.Run.Whole(), Handle: run.Handle})
	}
	return runs
}

// Stats returns the counters as they are now.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	stats := j.stats
	stats.ID, stats.Newest, stats.Acknowledged = j.id, j.state.lastRun, j.state.acknowledged
	stats.Open, stats.Segments = len(j.state.open), len(j.segments)
	stats.Bytes = j.bytes()
	return stats
}

// bytes sums the segments; the caller holds mu.
func (j *Journal) bytes() int64 {
	var total int64
	for i := range j.segments {
		total += j.segments[i].size
	}
	return total
}

// Changed receives when there is something new in the outbox.
func (j *Journal) Changed() <-chan struct{} { return j.changed }

func (j *Journal) signal() {
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

// compact looks for segments to be made dense.
func (j *Journal) compact() {
	select {
	case j.compacts <- struct{}{}:
	default:
	}
}

// Close writes what waits, and lets another process open the journal.
func (j *Journal) Close() error {
	j.closed.Do(func() { close(j.closing) })
	<-j.stopped
	<-j.compacted
	return j.lock.Close()
}
