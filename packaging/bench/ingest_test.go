package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/collector/search"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

const (
	deliverers = 32  // agents that deliver at once
	batch      = 500 // records each sends in one request, as agents do that have many
)

// BenchmarkIngest delivers run records through HTTP, raft and the ledger of
// one collector, every byte synced, and reports records/s (the target is
// 50,000) beside raft_records/s: the same records, packed as the collector
// packs them, through the same raft log into a machine that keeps nothing.
func BenchmarkIngest(b *testing.B) {
	client := plainHouse(b)
	var senders []*sender
	for n := range deliverers {
		senders = append(senders, &sender{host: hostID(n), client: client})
	}
	floor := raftRate(b)
	b.ResetTimer()
	took := deliver(b, b.N, senders)
	b.StopTimer()
	rate := float64(b.N*batch) / took.Seconds()
	b.ReportMetric(rate, "records/s")
	b.ReportMetric(floor, "raft_records/s")
	b.ReportMetric(rate/floor, "ratio")
}

// plainHouse serves the API of one collector, to whom nobody needs to be known
// and without TLS, and returns a client of it.
func plainHouse(b *testing.B) *api.Client {
	b.Helper()
	book, err := ledger.Open(filepath.Join(b.TempDir(), "ledger.db"))
	must(b, err)
	b.Cleanup(func() { book.Close() })
	group := single(b, book)
	server, err := httpd.New(httpd.Deps{Ledger: book, Search: search.New(book), Replica: proposer{group}, ParseTask: taskfile.ParseOne, Authenticator: insider{}})
	must(b, err)
	listener := httptest.NewServer(handlerOf(server))
	b.Cleanup(listener.Close)
	b.Cleanup(func() { server.Close() })
	client, err := api.NewClient(api.Config{
		Addresses: []string{listener.URL}, Timeout: time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: deliverers},
	})
	must(b, err)
	for n := range deliverers {
		must(b, client.Register(b.Context(), fleet.Host{ID: hostID(n), Name: fmt.Sprint("bench-", n)}))
	}
	return client
}

func hostID(n int) fleet.HostID { return fleet.HostID(fmt.Sprintf("%032x", n+1)) }

// recordsOf makes what an agent delivers: runs that ended well, with ids that
// grow with time.
func recordsOf(host fleet.HostID, after uint64, n int) []api.RunRecord {
	now, exit := time.Now().UTC(), 0
	started, ended := now.Add(-time.Second), now
	records := make([]api.RunRecord, n)
	for i := range records {
		sequence := after + uint64(i) + 1
		records[i] = api.RunRecord{Sequence: sequence, Run: fleet.Run{
			ID:   fleet.RunID(fmt.Sprintf("%08x-%04x-7000-8000-%s", now.UnixMilli()>>16, now.UnixMilli()&0xffff, fmt.Sprintf("%06x%s", sequence, host[26:]))),
			Task: "data/nightly-backup", Generation: 3, Host: host, Due: now.Truncate(time.Second), Attempt: 1,
			State: fleet.RunRan, Started: &started, Ended: &ended, PID: 4711, Exit: &exit, Stdout: 1234,
		}}
	}
	return records
}

// single starts a raft group of one on the ledger and waits until it leads.
func single(b *testing.B, book replica.Ledger) *replica.Replica {
	b.Helper()
	r, err := replica.Open(replica.Config{ID: "c1", Dir: filepath.Join(b.TempDir(), "raft"), Bind: "127.0.0.1:0", Ledger: book, Logger: slog.New(slog.DiscardHandler), Credentials: certified(b)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	if err := r.Bootstrap([]replica.Member{{ID: "c1", Address: r.Address(), Voter: true}}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	leads := errors.New("it leads")
	if err := r.WhileLeading(ctx, func(context.Context) error { return leads }); !errors.Is(err, leads) {
		b.Fatalf("no leader: %v", err)
	}
	return r
}

// raftRate measures the raft log alone: packed entries, sync and all, into a
// machine that keeps nothing.
func raftRate(b *testing.B) float64 {
	b.Helper()
	r := single(b, &forgetful{})
	const packed = 2 * batch // records an entry, about what the collector packs
	command := &ledger.RecordRuns{At: time.Now(), Batches: []ledger.HostBatch{{Host: hostID(0), Journal: fleet.JournalID(hostID(0)), Records: recordsOf(hostID(0), 0, packed)}}}
	ctx, cancel := context.WithTimeout(b.Context(), time.Second)
	defer cancel()
	var done atomic.Int64
	begin := time.Now()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := r.Propose(ctx, command); err == nil {
					done.Add(packed)
				}
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(begin).Seconds()
}

// forgetful is a ledger that keeps nothing but how far it came.
type forgetful struct {
	index, term atomic.Uint64
	id          atomic.Value // of the cluster, as the first command said
}

func (f *forgetful) Apply(entries []ledger.Entry) []any {
	for _, entry := range entries {
		f.index.Store(entry.Index)
		f.term.Store(entry.Term)
		if f.id.Load() == nil {
			if first, err := ledger.Decode(entry.Data); err == nil {
				f.id.Store(first.(*ledger.InitCluster).ID)
			}
		}
	}
	return make([]any, len(entries))
}
func (f *forgetful) Applied() (index, term uint64)       { return f.index.Load(), f.term.Load() }
func (f *forgetful) Snapshot() (*ledger.Snapshot, error) { return nil, errors.New("keeps nothing") }
func (f *forgetful) Restore(io.Reader) error             { return errors.New("keeps nothing") }
func (f *forgetful) Descend(string) error                { return errors.New("keeps nothing") }
func (f *forgetful) Cluster() (ledger.Cluster, bool, error) {
	id, _ := f.id.Load().(string)
	return ledger.Cluster{ID: id}, id != "", nil
}

// proposer is the group of one in the words of the API.
type proposer struct{ *replica.Replica }

func (p proposer) Propose(ctx context.Context, command ledger.Command) (any, error) {
	result, err := p.Replica.Propose(ctx, command)
	return result.Value, err
}
func (proposer) Leader() fleet.CollectorID { return "c1" }
func (p proposer) Status() httpd.Status {
	s := p.Replica.Status()
	return httpd.Status{ID: s.ID, Leading: s.State == replica.Leading, Term: s.Term, Applied: s.Applied, Committed: s.Committed}
}
func (proposer) Peers(context.Context) []httpd.Peer   { return nil }
func (proposer) Join(context.Context, api.Join) error { return nil }
