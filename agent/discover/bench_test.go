package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkScan scans 1,000 tables and compares with only reading their bytes,
// in the same run, turn by turn. Of each the best turn counts, which is the one
// that other work on the machine disturbed least.
func BenchmarkScan(b *testing.B) {
	root := plant(b, "-- etc/os-release --\nID=debian\n-- etc/passwd --\nroot:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n")
	dir := filepath.Join(root, "etc/cron.d")
	must(b, os.MkdirAll(dir, 0o755))
	var files []string
	for i := range 1000 {
		text := fmt.Sprintf(`# package %d: what it does by night
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# m h dom mon dow user command
%d %d * * * root [ -x /usr/lib/package-%d/nightly ] && /usr/lib/package-%d/nightly --quiet
*/15 * * * 1-5 www-data test -e /run/package-%d && /usr/bin/package-%d --poll >/dev/null 2>&1
`, i, i%60, i%24, i, i, i, i)
		files = append(files, fmt.Sprintf("%s/package-%d", dir, i))
		must(b, os.WriteFile(files[i], []byte(text), 0o644))
	}
	scanner := NewScanner(root, Options{Now: noon})
	scanning, reading := time.Duration(1<<62), time.Duration(1<<62)
	for b.Loop() {
		begin := time.Now()
		report, err := scanner.Scan(b.Context())
		must(b, err)
		scanning = min(scanning, time.Since(begin))
		if len(report.Jobs) != 2000 || len(report.Problems) > 0 {
			b.Fatalf("%d jobs, %d problems", len(report.Jobs), len(report.Problems))
		}
		begin = time.Now()
		for _, file := range files {
			_, err := os.ReadFile(file)
			must(b, err)
		}
		reading = min(reading, time.Since(begin))
	}
	b.ReportMetric(float64(scanning)/float64(reading), "scan/read")
	b.ReportMetric(float64(scanning.Microseconds())/1000, "ms/scan")
}
