package web

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// BenchmarkRows renders lists of 1,000 rows, twenty times what a page shows,
// through the whole handler.
func BenchmarkRows(b *testing.B) {
	handler := Handler(&rows{fake{n: 1000, text: "/usr/local/bin/backup --all --target s3://backup/db"}}, opened)
	for _, target := range []string{"/jobs", "/findings", "/history"} {
		b.Run(target[1:], func(b *testing.B) {
			b.SetBytes(int64(get(handler, target).Body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				get(handler, target)
			}
		})
	}
}

// BenchmarkHost renders a host with a day of 5,000 starts.
func BenchmarkHost(b *testing.B) {
	source := &days{fake: fake{n: 50, text: "/usr/local/bin/backup --all"}}
	from := dayFrom(time.Now())
	for i := range 5000 {
		source.items = append(source.items, api.Upcoming{At: from.Add(time.Duration(i) * 17 * time.Second), Job: fleet.JobID(rune('a' + i%50)), Command: "backup"})
	}
	handler := Handler(source, opened)
	b.ReportAllocs()
	for b.Loop() {
		get(handler, "/hosts/db-1")
	}
}

func BenchmarkOverview(b *testing.B) {
	handler := Handler(&fake{n: 60, text: "/usr/local/bin/backup --all", lead: "c1"}, opened)
	b.ReportAllocs()
	for b.Loop() {
		get(handler, "/")
	}
}
