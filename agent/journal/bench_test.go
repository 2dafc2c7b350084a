package journal

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// BenchmarkRecord measures durable records per second with as many callers as
// runs are being started, beside the disk's own rate of writing and syncing.
func BenchmarkRecord(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			j, err := Open(b.TempDir(), quiet(Options{MaxBytes: 1 << 40}))
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			var all sync.WaitGroup
			b.ResetTimer()
			for c := range callers {
				all.Go(func() {
					for n := c; n < b.N; n += callers {
						if err := j.Record(b.Context(), run(n, fleet.RunSkipped), nil); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
	b.Run("bare", func(b *testing.B) {
		file, err := os.CreateTemp(b.TempDir(), "bare")
		if err != nil {
			b.Fatal(err)
		}
		defer file.Close()
		if err := writeFile(file.Name(), nil, segmentBytes); err != nil {
			b.Fatal(err)
		}
		record := make([]byte, 180)
		for n := range b.N {
			if _, err := file.WriteAt(record, int64(n*len(record))%(segmentBytes-4096)); err != nil {
				b.Fatal(err)
			}
			if err := fdatasync(file); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}
