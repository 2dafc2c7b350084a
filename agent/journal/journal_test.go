package journal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func quiet(o Options) Options {
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	return o
}

func open(t *testing.T, dir string, o Options) *Journal {
	t.Helper()
	j, err := Open(dir, quiet(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// run makes the n-th run of a task in the given state.
func run(n int, state fleet.RunState) fleet.Run {
	r := fleet.Run{
		ID: fleet.RunID(fmt.Sprintf("01937f3c-0000-7000-8000-%012d", n)), Task: "default/backup", Generation: 3,
		Host: "0123456789abcdef0123456789abcdef", Due: noon.Add(time.Duration(n) * time.Minute), Attempt: 1, State: state,
	}
	if state == fleet.RunRan {
		exit, ended := n%3, r.Due.Add(time.Second)
		r.Exit, r.Ended, r.Tail, r.Stderr = &exit, &ended, "tail of it\n", 11
	}
	return r
}

func put(t *testing.T, j *Journal, r fleet.Run) {
	t.Helper()
	if err := j.Record(t.Context(), r, []byte("handle")); err != nil {
		t.Fatal(err)
	}
}

func outbox(t *testing.T, j *Journal, after uint64) []fleet.RunRecord {
	t.Helper()
	records, err := j.Outbox(after, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestWhatIsRecordedSurvives(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	ended, running := run(1, fleet.RunRan), run(2, fleet.RunRunning)
	for _, r := range []fleet.Run{run(1, fleet.RunBegun), run(1, fleet.RunRunning), ended, run(2, fleet.RunBegun), running} {
		put(t, j, r)
	}
	if err := j.Count(t.Context(), fleet.Stint{Task: "default/other", Generation: 3, After: noon}); err != nil {
		t.Fatal(err)
	}
	id := j.ID()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = open(t, dir, Options{})
	if j.ID() != id || !id.Valid() {
		t.Errorf("id %q, was %q", j.ID(), id)
	}
	if diff := cmp.Diff([]OpenRun{{Run: running, Handle: []byte("handle")}}, j.OpenRuns()); diff != "" {
		t.Error("open runs:", diff)
	}
	// Only the newest record of each run travels.
	want := []fleet.RunRecord{
		{Sequence: 4, Run: ended}, {Sequence: 6, Run: running},
		{Sequence: 7, Stint: &fleet.Stint{Task: "default/other", Generation: 3, After: noon}},
	}
	if diff := cmp.Diff(want, outbox(t, j, 0)); diff != "" {
		t.Error("outbox:", diff)
	}
	if last, known := j.LastDecided("default/backup"); !known || !last.Equal(running.Due) {
		t.Errorf("last decided %v %v", last, known)
	}
	if last, known := j.LastDecided("default/other"); !known || !last.Equal(noon) {
		t.Errorf("watermark %v %v", last, known)
	}
	if got := j.Counted("default/other"); got != 3 {
		t.Errorf("due under generation %d, want 3", got)
	}
	if _, known := j.LastDecided("default/none"); known {
		t.Error("a task nobody knows has a last decided instant")
	}
}

// TestNothingIsHeardOfBeforeWhatWasDueEarlier reads the outbox in pieces: a begin
// travels although its end is on disk, where the end is in a later piece. Left
// out, its instant would be missing as long as those after it are known.
func TestNothingIsHeardOfBeforeWhatWasDueEarlier(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	begun, skipped, ended := run(1, fleet.RunBegun), run(2, fleet.RunSkipped), run(1, fleet.RunRan)
	for _, r := range []fleet.Run{begun, skipped, ended} {
		put(t, j, r)
	}
	first, err := j.Outbox(0, 2)
	if err != nil || len(first) != 2 || first[0].Run.State != fleet.RunBegun || first[1].Run.ID != skipped.ID {
		t.Errorf("a piece of two: %+v, %v", first, err)
	}
	if all := outbox(t, j, 0); len(all) != 2 || all[0].Run.ID != skipped.ID || all[1].Run.State != fleet.RunRan {
		t.Errorf("in one piece: %+v", all)
	}
}

func TestOrdersAreRememberedAndDoNotMoveTheSchedule(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	r := run(1, fleet.RunMissed)
	r.Order, r.Reason = "01937f3c-0000-7000-8000-00000000000a", fleet.MissedNoUser
	put(t, j, r)
	j.Close()
	j = open(t, dir, Options{})
	if !j.OrderDecided(r.Order) || j.OrderDecided("another") {
		t.Error("the order is not remembered")
	}
	if _, known := j.LastDecided(r.Task); known {
		t.Error("an order moved the schedule's watermark")
	}
}

func TestIllegalMovesAreConflicts(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	put(t, j, run(1, fleet.RunBegun))
	put(t, j, run(1, fleet.RunRunning))
	for _, r := range []fleet.Run{run(1, fleet.RunBegun), run(1, fleet.RunSkipped), run(2, fleet.RunRunning)} {
		if err := j.Record(t.Context(), r, nil); fleet.KindOf(err) != fleet.Conflict {
			t.Errorf("%s: %v", r.State, err)
		}
	}
	if got := j.Stats().Newest; got != 3 {
		t.Errorf("refused records were written: newest %d", got)
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	_, err := Open(dir, quiet(Options{}))
	if fleet.KindOf(err) != fleet.Conflict || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("got %v", err)
	}
	j.Close()
	// The file is still there, and nobody is locked out by it.
	open(t, dir, Options{})
}

func TestManyCallersShareOneSync(t *testing.T) {
	var syncs atomic.Int32
	entered, release := make(chan struct{}), make(chan struct{})
	j := open(t, t.TempDir(), Options{sync: func(*os.File) error {
		if syncs.Add(1) == 1 {
			close(entered)
			<-release
		}
		return nil
	}})
	var callers sync.WaitGroup
	callers.Go(func() { put(t, j, run(0, fleet.RunBegun)) })
	<-entered // the writer is in its first sync; everybody else must queue
	for n := 1; n <= 100; n++ {
		callers.Go(func() { put(t, j, run(n, fleet.RunBegun)) })
	}
	for len(j.requests) < 100 {
		runtime.Gosched()
	}
	close(release)
	callers.Wait()
	if got := syncs.Load(); got != 2 {
		t.Errorf("101 records took %d syncs, want 2", got)
	}
}

func TestNothingIsVisibleBeforeItIsDurable(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	j := open(t, t.TempDir(), Options{sync: func(*os.File) error {
		close(entered)
		<-release
		return nil
	}})
	done := make(chan error, 1)
	go func() { done <- j.Record(t.Context(), run(1, fleet.RunBegun), nil) }()
	<-entered
	if got := outbox(t, j, 0); len(got) != 0 {
		t.Errorf("outbox shows %d records that are not on disk", len(got))
	}
	if len(j.OpenRuns()) != 0 {
		t.Error("an open run that is not on disk")
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	<-j.Changed()
	if len(outbox(t, j, 0)) != 1 {
		t.Error("outbox lacks the durable record")
	}
}

func TestAFailedSyncIsFatalAndNeverRepeated(t *testing.T) {
	var syncs, fatals atomic.Int32
	j := open(t, t.TempDir(), Options{
		sync:  func(*os.File) error { syncs.Add(1); return unix.EIO },
		Fatal: func(error) { fatals.Add(1) },
	})
	for range 3 {
		if err := j.Record(t.Context(), run(1, fleet.RunBegun), nil); !errors.Is(err, unix.EIO) {
			t.Errorf("got %v", err)
		}
	}
	if syncs.Load() != 1 || fatals.Load() != 1 {
		t.Errorf("%d syncs and %d fatal calls, want one each", syncs.Load(), fatals.Load())
	}
	if len(j.OpenRuns()) != 0 {
		t.Error("a record counts that never became durable")
	}
}

// fullDisk is a disk that can be full.
type fullDisk struct{ full atomic.Bool }

func (d *fullDisk) create(dir, name string, content []byte, size int64) error {
	if d.full.Load() {
		return unix.ENOSPC
	}
	return writeZeroed(dir, name, content, size)
}

func (d *fullDisk) options() Options { return Options{create: d.create} }

// fill records runs until one is refused, and returns how many were taken.
func fill(t *testing.T, j *Journal) int {
	t.Helper()
	for n := 1; ; n++ {
		err := j.Record(t.Context(), run(n, fleet.RunBegun), make([]byte, 4<<10))
		if errors.Is(err, ErrFull) {
			return n - 1
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnAFullDiskNothingBeginsAndEverythingEnds(t *testing.T) {
	var disk fullDisk
	dir := t.TempDir()
	j := open(t, dir, disk.options())
	disk.full.Store(true)
	begun := fill(t, j)
	if begun < 100 || !j.Stats().Full {
		t.Fatalf("%d begun, stats %+v", begun, j.Stats())
	}
	// Their ends go to the spare segment.
	for n := 1; n <= begun; n++ {
		put(t, j, run(n, fleet.RunRan))
	}
	if err := j.Record(t.Context(), run(begun+1, fleet.RunBegun), nil); !errors.Is(err, ErrFull) {
		t.Errorf("a run began without a spare segment for its end: %v", err)
	}
	j.Close()
	disk.full.Store(false)
	j = open(t, dir, disk.options())
	if len(j.OpenRuns()) != 0 || len(outbox(t, j, 0)) != begun {
		t.Errorf("%d open, %d in the outbox, want 0 and %d", len(j.OpenRuns()), len(outbox(t, j, 0)), begun)
	}
	put(t, j, run(begun+1, fleet.RunBegun))
}

func TestOutcomesWaitInMemoryUntilThereIsSpace(t *testing.T) {
	var disk fullDisk
	j := open(t, t.TempDir(), disk.options())
	disk.full.Store(true)
	begun := fill(t, j)
	// Use up the spare segment.
	for n := 1; ; n++ {
		if n > begun {
			t.Fatal("the spare segment was not used up")
		}
		if err := j.Record(t.Context(), run(n, fleet.RunRan), make([]byte, 64<<10)); errors.Is(err, ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for n := 5001; n <= 5100; n++ {
		missed := run(n, fleet.RunMissed)
		missed.Reason = fleet.MissedJournal
		if err := j.Record(t.Context(), missed, make([]byte, 64<<10)); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	stint := fleet.Stint{Task: run(1, "").Task, Generation: 2, After: run(5100, "").Due}
	if err := j.Count(t.Context(), stint); !errors.Is(err, ErrFull) {
		t.Errorf("a stint overtook the outcomes of instants before it: %v", err)
	}
	if held := j.Stats().Held; held != 3 {
		t.Errorf("%d records held, want 3: an end, one range of 100 misses, and a stint", held)
	}
	before := j.Stats().Newest
	disk.full.Store(false)
	for j.Stats().Held > 0 { // the writer tries again by itself
		<-j.Changed()
	}
	got := outbox(t, j, before)
	if told := got[len(got)-1].Stint; told == nil || *told != stint {
		t.Errorf("the stint is not behind them: %+v", got[len(got)-1])
	}
	last := got[len(got)-2].Run
	if last.Count != 100 || !last.Due.Equal(run(5001, "").Due) || !last.Until.Equal(run(5100, "").Due) {
		t.Errorf("the range is %+v", last)
	}
}

// TestMissesLeaveTheSpareSegmentToOutcomes: what was not begun on a full disk
// must not use up the room for the outcomes of what was.
func TestMissesLeaveTheSpareSegmentToOutcomes(t *testing.T) {
	var disk fullDisk
	dir := t.TempDir()
	j := open(t, dir, disk.options())
	disk.full.Store(true)
	begun := fill(t, j)
	for n := 5001; n <= 5600; n++ {
		missed := run(n, fleet.RunMissed)
		missed.Reason, missed.Detail = fleet.MissedJournal, strings.Repeat("x", 1000)
		if n%3 == 0 {
			missed.State, missed.Reason = fleet.RunSkipped, fleet.SkippedOverlap
		}
		if err := j.Record(t.Context(), missed, make([]byte, 3<<10)); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	for n := 1; n <= begun; n++ {
		put(t, j, run(n, fleet.RunRan))
	}
	disk.full.Store(false)
	missed, last := 0, noon
	for seen := uint64(0); missed < 600; {
		for _, r := range outbox(t, j, seen) {
			seen = r.Sequence
			if r.Run.State == fleet.RunRan {
				continue
			}
			if missed += r.Run.Instants(); !r.Run.Due.After(last) {
				t.Fatalf("%s at %s comes after %s", r.Run.State, r.Run.Due, last)
			}
			if last = r.Run.Due; r.Run.Until != nil {
				last = *r.Run.Until
			}
		}
		if missed < 600 {
			<-j.Changed() // the writer tries again by itself
		}
	}
	if missed != 600 {
		t.Errorf("%d instants have an outcome, want 600", missed)
	}
}

func TestTheQuotaBoundsTheJournal(t *testing.T) {
	j := open(t, t.TempDir(), Options{MaxBytes: 3 << 20})
	begun := fill(t, j)
	for n := begun + 1; n <= begun+10000; n++ {
		missed := run(n, fleet.RunMissed)
		missed.Reason, missed.Detail = fleet.MissedJournal, strings.Repeat("x", 1000)
		if err := j.Record(t.Context(), missed, nil); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if got := j.Stats(); got.Bytes > 5<<20 {
		t.Errorf("misses made the journal grow to %d bytes", got.Bytes)
	}
}

func TestAFullDiskWithATornTailOpens(t *testing.T) {
	var disk fullDisk
	dir := t.TempDir()
	j := open(t, dir, disk.options())
	put(t, j, run(1, fleet.RunBegun))
	end := j.active.end
	j.Close()
	path, _ := lastSegment(t, dir)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("half a record"), end); err != nil {
		t.Fatal(err)
	}
	file.Close()
	disk.full.Store(true)
	j = open(t, dir, disk.options())
	put(t, j, run(1, fleet.RunRan))
	if err := j.Record(t.Context(), run(2, fleet.RunBegun), nil); !errors.Is(err, ErrFull) {
		t.Errorf("began without a spare segment: %v", err)
	}
}

func TestTheQuotaStopsBeginsUntilCollectorsCatchUp(t *testing.T) {
	j := open(t, t.TempDir(), Options{MaxBytes: 3 << 20})
	begun := fill(t, j)
	for n := 1; n <= begun; n++ {
		put(t, j, run(n, fleet.RunRan))
	}
	j.Acknowledge(j.Stats().Newest)
	if got := j.Stats(); got.Segments > 2 || got.Pending() {
		t.Errorf("after the acknowledgement: %+v", got)
	}
	put(t, j, run(begun+1, fleet.RunBegun))
}

func TestAcknowledgedSegmentsAreRemovedAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	put(t, j, run(0, fleet.RunBegun)) // stays open all the time
	var delivered []fleet.RunRecord
	for n := 1; n <= 12000; n++ {
		settled := run(n, fleet.RunSkipped)
		settled.Reason, settled.Detail = fleet.SkippedOverlap, strings.Repeat("x", 200)
		put(t, j, settled)
		if n%500 == 0 {
			after := j.Stats().Acknowledged
			batch, err := j.Outbox(after, 300)
			if err != nil {
				t.Fatal(err)
			}
			delivered = append(delivered, batch...)
			j.Acknowledge(batch[len(batch)-1].Sequence)
		}
	}
	j.Close()
	j = open(t, dir, Options{})
	for {
		after := uint64(0)
		if len(delivered) > 0 {
			after = delivered[len(delivered)-1].Sequence
		}
		batch, err := j.Outbox(after, 300)
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) == 0 {
			break
		}
		delivered = append(delivered, batch...)
	}
	if len(delivered) != 12001 {
		t.Fatalf("%d delivered, want 12001", len(delivered))
	}
	for i, d := range delivered {
		if want := run(i, "").ID; d.Run.ID != want {
			t.Fatalf("delivered[%d] is %s, want %s", i, d.Run.ID, want)
		}
	}
	j.Acknowledge(delivered[len(delivered)-1].Sequence)
	files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if len(files) > 2 || len(j.OpenRuns()) != 1 {
		t.Errorf("%d segments left, %d runs open", len(files), len(j.OpenRuns()))
	}
	if last, _ := j.LastDecided("default/backup"); !last.Equal(run(12000, "").Due) {
		t.Errorf("last decided is %v after the segments went", last)
	}
}

func TestPlanIsOneOrTheOther(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	if plan, err := j.LoadPlan(); plan != nil || err != nil {
		t.Errorf("a plan from nowhere: %v %v", plan, err)
	}
	want := &fleet.Plan{Host: "h", Index: 7, Assignments: []fleet.Assignment{{Generation: 2, Since: noon, Document: []byte("x")}}}
	for range 2 {
		if err := j.SavePlan(want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := j.LoadPlan()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	path := filepath.Join(dir, planName)
	text, _ := os.ReadFile(path)
	text[len(text)-5] ^= 1
	os.WriteFile(path, text, 0o600)
	if plan, err := j.LoadPlan(); plan != nil || err != nil || j.Stats().Damaged != 1 {
		t.Errorf("a damaged plan: %v %v", plan, err)
	}
}

func TestInspectTakesNoLock(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{})
	put(t, j, run(1, fleet.RunBegun))
	seen, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	if seen.Holder != os.Getpid() || seen.Open != 1 || seen.Newest != 2 || seen.ID != j.ID() {
		t.Errorf("%+v", seen)
	}
	j.Close()
	if seen, err = Inspect(dir); err != nil || seen.Holder != 0 {
		t.Errorf("holder %d, %v", seen.Holder, err)
	}
}
