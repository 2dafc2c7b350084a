package httpd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/collector/search"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/logging"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

// group is a raft group without raft: what its leader proposes is applied to
// every ledger at once.
type group struct {
	mu      sync.Mutex
	index   uint64
	leader  fleet.CollectorID
	ledgers []*ledger.Ledger
	ids     []fleet.CollectorID
	lagging bool           // all but the first ledger apply only when catchUp is called
	late    []ledger.Entry // what they lack
}

// catchUp has the lagging ledgers apply what they lack.
func (g *group) catchUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.ledgers[1:] {
		l.Apply(g.late)
	}
	g.lagging, g.late = false, nil
}

// member is one collector of a group.
type member struct {
	*group
	id fleet.CollectorID
}

func (m member) Propose(_ context.Context, command ledger.Command) (any, error) {
	data, err := ledger.Encode(command)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leader != m.id {
		return nil, fleet.Errorf(fleet.Unavailable, "collector %s does not lead", m.id).WithCode(api.CodeNotLeader)
	}
	m.index++
	entry := ledger.Entry{Index: m.index, Term: 1, Data: data}
	result := m.ledgers[0].Apply([]ledger.Entry{entry})[0]
	if m.lagging {
		m.late = append(m.late, entry)
	} else {
		for _, l := range m.ledgers[1:] {
			l.Apply([]ledger.Entry{entry})
		}
	}
	if refusal, refused := ledger.IsRefusal(result); refused {
		return nil, refusal
	}
	return result, nil
}

func (m member) Leader() fleet.CollectorID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leader
}

func (m member) Status() httpd.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return httpd.Status{ID: m.id, Leading: m.leader == m.id, Term: 1, Applied: m.index, Committed: m.index, LastContact: 5 * time.Millisecond}
}

func (m member) Verify(context.Context) error {
	if !m.Status().Leading {
		return fleet.Errorf(fleet.Unavailable, "collector %s does not lead", m.id).WithCode(api.CodeNotLeader)
	}
	return nil
}

func (m member) Peers(context.Context) []httpd.Peer {
	var peers []httpd.Peer
	for _, id := range m.ids {
		peers = append(peers, httpd.Peer{ID: id, Raft: "127.0.0.1:7771", Voter: true, Reachable: true, Applied: m.Status().Applied, Term: 1})
	}
	return peers
}

func (m member) Join(_ context.Context, join api.Join) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids = append(m.ids, join.ID)
	return nil
}

func (m member) Leave(context.Context, fleet.CollectorID) error { return nil }

func (m member) lead(id fleet.CollectorID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leader = id
}

// house is one collector's API over a real ledger.
type house struct {
	*httpd.Server
	member   member
	ledger   *ledger.Ledger
	planes   planes       // who calls, the test says
	handler  http.Handler // who does not say is an admin, or the host of the path
	logged   *logBuffer
	sequence uint64 // of the journal that record writes
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newHouse(t testing.TB, change ...func(*httpd.Deps)) *house {
	t.Helper()
	return newHouses(t, 1, change...)[0]
}

// newHouses returns collectors of one group; the first leads.
func newHouses(t testing.TB, n int, change ...func(*httpd.Deps)) []*house {
	t.Helper()
	g := &group{leader: "c1"}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	houses := make([]*house, n)
	for i := range houses {
		l, err := ledger.Open(filepath.Join(t.TempDir(), "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { check(t, l.Close()) })
		id := fleet.CollectorID(fmt.Sprintf("c%d", i+1))
		g.ledgers, g.ids = append(g.ledgers, l), append(g.ids, id)
		houses[i] = &house{ledger: l, member: member{g, id}, logged: new(logBuffer)}
	}
	for _, h := range houses {
		logger, err := logging.New(h.logged, logging.Config{Level: "debug"}, "collector")
		if err != nil {
			t.Fatal(err)
		}
		deps := httpd.Deps{
			Ledger: h.ledger, Search: search.New(h.ledger), Replica: h.member, ParseTask: taskfile.ParseOne, FormatTask: taskfile.Format, Version: "1.2.3", Logger: logger,
			Authenticator: callers{}, Sessions: identity.NewSessions(), Peers: peers{transport}, Authority: authority(t), Ring: gossip.NewRing(gossip.NewKey()), Seeds: func() []string { return nil },
		}
		for _, f := range change {
			f(&deps)
		}
		server, err := httpd.New(deps)
		if err != nil {
			t.Fatal(err)
		}
		if index, is := deps.Search.(*search.Index); is {
			index.OverdueBy(server.IsOverdue)
		}
		t.Cleanup(func() { check(t, server.Close()) })
		h.Server, h.planes = server, planesOf(server)
		h.handler = asAgent(h.planes)
	}
	houses[0].propose(t, &ledger.InitCluster{ID: clusterID, At: time.Unix(1_700_000_000, 0).UTC()})
	return houses
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func (h *house) propose(t testing.TB, command ledger.Command) any {
	t.Helper()
	result, err := h.member.Propose(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// hostID returns the id of the n-th host of a test.
func hostID(n int) fleet.HostID { return fleet.HostID(fmt.Sprintf("%032x", n+1)) }

// addHost registers host-n with a role.
func (h *house) addHost(t testing.TB, n int, labels map[string]string) fleet.Host {
	t.Helper()
	host := fleet.Host{ID: hostID(n), Name: fmt.Sprintf("host-%d", n), Labels: labels, OS: "Debian GNU/Linux 13", Cron: "debian", Timezone: "Europe/Berlin"}
	h.propose(t, &ledger.RegisterHost{Host: host, At: time.Unix(1_700_000_000, 0).UTC()})
	return host
}

// addReport records jobs found on host n.
func (h *house) addReport(t testing.TB, n int, commands ...string) fleet.Report {
	t.Helper()
	r := fleet.Report{Host: fmt.Sprintf("host-%d", n), Scanned: time.Unix(1_700_000_100, 0).UTC(), Jobs: []fleet.Job{}, Problems: []fleet.Problem{}}
	for i, command := range commands {
		r.Jobs = append(r.Jobs, fleet.Job{
			ID: fleet.NewJobID(fleet.KindCron, "/etc/cron.d/x", "root", command, 0), Kind: fleet.KindCron, Source: "/etc/cron.d/x", Line: i + 1,
			User: "root", Schedule: "30 2 * * *", Command: command, Enabled: true, Verdict: fleet.Verdict{Runs: true}, Fingerprint: fleet.CommandFingerprint(command),
		})
	}
	h.propose(t, &ledger.RecordReport{Host: hostID(n), Report: r, Hash: r.ContentHash(), At: time.Unix(1_700_000_200, 0).UTC()})
	return r
}

const backup = `{"task":"backup","namespace":"data","on":{"cron":"30 2 * * *","timezone":"Europe/Berlin"},"run":{"command":["/usr/bin/backup","--all"],"user":"backup"},"where":{"labels":"role=db"}}`

// addTask gives the backup task to the hosts of role db.
func (h *house) addTask(t testing.TB) fleet.TaskRecord {
	t.Helper()
	return h.giveTask(t, backup)
}

func (h *house) giveTask(t testing.TB, document string) fleet.TaskRecord {
	t.Helper()
	return taskOf(t, h.submit(t, tasked(t, document, fleet.TaskEnabled), "?unmatched=allow"))
}

// newRun returns a run of the backup task on host n.
func newRun(n int, state fleet.RunState) fleet.Run {
	id := uuid.Must(uuid.NewV7()).String()
	run := fleet.Run{ID: fleet.RunID(id), Task: "data/backup", Generation: 1, Host: hostID(n), Due: time.Now().UTC().Truncate(time.Second), State: state}
	if state == fleet.RunRan || state == fleet.RunRunning {
		started := run.Due
		run.Started = &started
	}
	if state == fleet.RunRan {
		exit := 1
		run.Exit, run.Tail = &exit, "the end of it\n"
	}
	return run
}

// record delivers runs of host n past HTTP.
func (h *house) record(t testing.TB, n int, runs ...fleet.Run) {
	t.Helper()
	batch := ledger.HostBatch{Host: hostID(n), Journal: fleet.JournalID(strings.Repeat("a", 32))}
	for _, run := range runs {
		h.sequence++
		batch.Records = append(batch.Records, api.RunRecord{Sequence: h.sequence, Run: run})
	}
	receipts := h.propose(t, &ledger.RecordRuns{Batches: []ledger.HostBatch{batch}, At: time.Now().UTC()}).([]ledger.Receipt)
	if receipts[0].Recorded != len(runs) {
		t.Fatalf("receipt %+v", receipts[0])
	}
}

// do sends a request to the handler; header is names and values by turns.
func (h *house) do(t testing.TB, method, target, body string, header ...string) *http.Response {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost"+target, content)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, reply *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// decoded checks the status and reads the body.
func decoded[T any](t testing.TB, reply *http.Response, status int) T {
	t.Helper()
	var value T
	body := text(t, reply)
	if reply.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", reply.StatusCode, status, body)
	}
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return value
}

// serve puts the house behind a real listener and tells the group about it.
func (h *house) serve(t testing.TB) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h.handler)
	t.Cleanup(server.Close)
	leader := member{h.member.group, h.member.Leader()}
	if _, err := leader.Propose(t.Context(), &ledger.PutCollector{ID: h.member.id, API: server.URL, At: time.Unix(1_700_000_000, 0).UTC()}); err != nil {
		t.Fatal(err)
	}
	return server
}

func newClient(t testing.TB, addresses ...string) *api.Client {
	t.Helper()
	client, err := api.NewClient(api.Config{Addresses: addresses, Token: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func asJSON(t testing.TB, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func itoa(n int) string { return fmt.Sprint(n) }
