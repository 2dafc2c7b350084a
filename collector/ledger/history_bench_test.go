package ledger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fleetHosts and fleetJobs size the fleet whose history is measured.
const (
	fleetHosts = 10_000
	fleetJobs  = 50
)

// hostJobs are the jobs of one host; most commands stand on every host.
func hostJobs(host int) []fleet.Job {
	jobs := make([]fleet.Job, fleetJobs)
	for i := range jobs {
		command := fmt.Sprintf("/usr/local/bin/job-%d --target /srv/data/part-%d --quiet", i, i%7)
		if i%10 == 0 {
			command += fmt.Sprintf(" --host %d", host)
		}
		jobs[i] = line(fmt.Sprintf("/etc/cron.d/part-%d", i%20), i+1, "root", fmt.Sprintf("%d %d * * *", i, i%24), command)
		jobs[i].Next = []time.Time{noon, noon.Add(24 * time.Hour), noon.Add(48 * time.Hour)}
	}
	return jobs
}

// report applies what a host has, as its raft entry, and returns how long that
// took and how large the entry was.
func (b *bench) report(host int, jobs []fleet.Job, at time.Time) (took time.Duration, size int) {
	b.t.Helper()
	report := fleet.Report{Host: fmt.Sprintf("host-%d", host), Scanned: at, Jobs: jobs, Problems: []fleet.Problem{}}
	data, err := Encode(&RecordReport{Host: hostID(host), Report: report, Hash: report.ContentHash(), At: at})
	if err != nil {
		b.t.Fatal(err)
	}
	b.next++
	began := time.Now()
	b.Apply([]Entry{{Index: b.next, Term: 1, Data: data}})
	return time.Since(began), len(data)
}

// BenchmarkHistory takes in the first reports of a fleet and then two days on
// each of which one job of a hundred is edited, and asks for the past.
func BenchmarkHistory(b *testing.B) {
	l := newLedger(b)
	size := func() float64 {
		info, err := os.Stat(l.where)
		if err != nil {
			b.Fatal(err)
		}
		return float64(info.Size()) / (1 << 20)
	}
	var took time.Duration
	fleetwide := make([][]fleet.Job, fleetHosts)
	for host := range fleetwide {
		l.must(&RegisterHost{Host: testHost(host, "role", fmt.Sprint(host%10)), At: noon})
		fleetwide[host] = hostJobs(host)
		one, _ := l.report(host, fleetwide[host], noon.Add(time.Duration(host)*time.Millisecond))
		took += one
	}
	b.Run("first", func(b *testing.B) {
		b.ReportMetric(size(), "MiB")
		b.ReportMetric(float64(took.Microseconds())/fleetHosts, "µs/report")
	})
	const days, edits = 2, fleetHosts * fleetJobs / 100
	random := rand.New(rand.NewPCG(1, 2))
	first := size()
	took = 0
	for day := range days {
		for n := range edits {
			host := random.IntN(fleetHosts)
			job := &fleetwide[host][random.IntN(fleetJobs)]
			job.Schedule = fmt.Sprintf("%d %d * * *", random.IntN(60), random.IntN(24))
			one, _ := l.report(host, fleetwide[host], noon.AddDate(0, 0, day+1).Add(time.Duration(n)*time.Second))
			took += one
		}
	}
	b.Run("edits", func(b *testing.B) {
		b.ReportMetric((size()-first)*(1<<20)/(days*edits), "B/edit")
		b.ReportMetric(float64(took.Microseconds())/(days*edits), "µs/report")
		b.ReportMetric(size(), "MiB")
	})
	ask := func(name string, fn func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := fn(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	past := noon.AddDate(0, 0, 1)
	ask("at/host", func() error {
		list, err := l.PastJobs(everywhere, api.JobQuery{Host: "host-77", At: past}, nil)
		if len(list.Items) != fleetJobs {
			b.Fatal(len(list.Items))
		}
		return err
	})
	ask("at/fleet", func() error { _, err := l.PastJobs(everywhere, api.JobQuery{At: past}, nil); return err })
	ask("at/nothing", func() error {
		_, err := l.PastJobs(everywhere, api.JobQuery{At: past}, func(*Host, *api.JobView) bool { return false })
		return err
	})
	ask("changes/host", func() error { _, err := l.Changes(everywhere, api.ChangeQuery{Host: "host-77"}); return err })
	ask("changes/fleet", func() error { _, err := l.Changes(everywhere, api.ChangeQuery{}); return err })
	ask("changes/text", func() error { _, err := l.Changes(everywhere, api.ChangeQuery{Text: "job-33 "}); return err })
	ask("pin/all", func() error { _, _, err := l.Contained(everywhere, "*"); return err })
	ask("pin/1000", func() error { _, _, err := l.Contained(everywhere, "role=3"); return err })
	said := map[fleet.JobID]fleet.Evidence{}
	for _, job := range fleetwide[77] {
		said[job.ID] = seenAt(noon)
	}
	round := 0
	ask("sightings", func() error {
		round++
		for id, seen := range said {
			seen.Last = noon.Add(time.Duration(round) * time.Minute)
			said[id] = seen
		}
		l.must(sight(77, noon, said))
		return nil
	})
}
