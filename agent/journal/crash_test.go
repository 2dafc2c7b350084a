package journal

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The format of a segment is a promise to every later version.
func TestSegmentFormatIsGolden(t *testing.T) {
	data := header("00112233445566778899aabbccddeeff", 1)
	open := compact.Of(new(run(1, fleet.RunRunning)))
	for i, r := range []record{
		{checkpoint: &checkpoint{
			Decided: map[fleet.TaskID]int64{"a/b": 1}, Orders: map[fleet.OrderID]int64{"o": 2},
			Open: []runEntry{{Run: open, Handle: []byte("h"), Sequence: 9}}, Acknowledged: 3, LastRun: 4,
		}},
		{run: &runEntry{Run: compact.Of(new(run(2, fleet.RunRan))), Handle: []byte("handle")}},
		{watermark: &watermark{Task: "a/b", Nominal: 5}},
		{acknowledged: &acknowledged{Sequence: 6}},
		{memo: &memo{Task: "a/b", Text: []byte("text")}},
		{done: &done{Order: "o", At: 7}},
	} {
		var err error
		if data, err = appendFrame(data, uint64(i+1), r); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join("testdata", "segment-1.golden")
	if *update {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, want) {
		t.Errorf("the format changed: agents could not read their journals after an upgrade\n got %x\nwant %x", data, want)
	}
}

func lastSegment(t *testing.T, dir string) (string, []byte) {
	t.Helper()
	segments, err := listSegments(dir)
	if err != nil || len(segments) == 0 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	path := segments[len(segments)-1].path
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

// frames returns where each frame of a segment begins, and the end.
func frames(data []byte) []int {
	at := []int{headerBytes}
	for {
		_, _, size, err := readFrame(data[at[len(at)-1]:])
		if err != nil {
			return at
		}
		at = append(at, at[len(at)-1]+size)
	}
}

func TestDamageCostsOnlyWhatItHits(t *testing.T) {
	for _, test := range []struct {
		name          string
		harm          func(data []byte, at []int) []byte
		kept          int // runs of five
		torn, damaged int
		aside         bool
	}{
		{"nothing", func(d []byte, at []int) []byte { return d }, 5, 0, 0, false},
		{"file cut in the last frame", func(d []byte, at []int) []byte { return d[:at[6]-3] }, 4, 1, 0, false},
		{"zeros in the last frame", func(d []byte, at []int) []byte { clear(d[at[6]-9 : at[6]]); return d }, 4, 1, 0, false},
		{"rubbish behind the last frame", func(d []byte, at []int) []byte { copy(d[at[6]:], "rubbish"); return d }, 5, 1, 0, false},
		{"flipped bit in the middle", func(d []byte, at []int) []byte { d[at[3]+20] ^= 4; return d }, 2, 0, 1, true},
		{"file cut between two frames", func(d []byte, at []int) []byte { return d[:at[4]] }, 3, 1, 0, false},
		{"zeros in the middle", func(d []byte, at []int) []byte { clear(d[at[3]:at[4]]); return d }, 2, 0, 1, true},
		{"huge length in the middle", func(d []byte, at []int) []byte { d[at[2]+7] = 0xff; return d }, 1, 0, 1, true},
		{"no checkpoint", func(d []byte, at []int) []byte { d[at[0]+20] ^= 4; return d }, 0, 0, 1, true},
		{"no header", func(d []byte, at []int) []byte { d[0] ^= 4; return d }, 0, 0, 1, true},
		{"empty file", func(d []byte, at []int) []byte { return nil }, 0, 0, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir, Options{})
			for n := 1; n <= 5; n++ {
				put(t, j, run(n, fleet.RunRan))
			}
			newest := j.Stats().Newest
			j.Close()
			path, data := lastSegment(t, dir)
			if err := os.WriteFile(path, test.harm(data, frames(data)), 0o600); err != nil {
				t.Fatal(err)
			}
			j = open(t, dir, Options{})
			got := outbox(t, j, 0)
			if len(got) != test.kept {
				t.Errorf("%d runs kept, want %d", len(got), test.kept)
			}
			if s := j.Stats(); s.Torn != test.torn || s.Damaged != test.damaged {
				t.Errorf("counted %d torn and %d damaged, want %d and %d", s.Torn, s.Damaged, test.torn, test.damaged)
			}
			aside, _ := filepath.Glob(filepath.Join(dir, "*"+damagedSuffix))
			if (len(aside) > 0) != test.aside {
				t.Errorf("set aside: %v", aside)
			}
			// It goes on, and never under a number that a collector may know.
			id := j.ID()
			put(t, j, run(6, fleet.RunRan))
			got = outbox(t, j, 0)
			last := got[len(got)-1]
			if last.Run.ID != run(6, "").ID || test.name != "nothing" && last.Sequence <= newest {
				t.Errorf("recorded as %d, the newest before was %d", last.Sequence, newest)
			}
			j.Close()
			if j = open(t, dir, Options{}); j.ID() != id || len(outbox(t, j, 0)) != test.kept+1 {
				t.Errorf("opened again: id %s, was %s; %d runs", j.ID(), id, len(outbox(t, j, 0)))
			}
		})
	}
}

// TestAgainstASlice lets a journal and a plain slice live through the same
// random life: records, acknowledgements, restarts, and crashes that tear off
// what was never synced.
func TestAgainstASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &model{t: t, dir: dir, open: map[fleet.RunID]fleet.Run{}, memos: map[fleet.TaskID]string{}}
		m.reopen()
		defer func() { m.journal.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"begin":       m.begin,
			"move":        m.move,
			"settle":      m.settle,
			"remember":    m.remember,
			"did":         m.did,
			"rotate":      m.rotate,
			"acknowledge": m.acknowledge,
			"restart":     func(*rapid.T) { m.journal.Close(); m.reopen() },
			"crash":       m.crash,
			"":            m.check,
		})
	})
}

type model struct {
	t            *rapid.T
	dir          string
	journal      *Journal
	n            int
	records      []fleet.RunRecord // every record ever made durable
	open         map[fleet.RunID]fleet.Run
	memos        map[fleet.TaskID]string
	done         []fleet.OrderID
	acknowledged uint64
}

func (m *model) reopen() {
	// Durability is not what is tested here, and syncing is slow.
	j, err := Open(m.dir, brief(Options{}))
	if err != nil {
		m.t.Fatal(err)
	}
	m.journal = j
}

func unsynced(dir, name string, content []byte, size int64) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// brief sets little space aside, too: a megabyte of zeros in each segment is what
// takes the time of a test with many. How many bytes there are is not as counted.
func brief(o Options) Options {
	o = quick(o)
	o.create = func(dir, name string, content []byte, size int64) error {
		little := int64(len(content)+segmentBytes/64) / segmentBlock * segmentBlock
		return unsynced(dir, name, content, min(size, little))
	}
	return o
}

func (m *model) put(r fleet.Run) {
	before := m.journal.Stats().Newest
	if err := m.journal.Record(m.t.Context(), r, nil); err != nil {
		m.t.Fatal(err)
	}
	sequence := m.journal.Stats().Newest
	if sequence <= before {
		m.t.Fatalf("sequence %d after %d", sequence, before)
	}
	m.records = append(m.records, fleet.RunRecord{Sequence: sequence, Run: r})
	if r.State.Terminal() {
		delete(m.open, r.ID)
	} else {
		m.open[r.ID] = r
	}
}

func (m *model) begin(t *rapid.T) {
	m.n++
	r := run(m.n, fleet.RunBegun)
	r.Detail = strings.Repeat("d", rapid.IntRange(0, 1000).Draw(t, "detail"))
	m.put(r)
}

func (m *model) move(t *rapid.T) {
	if len(m.open) == 0 {
		t.Skip("nothing is open")
	}
	r := m.open[rapid.SampledFrom(sortedKeys(m.open)).Draw(t, "run")]
	r.State = rapid.SampledFrom(fleet.RunMoves[r.State]).Draw(t, "state")
	m.put(r)
}

func (m *model) settle(t *rapid.T) {
	for range rapid.IntRange(1, 40).Draw(t, "times") {
		m.n++
		r := run(m.n, fleet.RunSkipped)
		r.Detail = strings.Repeat("s", 1000)
		m.put(r)
	}
}

func (m *model) remember(t *rapid.T) {
	task := rapid.SampledFrom([]fleet.TaskID{"default/a", "default/b", "default/@key"}).Draw(t, "task")
	text := rapid.StringN(0, 100, 300).Draw(t, "text")
	if err := m.journal.Remember(t.Context(), task, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if m.memos[task] = text; text == "" {
		delete(m.memos, task)
	}
}

func (m *model) did(t *rapid.T) {
	order := fleet.OrderID(fmt.Sprintf("01937f3c-0000-7000-9000-%012d", len(m.done)))
	if err := m.journal.Did(t.Context(), order, time.Now()); err != nil {
		t.Fatal(err)
	}
	m.done = append(m.done, order)
}

// rotate fills the directory with segments, of which the old ones become dense.
func (m *model) rotate(t *rapid.T) {
	for range rapid.IntRange(1, 2).Draw(t, "segments") {
		if err := m.journal.rotate(false); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *model) acknowledge(t *rapid.T) {
	pending := m.pending()
	if len(pending) == 0 {
		t.Skip("nothing to deliver")
	}
	m.acknowledged = rapid.SampledFrom(pending).Draw(t, "record").Sequence
	m.journal.Acknowledge(m.acknowledged)
}

// crash leaves a torn write behind what is durable.
func (m *model) crash(t *rapid.T) {
	m.journal.Close()
	segments, err := listSegments(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	path := segments[len(segments)-1].path
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := frames(data)
	tail, err := appendFrame(nil, m.journal.state.next, record{run: &runEntry{Run: compact.Of(new(run(0, fleet.RunBegun)))}})
	if err != nil {
		t.Fatal(err)
	}
	torn := tail[:rapid.IntRange(0, len(tail)-1).Draw(t, "bytes of the torn write")]
	data = append(data[:end[len(end)-1]:end[len(end)-1]], torn...)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	m.reopen()
}

// pending is what the outbox must hold: per run the newest record only.
func (m *model) pending() []fleet.RunRecord {
	newest := map[fleet.RunID]uint64{}
	for _, r := range m.records {
		newest[r.Run.ID] = r.Sequence
	}
	var pending []fleet.RunRecord
	for _, r := range m.records {
		if r.Sequence == newest[r.Run.ID] && r.Sequence > m.acknowledged {
			pending = append(pending, r)
		}
	}
	return pending
}

func (m *model) check(t *rapid.T) {
	got, err := m.journal.Outbox(m.acknowledged, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if want := m.pending(); !reflect.DeepEqual(want, got) {
		t.Fatal("outbox:", cmp.Diff(want, got))
	}
	var open []fleet.Run
	for _, r := range m.journal.OpenRuns() {
		open = append(open, r.Run)
	}
	var want []fleet.Run
	for _, id := range sortedKeys(m.open) {
		want = append(want, m.open[id])
	}
	if diff := cmp.Diff(want, open); diff != "" {
		t.Fatal("open runs:", diff)
	}
	memos := map[fleet.TaskID]string{}
	for _, task := range m.journal.Remembered() {
		memos[task] = string(m.journal.Recall(task))
	}
	if diff := cmp.Diff(m.memos, memos); diff != "" {
		t.Fatal("memos:", diff)
	}
	for _, order := range m.done {
		if !m.journal.OrderDecided(order) {
			t.Fatalf("order %s was carried out, and nobody remembers", order)
		}
	}
}
