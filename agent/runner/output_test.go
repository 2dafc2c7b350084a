package runner

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestAFloodKeepsHeadAndTail(t *testing.T) {
	b := newBench(t)
	const quota = 1 << 20
	spec := b.spec(sh(`echo first; yes 0123456789abcdef | head -c 200000000; echo; echo last; yes x | head -c 50000 >&2`))
	spec.Limits.Output = quota
	got := b.run(spec)
	if !got.Succeeded() {
		t.Fatalf("%+v", got)
	}
	path := streamPath(taskDir(b.config.Dir, got.Task), got.ID, Stdout)
	if used := onDisk(path); used > quota+block {
		t.Errorf("%d bytes on disk, the quota is %d", used, quota)
	}
	if got.Stdout != 200000000+6+1+5 || got.Stderr != 50000 {
		t.Errorf("counted %d and %d bytes", got.Stdout, got.Stderr)
	}
	text := b.output(got.ID, Stdout)
	marker := fmt.Sprintf("\n[fleetcron: %d bytes dropped here]\n", got.Dropped)
	if !strings.HasPrefix(text, "first\n0123") || !strings.HasSuffix(text, "\nlast\n") || !strings.Contains(text, marker) {
		t.Errorf("%.40q … %q, dropped %d", text, text[len(text)-40:], got.Dropped)
	}
	if kept := int64(len(text) - len(marker)); kept+got.Dropped != got.Stdout || kept < quota/2 {
		t.Errorf("%d kept and %d dropped of %d", kept, got.Dropped, got.Stdout)
	}
	if strings.ContainsRune(text, 0) {
		t.Error("the hole was read")
	}
}

func TestOutputIsKeptAsItIs(t *testing.T) {
	b := newBench(t)
	for name, script := range map[string]string{
		"binary":           `head -c 100000 /dev/urandom | tee $COPY`,
		"one endless line": `head -c 9000000 /dev/zero | tr '\0' x | tee $COPY`,
		"nearly none":      `echo | tee $COPY`,
	} {
		t.Run(name, func(t *testing.T) {
			spec := b.spec(sh(script))
			copied := filepath.Join(t.TempDir(), "copy")
			spec.Execute.Env = map[string]string{"COPY": copied}
			got := b.run(spec)
			want, err := os.ReadFile(copied)
			if err != nil {
				t.Fatal(err)
			}
			if b.output(got.ID, Stdout) != string(want) || got.Dropped != 0 || got.Stdout != int64(len(want)) {
				t.Errorf("%d bytes, %d dropped, want %d", got.Stdout, got.Dropped, len(want))
			}
		})
	}
}

func TestFollowEndsWithTheRun(t *testing.T) {
	b := newBench(t)
	started, line := fifo(t)
	hold := filepath.Join(t.TempDir(), "hold")
	if err := unix.Mkfifo(hold, 0o600); err != nil {
		t.Fatal(err)
	}
	spec := b.spec(sh(`echo one; echo go > $STARTED; read x < $HOLD; echo two; echo else >&2`))
	spec.Execute.Env = map[string]string{"STARTED": started, "HOLD": hold}
	b.begin(spec)
	line()
	reader, _, err := b.Output(t.Context(), spec.Run.ID, View{Stream: Stdout, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	first := make([]byte, 4)
	if _, err := io.ReadFull(reader, first); err != nil || string(first) != "one\n" {
		t.Fatalf("%q %v", first, err)
	}
	write(t, hold, "\n", 0o600) // only now it goes on
	rest, err := io.ReadAll(reader)
	if err != nil || string(rest) != "two\n" {
		t.Errorf("%q %v", rest, err)
	}
	b.wait()
}

// newFile makes a stream with content, as a process that appends to it would.
func newFile(t *testing.T, quota int64) (*capture, func(int)) {
	t.Helper()
	store, err := newSpares(filepath.Join(t.TempDir(), "spare"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "stream")
	c, process, err := createCapture(store, path, quota, store.agent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.file.Close(); process.Close() })
	return c, func(n int) {
		if _, err := process.Write(bytes.Repeat([]byte{'x'}, n)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTrimmingInManySteps(t *testing.T) {
	for _, step := range []int{1000, 4096, 70_000, 1_000_000} {
		c, grow := newFile(t, 64<<10)
		for range 60 {
			grow(step)
			if _, err := c.trim(); err != nil {
				t.Fatal(err)
			}
			if used := onDisk(c.path); used > 64<<10+block {
				t.Fatalf("steps of %d: %d bytes on disk", step, used)
			}
		}
		// A later agent reads off the file what is gone.
		again, err := openCapture(c.path, 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		if again.hole != c.hole || again.hole.length() == 0 && step*60 > 64<<10 {
			t.Errorf("steps of %d: found %v, was %v", step, again.hole, c.hole)
		}
		again.file.Close()
	}
}

func TestFileSystemsWithoutHoles(t *testing.T) {
	c, grow := newFile(t, 64<<10)
	c.punch = func(int, int64, int64) error { return unix.EOPNOTSUPP }
	var written int64
	for range 10 {
		grow(50_000)
		written += 50_000
		size, err := c.trim()
		if err != nil || size != written {
			t.Fatalf("size %d of %d, %v", size, written, err)
		}
		kept, _ := c.size()
		if kept > 64<<10+50_000 || kept+c.dropped() != written {
			t.Fatalf("%d kept, %d dropped of %d", kept, c.dropped(), written)
		}
	}
}

func TestOutputSaysWhatIsWrong(t *testing.T) {
	b := newBench(t)
	if _, _, err := b.Output(t.Context(), "x", View{Stream: "stdin"}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("stream: %v", err)
	}
	if _, _, err := b.Output(t.Context(), "01937f3c-0000-7000-8000-000000000001", View{Stream: Stdout}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("unknown run: %v", err)
	}
}

func TestEmptyStreamsServeLaterRuns(t *testing.T) {
	b := newBench(t)
	silent := b.run(b.spec(fleet.Command{Argv: []string{"/bin/true"}}))
	if _, _, err := b.Output(t.Context(), silent.ID, View{Stream: Both}); fleet.KindOf(err) != fleet.NotFound || !strings.Contains(err.Error(), "wrote nothing") {
		t.Errorf("output of a silent run: %v", err)
	}
	spare := func() int { return b.spares.kept }
	if n := spare(); n != 3 {
		t.Fatalf("%d spare files, want those of two streams and of the notes", n)
	}
	loud := b.run(b.spec(sh("echo out")))
	if got := b.output(loud.ID, Both); got != "out\n" {
		t.Errorf("%q", got)
	}
	if n := spare(); n != 2 {
		t.Errorf("%d spare files, want those of stderr and of the notes", n)
	}

	// A stream that somebody may still write into is not given to another run.
	path, line := fifo(t)
	spec := b.spec(sh(`(echo $$ > $F; read x < $F; echo late) & exit 0`))
	spec.Execute.Env = map[string]string{"F": path}
	b.begin(spec)
	line()
	left := b.wait()
	if n := spare(); n != 0 {
		t.Errorf("%d spare files although a process holds them", n)
	}
	next := b.run(b.spec(sh("echo mine")))
	write(t, path, "\n", 0o600)
	reader, _, err := b.Output(t.Context(), left.ID, View{Stream: Stdout})
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	if got := b.output(next.ID, Both); got != "mine\n" {
		t.Errorf("%q", got)
	}
}

func TestRunsGoOnWhereASpareFileCannotBeUsed(t *testing.T) {
	b := newBench(t)
	b.run(b.spec(sh("true")))
	b.spares.rename = func(string, string) error { return unix.EINVAL } // ZFS before 2.2
	if got := b.run(b.spec(sh("echo hello"))); got.State != fleet.RunRan || b.output(got.ID, Stdout) != "hello\n" {
		t.Errorf("%s %s: %s", got.State, got.Reason, got.Detail)
	}
}
