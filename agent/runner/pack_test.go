package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func (b *bench) packAll() error {
	dirs := map[string]bool{}
	for _, dir := range b.taskDirs() {
		dirs[dir] = true
	}
	return b.packDirs(b.t.Context(), dirs)
}

func (b *bench) read(id fleet.RunID, view View) string {
	b.t.Helper()
	reader, _, err := b.Output(b.t.Context(), id, view)
	if err != nil {
		b.t.Fatal(err)
	}
	defer reader.Close()
	text, err := io.ReadAll(reader)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func TestPackedOutputReadsAsBefore(t *testing.T) {
	b := newBench(t)
	for name, script := range map[string]string{
		"log":    `i=0; while [ $i -lt 3000 ]; do echo "line $i of a log"; [ $((i % 7)) = 0 ] && echo "warning $i" >&2; i=$((i+1)); done; head -c 20000 /dev/zero >&2`,
		"binary": `head -c 300000 /dev/urandom`,
		"flood":  `echo first; yes 0123456789abcdef | head -c 3000000; echo last; yes y | head -c 20000 >&2`,
	} {
		spec := b.spec(sh(script))
		spec.Limits.Output = 256 << 10
		run := b.run(spec)
		views := []View{{Stream: Both}, {Stream: Stdout}, {Stream: Stdout, Tail: 100}, {Stream: Stderr, Times: true}, {Stream: Both, Times: true, Tail: 5000}}
		var before []string
		for _, view := range views {
			if view.Stream == Stderr && run.Stderr == 0 {
				view.Stream = Stdout
			}
			before = append(before, b.read(run.ID, view))
		}
		_, dropped, err := b.Output(t.Context(), run.ID, View{Stream: Both})
		if err != nil {
			t.Fatal(err)
		}
		path := streamPath(taskDir(b.config.Dir, run.Task), run.ID, Stdout)
		plain := onDisk(path)
		if err := b.packAll(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: the plain file is still there", name)
		}
		if small := onDisk(path + packedSuffix); name != "binary" && small > plain/3 {
			t.Errorf("%s: %d bytes were packed into %d", name, plain, small)
		}
		for i, view := range views {
			if view.Stream == Stderr && run.Stderr == 0 {
				view.Stream = Stdout
			}
			if got := b.read(run.ID, view); got != before[i] {
				t.Errorf("%s, %+v: %d bytes instead of %d", name, view, len(got), len(before[i]))
			}
		}
		reader, after, err := b.Output(t.Context(), run.ID, View{Stream: Both})
		if err != nil {
			t.Fatal(err)
		}
		reader.Close()
		if after != dropped || after != run.Dropped {
			t.Errorf("%s: %d bytes dropped, before %d, by the record %d", name, after, dropped, run.Dropped)
		}
	}
}

// Whoever has zstd reads it without us.
func TestPackedOutputIsPlainZstd(t *testing.T) {
	b := newBench(t)
	run := b.run(b.spec(sh(`yes hello | head -c 100002`)))
	if err := b.packAll(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(streamPath(taskDir(b.config.Dir, run.Task), run.ID, Stdout) + packedSuffix)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder, err := zstd.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	if text, err := io.ReadAll(decoder); err != nil || string(text) != strings.Repeat("hello\n", 16667) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestAnInterruptedPackingLeavesThePlainFile(t *testing.T) {
	b := newBench(t)
	run := b.run(b.spec(sh(`yes hello | head -c 100002`)))
	path := streamPath(taskDir(b.config.Dir, run.Task), run.ID, Stdout)
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := p.pack(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	// A crash leaves what was begun, or both files.
	for _, left := range []string{packedSuffix + tmpSuffix, packedSuffix} {
		if err := os.WriteFile(path+left, []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := b.output(run.ID, Stdout); len(got) != 100_002 {
			t.Errorf("with %s: %d bytes", left, len(got))
		}
	}
	if err := b.packAll(); err != nil {
		t.Fatal(err)
	}
	if got := b.output(run.ID, Stdout); len(got) != 100_002 {
		t.Errorf("packed: %d bytes", len(got))
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("%v is left", left)
	}
}

func TestWhatMayStillBeWrittenIsNotPacked(t *testing.T) {
	b := newBench(t)
	path, line := fifo(t)
	spec := b.spec(sh(`yes hello | head -c 100002; (echo $$ > $F; read x < $F; echo late) & exit 0`))
	spec.Execute.Env = map[string]string{"F": path}
	b.begin(spec)
	line()
	run := b.wait()
	stream := streamPath(taskDir(b.config.Dir, run.Task), run.ID, Stdout)
	if err := b.packAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stream); err != nil {
		t.Error("packed under the hands of a process that still writes")
	}
	write(t, path, "\n", 0o600)
	small := b.run(b.spec(sh("echo small")))
	if err := b.packAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(streamPath(taskDir(b.config.Dir, small.Task), small.ID, Stdout)); err != nil {
		t.Error("a small stream was packed, which saves nothing")
	}
}

func FuzzPacked(f *testing.F) {
	path := filepath.Join(f.TempDir(), "stream")
	if err := os.WriteFile(path, bytes.Repeat([]byte("line\n"), 10_000), 0o600); err != nil {
		f.Fatal(err)
	}
	p, err := newPacker()
	if err != nil {
		f.Fatal(err)
	}
	if err := p.pack(f.Context(), path); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(path + packedSuffix)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:20])
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path+packedSuffix, text, 0o600); err != nil {
			t.Fatal(err)
		}
		content, err := openContent(path)
		if err != nil {
			return
		}
		one := &tape{content: content, to: io.Discard}
		defer one.Close()
		now, err := one.look()
		if err != nil || now.length > 1<<30 {
			return
		}
		_ = one.play(now.length) // an error, or the text; no panic and no end that never comes
	})
}

// BenchmarkPack says what packing saves and costs, by the size of the stream.
func BenchmarkPack(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{4 << 10, 8 << 10, 16 << 10, 64 << 10, 1 << 20, 10 << 20} {
		var log bytes.Buffer
		for log.Len() < size {
			fmt.Fprintf(&log, "2026-11-21T02:%02d:%02d worker-%d INFO copied /srv/data/%08x/part-%05d.parquet in %d ms\n", random.IntN(60), random.IntN(60), random.IntN(8), random.Uint32(), random.IntN(99999), random.IntN(5000))
		}
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			p, err := newPacker()
			if err != nil {
				b.Fatal(err)
			}
			path := filepath.Join(b.TempDir(), "stream")
			var before, after int64
			for b.Loop() {
				b.StopTimer()
				if err := os.WriteFile(path, log.Bytes()[:size], 0o600); err != nil {
					b.Fatal(err)
				}
				before = onDisk(path)
				b.StartTimer()
				if err := p.pack(b.Context(), path); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				after = onDisk(path + packedSuffix)
				b.StartTimer()
			}
			b.ReportMetric(float64(before)/1024, "KiB-before")
			b.ReportMetric(float64(after)/1024, "KiB-after")
		})
	}
}
