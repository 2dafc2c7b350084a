package replica

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// BenchmarkPropose measures records a second through Propose, and through bare
// raft with the same log store, entries of the same size and a machine that
// only counts: the ratio is what the ledger costs.
func BenchmarkPropose(b *testing.B) {
	for _, members := range []int{1, 3} {
		for _, load := range []struct{ proposers, records int }{{1, 1}, {16, 1}, {256, 1}, {1, 100}, {16, 100}} {
			b.Run(fmt.Sprintf("members=%d/proposers=%d/records=%d", members, load.proposers, load.records), func(b *testing.B) {
				floor := floorRate(b, members, load.proposers, load.records)
				nodes := cluster(b, members, LogLimits{})
				lead := leader(b, nodes...)
				host := fleet.HostID(fmt.Sprintf("%032x", 1))
				if _, err := lead.Propose(b.Context(), &ledger.RegisterHost{Host: fleet.Host{ID: host, Name: "bench"}, At: time.Now()}); err != nil {
					b.Fatal(err)
				}
				source := runSource{host: host, records: load.records}
				b.ResetTimer()
				begin := time.Now()
				share(b, load.proposers, b.N, func() error {
					_, err := lead.Propose(b.Context(), source.next())
					return err
				})
				rate := float64(b.N*load.records) / time.Since(begin).Seconds()
				b.StopTimer()
				b.ReportMetric(rate, "records/s")
				b.ReportMetric(floor, "floor-records/s")
				b.ReportMetric(rate/floor, "ratio")
			})
		}
	}
}

// share lets the proposers do n proposals between them.
func share(b *testing.B, proposers, n int, propose func() error) {
	var left atomic.Int64
	left.Store(int64(n))
	var working sync.WaitGroup
	for range proposers {
		working.Go(func() {
			for left.Add(-1) >= 0 {
				if err := propose(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
}

// runSource makes commands as an agent's deliveries make them: records of runs
// that ended, with ids that grow with time.
type runSource struct {
	host     fleet.HostID
	records  int
	sequence atomic.Uint64
}

func (s *runSource) next() ledger.Command {
	last := s.sequence.Add(uint64(s.records))
	exit, now := 0, time.Now().UTC()
	started, ended := now.Add(-time.Second), now
	records := make([]api.RunRecord, s.records)
	for i := range records {
		sequence := last - uint64(s.records) + uint64(i) + 1
		records[i] = api.RunRecord{Sequence: sequence, Run: fleet.Run{
			ID: fleet.RunID(fmt.Sprintf("0197%04x-%04x-7000-8000-%012x", sequence>>16&0xffff, sequence&0xffff, sequence)), Task: "data/nightly-backup", Generation: 3,
			Host: s.host, Due: now.Truncate(time.Second), Attempt: 1, State: fleet.RunRan, Started: &started, Ended: &ended,
			PID: 4711, Exit: &exit, Stdout: 1234,
		}}
	}
	journal := fleet.JournalID(fmt.Sprintf("%032x", last)) // one each, so that order between proposers does not matter
	return &ledger.RecordRuns{At: now, Batches: []ledger.HostBatch{{Host: s.host, Journal: journal, Records: records}}}
}

// counter is a machine that only counts.
type counter struct{ entries atomic.Int64 }

func (c *counter) Apply(*raft.Log) any { c.entries.Add(1); return nil }
func (c *counter) ApplyBatch(logs []*raft.Log) []any {
	c.entries.Add(int64(len(logs)))
	return make([]any, len(logs))
}
func (c *counter) Snapshot() (raft.FSMSnapshot, error) { return nil, io.ErrUnexpectedEOF }
func (c *counter) Restore(from io.ReadCloser) error    { return from.Close() }

// floorRate measures bare raft for half a second.
func floorRate(b *testing.B, members, proposers, records int) float64 {
	b.Helper()
	source := runSource{host: fleet.HostID(fmt.Sprintf("%032x", 1)), records: records}
	data, err := ledger.Encode(source.next())
	if err != nil {
		b.Fatal(err)
	}
	lead, stop := bareCluster(b, members)
	defer stop()
	ctx, cancel := context.WithTimeout(b.Context(), 500*time.Millisecond)
	defer cancel()
	var done atomic.Int64
	begin := time.Now()
	var working sync.WaitGroup
	for range proposers {
		working.Go(func() {
			for ctx.Err() == nil {
				if err := lead.ApplyLog(raft.Log{Data: data}, 0).Error(); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	working.Wait()
	return float64(done.Load()*int64(records)) / time.Since(begin).Seconds()
}

// bareCluster starts raft alone, on our log store and plain TCP.
func bareCluster(b *testing.B, members int) (lead *raft.Raft, stop func()) {
	b.Helper()
	var configuration raft.Configuration
	var transports []*raft.NetworkTransport
	for i := range members {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: bareStream{listener}, MaxPool: connectionsKept, Timeout: rpcLimit, MaxRPCsInFlight: 1, Logger: newRaftLog(slog.New(slog.DiscardHandler)),
		})
		transports = append(transports, transport)
		configuration.Servers = append(configuration.Servers, raft.Server{ID: raft.ServerID(fmt.Sprint("c", i)), Address: transport.LocalAddr()})
	}
	leads := make(chan *raft.Raft, members)
	ctx, cancel := context.WithCancel(context.Background())
	var stops []func()
	for i, transport := range transports {
		cfg := Config{ID: fleet.CollectorID(fmt.Sprint("c", i)), Timing: calm}
		store, err := openLogStore(filepath.Join(b.TempDir(), "log.db"), func(err error) { b.Error(err) })
		if err != nil {
			b.Fatal(err)
		}
		conf := cfg.raft(newRaftLog(slog.New(slog.DiscardHandler)))
		conf.SnapshotThreshold = 1 << 40
		cache, _ := raft.NewLogCache(logCache, store)
		snapshots := raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(conf, cache, store, snapshots, transport, configuration); err != nil {
			b.Fatal(err)
		}
		r, err := raft.NewRaft(conf, &counter{}, cache, store, snapshots, transport)
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				select {
				case leading := <-r.LeaderCh():
					if leading {
						leads <- r
					}
				case <-ctx.Done():
					return
				}
			}
		}()
		stops = append(stops, func() { r.Shutdown().Error(); transport.Close(); store.Close() })
	}
	lead = <-leads
	return lead, func() {
		cancel()
		for _, stop := range stops {
			stop()
		}
		for _, transport := range transports {
			transport.CloseStreams()
		}
	}
}

// bareStream is raft's own plain TCP.
type bareStream struct{ net.Listener }

func (s bareStream) Dial(address raft.ServerAddress, limit time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(address), limit)
}
