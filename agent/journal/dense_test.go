package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// handleText is as long as that of a run with a retry policy and a guardian.
var handleText = []byte(`{"boot":"5f4f5605-3c5c-4e5a-9d8e-6a6f9d0b7a11","pid":1234567,"start":98765432,"timeout":1800000000000,"grace":10000000000,"quota":10485760,"retry":{"attempts":3,"base":"1s"},"first":"2026-11-21T12:00:00.123456789Z","guard":{"pid":1234560,"start":98765400,"book":"book-0123456789"}}`)

// life returns the records of one run that is due every second: what an agent
// writes of it.
func life(n int, failed bool) []fleet.Run {
	due := noon.Add(time.Duration(n) * time.Second)
	random := rand.New(rand.NewPCG(7, uint64(n)))
	began := due.Add(time.Duration(random.Int64N(int64(5 * time.Millisecond))))
	ended := began.Add(time.Duration(random.Int64N(int64(time.Second))))
	id := fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", uint32(due.UnixMilli()>>16), uint16(due.UnixMilli()), random.Uint32()&0xfff, random.Uint32()&0xfff, random.Uint64()&0xffffffffffff)
	begun := fleet.Run{
		ID: fleet.RunID(id), Task: "data/measure-once-a-second", Generation: 3, Host: "0123456789abcdef0123456789abcdef",
		Due: due, Attempt: 1, State: fleet.RunBegun,
	}
	running := begun
	running.State, running.Started, running.PID = fleet.RunRunning, &began, 1000+random.IntN(1<<22)
	over := running
	exit := 0
	over.State, over.Ended, over.Exit, over.Stdout = fleet.RunRan, &ended, &exit, int64(random.IntN(5000))
	over.Used = fleet.Used{CPU: fleet.Duration(random.Int64N(int64(time.Second))), Memory: fleet.Bytes(random.IntN(1 << 28)), Read: fleet.Bytes(random.IntN(1 << 24)), Written: fleet.Bytes(random.IntN(1 << 24))}
	if failed {
		exit = 1
		over.Stderr = 5000
		over.Tail = strings.Repeat(fmt.Sprintf("%s error: connection to db-%d.example.org:5432 refused after %d ms\n", due.Format(time.RFC3339), random.IntN(20), random.IntN(10000)), 8)[:fleet.MaxTail]
	}
	return []fleet.Run{begun, running, over}
}

// settled waits until all that may be dense is.
func settled(t interface{ Fatal(...any) }, j *Journal) {
	for late := time.After(2 * time.Minute); ; {
		if _, loose := j.loose(); !loose {
			return
		}
		select {
		case <-late:
			t.Fatal("segments are not made dense")
		case <-time.After(time.Millisecond):
		}
	}
}

func quick(o Options) Options {
	// Durability is not what is tested there, and syncing is slow.
	o.sync, o.create = func(*os.File) error { return nil }, unsynced
	o.place = func(path string, content []byte) error { return os.WriteFile(path, content, 0o600) }
	return quiet(o)
}

// TestThirtyDaysAlone measures what an outcome takes that nobody comes for, and
// how much of them stays in memory.
func TestThirtyDaysAlone(t *testing.T) {
	const outcomes, month = 6000, 30 * 24 * 3600
	for _, failed := range []bool{false, true} {
		j, err := Open(t.TempDir(), quick(Options{}))
		if err != nil {
			t.Fatal(err)
		}
		written := 0
		for n := range outcomes {
			for i, r := range life(n, failed) {
				handle := handleText
				if i == 2 {
					handle = nil
				}
				if err := j.Record(t.Context(), r, handle); err != nil {
					t.Fatal(err)
				}
				written++
			}
		}
		settled(t, j)
		stats := j.Stats()
		// The newest segments are not dense; over a month they do not count.
		dense, covered := int64(0), uint64(0)
		for _, s := range j.segments {
			if s.dense {
				dense += s.size
				covered = s.lastRun
			}
		}
		each := float64(dense) / (float64(covered) / float64(stats.Newest) * outcomes)
		t.Logf("failed %v: %.0f bytes an outcome; one a second for 30 days takes %.0f MiB (%d records, %d segments, %d KiB)",
			failed, each, each*month/(1<<20), written, stats.Segments, stats.Bytes>>10)
		if each*month > 1<<30 {
			t.Errorf("failed %v: 30 days take %.0f MiB, want at most 1024", failed, each*month/(1<<20))
		}
		got := outbox(t, j, 0)
		if len(got) != outcomes {
			t.Errorf("failed %v: %d outcomes travel, want %d", failed, len(got), outcomes)
		}
		for n, r := range got {
			if want := life(n, failed)[2]; r.Run.ID != want.ID || r.Run.State != fleet.RunRan {
				t.Fatalf("outcome %d is %+v", n, r.Run)
			}
		}
		j.Close()
	}
}

// TestWhatIsDenseIsHeardInOrder reads random lives of several tasks in random
// pieces: nobody hears of an instant before he has heard of all that were decided
// before it, and in the end everything was told as it was.
func TestWhatIsDenseIsHeardInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		j, err := Open(dir, brief(Options{}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { j.Close() }()
		open := map[fleet.RunID]fleet.Run{}
		last := map[fleet.RunID]fleet.RunState{}
		order := map[fleet.TaskID][]fleet.RunID{} // as decided
		for n := range rapid.IntRange(5, 60).Draw(t, "steps") {
			var r fleet.Run
			if ids := sortedKeys(open); len(ids) > 0 && rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				r = open[rapid.SampledFrom(ids).Draw(t, "run")]
				r.State = rapid.SampledFrom(fleet.RunMoves[r.State]).Draw(t, "state")
			} else {
				r = run(n, rapid.SampledFrom([]fleet.RunState{fleet.RunBegun, fleet.RunSkipped, fleet.RunPending}).Draw(t, "state"))
				r.Task = rapid.SampledFrom([]fleet.TaskID{"default/a", "default/b"}).Draw(t, "task")
				order[r.Task] = append(order[r.Task], r.ID)
			}
			if err := j.Record(t.Context(), r, nil); err != nil {
				t.Fatal(err)
			}
			last[r.ID] = r.State
			if open[r.ID] = r; r.State.Terminal() {
				delete(open, r.ID)
			}
			if rapid.IntRange(0, 19).Draw(t, "rotate") == 0 {
				if err := j.rotate(false); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range denseAfter {
			if err := j.rotate(false); err != nil {
				t.Fatal(err)
			}
		}
		settled(t, j)
		heard, state := map[fleet.TaskID]map[fleet.RunID]bool{"default/a": {}, "default/b": {}}, map[fleet.RunID]fleet.RunState{}
		for after := uint64(0); ; {
			piece, err := j.Outbox(after, rapid.IntRange(1, 5).Draw(t, "limit"))
			if err != nil {
				t.Fatal(err)
			}
			if len(piece) == 0 {
				break
			}
			for _, r := range piece {
				heard[r.Run.Task][r.Run.ID] = true
				state[r.Run.ID] = r.Run.State
				after = r.Sequence
			}
			for task, ids := range order {
				gap := false
				for _, id := range ids {
					if gap = gap || !heard[task][id]; gap && heard[task][id] {
						t.Fatalf("%s is heard of before an earlier one of %s", id, task)
					}
				}
			}
		}
		if diff := cmp.Diff(last, state); diff != "" {
			t.Fatal(diff)
		}
	})
}

// filled is a journal with dense segments, and its outbox.
func filled(t *testing.T, dir string) (*Journal, []fleet.RunRecord) {
	t.Helper()
	j, err := Open(dir, quick(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		for _, r := range life(n, true) {
			put(t, j, r)
		}
		if err := j.rotate(false); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, j)
	return j, outbox(t, j, 0)
}

func denseFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+denseSuffix))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	return files
}

func TestDenseSegmentsAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	j, want := filled(t, dir)
	files := denseFiles(t, dir)
	stats := j.Stats()
	j.Close()
	// A crash before the other form was removed.
	loose := strings.TrimSuffix(files[1], denseSuffix) + segmentSuffix
	if err := os.WriteFile(loose, []byte("the segment as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, freshName+denseSuffix), []byte("half of on"), 0o600); err != nil {
		t.Fatal(err)
	}
	seen, err := Inspect(dir)
	if err != nil || seen.Damaged+seen.Torn != 0 || seen.Newest != stats.Newest {
		t.Errorf("inspected %+v, %v", seen, err)
	}
	j, err = Open(dir, quick(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if diff := cmp.Diff(want, outbox(t, j, 0)); diff != "" {
		t.Error(diff)
	}
	if s := j.Stats(); s.Damaged+s.Torn != 0 || s.Bytes != stats.Bytes {
		t.Errorf("%+v, were %+v", s, stats)
	}
	for _, path := range []string{loose, filepath.Join(dir, freshName+denseSuffix)} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	j.Acknowledge(want[len(want)-1].Sequence)
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+denseSuffix)); len(left) != 0 {
		t.Errorf("acknowledged and left: %v", left)
	}
}

func TestADamagedDenseSegmentCostsOnlyItself(t *testing.T) {
	for name, harm := range map[string]func([]byte) []byte{
		"cut":     func(d []byte) []byte { return d[:len(d)/2] },
		"header":  func(d []byte) []byte { d[3] ^= 1; return d },
		"body":    func(d []byte) []byte { d[len(d)/2] ^= 0x10; return d },
		"empty":   func(d []byte) []byte { return nil },
		"last":    func(d []byte) []byte { d[headerBytes] ^= 1; return d },
		"no body": func(d []byte) []byte { return d[:denseBytes] },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j, want := filled(t, dir)
			newest := j.Stats().Newest
			j.Close()
			path := denseFiles(t, dir)[1]
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, harm(bytes.Clone(data)), 0o600); err != nil {
				t.Fatal(err)
			}
			damaged, lost := 0, false
			for range 2 { // it costs no more the second time
				if j, err = Open(dir, quick(Options{})); err != nil {
					t.Fatal(err)
				}
				got := outbox(t, j, 0)
				if len(got) < len(want)-1 || j.Stats().Newest != newest {
					t.Errorf("%d of %d outcomes are left, newest %d, was %d", len(got), len(want), j.Stats().Newest, newest)
				}
				damaged, lost = damaged+j.Stats().Damaged, lost || len(got) < len(want)
				j.Close()
			}
			if lost && damaged == 0 {
				t.Error("nobody noticed")
			}
		})
	}
}

// TestADrainMeetsTheCompactor delivers in small pieces while segments become
// dense under its hands.
func TestADrainMeetsTheCompactor(t *testing.T) {
	j, err := Open(t.TempDir(), quick(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	const outcomes = 4000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range outcomes {
			for _, r := range life(n, true) {
				if err := j.Record(t.Context(), r, handleText); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	var heard []fleet.RunID
	after := uint64(0)
	for over := false; ; {
		records, err := j.Outbox(after, 37)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Run.State.Terminal() {
				heard = append(heard, r.Run.ID)
			}
			after = r.Sequence
		}
		if len(heard)%3 == 0 {
			j.Acknowledge(after)
		}
		if len(records) > 0 {
			continue
		}
		if over {
			break
		}
		select {
		case <-done:
			over = true
		case <-j.Changed():
		}
	}
	if len(heard) != outcomes {
		t.Errorf("heard of %d outcomes, want %d", len(heard), outcomes)
	}
	for n, id := range heard {
		if id != life(n, true)[2].ID {
			t.Fatalf("outcome %d is %s", n, id)
		}
	}
}

// BenchmarkDrain measures how fast outcomes of a long outage are read and
// acknowledged, and what memory they hold meanwhile.
func BenchmarkDrain(b *testing.B) {
	const outcomes = 50_000
	for b.Loop() {
		b.StopTimer()
		j, err := Open(b.TempDir(), quick(Options{}))
		if err != nil {
			b.Fatal(err)
		}
		for n := range outcomes {
			for i, r := range life(n, false) {
				if err := j.Record(b.Context(), r, handleText[:len(handleText)*min(1, 2-i)]); err != nil {
					b.Fatal(err)
				}
			}
		}
		settled(b, j)
		runtime.GC()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		b.ReportMetric(float64(memory.HeapAlloc)/(1<<20), "MiB-heap")
		b.ReportMetric(float64(j.Stats().Bytes)/outcomes, "B/outcome")
		b.StartTimer()
		begin, n := time.Now(), 0
		for after := uint64(0); ; {
			records, err := j.Outbox(after, 1000)
			if err != nil {
				b.Fatal(err)
			}
			if len(records) == 0 {
				break
			}
			n += len(records)
			after = records[len(records)-1].Sequence
			j.Acknowledge(after)
		}
		b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "outcomes/s")
		b.StopTimer()
		if n < outcomes {
			b.Fatalf("%d of %d", n, outcomes)
		}
		j.Close()
		b.StartTimer()
	}
}

// FuzzDense reads whatever lies where a dense segment should.
func FuzzDense(f *testing.F) {
	head := headerOf(denseMagic, "00112233445566778899aabbccddeeff", 1)
	r, err := appendFrame(nil, 7, record{done: &done{Order: "o"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(denseOf("00112233445566778899aabbccddeeff", 1, 7, r))
	f.Add(head)
	f.Add(append(slices.Clone(head), r...))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "x"+denseSuffix)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := readSegment(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > maxDense+headerBytes+1 {
			t.Fatalf("%d bytes", len(data))
		}
		end, _, _ := scan(data, func(uint64, []byte) error { return nil })
		if end > len(data) {
			t.Fatalf("end %d of %d", end, len(data))
		}
	})
}
