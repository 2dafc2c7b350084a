package bench

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// newcomers is how many machines enrol at once.
const newcomers = 16

// trusted is a whole collector, as it runs in production: TLS, raft, every byte
// synced.
type trusted struct {
	address string
	admin   *api.Client
	pin     string
}

func newTrusted(b *testing.B) *trusted {
	b.Helper()
	ip := fmt.Sprintf("127.%d.%d.1", 100+rand.IntN(100), rand.IntN(256))
	cfg := collector.DefaultConfig()
	cfg.DataDir = filepath.Join(b.TempDir(), "c1")
	cfg.Listen = collector.Listen{API: ip + ":7770", Raft: ip + ":7771", Gossip: ip + ":7772", Web: ip + ":7780"}
	kit, err := collector.Init(b.Context(), cfg)
	must(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- collector.Run(ctx, cfg, slog.New(slog.DiscardHandler)) }()
	b.Cleanup(func() {
		cancel()
		must(b, <-ended)
	})
	ca, err := os.ReadFile(filepath.Join(kit.Dir, "ca.pem"))
	must(b, err)
	roots, err := pki.ParseCertificates(ca)
	must(b, err)
	token, err := os.ReadFile(filepath.Join(kit.Dir, "token"))
	must(b, err)
	h := &trusted{address: "https://" + ip + ":7770", pin: kit.Pin}
	h.admin, err = api.NewClient(api.Config{
		Addresses: []string{h.address}, Token: strings.TrimSpace(string(token)), TLS: pki.RootTLS(roots[0], kit.Cluster, pki.PlaneOperator), Rounds: 20,
	})
	must(b, err)
	b.Cleanup(h.admin.Close)
	return h
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// invitation is what a machine has before it enrols.
type invitation struct {
	secret  string
	key     *ecdsa.PrivateKey
	request string
}

func (h *trusted) invite(b *testing.B) invitation {
	b.Helper()
	token, err := h.admin.MakeJoinToken(b.Context(), api.NewJoinToken{})
	must(b, err)
	key, err := pki.NewKey()
	must(b, err)
	request, err := pki.Request(key)
	must(b, err)
	return invitation{token.Secret, key, string(request)}
}

// enrol makes a host of a machine, over a connection of its own.
func (h *trusted) enrol(ctx context.Context, in invitation) (*pki.Credentials, error) {
	client, err := api.NewClient(api.Config{Addresses: []string{h.address}, TLS: pki.PinnedTLS(h.pin, nil)})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	got, err := client.Enroll(ctx, api.Enroll{Token: in.secret, Request: in.request})
	if err != nil {
		return nil, err
	}
	chain, err := pki.ParseCertificates([]byte(got.Chain))
	if err != nil {
		return nil, err
	}
	roots, err := pki.ParseCertificates([]byte(got.CA))
	if err != nil {
		return nil, err
	}
	return pki.NewCredentials(in.key, chain, roots[0])
}

// BenchmarkEnrol lets machines in by join token, each over a TLS connection of
// its own, and reports enrolments/s (the target is 200). Both sides of every
// handshake, and the verification of what was issued, are within.
func BenchmarkEnrol(b *testing.B) {
	h := newTrusted(b)
	invitations := make([]invitation, b.N)
	for i := range invitations {
		invitations[i] = h.invite(b)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range newcomers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				if _, err := h.enrol(b.Context(), invitations[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "enrolments/s")
}

// BenchmarkIngestTLS is BenchmarkIngest through a whole collector, by hosts with
// certificates, and reports tls_ratio: records/s as a part of what the same
// takes without TLS and without anybody being asked who he is (the target is
// 0.7). Both are warm, and take turns.
func BenchmarkIngestTLS(b *testing.B) {
	plain, h := plainHouse(b), newTrusted(b)
	var open, known []*sender
	for n := range deliverers {
		credentials, err := h.enrol(b.Context(), h.invite(b))
		must(b, err)
		client, err := api.NewClient(api.Config{Addresses: []string{h.address}, Timeout: time.Minute, TLS: credentials.ClientTLS(pki.PlaneAgent, pki.RoleCollector)})
		must(b, err)
		defer client.Close()
		host := fleet.HostID(credentials.ID().Name)
		must(b, client.Register(b.Context(), fleet.Host{ID: host, Name: fmt.Sprint("bench-", n)}))
		open, known = append(open, &sender{host: hostID(n), client: plain}), append(known, &sender{host: host, client: client})
	}
	deliver(b, warmUp, open)
	deliver(b, warmUp, known)
	b.ResetTimer()
	var without, with time.Duration
	for n := 0; n < b.N; n += turn {
		without += deliver(b, turn, open)
		with += deliver(b, turn, known)
	}
	b.StopTimer()
	batches := float64((b.N + turn - 1) / turn * turn)
	b.ReportMetric(batches*batch/with.Seconds(), "records/s")
	b.ReportMetric(batches*batch/without.Seconds(), "plain_records/s")
	b.ReportMetric(without.Seconds()/with.Seconds(), "tls_ratio")
}

// How many batches are sent before anything is measured, and in one turn.
const (
	warmUp = 2 * deliverers
	turn   = 4 * deliverers
)

// sender is a host that delivers records.
type sender struct {
	host     fleet.HostID
	client   *api.Client
	sequence uint64
}

// deliver has every host send batches until there are enough of them, and
// returns how long that took.
func deliver(b *testing.B, batches int, senders []*sender) time.Duration {
	b.Helper()
	var sent atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()
	for _, s := range senders {
		all.Go(func() {
			for sent.Add(1) <= int64(batches) {
				records := recordsOf(s.host, s.sequence, batch)
				s.sequence += batch
				receipt, err := s.client.Deliver(b.Context(), s.host, api.RunBatch{Journal: fleet.JournalID(s.host), Records: records})
				if err != nil || receipt.Acknowledged != s.sequence {
					b.Errorf("acknowledged %d of %d: %v", receipt.Acknowledged, s.sequence, err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(begin)
}
