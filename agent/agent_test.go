package agent

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/agent/probe"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// TestMain lets this program ask services, as an agent's own would.
func TestMain(m *testing.M) {
	if os.Getenv(probe.Variable) != "" {
		if err := Probe(context.Background()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// collector is a small collector over real HTTP that can go away and return.
type collector struct {
	t       *testing.T
	fleet   *pkitest.Fleet
	address string
	server  *http.Server

	mu       sync.Mutex
	host     fleet.Host
	plan     fleet.Plan
	changed  chan struct{}
	hosts    chan fleet.Host
	reports  chan fleet.Report
	sights   chan fleet.Sightings
	applied  chan fleet.Applied
	stands   chan api.Stands
	asks     chan api.Ask
	answers  chan string
	highest  uint64
	loseAcks bool
	outcomes map[fleet.RunID][]fleet.Run // every terminal record that was applied
	news     chan struct{}               // holds one after a delivery
}

func newCollector(t *testing.T) *collector { return collectorOf(t, pkitest.In(t, policytest.Cluster)) }

// collectorOf is one of a fleet.
func collectorOf(t *testing.T, fleets *pkitest.Fleet) *collector {
	c := &collector{
		t: t, fleet: fleets, address: "127.0.0.1:0", changed: make(chan struct{}),
		hosts: make(chan fleet.Host, 100), reports: make(chan fleet.Report, 100), sights: make(chan fleet.Sightings, 100), applied: make(chan fleet.Applied, 100), stands: make(chan api.Stands, 100),
		asks: make(chan api.Ask, 1), answers: make(chan string, 1),
		outcomes: map[fleet.RunID][]fleet.Run{}, news: make(chan struct{}, 1),
	}
	c.start()
	t.Cleanup(c.stop)
	return c
}

func (c *collector) start() {
	listener, err := net.Listen("tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.address = listener.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+api.PathAgent, c.register)
	mux.HandleFunc("PUT "+api.PathAgentReport, c.report)
	mux.HandleFunc("PUT "+api.PathAgentSeen, c.sight)
	mux.HandleFunc("GET "+api.PathAgentPlan, c.getPlan)
	mux.HandleFunc("POST "+api.PathAgentRuns, c.runs)
	mux.HandleFunc("PUT "+api.PathAgentApply, c.apply)
	mux.HandleFunc("PUT "+api.PathAgentStands, c.stand)
	mux.HandleFunc("GET "+api.PathAgentAsks, c.ask)
	mux.HandleFunc("POST "+api.PathAgentAnswer, c.answer)
	c.server = &http.Server{Handler: mux}
	go c.server.Serve(door{tls.NewListener(listener, c.fleet.Collector("c1").ServerTLS(nil, pki.PlaneAgent))})
}

// door hides TLS from the server, which knows no plane of ours.
type door struct{ net.Listener }

func (d door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	return struct{ net.Conn }{conn}, err
}

// stop cuts every connection, as a killed process would.
func (c *collector) stop() { c.server.Close() }

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", api.MediaJSON)
	json.NewEncoder(w).Encode(value)
}

func take[T any](r *http.Request) (value T) {
	json.NewDecoder(r.Body).Decode(&value)
	return value
}

func (c *collector) register(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.host = take[fleet.Host](r)
	c.hosts <- c.host
	reply(w, c.host)
}

func (c *collector) report(w http.ResponseWriter, r *http.Request) {
	c.reports <- take[fleet.Report](r)
	reply(w, api.ReportReceipt{Changed: true})
}

func (c *collector) sight(w http.ResponseWriter, r *http.Request) {
	c.sights <- take[fleet.Sightings](r)
	reply(w, struct{}{})
}

func (c *collector) getPlan(w http.ResponseWriter, r *http.Request) {
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	index, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	deadline := time.After(wait)
	for {
		c.mu.Lock()
		plan, changed := c.plan, c.changed
		c.mu.Unlock()
		if plan.Index > index {
			reply(w, plan)
			return
		}
		select {
		case <-changed:
		case <-deadline:
			reply(w, plan)
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (c *collector) publish(plan fleet.Plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan = policytest.Sealed(plan)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *collector) runs(w http.ResponseWriter, r *http.Request) {
	batch := take[api.RunBatch](r)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, record := range batch.Records {
		if record.Sequence <= c.highest {
			continue
		}
		c.highest = record.Sequence
		if record.Run.State.Terminal() {
			c.outcomes[record.Run.ID] = append(c.outcomes[record.Run.ID], record.Run)
		}
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
	if c.loseAcks = !c.loseAcks; c.loseAcks { // every other answer is lost
		panic(http.ErrAbortHandler)
	}
	reply(w, api.RunReceipt{Acknowledged: c.highest})
}

func (c *collector) apply(w http.ResponseWriter, r *http.Request) {
	c.applied <- take[fleet.Applied](r)
	reply(w, struct{}{})
}

func (c *collector) stand(w http.ResponseWriter, r *http.Request) {
	c.stands <- take[api.Stands](r)
	reply(w, struct{}{})
}

func (c *collector) ask(w http.ResponseWriter, r *http.Request) {
	select {
	case ask := <-c.asks:
		reply(w, api.List[api.Ask]{Items: []api.Ask{ask}})
	case <-r.Context().Done():
	}
}

func (c *collector) answer(w http.ResponseWriter, r *http.Request) {
	text := new(strings.Builder)
	bufio.NewReader(r.Body).WriteTo(text)
	c.answers <- text.String()
	reply(w, struct{}{})
}

// outcomesOf waits until the predicate holds for what was delivered.
func (c *collector) until(what string, holds func() bool) {
	c.t.Helper()
	for {
		c.mu.Lock()
		done := holds()
		c.mu.Unlock()
		if done {
			return
		}
		await(c.t, what, c.news)
	}
}

// await receives, or fails after a time that only a broken agent needs.
func await[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(2 * time.Minute):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// witness is a named pipe into which every run writes its occurrence: what
// really ran, seen from outside the product. A run opens it for both
// directions, so that none hangs in it when the test is over.
func witness(t *testing.T) (path string, lines <-chan string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "probe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	out := make(chan string, 1000)
	go func() {
		for scanner := bufio.NewScanner(pipe); scanner.Scan(); {
			out <- scanner.Text()
		}
	}()
	return path, out
}

func hostTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range map[string]string{
		"etc/crontab":    "5 4 * * * root /opt/nightly --all\n",
		"etc/os-release": "ID=debian\nPRETTY_NAME=Debian\n",
		"etc/passwd":     "root:x:0:0:root:/root:/bin/sh\n",
		"etc/hostname":   "web-1\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// enrol makes the host of a state directory one of the fleet, if it is none yet.
func (c *collector) enrol(cfg *Config) {
	c.t.Helper()
	cfg.Collectors = []string{"https://" + c.address}
	file := filepath.Join(cfg.StateDir, "host-id")
	if _, err := os.Stat(file); err == nil {
		return
	}
	id := pkitest.HostID()
	if err := errors.Join(c.fleet.Agent(id).Save(filepath.Join(cfg.StateDir, "identity")), os.WriteFile(file, []byte(id+"\n"), 0o644)); err != nil {
		c.t.Fatal(err)
	}
}

// startAgent runs an agent; the function it returns ends it and waits.
func startAgent(t *testing.T, cfg Config) (stop func()) {
	t.Helper()
	cfg.Policy = policytest.Trust(t, cfg.StateDir)
	cfg.Prober = []string{"/proc/self/exe"}
	cfg.Gossip.Bind = "" // which knocks in other tests
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg, slog.New(slog.NewTextHandler(testLog{t}, nil))) }()
	return func() {
		t.Helper()
		cancel()
		if err := await(t, "the agent's end", done); err != nil {
			t.Error(err)
		}
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(text []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(text), "\n"))
	return len(text), nil
}

// TestFromACrontabLineToAnAnswerAndFromAPlanToOutcomes follows both straight
// lines over real HTTP, processes and disk, through an outage of the collector
// and a restart of the agent during it. It takes real seconds, because a task
// every second does.
func TestFromACrontabLineToAnAnswerAndFromAPlanToOutcomes(t *testing.T) {
	c := newCollector(t)
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Root, cfg.Labels = t.TempDir(), hostTree(t), map[string]string{"role": "web"}
	c.enrol(&cfg)
	path, ran := witness(t)
	stop := startAgent(t, cfg)

	report := await(t, "a report", c.reports)
	if len(report.Jobs) != 1 || report.Jobs[0].Command != "/opt/nightly --all" {
		t.Fatalf("reported %+v", report)
	}
	if c.host.Name != "web-1" || c.host.Labels["role"] != "web" || !c.host.ID.Valid() {
		t.Errorf("registered %+v", c.host)
	}

	c.publish(fleet.Plan{Host: c.host.ID, Index: 7, Assignments: []fleet.Assignment{{
		Task: fleet.Task{
			Name: "tick", On: fleet.Trigger{Every: fleet.Duration(time.Second)},
			Run:   fleet.Execute{Command: fleet.Command{Shell: `echo out; echo $FLEETCRON_OCCURRENCE 1<> ` + path}},
			Where: fleet.Where{Labels: "*"},
		},
		State: fleet.TaskEnabled, Generation: 3, Since: time.Now().Add(-time.Second).UTC(),
	}}})
	if got := await(t, "the plan's acknowledgement", c.applied); got.Generations["default/tick"] != 3 {
		t.Errorf("applied %+v", got)
	}
	seen := map[string]int{}
	runSome := func(n int) {
		t.Helper()
		for range n {
			seen[await(t, "a run", ran)]++
		}
	}
	runSome(2)
	c.until("an outcome", func() bool { return len(c.outcomes) > 0 })

	c.stop() // the collector is gone; runs go on
	runSome(3)
	stop() // the agent ends and starts again with nobody to ask
	stop = startAgent(t, cfg)
	runSome(2)

	c.start() // it is back: everything arrives, once
	c.until("all outcomes", func() bool { return ranOutcomes(c.outcomes) >= len(seen) })

	c.mu.Lock()
	var any fleet.Run
	accounted := map[string]int{}
	for id, records := range c.outcomes {
		if len(records) != 1 {
			t.Errorf("run %s has %d outcomes", id, len(records))
		}
		if records[0].Succeeded() {
			any = records[0]
		}
		accounted[records[0].Occurrence().String()]++
	}
	c.mu.Unlock()
	for occurrence, times := range seen {
		if times != 1 || accounted[occurrence] != 1 {
			t.Errorf("%s ran %d times and has %d outcomes", occurrence, times, accounted[occurrence])
		}
	}
	c.asks <- api.Ask{ID: "1", Run: any.ID, Stream: "stdout"}
	if got := await(t, "the output", c.answers); got != "out\n" {
		t.Errorf("output %q", got)
	}
	stop()
}

func ranOutcomes(outcomes map[fleet.RunID][]fleet.Run) int {
	n := 0
	for _, records := range outcomes {
		if records[0].State == fleet.RunRan {
			n++
		}
	}
	return n
}

func TestReload(t *testing.T) {
	c := newCollector(t)
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Root = t.TempDir(), hostTree(t)
	c.enrol(&cfg)
	reloads := make(chan Config)
	cfg.Reloads = reloads
	stop := startAgent(t, cfg)
	defer stop()
	await(t, "a report", c.reports)

	second := collectorOf(t, c.fleet)
	next := cfg
	next.Name, next.Labels = "renamed", map[string]string{"role": "db"}
	next.Collectors = []string{"https://" + second.address}
	reloads <- next
	// Two parts know of it, one after the other.
	for got := (fleet.Host{}); got.Name != "renamed" || got.Labels["role"] != "db"; {
		got = await(t, "a registration with the other collector, by name and label", second.hosts)
	}
}

func TestASecondAgentIsRefused(t *testing.T) {
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Root = t.TempDir(), hostTree(t)
	newCollector(t).enrol(&cfg)
	stop := startAgent(t, cfg)
	defer stop()
	for { // the first one may still be opening its journal
		if status, err := ReadStatus(cfg); err == nil && status.PID == os.Getpid() {
			break
		}
	}
	err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if fleet.KindOf(err) != fleet.Conflict || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("got %v", err)
	}
}
