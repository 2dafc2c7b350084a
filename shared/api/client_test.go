package api_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// collector is a collector that answers what a function says.
func collector(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}

func problem(w http.ResponseWriter, err error) {
	p := api.ProblemOf(err)
	w.Header().Set("Content-Type", api.MediaProblem)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func client(t *testing.T, rounds int, addresses ...string) *api.Client {
	t.Helper()
	c, err := api.NewClient(api.Config{Addresses: addresses, Rounds: rounds, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestConsistentReads shows that what is read comes from the leader, and from
// whoever answers while nobody leads.
func TestConsistentReads(t *testing.T) {
	for name, c := range map[string]struct {
		leads bool
		asked []string
	}{
		"somebody leads": {true, []string{"consistent=&q=db"}},
		"nobody leads":   {false, []string{"consistent=&q=db", "q=db"}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			address := collector(t, func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.RawQuery)
				if r.URL.Query().Has("consistent") && !c.leads {
					problem(w, fleet.Errorf(fleet.Unavailable, "no leader").WithCode(api.CodeNoLeader))
					return
				}
				_, _ = io.WriteString(w, `{"items":[]}`)
			})
			client, err := api.NewClient(api.Config{Addresses: []string{address}, Consistent: true})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if _, err := client.Hosts(t.Context(), api.HostQuery{Text: "db"}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.asked, asked); diff != "" || client.Stale() == c.leads {
				t.Errorf("stale %v, asked %s", client.Stale(), diff)
			}
		})
	}
}

// TestWhatAHostAnswersIsAskedOnce: a leader that is asked by another collector
// asks no further, so that the question must not take its way.
func TestWhatAHostAnswersIsAskedOnce(t *testing.T) {
	var asked []string
	address := collector(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		_, _ = io.WriteString(w, `{}`)
	})
	client, err := api.NewClient(api.Config{Addresses: []string{address}, Consistent: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Live(t.Context(), "db-1"); err != nil {
		t.Error(err)
	}
	if _, err := client.JobDiff(t.Context(), "db-1", "1a2b", "data/x", false); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"/v1/hosts/db-1/live", "/v1/hosts/db-1/jobs/1a2b/diff?task=data%2Fx"}, asked); diff != "" || client.Stale() {
		t.Errorf("stale %v, asked %s", client.Stale(), diff)
	}
}

const nobody = "127.0.0.1:1" // nothing listens there

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "ftp://x", "http://", "http://a/path", "http://user@host", "a b", "http://h?x", "http://192.0.2.7:7770", "192.0.2.7:7770/x"} {
		if _, err := api.NewClient(api.Config{Addresses: []string{bad}, Token: "secret"}); fleet.KindOf(err) != fleet.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := api.NewClient(api.Config{}); fleet.KindOf(err) != fleet.Usage {
		t.Errorf("no address: %v", err)
	}
	if _, err := api.NewClient(api.Config{Addresses: []string{"http://127.0.0.1:7770"}, TLS: &tls.Config{MinVersion: tls.VersionTLS13}}); fleet.KindOf(err) != fleet.Usage {
		t.Errorf("plain beside TLS: %v", err)
	}
	c := client(t, 1, "127.0.0.1:7770", "https://127.0.0.1:7770/", "https://[::1]:7770")
	if got := len(c.Addresses()); got != 2 {
		t.Errorf("addresses %v", c.Addresses())
	}
	kept := c.Addresses()[0]
	if err := c.SetAddresses([]string{"127.0.0.9:1", kept}); err != nil || c.Addresses()[0] != kept {
		t.Errorf("the preferred address %s went: %v, %v", kept, c.Addresses(), err)
	}
}

func TestItKeepsToTheCollectorThatAnswers(t *testing.T) {
	var asked atomic.Int32
	alive := collector(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("User-Agent") != "fleetcron" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = io.WriteString(w, `{"hosts":3,"newer_field":true}`)
	})
	c := client(t, 1, nobody, alive)
	for range 3 {
		overview, err := c.Overview(t.Context())
		if err != nil || overview.Hosts != 3 {
			t.Fatalf("%+v, %v", overview, err)
		}
		if c.Addresses()[0] != alive {
			t.Errorf("it prefers %s", c.Addresses()[0])
		}
	}
	if asked.Load() != 3 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestAChangeIsRepeatedUnderTheSameKey(t *testing.T) {
	var keys []string
	flaky := collector(t, func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get(api.HeaderIdempotency))
		body, _ := io.ReadAll(r.Body)
		if len(keys) < 3 || string(body) != `{"reason":"x"}` {
			problem(w, fleet.Errorf(fleet.Unavailable, "unknown").WithCode(api.CodeUnknown))
			return
		}
		_, _ = io.WriteString(w, `{"reason":"x"}`)
	})
	if ack, err := client(t, 3, flaky).Acknowledge(t.Context(), "f", api.AckRequest{Reason: "x"}); err != nil || ack.Reason != "x" {
		t.Fatalf("%+v, %v", ack, err)
	}
	if len(keys) != 3 || keys[0] == "" || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Errorf("keys %v", keys)
	}
}

func TestWhatIsWrongIsNotRepeated(t *testing.T) {
	asked := 0
	want := &fleet.Error{Kind: fleet.Invalid, Code: "invalid", Message: "body", Hint: "look", Fields: []fleet.FieldError{
		{Field: "on.cron", Value: "61 * * * *", Reason: "out of range", Line: 3, Column: 9}, {Field: "where", Reason: "is missing"}}}
	strict := collector(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		problem(w, want)
	})
	_, err := client(t, 3, strict).ResolveTask(t.Context(), nil, api.MediaYAML)
	got, ok := errors.AsType[*fleet.Error](err)
	if !ok || asked != 1 {
		t.Fatalf("asked %d times: %v", asked, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err.Error() != want.Error() {
		t.Errorf("%s\nwant %s", err, want)
	}
}

func TestProblemsKeepTheirKind(t *testing.T) {
	for _, kind := range []fleet.Kind{fleet.Invalid, fleet.NotFound, fleet.Refused, fleet.Conflict, fleet.Unavailable, fleet.TooLarge, fleet.Unauthenticated, fleet.TooMany, fleet.Internal} {
		p := api.ProblemOf(fleet.Errorf(kind, "so it is").WithHint("do this"))
		if got := p.Err(); got.Kind != kind || p.Status != kind.Status() {
			t.Errorf("%s became %s with status %d", kind, got.Kind, p.Status)
		}
	}
	for code, status := range map[string]int{api.CodeStale: 412, api.CodeMalformed: 400, api.CodePrecondition: 428, api.CodeMediaType: 415} {
		if p := api.ProblemOf(fleet.Errorf(fleet.Conflict, "x").WithCode(code)); p.Status != status || p.Code != code {
			t.Errorf("%s: %+v", code, p)
		}
	}
	if p := api.ProblemOf(errors.New("secret")); strings.Contains(p.Detail, "secret") || p.Status != 500 {
		t.Errorf("%+v", p)
	}
}

func TestNobodyAnswers(t *testing.T) {
	leaderless := collector(t, func(w http.ResponseWriter, _ *http.Request) {
		problem(w, fleet.Errorf(fleet.Unavailable, "no leader").WithCode(api.CodeNoLeader))
	})
	stranger := collector(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<h1>hello</h1>", http.StatusBadGateway) })
	for name, test := range map[string]struct {
		addresses []string
		want      string
	}{
		"one":       {[]string{nobody}, "the collector does not answer"},
		"all":       {[]string{nobody, "127.0.0.1:2"}, "no collector answers (2 of 2 collectors unreachable)"},
		"no leader": {[]string{nobody, leaderless, "127.0.0.1:2"}, "no leader (2 of 3 collectors unreachable)"},
		"stranger":  {[]string{stranger}, "the answer is 502 Bad Gateway and not from fleetcron"},
	} {
		_, err := client(t, 1, test.addresses...).Overview(t.Context())
		e, ok := errors.AsType[*fleet.Error](err)
		if !ok || e.Kind != fleet.Unavailable || e.Hint == "" || !strings.HasPrefix(e.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGivingUpIsTheCallersWord(t *testing.T) {
	slow := collector(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client(t, 3, slow).Overview(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err %v", err)
	}
}

func TestACollectorThatHangsIsLeft(t *testing.T) {
	hung := make(chan struct{})
	slow := collector(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hung:
		case <-r.Context().Done():
		}
	})
	defer close(hung)
	c, err := api.NewClient(api.Config{Addresses: []string{slow}, Rounds: 1, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Overview(t.Context()); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("err %v", err)
	}
}

func TestRetriesHaveABudget(t *testing.T) {
	var asked atomic.Int32
	down := collector(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		problem(w, fleet.Errorf(fleet.Unavailable, "busy"))
	})
	c := client(t, 2, down)
	const calls = 100
	done := make(chan struct{})
	for range calls {
		go func() {
			_, _ = c.Overview(t.Context())
			done <- struct{}{}
		}()
	}
	for range calls {
		<-done
	}
	if got := asked.Load(); got != calls+10 {
		t.Errorf("%d calls became %d requests, want 10 repeated", calls, got)
	}
}

func TestAnswersThatBreakOff(t *testing.T) {
	cut := collector(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"hosts":3`)
	})
	if _, err := client(t, 1, cut).Overview(t.Context()); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("err %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := collector(t, func(http.ResponseWriter, *http.Request) { t.Error("the token went elsewhere") })
	redirects := collector(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	if _, err := client(t, 1, redirects).Overview(t.Context()); err == nil {
		t.Error("a redirect was an answer")
	}
}

// TestATaskFromTheFutureIsMarked holds an agent to what it understands.
func TestATaskFromTheFutureIsMarked(t *testing.T) {
	address := collector(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"host":"h","index":3,"shape":"new","assignments":[
			{"task":{"task":"old","on":{"cron":"* * * * *"},"run":{"command":["/bin/true"]}},"generation":1,"color":"blue","unread":"no"},
			{"task":{"task":"new","on":{"cron":"* * * * *"},"run":{"command":["/bin/true"]},"limits":{"gpu":1}},"generation":2}]}`)
	})
	plan, err := client(t, 1, address).Plan(t.Context(), "h", 0, 0)
	if err != nil || len(plan.Assignments) != 2 {
		t.Fatalf("%+v, %v", plan, err)
	}
	if old, future := plan.Assignments[0], plan.Assignments[1]; old.Unread != "" || future.Unread != `unknown field "gpu"` || future.Task.Name != "new" {
		t.Errorf("%q and %q are unread", old.Unread, future.Unread)
	}
}

// TestAgentsTellTheirTime holds the polls, and them alone, to the clock header.
func TestAgentsTellTheirTime(t *testing.T) {
	said := map[string]time.Time{}
	address := collector(t, func(w http.ResponseWriter, r *http.Request) {
		at, _ := time.Parse(time.RFC3339Nano, r.Header.Get(api.HeaderTime))
		said[r.URL.Path] = at
		_, _ = io.WriteString(w, "{}")
	})
	c := client(t, 1, address)
	before := time.Now()
	_, err := c.Plan(t.Context(), "h", 1, time.Second)
	_, err2 := c.Asks(t.Context(), "h", time.Second)
	_, err3 := c.Hosts(t.Context(), api.HostQuery{})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/agents/h/plan", "/v1/agents/h/asks"} {
		if at := said[path]; at.Before(before) || at.After(time.Now()) {
			t.Errorf("%s: its time is %v", path, at)
		}
	}
	if at, asked := said["/v1/hosts"]; !asked || !at.IsZero() {
		t.Errorf("people's calls say %v", at)
	}
}
