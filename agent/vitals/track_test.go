package vitals

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writer is a command's end of its notes.
type writer struct {
	t    testing.TB
	file *os.File
}

func newWriter(t *testing.T) (path string, w writer) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run.notes")
	return path, openNotes(t, path)
}

func openNotes(t testing.TB, path string) writer {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return writer{t, file}
}

func (w writer) write(text string) {
	w.t.Helper()
	if _, err := w.file.WriteString(text); err != nil {
		w.t.Fatal(err)
	}
}

func look(t *testing.T, track *track, last bool) page {
	t.Helper()
	p, err := track.read(last)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func lines(notes []Note) (all []string) {
	for _, note := range notes {
		line, _ := note.Line()
		all = append(all, strings.TrimSuffix(line, "\n"))
	}
	return all
}

func onDisk(t *testing.T, path string) int64 {
	t.Helper()
	var info syscall.Stat_t
	if err := syscall.Stat(path, &info); err != nil {
		t.Fatal(err)
	}
	return info.Blocks * 512
}

func TestNotesAreFollowed(t *testing.T) {
	path, w := newWriter(t)
	follow := &track{path: path}
	if p := look(t, follow, false); len(p.notes)+p.unread != 0 {
		t.Errorf("found in nothing: %+v", p)
	}
	w.write("HEARTBEAT\nPROGRESS 4")
	if diff := cmp.Diff([]string{"HEARTBEAT"}, lines(look(t, follow, false).notes)); diff != "" {
		t.Error(diff)
	}
	w.write("0 loading\nwhat?\n\nREADY")
	p := look(t, follow, false)
	if diff := cmp.Diff([]string{"PROGRESS 40 loading"}, lines(p.notes)); diff != "" || p.unread != 2 {
		t.Errorf("%s, %d unread", diff, p.unread)
	}
	w.write(" " + strings.Repeat("x", MaxNote) + "\nPROGRESS 50\nCHECKPOINT at the end")
	p = look(t, follow, false)
	if diff := cmp.Diff([]string{"PROGRESS 50"}, lines(p.notes)); diff != "" || p.unread != 1 || !strings.Contains(p.why, "at most 4096") {
		t.Errorf("%s, %d unread, %s", diff, p.unread, p.why)
	}
	if diff := cmp.Diff([]string{"CHECKPOINT at the end"}, lines(look(t, follow, true).notes)); diff != "" {
		t.Error(diff)
	}
	if err := w.file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	w.write("HEARTBEAT anew\n")
	if diff := cmp.Diff([]string{"HEARTBEAT anew"}, lines(look(t, follow, false).notes)); diff != "" {
		t.Error(diff)
	}
}

func TestAnOverlongLineInPiecesIsOneBadLine(t *testing.T) {
	path, w := newWriter(t)
	follow := &track{path: path}
	unread := 0
	for range 100 {
		w.write("PROGRESS 1 " + strings.Repeat("y", 1000))
		unread += look(t, follow, false).unread
	}
	w.write("\nHEARTBEAT\n")
	p := look(t, follow, false)
	if diff := cmp.Diff([]string{"HEARTBEAT"}, lines(p.notes)); diff != "" || unread != 1 {
		t.Errorf("%s, %d unread", diff, unread)
	}
	if len(follow.rest) > MaxNote {
		t.Errorf("%d bytes are kept of a line", len(follow.rest))
	}
}

// TestNotesTakeABoundedPartOfTheDisk writes without end, at random sizes, and
// lets agents follow one another: no line that a look had room for is lost.
func TestNotesTakeABoundedPartOfTheDisk(t *testing.T) {
	path, w := newWriter(t)
	follow := &track{path: path}
	random := rand.New(rand.NewPCG(1, 2))
	want, got := 0, 0
	for range 400 {
		for range random.IntN(30) {
			w.write(fmt.Sprintf("PROGRESS 1 %d %s\n", want, strings.Repeat("z", random.IntN(1500))))
			want++
		}
		p := look(t, follow, false)
		if p.unread != 0 {
			t.Fatalf("unread: %s", p.why)
		}
		for _, note := range p.notes {
			var number int
			if fmt.Sscan(note.Text, &number); number == got {
				got++
			} else if number > got {
				t.Fatalf("note %d came after %d", number, got-1)
			}
		}
		if bytes := onDisk(t, path); bytes > 2*trackMost {
			t.Fatalf("%d bytes on disk", bytes)
		}
		if random.IntN(20) == 0 {
			follow = &track{path: path} // a new agent
		}
	}
	if got != want || want < 1000 {
		t.Errorf("%d notes of %d", got, want)
	}
}

func TestAFloodLosesTheMiddleAndFillsNoDisk(t *testing.T) {
	path, w := newWriter(t)
	follow := &track{path: path}
	w.write(strings.Repeat("HEARTBEAT "+strings.Repeat("f", 1000)+"\n", 10_000) + "PROGRESS 99\n")
	p := look(t, follow, false)
	if n := len(p.notes); !p.flood || p.unread != 1 || n == 0 || p.notes[n-1].Percent != 99 {
		t.Errorf("%d notes, %d unread (%s), flood %v", n, p.unread, p.why, p.flood)
	}
	if bytes := onDisk(t, path); bytes > 2*trackMost {
		t.Errorf("%d bytes on disk", bytes)
	}
}

func TestNotesThatAreNoFile(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), link} {
		if p, err := (&track{path: path}).read(true); err == nil || len(p.notes) > 0 {
			t.Errorf("%s: %+v, %v", path, p, err)
		}
	}
	if p, _ := (&track{path: pipe}).read(true); len(p.notes) > 0 {
		t.Errorf("a pipe: %+v", p)
	}
}

func FuzzTrack(f *testing.F) {
	f.Add([]byte("HEARTBEAT\nPROGRESS 4"), []byte("2 x\nCHECKPOINT y"), true)
	f.Add([]byte(strings.Repeat("x", MaxNote)), []byte("\n\n\nREADY\n"), false)
	f.Fuzz(func(t *testing.T, one, two []byte, again bool) {
		dir := t.TempDir()
		whole, split := filepath.Join(dir, "whole"), filepath.Join(dir, "split")
		for path, text := range map[string][]byte{whole: append(append([]byte(nil), one...), two...), split: one} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		inOne := look(t, &track{path: whole}, true)
		pieces := &track{path: split}
		first := look(t, pieces, false)
		w, err := os.OpenFile(split, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		writer{t, w}.write(string(two))
		if again { // a new agent reads all of it
			pieces, first = &track{path: split}, page{}
		}
		second := look(t, pieces, true)
		if len(one)+len(two) > lookMost {
			return
		}
		got := append(lines(first.notes), lines(second.notes)...)
		if diff := cmp.Diff(lines(inOne.notes), got); diff != "" || inOne.unread != first.unread+second.unread {
			t.Fatalf("%s\n%d unread in one, %d in pieces", diff, inOne.unread, first.unread+second.unread)
		}
	})
}
