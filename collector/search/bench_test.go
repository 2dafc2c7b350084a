package search

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The fleet of the benchmarks: 500,000 jobs.
const (
	benchHosts = 10_000
	benchJobs  = 50
)

// bigFleet fills a fleet. share is how many of a host's 50 jobs stand on every
// host alike; the others name the host, so that their commands are unique.
func bigFleet(share int) *fleetOf {
	f := newFleet()
	roles := []string{"web", "db", "queue", "cache", "batch"}
	for n := range benchHosts {
		name := fmt.Sprintf("%s-%04d.eu-central.example.net", roles[n%len(roles)], n)
		jobs := make([]fleet.Job, benchJobs)
		for i := range jobs {
			command := fmt.Sprintf("cd / && run-parts --report /etc/cron.hourly/%02d > /dev/null 2>&1", i)
			if i >= share {
				command = fmt.Sprintf("/opt/%s/bin/maintain --set %d --target %s --log /var/log/maintain-%d.log 2>&1", roles[i%5], i, name, i)
			}
			jobs[i] = fleet.Job{
				ID: fleet.JobID(fmt.Sprintf("%08x%08x", n, i)), Kind: fleet.KindCron, Source: fmt.Sprintf("/etc/cron.d/part-%d", i%20),
				Line: i, User: []string{"root", "www-data", "postgres"}[i%3], Schedule: fmt.Sprintf("%d */4 * * *", i),
				Command: command, Fingerprint: fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15),
			}
			if i >= share {
				jobs[i].Fingerprint = fmt.Sprintf("%016x", uint64(n*benchJobs+i)*0x9e3779b97f4a7c15)
			}
		}
		f.put(n, name, map[string]string{"role": roles[n%len(roles)]}, jobs...)
	}
	return f
}

// BenchmarkSearch asks 500,000 jobs for substrings of every kind: rare, common
// and absent, in commands that are mostly shared between hosts and in commands
// that are all different. p99 is of all questions together.
func BenchmarkSearch(b *testing.B) {
	queries := []api.JobQuery{
		{Text: "web-0005"}, {Text: "maintain --set 31"}, {Text: "run-parts"}, {Text: "a"}, {Text: "no such thing anywhere"},
		{Text: "user:root host:db- maintain"}, {Text: "postgres"}, {Text: "/var/log/maintain-49.log"}, {Text: "0123"},
		{Text: "schedule:*/4 target", Label: "role=queue"}, {}, {Text: "example.net --log"},
	}
	for _, share := range []int{30, 0} {
		f := bigFleet(share)
		begun := time.Now()
		before := inUse()
		x := New(f)
		if err := x.CatchUp(b.Context()); err != nil {
			b.Fatal(err)
		}
		load, size := time.Since(begun), inUse()-before
		ask := map[string]func(api.JobQuery) error{
			"query":  func(q api.JobQuery) error { _, err := x.Query(everywhere, q); return err },
			"groups": func(q api.JobQuery) error { _, err := x.Groups(everywhere, q); return err },
		}
		for _, name := range []string{"query", "groups"} {
			b.Run(fmt.Sprintf("%s/shared=%d%%", name, share*100/benchJobs), func(b *testing.B) {
				var took []time.Duration
				for b.Loop() {
					for _, q := range queries {
						begun := time.Now()
						if err := ask[name](q); err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(begun))
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
				b.ReportMetric(load.Seconds(), "load-s")
				b.ReportMetric(float64(size)/(1<<20), "index-MiB")
			})
		}
		runtime.KeepAlive(f)
	}
}

func inUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
