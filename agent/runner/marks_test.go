package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// pair is the two streams of a run as a process and an agent have them.
type pair struct {
	captures
	dir  string
	ends [2]*os.File // that the process writes to
	now  time.Time   // of the last write
}

const pairRun = "01937f3c-0000-7000-8000-00000000000a"

func newPair(t rapid.TB, dir string) *pair {
	t.Helper()
	store, err := newSpares(filepath.Join(dir, spareName))
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{dir: dir, now: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)}
	for i, to := range []**capture{&p.out, &p.err} {
		*to, p.ends[i], err = createCapture(store, streamPath(dir, pairRun, streams[i]), 64<<10, store.agent)
		if err != nil {
			t.Fatal(err)
		}
	}
	p.marks = openMarks(streamPath(dir, pairRun, marksName))
	return p
}

func (p *pair) close() {
	p.captures.close()
	for _, end := range p.ends {
		end.Close()
	}
}

// write writes at a time of its own: the kernel's steps are some milliseconds,
// within which two files have the same.
func (p *pair) write(t rapid.TB, stream int, text string) {
	t.Helper()
	p.now = p.now.Add(10 * time.Millisecond)
	_, err := p.ends[stream].WriteString(text)
	if err := errors.Join(err, os.Chtimes(p.ends[stream].Name(), p.now, p.now)); err != nil {
		t.Fatal(err)
	}
}

func (p *pair) look(t rapid.TB) {
	t.Helper()
	if _, _, err := p.trim(); err != nil {
		t.Fatal(err)
	}
}

// played returns what a reader of both gets, as lines with times or as it is.
func (p *pair) played(t rapid.TB, view View) string {
	t.Helper()
	var text strings.Builder
	var tapes []*tape
	for stream := range streams {
		content, err := openContent(streamPath(p.dir, pairRun, streams[stream]))
		if err != nil {
			t.Fatal(err)
		}
		tapes = append(tapes, &tape{content: content, stream: stream})
	}
	all, _ := readMarks(streamPath(p.dir, pairRun, marksName))
	view.Stream = Both
	pl := new(Runner).newPlayer(&text, tapes, view)
	defer pl.close()
	if err := pl.run(context.Background(), all, view.Tail, closed); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// What was written before a look comes before what was written after it,
// whatever the streams, also for an agent that comes later.
func TestStreamsAreReadInTheOrderOfTheirLooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "marks")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		p := newPair(t, dir)
		defer p.close()
		var want strings.Builder
		for n := range rapid.IntRange(1, 40).Draw(t, "writes") {
			stream := rapid.IntRange(0, 1).Draw(t, "stream")
			text := fmt.Sprintf("%s %d%s", streams[stream], n, strings.Repeat("x", rapid.IntRange(0, 2000).Draw(t, "more"))+"\n")
			p.write(t, stream, text)
			want.WriteString(text)
			p.look(t)
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				p.marks = openMarks(p.marks.path)
				p.look(t)
			}
		}
		if want.Len() > 64<<10 { // some was cut out, of each stream for itself
			return
		}
		if diff := cmp.Diff(want.String(), p.played(t, View{})); diff != "" {
			t.Error(diff)
		}
	})
}

// Without a look between them the times of the files tell the order.
func TestStreamsOfOneLookAreReadInTheOrderOfTheirTimes(t *testing.T) {
	for _, first := range []int{0, 1} {
		p := newPair(t, t.TempDir())
		p.write(t, 0, "out\n")
		p.write(t, 1, "err\n")
		began := time.Date(2026, 11, 21, 2, 0, 0, 5e6, time.UTC)
		for stream, end := range p.ends {
			at := began
			if stream != first {
				at = at.Add(time.Minute)
			}
			if err := os.Chtimes(end.Name(), at, at); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"2026-11-21T02:00:00.005Z stdout out\n2026-11-21T02:01:00.005Z stderr err\n", "2026-11-21T02:00:00.005Z stderr err\n2026-11-21T02:01:00.005Z stdout out\n"}[first]
		if got := p.played(t, View{Times: true}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if _, err := os.Stat(p.marks.path); err == nil {
			t.Error("marks were written although the files say the same")
		}
		p.look(t) // nothing is lost when the marks come later
		p.write(t, first, "more\n")
		p.look(t)
		if got := p.played(t, View{Times: true}); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " "+streams[first]+" more\n") {
			t.Errorf("%q", got)
		}
		p.close()
	}
}

func TestALineIsBrokenOffByTheOtherStream(t *testing.T) {
	p := newPair(t, t.TempDir())
	defer p.close()
	for _, step := range []struct {
		stream int
		text   string
	}{{0, "half"}, {1, "err\nor"}, {0, " whole\nnext\n"}, {1, "\n"}} {
		p.write(t, step.stream, step.text)
		p.look(t)
	}
	if got, want := p.played(t, View{}), "halferr\nor whole\nnext\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var kinds []string
	for line := range strings.Lines(p.played(t, View{Times: true})) {
		at, rest, _ := strings.Cut(line, " ")
		if written, err := time.Parse(timeLayout, at); err != nil || p.now.Sub(written).Abs() > time.Hour {
			t.Errorf("%q: %v", line, err)
		}
		kinds = append(kinds, rest)
	}
	want := []string{"stdout half\n", "stderr err\n", "stderr or\n", "stdout  whole\n", "stdout next\n", "stderr \n"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestMarksAreBounded(t *testing.T) {
	p := newPair(t, t.TempDir())
	defer p.close()
	for n := range 20_000 {
		p.write(t, n%2, fmt.Sprintln(n))
		if _, err := p.out.size(); err != nil {
			t.Fatal(err)
		}
		var now [2]mark
		for i, end := range p.ends {
			now[i], _ = lookAt(end)
			now[i].stream = i
		}
		if err := p.marks.note(now[:]...); err != nil {
			t.Fatal(err)
		}
	}
	if kept := onDisk(p.marks.path); kept > maxMarks+block {
		t.Errorf("%d bytes of marks", kept)
	}
	all, _ := readMarks(p.marks.path)
	if len(all) < 1000 || all[len(all)-1].length != p.marks.seen[1] || all[len(all)-2].length != p.marks.seen[0] {
		t.Errorf("%d marks", len(all))
	}
	var last [2]int
	for line := range strings.Lines(p.played(t, View{})) {
		var n int
		if _, err := fmt.Sscan(line, &n); err != nil {
			t.Fatal(err)
		}
		if was := last[n%2]; n < was {
			t.Fatalf("%d after %d", n, was)
		}
		last[n%2] = n
		if newer := max(last[0], last[1]) > 19_000; newer && (last[0]-last[1] > 1 || last[1]-last[0] > 1) {
			t.Fatalf("the newest lines are not in order: %v", last)
		}
	}
	if last != [2]int{19_998, 19_999} {
		t.Errorf("the last lines are %v", last)
	}
}

func TestTheTailBeginsWithALine(t *testing.T) {
	p := newPair(t, t.TempDir())
	defer p.close()
	for n := range 100 {
		p.write(t, 0, fmt.Sprintf("line %02d\n", n))
	}
	p.look(t)
	if got, want := p.played(t, View{Tail: 20}), "line 98\nline 99\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzMarks(f *testing.F) {
	at := time.UnixMicro(1_795_000_000_000_000)
	f.Add(encodeMarks([]mark{{0, 5, at}, {1, 7, at.Add(-time.Second)}, {0, 6, at.Add(time.Hour)}}, time.Time{}, [2]int64{}))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, text []byte) {
		all, size := decodeMarks(text)
		if size > int64(len(text)) {
			t.Fatalf("%d of %d bytes", size, len(text))
		}
		again, _ := decodeMarks(encodeMarks(all, time.Time{}, [2]int64{}))
		for i := range all {
			if all[i].length < 0 || all[i].length > 1<<60 || all[i].at.Year() > 200_000 || all[i].at.Year() < -200_000 {
				return // no stream is so long, and steps between such numbers do not fit
			}
		}
		if diff := cmp.Diff(all, again, cmp.AllowUnexported(mark{})); diff != "" {
			t.Error(diff)
		}
	})
}
