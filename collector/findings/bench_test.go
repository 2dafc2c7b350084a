package findings

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// made makes what is found on a host when it is asked, as a ledger reads it
// from disk, so that a benchmark holds only what an engine keeps.
type made struct{ hosts []Host }

func (m made) Hosts() ([]Host, error) { return append([]Host(nil), m.hosts...), nil }

func (m made) Found(id fleet.HostID) (Inventory, error) {
	var n int
	if _, err := fmt.Sscanf(string(id), "%x", &n); err != nil {
		return Inventory{}, err
	}
	role := n % 5
	jobs := make([]api.JobView, 50)
	for i := range jobs {
		command := fmt.Sprintf("/usr/lib/package-%d/run", i)
		jobs[i] = newJob(command, from(fmt.Sprintf("/etc/cron.d/part-%d", i/5), i+1), due(fmt.Sprintf("%d %d * * *", i*7%60, i%24)), last(time.Duration(30+i%24)*time.Hour))
		switch {
		case i >= 30:
			jobs[i] = newJob(fmt.Sprintf("/srv/host-%d/job-%d --all", n, i), byHand, due(fmt.Sprintf("%d %d * * %d", (n+i)%60, i%24, i%7)), last(time.Hour))
		case i >= 20 && n%23 != i:
			jobs[i] = newJob(fmt.Sprintf("/opt/role-%d/job-%d", role, i), byHand, due(fmt.Sprintf("%d 3 * * *", i)), last(time.Hour))
		}
	}
	return Inventory{Jobs: jobs}, nil
}

func (made) Pins() ([]fleet.Pin, error)           { return nil, nil }
func (made) Adoptions() ([]fleet.Adoption, error) { return nil, nil }

func (made) Policies(fleet.Scope) ([]api.HostChain, error) { return nil, nil }
func (made) Owners() map[string]string                     { return nil }
func (made) Acks() (map[string]fleet.Ack, error)           { return nil, nil }

// BenchmarkLook looks over 10,000 hosts of 50 jobs: all of them at first, then
// again after one host changed. engine-MiB is what the engine keeps, findings
// included.
func BenchmarkLook(b *testing.B) {
	source := made{}
	for n := range 10_000 {
		host := newHost(n, fmt.Sprintf("role=%d", n%5), fmt.Sprintf("rack=%d", n/40), "env=prod")
		host.Since = map[fleet.JobKind]time.Time{fleet.KindCron: installed}
		source.hosts = append(source.hosts, host)
	}
	for b.Loop() {
		before := inUse()
		engine := New(source)
		begun := time.Now()
		if err := engine.Look(b.Context(), noon); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "first-s")
		engine.Mark(source.hosts[7].ID)
		begun = time.Now()
		if err := engine.Look(b.Context(), noon.Add(time.Minute)); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "again-ms")
		b.ReportMetric(float64(inUse()-before)/(1<<20), "engine-MiB")
		b.ReportMetric(float64(len(engine.known(everywhere).list)), "findings")
		runtime.KeepAlive(engine)
	}
}

func inUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
