package runner

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// nowhere records nothing: the journal is measured in its own room.
type nowhere struct{}

func (nowhere) Record(context.Context, fleet.Run, []byte) error { return nil }

// tiny builds a static program that does nothing.
func tiny(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	source := filepath.Join(dir, "tiny.c")
	if err := os.WriteFile(source, []byte("int main(void) { return 0; }\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	program := filepath.Join(dir, "tiny")
	if text, err := exec.Command("cc", "-O2", "-static", "-o", program, source).CombinedOutput(); err != nil {
		b.Logf("no C compiler, measuring with /bin/true: %v %s", err, text)
		return "/bin/true"
	}
	return program
}

const workers = 16

// BenchmarkStart measures runs per second, output files and all, beside a bare
// loop of os.StartProcess and Wait with as many workers. Their ratio is what
// counts.
func BenchmarkStart(b *testing.B) {
	program := tiny(b)
	b.Run("bare", func(b *testing.B) {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer null.Close()
		each(b, func(int) {
			p, err := os.StartProcess(program, []string{program}, &os.ProcAttr{Files: []*os.File{null, null, null}, Env: []string{}})
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := p.Wait(); err != nil {
				b.Error(err)
			}
		})
	})
	b.Run("guarded", func(b *testing.B) { benchmarkRuns(b, program) })
	b.Run("ungrouped", func(b *testing.B) { benchmarkRuns(b, program, grouped(NoCgroup)) })
	b.Run("unguarded", func(b *testing.B) { benchmarkRuns(b, program, alone) })
}

// BenchmarkText measures a text that needs no shell beside one that means the
// same and does.
func BenchmarkText(b *testing.B) {
	program := tiny(b)
	b.Run("direct", func(b *testing.B) { benchmarkCommand(b, fleet.Command{Shell: program + " one two"}) })
	b.Run("shell", func(b *testing.B) { benchmarkCommand(b, fleet.Command{Shell: program + " 'one' two"}) })
	b.Run("limits", func(b *testing.B) {
		benchmarkCommand(b, fleet.Command{Argv: []string{program}}, func(s *Spec) { s.Limits.Rlimits = map[string]uint64{"core": 0} })
	})
	b.Run("settings", func(b *testing.B) {
		benchmarkCommand(b, fleet.Command{Argv: []string{program}}, func(s *Spec) { s.Execute.Umask = "0027" })
	})
}

// benchmarkCommand starts one command again and again, as an agent would.
func benchmarkCommand(b *testing.B, command fleet.Command, change ...func(*Spec)) {
	benchmarkSpecs(b, func(bench *bench) Spec {
		spec := bench.spec(command)
		for _, c := range change {
			c(&spec)
		}
		return spec
	})
}

func benchmarkRuns(b *testing.B, program string, change ...func(*Config)) {
	benchmarkSpecs(b, func(bench *bench) Spec { return bench.spec(fleet.Command{Argv: []string{program}}) }, change...)
}

func benchmarkSpecs(b *testing.B, spec func(*bench) Spec, change ...func(*Config)) {
	ended := make(chan fleet.Run, workers)
	bench := newBench(b, append(change, func(c *Config) {
		c.Recorder, c.Ended = nowhere{}, func(run *fleet.Run) { ended <- *run }
	})...)
	ctx, stop := context.WithCancel(b.Context())
	var sweeping sync.WaitGroup
	sweeping.Go(func() { _ = bench.Run(ctx) })
	specs := make([]Spec, b.N)
	for n := range specs {
		specs[n] = spec(bench)
	}
	bench.Expect(nil, crowded) // as on a host with so many tasks
	bench.readyGuardians()
	b.ResetTimer()
	each(b, func(n int) {
		bench.begin(specs[n])
		if run := <-ended; !run.Succeeded() {
			b.Errorf("%s: %s", run.State, run.Detail)
		}
	})
	b.StopTimer()
	stop()
	sweeping.Wait()
}

// each calls do b.N times from as many goroutines as there are workers.
func each(b *testing.B, do func(n int)) {
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for n := w; n < b.N; n += workers {
				do(n)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
}
