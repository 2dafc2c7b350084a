package evidence

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// benchHost is a host with 200 jobs and 10 MB of syslog, of which every tenth
// line is cron's, and the report of its jobs.
func benchHost(b *testing.B) (root string, size int64, report *fleet.Report) {
	b.Helper()
	root = b.TempDir()
	must(os.MkdirAll(filepath.Join(root, "var/log"), 0o755))
	file, err := os.Create(filepath.Join(root, "var/log/syslog"))
	must(err)
	w := bufio.NewWriter(file)
	report = new(fleet.Report)
	for n := range 200 {
		command := fmt.Sprintf("/usr/local/bin/job-%d --quiet >/dev/null 2>&1", n)
		report.Jobs = append(report.Jobs, cronJob(fleet.JobID(fmt.Sprintf("%016x", n)), "*/5 * * * *", "root", command))
	}
	at := time.Now().Add(-24 * time.Hour)
	for n := 0; size < 10_000_000; n++ {
		at = at.Add(time.Second)
		line := fmt.Sprintf("%s vm systemd[1]: Started session-%d.scope - Session %d of user root, as it does all the time.\n", at.Format(time.RFC3339Nano), n, n)
		if n%10 == 0 {
			line = fmt.Sprintf("%s vm CRON[%d]: (root) CMD (%s)\n", at.Format(time.RFC3339Nano), n, report.Jobs[n/10%200].Command)
		}
		written, err := w.WriteString(line)
		must(err)
		size += int64(written)
	}
	must(w.Flush())
	must(file.Close())
	return root, size, report
}

// BenchmarkSyslog reads 10 MB of syslog for evidence, as a first reading does,
// and says how that compares with reading its lines and no more.
func BenchmarkSyslog(b *testing.B) {
	root, size, report := benchHost(b)
	var plain, evidence time.Duration
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		lines := 0
		file, err := os.Open(filepath.Join(root, "var/log/syslog"))
		must(err)
		for r := bufio.NewReaderSize(file, maxLine); ; lines++ {
			if _, err := r.ReadSlice('\n'); err != nil {
				break
			}
		}
		must(file.Close())
		plain += time.Since(began)

		began = time.Now()
		seen, err := NewReader(Config{Root: root, Zone: time.UTC, Logger: slog.New(slog.DiscardHandler)}).Read(b.Context(), report)
		if err != nil || len(seen.Jobs) != len(report.Jobs) || lines == 0 {
			b.Fatal(len(seen.Jobs), err)
		}
		evidence += time.Since(began)
	}
	b.ReportMetric(float64(evidence)/float64(plain), "x-plain-lines")
	b.ReportMetric(float64(size)*float64(b.N)/evidence.Seconds()/1e6, "MB/s-evidence")
}

// BenchmarkIdleRound is what a minute costs in which nothing was logged.
func BenchmarkIdleRound(b *testing.B) {
	root, _, report := benchHost(b)
	r := NewReader(Config{Root: root, State: filepath.Join(root, "evidence.json"), Zone: time.UTC, Logger: slog.New(slog.DiscardHandler)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(b.Context(), report); err != nil {
			b.Fatal(err)
		}
	}
}
