package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// benchHost plants a host of 2,000 jobs in 1,000 tables, of which five each start
// a program of their own, and returns the tables. A cron is there to run them.
func benchHost(b *testing.B) (root string, files []string) {
	root = plant(b, `
-- etc/os-release --
ID=debian
-- etc/passwd --
root:x:0:0::/root:/bin/sh
www-data:x:33:33::/:/bin/sh
-- bin/sh 0755 --
-- usr/sbin/cron 0755 --
-- usr/bin/test 0755 --
-- usr/bin/poll 0755 --
`)
	dir := filepath.Join(root, "etc/cron.d")
	must(b, os.MkdirAll(dir, 0o755))
	must(b, os.MkdirAll(root+"/usr/lib/nightly", 0o755))
	for i := range 1000 {
		text := fmt.Sprintf(`# package %d: what it does by night
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# m h dom mon dow user command
%d %d * * * root [ -x /usr/lib/nightly/%d ] && /usr/lib/nightly/%d --quiet --package %d
*/15 * * * 1-5 www-data test -e /run/package-%d && /usr/bin/poll --package %d >/dev/null 2>&1
`, i, i%60, i%24, i/5, i/5, i, i, i)
		files = append(files, fmt.Sprintf("%s/package-%d", dir, i))
		must(b, os.WriteFile(files[i], []byte(text), 0o644))
		must(b, os.WriteFile(fmt.Sprintf("%s/usr/lib/nightly/%d", root, i/5), []byte("#!/bin/sh\n"), 0o755))
	}
	return root, files
}

// BenchmarkScan scans that host and compares with only reading the bytes of its
// tables, in the same run, turn by turn. Of each the best turn counts, which is
// the one that other work on the machine disturbed least.
func BenchmarkScan(b *testing.B) {
	benchScan(b, func(files []string) {
		for _, file := range files {
			_, err := os.ReadFile(file)
			must(b, err)
		}
	}, "scan/read", func(root string) *Scanner { return NewScanner(root, Options{Now: noon}) })
}

// BenchmarkRescan scans it again and again while nothing changes, and compares
// with only looking at when each table was changed.
func BenchmarkRescan(b *testing.B) {
	var scanner *Scanner
	benchScan(b, func(files []string) {
		for _, file := range files {
			_, err := os.Lstat(file)
			must(b, err)
		}
	}, "scan/stat", func(root string) *Scanner {
		if scanner == nil {
			scanner = NewScanner(root, Options{Now: noon})
			scanner.settled = 0 // the files were made a moment ago
			_, err := scanner.Scan(b.Context())
			must(b, err)
		}
		return scanner
	})
}

func benchScan(b *testing.B, floor func(files []string), ratio string, scannerOf func(root string) *Scanner) {
	root, files := benchHost(b)
	scannerOf(root)
	scanning, least := time.Duration(1<<62), time.Duration(1<<62)
	b.ReportAllocs()
	for b.Loop() {
		scanner := scannerOf(root)
		begin := time.Now()
		report, err := scanner.Scan(b.Context())
		scanning = min(scanning, time.Since(begin))
		must(b, err)
		if len(report.Jobs) != 2000 || len(report.Problems) > 0 {
			b.Fatalf("%d jobs, %d problems", len(report.Jobs), len(report.Problems))
		}
		for i := range report.Jobs {
			if job := &report.Jobs[i]; !job.Verdict.Runs || len(job.Risks) > 0 {
				b.Fatalf("%s:%d: %+v, %+v; what jobs start is judged only of those that run", job.Source, job.Line, job.Verdict, job.Risks)
			}
		}
		b.StopTimer()
		begin = time.Now()
		floor(files)
		least = min(least, time.Since(begin))
		b.StartTimer()
	}
	b.ReportMetric(float64(scanning)/float64(least), ratio)
	b.ReportMetric(float64(scanning.Microseconds())/1000, "ms/scan")
}
