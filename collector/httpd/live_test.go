package httpd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

func TestAFollowerPassesChangesOn(t *testing.T) {
	houses := newHouses(t, 2)
	leader, follower := houses[0], houses[1]
	leader.serve(t)
	front := follower.serve(t)
	leader.addHost(t, 1, map[string]string{"role": "db"})
	client := newClient(t, front.URL)

	record, err := submitted(t, client, tasked(t, backup, fleet.TaskEnabled), api.SubmitOptions{IfIndex: new(uint64), Reason: "because"})
	if err != nil {
		t.Fatal(err)
	}
	if record.ChangedBy != "anna" || record.Reason != "because" || string(record.Document) != backup {
		t.Errorf("record %+v", record)
	}
	if !strings.Contains(leader.logged.String(), `"method":"POST","path":"/v1/sealed","status":200`) {
		t.Errorf("the leader logged %s", leader.logged)
	}
	_, err = submitted(t, client, tasked(t, backup, fleet.TaskEnabled), api.SubmitOptions{IfIndex: new(uint64)})
	if e := new(fleet.Error); !errors.As(err, &e) || e.Code != api.CodeExists {
		t.Errorf("err %v", err)
	}
	// Too large a body is refused by the first collector it meets.
	large := follower.do(t, http.MethodPost, api.PathSealed, strings.Repeat("x", seal.MaxEnvelope+1), "Content-Type", api.MediaSealed)
	decoded[api.Problem](t, large, http.StatusRequestEntityTooLarge)
	if view, err := client.Task(t.Context(), "data/backup"); err != nil || view.Hosts != 1 {
		t.Errorf("view %+v, %v", view, err)
	}
}

// TestWhoeverChangesSomethingFindsItThere lets the follower lag while it
// passes a change on: its answer must wait until it has the change itself.
func TestWhoeverChangesSomethingFindsItThere(t *testing.T) {
	houses := newHouses(t, 2)
	houses[0].serve(t)
	client := newClient(t, houses[1].serve(t).URL)
	houses[0].addHost(t, 1, map[string]string{"role": "db"})
	houses[0].member.lagging = true
	var catching sync.WaitGroup
	catching.Go(func() {
		for looked := 0; looked < 20; { // well after the leader has it
			if _, err := houses[0].ledger.Task(everywhere, "data/backup"); err == nil {
				looked++
			}
			<-time.After(time.Millisecond)
		}
		houses[0].member.catchUp()
	})
	if _, err := submitted(t, client, tasked(t, backup, fleet.TaskEnabled), api.SubmitOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Task(t.Context(), "data/backup"); err != nil {
		t.Errorf("right after the change: %v", err)
	}
	catching.Wait()
}

// TestAPlanDoesNotGoBack asks a collector that lacks what the host was told by
// another: an older plan would begin again what was taken back.
func TestAPlanDoesNotGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		houses := newHouses(t, 2)
		houses[0].addHost(t, 1, map[string]string{"role": "db"})
		task := houses[0].addTask(t)
		houses[0].member.lagging = true
		taskOf(t, houses[0].submit(t, retired(task.Task.ID()), ""))
		path := api.AgentPath(hostID(1)) + "/plan"
		known := decoded[fleet.Plan](t, houses[0].do(t, http.MethodGet, path, ""), http.StatusOK)
		target := path + "?wait=1s&index=" + itoa(int(known.Index))
		problem := decoded[api.Problem](t, houses[1].do(t, http.MethodGet, target, ""), http.StatusServiceUnavailable)
		if problem.Code != "stale_reads" {
			t.Errorf("problem %+v", problem)
		}
		houses[0].member.catchUp()
		plan := decoded[fleet.Plan](t, houses[1].do(t, http.MethodGet, target, ""), http.StatusOK)
		if plan.Index != known.Index || len(plan.Assignments) != 0 {
			t.Errorf("plan %+v", plan)
		}
		// What the leader lacks nobody has: the group was restored from a backup.
		plan = decoded[fleet.Plan](t, houses[0].do(t, http.MethodGet, path+"?wait=1s&index=1000", ""), http.StatusOK)
		if plan.Index != known.Index {
			t.Errorf("after a restore: plan %+v", plan)
		}
	})
}

func TestNobodyLeads(t *testing.T) {
	houses := newHouses(t, 2)
	front := houses[1].serve(t)
	houses[0].member.lead("")
	reply := houses[1].give(t, backup)
	if reply.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	p := decoded[api.Problem](t, reply, http.StatusServiceUnavailable)
	if p.Code != api.CodeNoLeader || p.Hint != "fleetctl collectors" {
		t.Errorf("problem %+v", p)
	}
	decoded[api.Problem](t, houses[1].do(t, http.MethodGet, api.PathReadyz, ""), http.StatusServiceUnavailable)
	decoded[api.Problem](t, houses[1].do(t, http.MethodGet, api.PathHosts+"?consistent", ""), http.StatusServiceUnavailable)
	list := decoded[api.List[api.HostView]](t, houses[1].do(t, http.MethodGet, api.PathHosts, ""), http.StatusOK)
	if list.Total != 0 {
		t.Errorf("list %+v", list)
	}
	client, err := api.NewClient(api.Config{Addresses: []string{front.URL, "127.0.0.1:1"}, Token: "anna", Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = submitted(t, client, tasked(t, backup, fleet.TaskEnabled), api.SubmitOptions{})
	if err == nil || err.Error() != "no leader (1 of 2 collectors unreachable)" {
		t.Errorf("err %v", err)
	}
}

func TestARequestIsPassedOnOnce(t *testing.T) {
	follower := newHouses(t, 2)[1]
	p := decoded[api.Problem](t, follower.give(t, backup, headerPeer, "c1", api.HeaderForwarded, "c1", api.HeaderPrincipal, asJSON(t, everyone("anna"))), http.StatusServiceUnavailable)
	if p.Code != api.CodeNotLeader {
		t.Errorf("problem %+v", p)
	}
}

func TestTheLeaderIsKnownAndGone(t *testing.T) {
	houses := newHouses(t, 2)
	server := houses[0].serve(t)
	server.Close()
	p := decoded[api.Problem](t, houses[1].give(t, backup), http.StatusServiceUnavailable)
	if p.Code != api.CodeNoLeader || !strings.Contains(p.Detail, "does not answer") {
		t.Errorf("problem %+v", p)
	}
}

func TestFreshness(t *testing.T) {
	houses := newHouses(t, 2)
	houses[0].serve(t)
	houses[0].addHost(t, 1, nil)
	for i, want := range []string{"0", "5"} {
		reply := houses[i].do(t, http.MethodGet, api.PathHosts, "")
		if got := reply.Header.Get(api.HeaderLastContact); got != want {
			t.Errorf("collector %d: last contact %q", i+1, got)
		}
		if got := reply.Header.Get(api.HeaderIndex); got == "" || got == "0" {
			t.Errorf("collector %d: index %q", i+1, got)
		}
	}
	reply := houses[1].do(t, http.MethodGet, api.PathHosts+"?consistent", "")
	if got := reply.Header.Get(api.HeaderLastContact); got != "0" {
		t.Errorf("a consistent read was answered by a follower: %q", got)
	}
}

// TestAHostsClockIsCompared holds it to both polls, ahead and behind, and to
// what a client reads; what is no instant is passed over.
func TestAHostsClockIsCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for n, ahead := range []time.Duration{90 * time.Second, -2 * time.Hour} {
			h.addHost(t, n, nil)
			path := []string{"/plan", "/asks?wait=1s"}[n]
			says := time.Now().Add(ahead).UTC().Format(time.RFC3339Nano)
			text(t, h.do(t, http.MethodGet, api.AgentPath(hostID(n))+path, "", api.HeaderTime, says))
			text(t, h.do(t, http.MethodGet, api.AgentPath(hostID(n))+"/plan", "", api.HeaderTime, "yesterday"))
			detail := decoded[api.HostDetail](t, h.do(t, http.MethodGet, api.HostPath(string(hostID(n))), ""), http.StatusOK)
			if detail.Skew == nil || (time.Duration(*detail.Skew)-ahead).Abs() > time.Second {
				t.Errorf("skew %v, want %v", detail.Skew, ahead)
			}
		}
	})
}

// TestBlockingQueries runs in a bubble: a query wakes at the instant of the
// change that is its own, and not for any other.
func TestBlockingQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.addHost(t, 1, map[string]string{"role": "db"})
		h.addHost(t, 2, map[string]string{"role": "web"})
		db := decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""), http.StatusOK)
		began := time.Now()
		woken := map[fleet.HostID]time.Duration{}
		var mu sync.Mutex
		var waiting sync.WaitGroup
		for n := 1; n <= 2; n++ {
			waiting.Go(func() {
				target := api.AgentPath(hostID(n)) + "/plan?wait=60s&index=" + itoa(int(db.Index))
				reply := h.do(t, http.MethodGet, target, "")
				if reply.StatusCode != http.StatusOK {
					t.Errorf("status %d", reply.StatusCode)
				}
				mu.Lock()
				defer mu.Unlock()
				woken[hostID(n)] = time.Since(began)
			})
		}
		synctest.Wait()
		for range 10 { // older news than they know
			h.addHost(t, 3, map[string]string{"n": itoa(int(time.Since(began)))})
			time.Sleep(time.Second)
		}
		h.addTask(t) // for role db only
		synctest.Wait()
		mu.Lock()
		if woken[hostID(1)] != 10*time.Second {
			t.Errorf("the database woke after %v", woken[hostID(1)])
		}
		if woken[hostID(2)] != 0 {
			t.Error("the web server woke for a task that is not its own")
		}
		mu.Unlock()
		waiting.Wait()
		if end := woken[hostID(2)]; end < time.Minute || end > time.Minute+time.Minute/16+time.Second {
			t.Errorf("the wait of 60s ended after %v", end)
		}
		check(t, h.Close())
	})
}

func TestCloseEndsEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.addHost(t, 1, nil)
		began := time.Now()
		var waiting sync.WaitGroup
		for _, target := range []string{api.AgentPath(hostID(1)) + "/asks?wait=5m", api.PathHosts + "?index=999", api.RunPath("unheard") + "?index=1"} {
			waiting.Go(func() { h.do(t, http.MethodGet, target, "") })
		}
		synctest.Wait()
		check(t, h.Close())
		waiting.Wait()
		if time.Since(began) != 0 {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

func TestARunIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.addHost(t, 1, nil)
		run := newRun(1, fleet.RunRunning)
		began := time.Now()
		var waiting sync.WaitGroup
		waiting.Go(func() {
			reply := h.do(t, http.MethodGet, api.RunPath(run.ID)+"?index=1&wait=30s", "")
			view := decoded[api.RunView](t, reply, http.StatusOK)
			if view.State != fleet.RunRunning || time.Since(began) != 10*time.Second {
				t.Errorf("%s after %v", view.State, time.Since(began))
			}
			reply = h.do(t, http.MethodGet, api.RunPath(run.ID)+"?wait=30s&index="+reply.Header.Get(api.HeaderIndex), "")
			view = decoded[api.RunView](t, reply, http.StatusOK)
			if view.State != fleet.RunRan || time.Since(began) != 20*time.Second {
				t.Errorf("%s after %v", view.State, time.Since(began))
			}
		})
		time.Sleep(5 * time.Second)
		h.record(t, 1, newRun(1, fleet.RunRunning)) // another one
		time.Sleep(5 * time.Second)
		h.record(t, 1, run)
		time.Sleep(10 * time.Second)
		ended := newRun(1, fleet.RunRan)
		ended.ID = run.ID
		h.record(t, 1, ended)
		waiting.Wait()
		check(t, h.Close())
	})
}

// agentOf answers one ask of a host with what output says.
func agentOf(t *testing.T, client *api.Client, host fleet.HostID, output func(api.Ask) io.Reader) (done chan error) {
	t.Helper()
	done = make(chan error, 1)
	go func() {
		for {
			asks, err := client.Asks(t.Context(), host, time.Minute)
			if err != nil {
				done <- err
				return
			}
			for _, ask := range asks {
				done <- client.Answer(t.Context(), host, ask.ID, 7, output(ask))
				return
			}
		}
	}()
	return done
}

// untilPolled waits until the agent of the host looks for questions.
func untilPolled(t *testing.T, h *house, host fleet.HostID) {
	t.Helper()
	for !h.Polls(host) {
		select {
		case <-t.Context().Done():
			t.Fatal("the agent never polled")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestOutputComesFromTheHostThroughAnyCollector(t *testing.T) {
	houses := newHouses(t, 2)
	urls := []string{houses[0].serve(t).URL, houses[1].serve(t).URL}
	houses[0].addHost(t, 1, nil)
	run := newRun(1, fleet.RunRan)
	houses[0].record(t, 1, run)
	for i, url := range urls {
		// The agent polls the first collector only.
		done := agentOf(t, newClient(t, urls[0]), hostID(1), func(ask api.Ask) io.Reader {
			if want := (api.Ask{ID: ask.ID, Run: run.ID, Stream: "stdout", Times: true, Tail: 9}); ask != want {
				t.Errorf("ask %+v", ask)
			}
			return strings.NewReader(strings.Repeat("line\n", 50_000))
		})
		untilPolled(t, houses[0], hostID(1))
		var got bytes.Buffer
		info, err := newClient(t, url).Logs(t.Context(), run.ID, api.OutputQuery{Stream: "stdout", Times: true, Tail: 9}, &got)
		if err != nil || info != (api.OutputInfo{Source: api.SourceHost, Dropped: 7}) || got.Len() != 250_000 {
			t.Errorf("collector %d: %+v, %d bytes, %v", i+1, info, got.Len(), err)
		}
		if err := <-done; err != nil {
			t.Errorf("the agent: %v", err)
		}
	}
}

func TestOutputIsFollowedLive(t *testing.T) {
	h := newHouse(t)
	url := h.serve(t).URL
	h.addHost(t, 1, nil)
	run := newRun(1, fleet.RunRunning)
	h.record(t, 1, run)
	source, sink := io.Pipe()
	done := agentOf(t, newClient(t, url), hostID(1), func(ask api.Ask) io.Reader {
		if !ask.Follow {
			t.Error("not followed")
		}
		return source
	})
	untilPolled(t, h, hostID(1))
	seen, shown := io.Pipe()
	followed := make(chan error, 1)
	go func() {
		_, err := newClient(t, url).Logs(t.Context(), run.ID, api.OutputQuery{Stream: "both", Follow: true}, shown)
		shown.CloseWithError(io.EOF)
		followed <- err
	}()
	line := make([]byte, 6)
	for range 3 { // each is seen before the next is written
		if _, err := io.WriteString(sink, "hello\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(seen, line); err != nil || string(line) != "hello\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	check(t, sink.Close())
	if err := <-followed; err != nil {
		t.Errorf("the reader: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("the agent: %v", err)
	}
}

func TestTheAgentIsToldWhenTheReaderGoes(t *testing.T) {
	h := newHouse(t)
	url := h.serve(t).URL
	h.addHost(t, 1, nil)
	run := newRun(1, fleet.RunRunning)
	h.record(t, 1, run)
	source, sink := io.Pipe()
	done := agentOf(t, newClient(t, url), hostID(1), func(api.Ask) io.Reader { return source })
	untilPolled(t, h, hostID(1))
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	got, put := io.Pipe()
	go func() {
		_, err := newClient(t, url).Logs(ctx, run.ID, api.OutputQuery{Stream: "both", Follow: true}, put)
		gone <- err
	}()
	_, _ = io.WriteString(sink, "x")
	_, _ = io.ReadFull(got, make([]byte, 1))
	cancel()
	if err := <-gone; err == nil {
		t.Error("the reader was not told")
	}
	if err := <-done; err == nil { // nothing more was written: the collector broke it off
		t.Error("the agent was not told")
	}
	check(t, sink.Close())
}

func TestOutputThatBreaksOffIsSeenToBreakOff(t *testing.T) {
	h := newHouse(t)
	url := h.serve(t).URL
	h.addHost(t, 1, nil)
	run := newRun(1, fleet.RunRan)
	h.record(t, 1, run)
	done := agentOf(t, newClient(t, url), hostID(1), func(api.Ask) io.Reader {
		return io.MultiReader(strings.NewReader("some"), brokenReader{})
	})
	untilPolled(t, h, hostID(1))
	var got bytes.Buffer
	_, err := newClient(t, url).Logs(t.Context(), run.ID, api.OutputQuery{Stream: "both"}, &got)
	if fleet.KindOf(err) != fleet.Unavailable || got.String() != "some" {
		t.Errorf("%q, %v", got.String(), err)
	}
	<-done
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestASilentHostsOutputIsTheRecordsTail(t *testing.T) {
	houses := newHouses(t, 2)
	url := houses[0].serve(t).URL
	houses[1].serve(t)
	houses[0].addHost(t, 1, nil)
	run := newRun(1, fleet.RunRan)
	run.Dropped = 5
	houses[0].record(t, 1, run)
	var got bytes.Buffer
	info, err := newClient(t, url).Logs(t.Context(), run.ID, api.OutputQuery{Stream: "stdout"}, &got)
	if err != nil || info != (api.OutputInfo{Source: api.SourceRecord, Dropped: 5}) || got.String() != run.Tail {
		t.Errorf("%+v, %q, %v", info, got.String(), err)
	}
	if _, err := houses[0].Logs(as(t, "admin"), run.ID, api.OutputQuery{Stream: "stdout"}, &got); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("in process: %v", err)
	}
	reply := houses[0].do(t, http.MethodGet, api.RunPath(run.ID)+"/output", "")
	for name, want := range map[string]string{"Content-Type": api.MediaOutput, "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"} {
		if got := reply.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	missed := newRun(1, fleet.RunMissed)
	houses[0].record(t, 1, missed)
	if body := text(t, houses[0].do(t, http.MethodGet, api.RunPath(missed.ID)+"/output", "")); body != "" {
		t.Errorf("a run that never began wrote %q", body)
	}
}

func TestAnAgentThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.addHost(t, 1, nil)
		run := newRun(1, fleet.RunRan)
		h.record(t, 1, run)
		h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/asks", "")
		began := time.Now()
		reply := h.do(t, http.MethodGet, api.RunPath(run.ID)+"/output", "")
		if got := reply.Header.Get(api.HeaderSource); got != api.SourceRecord || time.Since(began) != 10*time.Second {
			t.Errorf("from %q after %v", got, time.Since(began))
		}
		asks := decoded[api.List[api.Ask]](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/asks", ""), http.StatusOK)
		if len(asks.Items) != 0 {
			t.Errorf("a question nobody waits for: %+v", asks.Items)
		}
		check(t, h.Close())
	})
}

func TestAQuestionIsHandedOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.addHost(t, 1, nil)
		run := newRun(1, fleet.RunRan)
		h.record(t, 1, run)
		h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/asks", "")
		var reading sync.WaitGroup
		reading.Go(func() { h.do(t, http.MethodGet, api.RunPath(run.ID)+"/output", "") })
		synctest.Wait()
		for _, want := range []int{1, 0} {
			asks := decoded[api.List[api.Ask]](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/asks?wait=1s", ""), http.StatusOK)
			if len(asks.Items) != want {
				t.Errorf("asks %+v, want %d", asks.Items, want)
			}
		}
		reading.Wait()
		check(t, h.Close())
	})
}

func TestHealthAndMetrics(t *testing.T) {
	var fault error
	h := newHouse(t, func(d *httpd.Deps) {
		d.Checks = []httpd.Check{{Name: "gossip", Check: func(context.Context) (map[string]any, error) { return map[string]any{"members": 3}, fault }}}
	})
	h.addHost(t, 1, nil)
	if body := text(t, h.do(t, http.MethodGet, api.PathHealth, "")); !strings.Contains(body, `"gossip":{"status":"UP","details":{"members":3}}`) || !strings.Contains(body, `"status":"UP","components"`) {
		t.Errorf("health %s", body)
	}
	fault = errors.New("alone")
	reply := h.do(t, http.MethodGet, api.PathHealth, "")
	if body := text(t, reply); reply.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, `"gossip":{"status":"DOWN","details":{"reason":"alone"}}`) {
		t.Errorf("health %d %s", reply.StatusCode, body)
	}
	h.do(t, "BREW", "/v1/"+strings.Repeat("x", 50), "")
	metrics := text(t, h.do(t, http.MethodGet, api.PathMetrics, ""))
	problems, err := promlint.New(strings.NewReader(metrics)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	for _, want := range []string{
		`fleetcron_hosts{presence="silent"} 1`, `fleetcron_raft_leading 1`, `fleetcron_build_info{version="1.2.3"} 1`,
		`fleetcron_http_requests_total{code="200",method="GET",route="/health"} 1`, `fleetcron_http_requests_total{code="404",method="other",route="none"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	server := httpd.NewHTTPServer("127.0.0.1:0", newHouse(t).handler)
	if server.ReadHeaderTimeout != 5*time.Second || server.WriteTimeout != 0 || server.ReadTimeout != 0 || server.MaxHeaderBytes == 0 {
		t.Errorf("server %+v", server)
	}
}

// TestBatchesOfManyAgentsAreCommittedTogether holds the first entry back, so
// that the others have to share the next ones.
func TestBatchesOfManyAgentsAreCommittedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowReplica{}
		h := newHouse(t, func(d *httpd.Deps) { slow.Replica = d.Replica; d.Replica = slow })
		const agents = 100
		for n := range agents {
			h.addHost(t, n, nil)
		}
		var sending sync.WaitGroup
		for n := range agents {
			sending.Go(func() {
				batch := api.RunBatch{Journal: fleet.JournalID(strings.Repeat("d", 32)), Records: []api.RunRecord{{Sequence: uint64(n + 1), Run: newRun(n, fleet.RunRan)}}}
				if n == 50 {
					batch.Journal = "bad"
				}
				reply := h.do(t, http.MethodPost, api.AgentPath(hostID(n))+"/runs", asJSON(t, batch), "Content-Type", api.MediaJSON)
				if n == 50 {
					decoded[api.Problem](t, reply, http.StatusUnprocessableEntity) // alone of all
				} else if receipt := decoded[api.RunReceipt](t, reply, http.StatusOK); receipt.Acknowledged != uint64(n+1) {
					t.Errorf("agent %d: %+v", n, receipt)
				}
			})
		}
		sending.Wait()
		if slow.entries > 4 {
			t.Errorf("%d entries for %d agents", slow.entries, agents)
		}
		check(t, h.Close())
	})
}

type slowReplica struct {
	httpd.Replica
	mu      sync.Mutex
	entries int
}

func (r *slowReplica) Propose(ctx context.Context, command ledger.Command) (any, error) {
	time.Sleep(time.Second)
	r.mu.Lock()
	r.entries++
	r.mu.Unlock()
	return r.Replica.Propose(ctx, command)
}
