package httpd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/shared/api"
)

// agents is how many simulated agents wait in BenchmarkFanOut.
const agents = 1000

// crowd is agents that each hold one blocking request, over connections that
// are kept.
type crowd struct {
	client *http.Client
	target func(agent int) string
	parked func() int // requests that the server holds back now
}

// round has every agent ask, releases them all at once and returns how long
// each waited for its whole answer from then on.
func (c *crowd) round(b *testing.B, release func()) []time.Duration {
	b.Helper()
	arrived := make([]time.Time, agents)
	var asking sync.WaitGroup
	for n := range agents {
		asking.Go(func() {
			reply, err := c.client.Get(c.target(n))
			if err != nil {
				b.Error(err)
				return
			}
			defer reply.Body.Close()
			if _, err := io.Copy(io.Discard, reply.Body); err != nil || reply.StatusCode != http.StatusOK {
				b.Error(reply.Status, err)
			}
			arrived[n] = time.Now()
		})
	}
	for c.parked() < agents && !b.Failed() {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	release()
	asking.Wait()
	took := make([]time.Duration, agents)
	for n, at := range arrived {
		took[n] = at.Sub(began)
	}
	slices.Sort(took)
	return took
}

func keptConnections() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConns: 2 * agents, MaxIdleConnsPerHost: 2 * agents, IdleConnTimeout: time.Minute,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	}}
}

// bareCrowd is the floor: a handler that waits on one channel and writes bytes
// it has.
func bareCrowd(b *testing.B, answer []byte) (*crowd, func()) {
	var mu sync.Mutex
	gate := make(chan struct{})
	var parked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		open := gate
		mu.Unlock()
		parked.Add(1)
		<-open
		parked.Add(-1)
		w.Header().Set("Content-Type", api.MediaJSON)
		_, _ = w.Write(answer)
	}))
	b.Cleanup(server.Close)
	release := func() {
		mu.Lock()
		defer mu.Unlock()
		close(gate)
		gate = make(chan struct{})
	}
	return &crowd{client: keptConnections(), target: func(int) string { return server.URL }, parked: func() int { return int(parked.Load()) }}, release
}

// BenchmarkFanOut measures how long an assignment takes from its commit to the
// last of 1,000 agents that wait for their plan, against releasing 1,000 bare
// handlers with an answer of the same size, round by round in turn; the ratio is
// the median over the rounds of the two 99th percentiles.
func BenchmarkFanOut(b *testing.B) {
	h := newHouse(b, func(d *httpd.Deps) { d.Logger = nil })
	for n := range agents {
		h.addHost(b, n, map[string]string{"role": "db"})
	}
	server := h.serve(b)
	h.giveTask(b, backup)
	answer := text(b, h.do(b, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""))
	var known atomic.Uint64
	ours := &crowd{
		client: keptConnections(), parked: h.InFlight,
		target: func(n int) string {
			return fmt.Sprintf("%s%s/plan?wait=60s&index=%d", server.URL, api.AgentPath(hostID(n)), known.Load())
		},
	}
	bare, open := bareCrowd(b, []byte(answer))
	var ours99, bare99, ratios []float64 // of each round
	change := func(n int) {
		document := strings.Replace(backup, "30 2", fmt.Sprintf("%d 2", n%60), 1)
		reply := h.give(b, document)
		if reply.StatusCode != http.StatusOK {
			b.Fatal(text(b, reply))
		}
	}
	n := 0
	for b.Loop() {
		index, _ := h.ledger.Applied()
		known.Store(index)
		mine := p99(ours.round(b, func() { change(n) }))
		floor := p99(bare.round(b, open))
		ours99, bare99, ratios = append(ours99, mine), append(bare99, floor), append(ratios, mine/floor)
		n++
	}
	b.ReportMetric(median(ours99), "p99-ms")
	b.ReportMetric(median(bare99), "bare-p99-ms")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(float64(len(answer)), "reply-bytes")
}

// p99 returns the 99th percentile of sorted times, in milliseconds.
func p99(took []time.Duration) float64 {
	return float64(took[len(took)*99/100].Microseconds()) / 1000
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// BenchmarkIngest measures run records a second from 16 agents in batches of
// 100, through HTTP, the packer and a real ledger with its fsync, but no raft;
// against a handler that decodes the same bodies and keeps them in memory.
func BenchmarkIngest(b *testing.B) {
	const senders, size = 16, 100
	h := newHouse(b, func(d *httpd.Deps) { d.Logger = nil })
	for n := range senders {
		h.addHost(b, n, nil)
	}
	server := h.serve(b)
	var kept atomic.Int64
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var batch api.RunBatch
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		kept.Add(int64(len(batch.Records)))
		_, _ = fmt.Fprintf(w, `{"acknowledged":%d}`, batch.Records[len(batch.Records)-1].Sequence)
	}))
	b.Cleanup(bare.Close)
	sequences := make([]uint64, senders)
	send := func(b *testing.B, address string) float64 {
		client := keptConnections()
		var batches atomic.Int64
		var sending sync.WaitGroup
		began := time.Now()
		for n := range senders {
			sending.Go(func() {
				for batches.Add(1) <= int64(b.N) {
					body := runBodies(n, size, &sequences[n])
					reply, err := client.Post(address+api.AgentPath(hostID(n))+"/runs", api.MediaJSON, bytes.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := io.Copy(io.Discard, reply.Body); err != nil || reply.StatusCode != http.StatusOK {
						b.Error(reply.Status, err)
					}
					reply.Body.Close()
				}
			})
		}
		sending.Wait()
		return float64(b.N*size) / time.Since(began).Seconds()
	}
	b.Run("fleetcron", func(b *testing.B) { b.ReportMetric(send(b, server.URL), "records/s") })
	b.Run("bare", func(b *testing.B) { b.ReportMetric(send(b, bare.URL), "records/s") })
}

// runBodies returns a batch of new runs. Ids are made fast: making them is not
// what is measured.
func runBodies(n, size int, sequence *uint64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"journal":%q,"records":[`, strings.Repeat("e", 32))
	for i := range size {
		*sequence++
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sequence":%d,"run":{"id":%q,"task":"data/backup","generation":1,"host":%q,"due":"2026-03-01T02:30:00Z","state":"ran","started":"2026-03-01T02:30:00.01Z","ended":"2026-03-01T02:30:01.5Z","pid":4711,"exit":0,"stdout_bytes":100}}`,
			*sequence, uuid.Must(uuid.NewV7()).String(), hostID(n))
	}
	b.WriteString("]}")
	return b.Bytes()
}
