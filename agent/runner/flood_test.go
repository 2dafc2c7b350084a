package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// flood lets a command write as fast as it can, and returns its run and the
// most that its output took on disk meanwhile.
func flood(b *bench, command string, quota fleet.Bytes) (run fleet.Run, peak int64) {
	b.t.Helper()
	spec := b.spec(sh(command))
	spec.Limits.Output = quota
	b.begin(spec)
	path := streamPath(taskDir(b.config.Dir, spec.Run.Task), spec.Run.ID, Stdout)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		select {
		case run = <-b.ended:
			return run, peak
		case <-look.C:
			peak = max(peak, onDisk(path))
		}
	}
}

// Whatever a command pours out, the disk holds little of it at any time, and
// the agent none: the bounds are wide, for hosts that have no time to look.
func TestAttack92_AFloodFillsNeitherDiskNorMemory(t *testing.T) {
	b := newBench(t)
	const size, quota = 2 << 30, 1 << 20
	for _, command := range []string{"yes | head -c 2147483648", "head -c 2147483648 /dev/zero"} { // lines, and no end of one
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run, peak := flood(b, command, quota)
		runtime.ReadMemStats(&after)
		if !run.Succeeded() || run.Stdout != size || run.Dropped < size-quota || run.Dropped >= size {
			t.Errorf("%s: %s, wrote %d, dropped %d", command, run.State, run.Stdout, run.Dropped)
		}
		if peak > size/8 {
			t.Errorf("%s: %d MiB on disk at once", command, peak>>20)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s: %d MiB were allocated", command, used>>20)
		}
		if kept := onDisk(streamPath(taskDir(b.config.Dir, run.Task), run.ID, Stdout)); kept > quota+block {
			t.Errorf("%s: %d KiB are kept", command, kept>>10)
		}
		t.Logf("%s: %d KiB on disk at once", command, peak>>10)
	}
}

// BenchmarkFlood measures how fast a command can pour out b.N GiB, beside the
// same command that writes into a plain file, and how much of it was on disk at
// once. BENCHTIME=10x is the flood of 10 GB.
func BenchmarkFlood(b *testing.B) {
	command := fmt.Sprintf("head -c %d /dev/zero", b.N<<30)
	bench := newBench(b)
	began := time.Now()
	run, peak := flood(bench, command, 10<<20)
	took := time.Since(began)
	if !run.Succeeded() {
		b.Fatalf("%s: %s", run.State, run.Detail)
	}
	b.ReportMetric(float64(peak)/(1<<20), "MiB_peak")
	b.ReportMetric(float64(b.N)/took.Seconds(), "GiB/s")
	file := filepath.Join(b.TempDir(), "file")
	began = time.Now()
	for range b.N { // one GiB at a time: this is what fills a disk
		if text, err := exec.Command("/bin/sh", "-c", "head -c 1073741824 /dev/zero > "+file).CombinedOutput(); err != nil {
			b.Fatalf("%v %s", err, text)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "floor_GiB/s")
}

// untilCut returns when the middle of a stream was cut out, by whoever looks
// after it.
func untilCut(t *testing.T, path string, least int64) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		if file, err := os.Open(path); err == nil {
			cut, err := findHole(file)
			file.Close()
			if err != nil {
				t.Fatal(err)
			}
			if cut.length() >= least {
				return
			}
		}
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatal("nobody looks after the flood")
		}
	}
}

// What a run leaves behind is held to the quota as well, and packed when it has
// ended.
func TestAFloodAfterTheEndIsBounded(t *testing.T) {
	b := newBench(t)
	up, line := fifo(t)
	on, _ := fifo(t)
	spec := b.spec(sh(`(echo $$ > $UP; yes | head -c 300000000; read x < $ON) & exit 0`))
	spec.Execute.Env = map[string]string{"UP": up, "ON": on}
	spec.Limits.Output = 1 << 20
	b.begin(spec)
	line()
	run := b.wait()
	path := streamPath(taskDir(b.config.Dir, run.Task), run.ID, Stdout)
	untilCut(t, path, 298_000_000)
	if err := b.packAll(); err != nil {
		t.Fatal(err)
	}
	if used := onDisk(path); used == 0 || used > 2<<20 {
		t.Errorf("%d KiB on disk", used>>10)
	}
	write(t, on, "\n", 0o600)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for { // until nobody has it open
		if err := b.packAll(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			break
		}
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatal("it is never packed")
		}
	}
}

// While there is no agent the guardian looks after the disk, and the next agent
// finds what it has left.
func TestAFloodWithoutAnAgentIsBounded(t *testing.T) {
	b := newBench(t)
	spec, started, hold := held(t, b, `echo first; echo $$ > $STARTED; read x < $HOLD; yes | head -c 300000000; echo last; read x < $HOLD; exit 0`)
	spec.Limits.Output = 1 << 20
	last := killedAgent(t, b, spec, fleet.RunRunning)
	started()
	write(t, hold, "\n", 0o600)
	path := streamPath(taskDir(b.config.Dir, spec.Run.Task), spec.Run.ID, Stdout)
	untilCut(t, path, 298_000_000)
	b.Attach(last.Run, last.Handle)
	write(t, hold, "\n", 0o600)
	run := b.wait()
	if run.Stdout != 300_000_011 || run.Dropped < 298_000_000 {
		t.Errorf("%s: wrote %d, dropped %d", run.State, run.Stdout, run.Dropped)
	}
	if text := b.output(run.ID, Stdout); !strings.HasPrefix(text, "first\ny\n") || !strings.HasSuffix(text, "y\nlast\n") {
		t.Errorf("%.20q … %q", text, text[max(0, len(text)-20):])
	}
}
