package ledger

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// ranRun is a run that ended well, as an agent tells it.
func ranRun(host, n int) fleet.Run {
	due := noon.Add(time.Duration(n) * time.Millisecond)
	started, ended, exit := due.Add(3*time.Millisecond), due.Add(250*time.Millisecond), 0
	return fleet.Run{
		ID: runID(n, host), Task: fleet.TaskID(fmt.Sprintf("default/task-%d", n%50)), Generation: 1, Host: hostID(host),
		Due: due, State: fleet.RunRan, Started: &started, Ended: &ended, PID: 4711, Exit: &exit, Stdout: 120,
	}
}

// BenchmarkRecordRuns records runs as they come out of the raft log: entries
// of some records each, ten hosts an entry, and one transaction with its sync
// for the entries of one Apply. Beside it the floor: as many bytes put into a
// bare bbolt bucket in transactions of the same size. ratio is how many times
// the floor is faster.
func BenchmarkRecordRuns(b *testing.B) {
	const hosts = 10
	for _, size := range []struct{ records, entries int }{{100, 1}, {1000, 1}, {100, 32}} {
		b.Run(fmt.Sprintf("records=%d/entries=%d", size.records, size.entries), func(b *testing.B) {
			l, err := Open(filepath.Join(b.TempDir(), "ledger.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			bench := &bench{Ledger: l, t: b}
			for host := range hosts {
				bench.enrol(host, fleet.DefaultNamespace)
			}
			rounds, bytes := make([][]Entry, b.N), 0
			record := 0
			for round := range rounds {
				for range size.entries {
					data, err := Encode(recordRuns(hosts, record, size.records))
					if err != nil {
						b.Fatal(err)
					}
					record += size.records
					bench.next++
					bytes = len(data)
					rounds[round] = append(rounds[round], Entry{Index: bench.next, Term: 1, Data: data})
				}
			}
			b.ResetTimer()
			for _, entries := range rounds {
				l.Apply(entries)
			}
			b.StopTimer()
			perSecond := float64(record) / b.Elapsed().Seconds()
			floor := floorPerSecond(b, size.records*size.entries, bytes/size.records)
			b.ReportMetric(perSecond, "records/s")
			b.ReportMetric(floor, "floor-records/s")
			b.ReportMetric(floor/perSecond, "ratio")
			b.ReportMetric(float64(bytes)/float64(size.records), "B/record")
		})
	}
}

func recordRuns(hosts, first, n int) *RecordRuns {
	cmd := &RecordRuns{At: noon}
	for host := range hosts {
		batch := HostBatch{Host: hostID(host), Journal: journalID(host)}
		for i := range n / hosts {
			at := first + host*n/hosts + i
			batch.Records = append(batch.Records, api.RunRecord{Sequence: uint64(at + 1), Run: ranRun(host, at)})
		}
		cmd.Batches = append(cmd.Batches, batch)
	}
	return cmd
}

// floorPerSecond measures bare bbolt: one sequential key and value a record.
func floorPerSecond(b *testing.B, perTx, size int) float64 {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "floor.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	value := make([]byte, size)
	const rounds = 20
	begun := time.Now()
	for round := range rounds {
		err := db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("floor"))
			for i := 0; i < perTx && err == nil; i++ {
				err = bucket.Put(binary.BigEndian.AppendUint64(nil, uint64(round*perTx+i)), value)
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return rounds * float64(perTx) / time.Since(begun).Seconds()
}

// BenchmarkPlans changes a task in a fleet of 10,000 hosts that all wait for
// their plans: one that concerns all of them and one that concerns one; and
// opens the ledger again, and reads a plan, among 1,000 tasks.
func BenchmarkPlans(b *testing.B) {
	const hosts = 10_000
	bench := newLedger(b)
	for n := range hosts {
		bench.enrol(n, fleet.DefaultNamespace)
		bench.must(&RegisterHost{Host: testHost(n, "n", fmt.Sprint(n), "role", fmt.Sprint(n%10)), At: noon})
	}
	for name, labels := range map[string]string{"change=all": "*", "change=one": "n=77"} {
		b.Run(name, func(b *testing.B) {
			for round := 0; b.Loop(); round++ {
				b.StopTimer()
				for n := range hosts {
					bench.Watch(PlanOf(hostID(n)))
				}
				put := testTask("a", labels)
				put.Document = fmt.Append(nil, round)
				b.StartTimer()
				bench.must(put)
			}
		})
	}
	for n := range 1000 {
		bench.must(testTask(fmt.Sprintf("t%d", n), fmt.Sprintf("role=%d", n%100)))
	}
	b.Run("restart", func(b *testing.B) {
		for b.Loop() {
			bench.reopen()
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if plan, err := bench.Plan(everywhere, hostID(5)); err != nil || len(plan.Assignments) < 10 {
				b.Fatal(len(plan.Assignments), err)
			}
		}
	})
}
