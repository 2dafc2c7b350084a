package httpd_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// TestAttack56_ALinkCountsOnceAndBriefly logs a browser in by a link, and
// shows it what its maker sees until the maker's token ends.
func TestAttack56_ALinkCountsOnceAndBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(t)
		h.addHost(t, 1, nil)
		id, anna := h.token(t, func(token *fleet.Token) { token.Roles = []fleet.Role{fleet.Admin} })
		link := func() string {
			made := decoded[api.Session](t, h.call(t, here, http.MethodPost, api.PathSession, anna), http.StatusOK)
			code, is := strings.CutPrefix(made.Path, "/login#")
			if !is || time.Until(made.Expires) > time.Minute {
				t.Fatalf("%+v", made)
			}
			return code
		}
		code := link()
		cookie, expires, err := h.LogIn(code, loopback)
		if err != nil || time.Until(expires) > 8*time.Hour {
			t.Fatal(expires, err)
		}
		late := link()
		time.Sleep(61 * time.Second)
		for name, secret := range map[string]string{"used": code, "late": late, "empty": "", "odd": "x"} {
			if _, _, err := h.LogIn(secret, loopback); fleet.KindOf(err) != fleet.Unauthenticated {
				t.Errorf("%s: %v", name, err)
			}
		}
		ctx, name := h.Visit(t.Context(), cookie, loopback)
		if name != "anna" {
			t.Fatalf("the session is %q's", name)
		}
		if list, err := h.Hosts(ctx, api.HostQuery{}); err != nil || list.Total != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		h.propose(t, &ledger.RevokeToken{ID: id, At: time.Now().UTC()})
		if _, name := h.Visit(t.Context(), cookie, loopback); name != "" {
			t.Errorf("the session outlives its token")
		}
		check(t, h.Close())
	})
}

func TestASessionSeesWhatItsTokenMay(t *testing.T) {
	h := twoTenants(t)
	_, red := h.token(t, func(token *fleet.Token) { token.Namespaces = []string{"red"} })
	cookie, _, err := h.LogIn(red, loopback)
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := h.Visit(t.Context(), cookie, loopback)
	hosts, err := h.Hosts(ctx, api.HostQuery{})
	if err != nil || len(hosts.Items) != 1 || hosts.Items[0].Name != "host-of-red" {
		t.Errorf("%+v, %v", hosts.Items, err)
	}
	if _, err := h.Task(ctx, "blue/job"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("the other tenant's task: %v", err)
	}
	if overview, err := h.Overview(ctx); err != nil || overview.Tasks != 1 {
		t.Errorf("%+v, %v", overview, err)
	}
	h.LogOut(cookie)
	if _, name := h.Visit(t.Context(), cookie, loopback); name != "" {
		t.Error("the session outlives the logout")
	}
	for _, ctx := range []context.Context{t.Context(), httpd.As(t.Context(), fleet.Principal{})} {
		if nothing, err := h.Hosts(ctx, api.HostQuery{}); err != nil || nothing.Total != 0 {
			t.Errorf("nobody sees %+v, %v", nothing, err)
		}
	}
}

func TestLoginsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(t)
		_, good := h.token(t, nil)
		for n := range 11 {
			_, _, err := h.LogIn("wrong", loopback)
			if want := map[bool]fleet.Kind{true: fleet.TooMany, false: fleet.Unauthenticated}[n == 10]; fleet.KindOf(err) != want {
				t.Errorf("attempt %d: %v", n+1, err)
			}
		}
		if _, _, err := h.LogIn(good, loopback); err != nil {
			t.Errorf("a good token: %v", err)
		}
		check(t, h.Close())
	})
}

// TestAFollowerTellsTheLeader whom it refused.
func TestAFollowerTellsTheLeader(t *testing.T) {
	houses := newHouses(t, 2)
	leader, follower := houses[0], houses[1]
	leader.serve(t)
	decoded[api.Problem](t, follower.do(t, http.MethodGet, api.PathTokens, "", "Authorization", "Bearer vera:viewer:*"), http.StatusForbidden)
	follower.Remark(t.Context())
	list, err := leader.ledger.Audit(everywhere, api.AuditQuery{})
	if err != nil || len(list.Items) != 1 || list.Items[0].By.Name != "vera" || list.Items[0].Decision != "refused" {
		t.Errorf("%+v, %v", list.Items, err)
	}
	// Without a leader it is kept.
	leader.member.lead("")
	decoded[api.Problem](t, follower.do(t, http.MethodGet, api.PathTokens, "", "Authorization", "Bearer vera:viewer:*"), http.StatusForbidden)
	follower.Remark(t.Context())
	leader.member.lead("c1")
	follower.Remark(t.Context())
	if list, err := leader.ledger.Audit(everywhere, api.AuditQuery{}); err != nil || len(list.Items) != 2 {
		t.Errorf("%+v, %v", list.Items, err)
	}
}

// TestAttack113_NoChangeWithoutItsEntry: what cannot be written down is not done.
func TestAttack113_NoChangeWithoutItsEntry(t *testing.T) {
	h := newHouse(t, func(d *httpd.Deps) { d.Replica = full{d.Replica} })
	h.addHost(t, 1, map[string]string{"role": "db"})
	decoded[api.Problem](t, h.give(t, backup), http.StatusServiceUnavailable)
	if _, err := h.ledger.Task(everywhere, "data/backup"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("the task is there: %v", err)
	}
	if reply := h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""); reply.StatusCode != http.StatusOK {
		t.Errorf("an agent reads its plan: %d", reply.StatusCode)
	}
}

// full is a group whose disks take no entry of the chain, nor anything else.
type full struct{ httpd.Replica }

func (f full) Propose(ctx context.Context, command ledger.Command) (any, error) {
	if _, is := command.(*ledger.Audited); is {
		return nil, fleet.Errorf(fleet.Unavailable, "the disk is full").WithCode("audit_unavailable")
	}
	return f.Replica.Propose(ctx, command)
}

// TestAttack60_OutputIsNoPage: what a command wrote is never shown as a page.
func TestAttack60_OutputIsNoPage(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	run := newRun(1, fleet.RunRan)
	run.Tail = "<script>alert(1)</script>"
	h.record(t, 1, run)
	reply := h.do(t, http.MethodGet, api.RunPath(run.ID)+"/output", "")
	header := reply.Header
	if body := text(t, reply); body != run.Tail || header.Get("Content-Type") != api.MediaOutput || header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(header.Get("Content-Disposition"), "attachment") || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v %s", header, body)
	}
}

// TestTheWholeMapIsGuarded refuses to serve a route that says nothing of who may
// use it, or where.
func TestTheWholeMapIsGuarded(t *testing.T) {
	h := newHouse(t)
	for _, route := range h.Routes() {
		on := 0
		for _, plane := range []pki.Plane{pki.PlaneOperator, pki.PlaneAgent, pki.PlaneEnroll, pki.PlanePeer} {
			if route.On(plane) {
				on++
			}
		}
		if on == 0 || route.Permission == "" {
			t.Errorf("%s %s: %d planes, %q", route.Method, route.Path, on, route.Permission)
		}
		route.Permission = "anything"
		if err := httpd.CheckRoutes([]httpd.Route{route}); err == nil {
			t.Errorf("%s %s with a permission that there is not", route.Method, route.Path)
		}
	}
	if _, err := httpd.New(httpd.Deps{Ledger: h.ledger, Search: h.Search, Replica: h.member, ParseTask: h.ParseTask}); err == nil {
		t.Error("a server that asks nobody who they are")
	}
	w := httptest.NewRecorder()
	h.Handler("fc-raft/1").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/livez", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("a plane without routes answers %d", w.Code)
	}
}

// TestWhatGoesOnIsOfTheCaller asks a host that serves two tenants.
func TestWhatGoesOnIsOfTheCaller(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{Namespaces: []string{"red", "blue"}})
	_, request := newKey(t)
	node := decoded[api.Enrolled](t, h.enroll(t, here, api.Enroll{Token: token.Secret, Request: request, Name: "shared"}).Result(), http.StatusCreated).Node
	h.propose(t, &ledger.RegisterHost{Host: fleet.Host{ID: fleet.HostID(node), Name: "shared"}, At: time.Unix(1_700_000_000, 0).UTC()})
	url := h.serve(t).URL
	said := asJSON(t, api.Live{Runs: []api.LiveRun{{Run: "r", Task: "red/job"}, {Run: "b", Task: "blue/job"}}, Waiting: []api.LiveWaiting{{Run: "w", Task: "blue/job"}}})
	agentOf(t, newClient(t, url), fleet.HostID(node), func(api.Ask) io.Reader { return strings.NewReader(said) })
	for {
		reply := h.do(t, http.MethodGet, "/v1/hosts/shared/live", "", "Authorization", "Bearer rita:viewer:red")
		if reply.StatusCode == http.StatusServiceUnavailable {
			continue // until the agent asks
		}
		live := decoded[api.Live](t, reply, http.StatusOK)
		if len(live.Runs) != 1 || live.Runs[0].Task != "red/job" || len(live.Waiting) != 0 {
			t.Errorf("%+v", live)
		}
		return
	}
}
