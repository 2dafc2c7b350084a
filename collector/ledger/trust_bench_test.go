package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// BenchmarkAudited changes tasks as they are and with their link of the chain,
// ten changes a transaction, and verifies a chain.
func BenchmarkAudited(b *testing.B) {
	for _, linked := range []bool{false, true} {
		b.Run(fmt.Sprintf("linked=%v", linked), func(b *testing.B) {
			l := newLedger(b)
			round := 0
			for b.Loop() {
				var entries []Entry
				for n := range 10 {
					put := testTask(fmt.Sprint("t", n), "*")
					put.Document = fmt.Append(nil, round)
					var command Command = put
					if linked {
						command = &Audited{At: noon, By: ann(), Action: "task.put", Object: "default/t", Why: "because it is so", Command: put}
					}
					data, err := Encode(command)
					if err != nil {
						b.Fatal(err)
					}
					l.next++
					entries = append(entries, Entry{Index: l.next, Term: 1, Data: data})
				}
				l.Apply(entries)
				round++
			}
			b.ReportMetric(10*float64(round)/b.Elapsed().Seconds(), "changes/s")
		})
	}
	b.Run("verify", func(b *testing.B) {
		const links = 20_000
		l := newLedger(b)
		for range links / 1000 {
			entries := make([]fleet.AuditEntry, 1000)
			for i := range entries {
				entries[i] = fleet.AuditEntry{At: noon, By: ann(), Action: "task.put", Object: "default/t", Decision: AuditDone}
			}
			l.must(&RecordRefusals{Entries: entries})
		}
		rounds := 0
		for b.Loop() {
			if broken, err := l.VerifyAudit(); broken != 0 || err != nil {
				b.Fatal(broken, err)
			}
			rounds++
		}
		b.ReportMetric(links*float64(rounds)/b.Elapsed().Seconds(), "links/s")
	})
}

// BenchmarkScope reads pages of runs and changes in a fleet of 20 namespaces, for
// who sees everything and for who sees one of them.
func BenchmarkScope(b *testing.B) {
	const hosts, namespaces = 2000, 20
	l := newLedger(b)
	for n := range hosts {
		l.enrol(n, fmt.Sprint("n", n%namespaces))
		report := testReport(n, testJob(n%50), testJob(n%50+1))
		edited := testReport(n, testJob(n%50+1))
		edited.At = noon.Add(time.Duration(n) * time.Second)
		l.must(report, edited)
	}
	for n := range 1000 {
		put := testTask(fmt.Sprint("t", n/namespaces), "*")
		put.Task.Namespace = fmt.Sprint("n", n%namespaces)
		l.must(put)
	}
	for first := 0; first < 100_000; first += 1000 {
		batches := make([]HostBatch, namespaces)
		for host := range namespaces {
			batches[host] = HostBatch{Host: hostID(host), Journal: journalID(host)}
			for i := range 1000 / namespaces {
				run := ranRun(host, first+i*namespaces+host)
				run.Task = fleet.NewTaskID(fmt.Sprint("n", host), fmt.Sprint("t", i))
				batches[host].Records = append(batches[host].Records, api.RunRecord{Sequence: uint64(first + i + 1), Run: run})
			}
		}
		l.must(&RecordRuns{Batches: batches, At: noon})
	}
	for name, scope := range map[string]fleet.Scope{"everything": everywhere, "one": fleet.ScopeOf("n7")} {
		for what, ask := range map[string]func() (int, error){
			"runs":    func() (int, error) { list, err := l.Runs(scope, api.RunQuery{}); return len(list.Items), err },
			"changes": func() (int, error) { list, err := l.Changes(scope, api.ChangeQuery{}); return len(list.Items), err },
			"hosts":   func() (int, error) { return l.Totals(scope).Hosts, nil },
		} {
			b.Run(what+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if n, err := ask(); n == 0 || err != nil {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}
