package httpd_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// guarded is a house whose callers are who they can prove to be.
func guarded(t testing.TB) *house {
	t.Helper()
	return newHouse(t, func(d *httpd.Deps) { d.Authenticator = &httpd.Gate{Register: d.Ledger} })
}

// token makes a token past the API and returns its id and text.
func (h *house) token(t testing.TB, change func(*fleet.Token)) (id, text string) {
	t.Helper()
	id, text, hash := identity.NewToken()
	now := time.Now().UTC()
	token := fleet.Token{ID: id, Name: "anna", Hash: hash, Roles: []fleet.Role{fleet.Viewer}, Namespaces: []string{fleet.Everywhere}, Created: now, Expires: now.Add(time.Hour)}
	if change != nil {
		change(&token)
	}
	h.propose(t, &ledger.PutToken{Token: token})
	return id, text
}

// call sends a request to the operators' plane, from an address.
func (h *house) call(t testing.TB, from, method, target, token string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost"+target, nil)
	r.RemoteAddr = from
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.planes[pki.PlaneOperator].ServeHTTP(w, r)
	return w.Result()
}

// same is a body without what differs from answer to answer.
func same(t testing.TB, reply *http.Response) string {
	t.Helper()
	return regexp.MustCompile(`"request_id":"[^"]*"`).ReplaceAllString(text(t, reply), "")
}

// TestAttack24_NoTokenOpensNothing walks every route of people with nothing,
// with what is no token, and with a token of another cluster.
func TestAttack24_NoTokenOpensNothing(t *testing.T) {
	h := guarded(t)
	_, foreign, _ := identity.NewToken()
	var answer string
	for i, route := range h.Routes() {
		if !route.On(pki.PlaneOperator) || route.Permission == httpd.Public {
			continue
		}
		for j, token := range []string{"", "x", "fct1_short", foreign, strings.ToUpper(foreign), foreign + "x"} {
			from := "192.0.2." + itoa(j+1) + ":1" // not so often from one that it would be told to wait
			if i%8 > 0 {
				from = "198.51." + itoa(i) + "." + itoa(j+1) + ":1"
			}
			reply := h.call(t, from, route.Method, filled(route.Path), token)
			if reply.StatusCode != http.StatusUnauthorized || reply.Header.Get("WWW-Authenticate") == "" {
				t.Fatalf("%s %s with %q: %d", route.Method, route.Path, token, reply.StatusCode)
			}
			if got := same(t, reply); answer == "" {
				answer = got
			} else if got != answer {
				t.Errorf("%s %s with %q answers in its own way: %s", route.Method, route.Path, token, got)
			}
		}
		for _, header := range [][]string{{"Authorization", "Basic YTpi"}, {"Authorization", "Bearer " + foreign, "Authorization", "Bearer " + foreign}} {
			if reply := h.call(t, "203.0.113."+itoa(i)+":1", route.Method, filled(route.Path), "", header...); reply.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s with %v: %d", route.Method, route.Path, header, reply.StatusCode)
			}
		}
	}
}

func TestAttack25_AViewerChangesNothing(t *testing.T) {
	h := guarded(t)
	_, viewer := h.token(t, nil)
	before, _ := h.ledger.Applied()
	for _, route := range h.Routes() {
		if !route.On(pki.PlaneOperator) || route.Method == http.MethodGet || httpd.Holds(fleet.Viewer, route.Permission) {
			continue
		}
		p := decoded[api.Problem](t, h.call(t, here, route.Method, filled(route.Path), viewer), http.StatusForbidden)
		if p.Code != "permission_denied" || !strings.Contains(p.Detail, string(route.Permission)) {
			t.Errorf("%s %s: %+v", route.Method, route.Path, p)
		}
	}
	said := signed(t, tasked(t, backup, fleet.TaskEnabled))
	r := httptest.NewRequest(http.MethodPost, "http://localhost"+api.PathSealed, strings.NewReader(said))
	r.Header.Set("Authorization", "Bearer "+viewer)
	r.Header.Set("Content-Type", api.MediaSealed)
	w := httptest.NewRecorder()
	h.planes[pki.PlaneOperator].ServeHTTP(w, r)
	if p := decoded[api.Problem](t, w.Result(), http.StatusForbidden); !strings.Contains(p.Detail, "tasks:write") {
		t.Errorf("a signed task of a viewer: %+v", p)
	}
	if after, _ := h.ledger.Applied(); after != before {
		t.Errorf("something was proposed: %d → %d", before, after)
	}
}

func TestAttack31_TokensEnd(t *testing.T) {
	h := guarded(t)
	now := time.Now().UTC()
	_, expired := h.token(t, func(token *fleet.Token) {
		token.Created, token.Expires = now.Add(-2*time.Hour), now.Add(-time.Hour)
	})
	id, revoked := h.token(t, nil)
	h.propose(t, &ledger.RevokeToken{ID: id, At: now})
	for token, code := range map[string]string{expired: "token_expired", revoked: "token_revoked"} {
		if p := decoded[api.Problem](t, h.call(t, here, http.MethodGet, api.PathHosts, token), http.StatusUnauthorized); p.Code != code {
			t.Errorf("%+v, want %s", p, code)
		}
	}
}

func TestAttack32_BadTokensHaveToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(t)
		_, good := h.token(t, nil)
		_, wrong, _ := identity.NewToken()
		const bad, other = "192.0.2.7:999", "192.0.2.8:999"
		for n := range 10 {
			if reply := h.call(t, bad, http.MethodGet, api.PathHosts, wrong); reply.StatusCode != http.StatusUnauthorized {
				t.Fatalf("attempt %d: %d", n+1, reply.StatusCode)
			}
		}
		reply := h.call(t, bad, http.MethodGet, api.PathHosts, wrong)
		if p := decoded[api.Problem](t, reply, http.StatusTooManyRequests); reply.Header.Get("Retry-After") == "" || p.Code != "too_many" {
			t.Errorf("the eleventh: %+v, Retry-After %q", p, reply.Header.Get("Retry-After"))
		}
		if _, another, _ := identity.NewToken(); h.call(t, bad, http.MethodGet, api.PathHosts, another).StatusCode != http.StatusTooManyRequests {
			t.Error("another token is tried at once")
		}
		for from, token := range map[string]string{other: good, bad: good} {
			if reply := h.call(t, from, http.MethodGet, api.PathHosts, token); reply.StatusCode != http.StatusOK {
				t.Errorf("a good token from %s: %d", from, reply.StatusCode)
			}
		}
		if reply := h.call(t, other, http.MethodGet, api.PathHosts, wrong); reply.StatusCode != http.StatusUnauthorized {
			t.Errorf("another address waits, too: %d", reply.StatusCode)
		}
		time.Sleep(time.Minute)
		if reply := h.call(t, bad, http.MethodGet, api.PathHosts, wrong); reply.StatusCode != http.StatusUnauthorized {
			t.Errorf("after a minute: %d", reply.StatusCode)
		}
		check(t, h.Close())
	})
}

func TestAttack33_WhoPassesOnSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(t)
		_, wrong, _ := identity.NewToken()
		for n := range 11 {
			reply := h.call(t, "192.0.2.7:999", http.MethodGet, api.PathHosts, wrong, "X-Forwarded-For", "198.51.100."+itoa(n), "X-Real-Ip", "127.0.0.1", "Forwarded", "for=127.0.0.1",
				api.HeaderForwarded, "c2", api.HeaderPrincipal, `{"kind":"person","name":"root","roles":["admin"],"scope":["*"]}`)
			if want := map[bool]int{true: 429, false: 401}[n == 10]; reply.StatusCode != want {
				t.Errorf("attempt %d: %d, want %d", n+1, reply.StatusCode, want)
			}
		}
		check(t, h.Close())
	})
}

func TestAttack34_TheBootstrapTokenEnds(t *testing.T) {
	h := guarded(t)
	admin := func(bootstrap bool) func(*fleet.Token) {
		return func(token *fleet.Token) { token.Roles, token.Bootstrap = []fleet.Role{fleet.Admin}, bootstrap }
	}
	_, first := h.token(t, admin(true))
	if reply := h.call(t, here, http.MethodGet, api.PathTokens, first); reply.StatusCode != http.StatusOK {
		t.Fatalf("alone: %d", reply.StatusCode)
	}
	_, second := h.token(t, admin(false))
	if p := decoded[api.Problem](t, h.call(t, here, http.MethodGet, api.PathTokens, first), http.StatusUnauthorized); p.Code != "bootstrap_closed" {
		t.Errorf("beside another admin: %+v", p)
	}
	if reply := h.call(t, here, http.MethodGet, api.PathTokens, second); reply.StatusCode != http.StatusOK {
		t.Errorf("the other admin: %d", reply.StatusCode)
	}
}

// TestAttack35_AnAgentIsItsCertificate walks the agents' routes as another host.
func TestAttack35_AnAgentIsItsCertificate(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	h.addHost(t, 2, nil)
	before, _ := h.ledger.Applied()
	for _, route := range h.Routes() {
		if !route.On(pki.PlaneAgent) || !strings.Contains(route.Path, "{host}") {
			continue
		}
		p := decoded[api.Problem](t, h.on(t, pki.PlaneAgent, route.Method, filled(route.Path), "{}", headerAgent, string(hostID(2)), "Content-Type", api.MediaJSON), http.StatusForbidden)
		if p.Code != "agent_id_mismatch" {
			t.Errorf("%s %s: %+v", route.Method, route.Path, p)
		}
	}
	if after, _ := h.ledger.Applied(); after != before {
		t.Error("something was recorded")
	}
}

func TestAttack36_AnAgentSaysOfItself(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	other := string(hostID(2))
	for target, body := range map[string]string{
		"":           `{"id":"` + other + `","name":"x"}`,
		"/applied":   `{"host":"` + other + `","generations":{},"at":"2026-01-01T00:00:00Z"}`,
		"/adoptions": `[{"task":"a/b","host":"` + other + `","job":{},"state":"adopted","at":"2026-01-01T00:00:00Z"}]`,
	} {
		reply := h.on(t, pki.PlaneAgent, http.MethodPut, api.AgentPath(hostID(1))+target, body, headerAgent, string(hostID(1)), "Content-Type", api.MediaJSON)
		if p := decoded[api.Problem](t, reply, http.StatusForbidden); p.Code != "agent_id_mismatch" {
			t.Errorf("%s: %+v", target, p)
		}
	}
}

// TestAttack37and38_RunsThatCannotBe: an agent tells of another's run, of an end
// before the beginning, and of another end after the last word.
func TestAttack37and38_RunsThatCannotBe(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addHost(t, 2, map[string]string{"role": "db"})
	h.addTask(t)
	theirs := newRun(2, fleet.RunRunning)
	h.record(t, 2, theirs)
	ended := newRun(1, fleet.RunRan)
	sequence := uint64(0)
	tell := func(run fleet.Run) {
		t.Helper()
		sequence++
		batch := api.RunBatch{Journal: fleet.JournalID(strings.Repeat("e", 32)), Records: []api.RunRecord{{Sequence: sequence, Run: run}}}
		reply := h.on(t, pki.PlaneAgent, http.MethodPost, api.AgentPath(hostID(1))+"/runs", asJSON(t, batch), headerAgent, string(hostID(1)), "Content-Type", api.MediaJSON)
		decoded[api.RunReceipt](t, reply, http.StatusOK) // refused for ever, and acknowledged: it would deliver nothing else
	}
	stolen := theirs
	stolen.State, stolen.Reason = fleet.RunUnknown, "agent_lost"
	tell(stolen)
	stolen.Host = hostID(1)
	tell(stolen)
	if run, err := h.ledger.Run(everywhere, theirs.ID); err != nil || run.State != fleet.RunRunning || run.Host != hostID(2) {
		t.Errorf("another host's run is %+v, %v", run, err)
	}
	tell(ended)
	other := ended
	zero := 0
	other.Exit, other.State = &zero, fleet.RunRan
	tell(other)
	again := ended
	again.State, again.Exit = fleet.RunRunning, nil
	tell(again)
	if run, err := h.ledger.Run(everywhere, ended.ID); err != nil || run.State != fleet.RunRan || *run.Exit != 1 {
		t.Errorf("its own run is %+v, %v", run, err)
	}
	if got := strings.Count(h.logged.String(), `"run records refused"`); got < 3 {
		t.Errorf("%d refusals are in the log", got)
	}
}

// TestAttack39_EachPlaneHasItsOwnRoutes walks the whole map on each plane that a
// route does not stand on, with the best that plane has.
func TestAttack39_EachPlaneHasItsOwnRoutes(t *testing.T) {
	h := newHouse(t)
	for plane, caller := range certified {
		paths := map[string]bool{}
		for _, route := range h.Routes() {
			paths[route.Path] = paths[route.Path] || route.On(plane)
		}
		for _, route := range h.Routes() {
			if route.On(plane) {
				continue
			}
			reply := h.on(t, plane, route.Method, filled(route.Path), "", caller...)
			want := http.StatusNotFound
			switch {
			case paths[route.Path]:
				want = http.StatusMethodNotAllowed
			case plane == pki.PlaneAgent:
				want = http.StatusForbidden
			}
			if below := strings.HasPrefix(route.Path, api.PathCollector+"/"); below && reply.StatusCode == http.StatusMethodNotAllowed {
				continue // the router takes what is below for a part of the id
			}
			if reply.StatusCode != want {
				t.Errorf("%s %s on %s: %d, want %d", route.Method, route.Path, plane, reply.StatusCode, want)
			}
		}
	}
	p := decoded[api.Problem](t, h.on(t, pki.PlaneAgent, http.MethodGet, api.PathHosts, "", headerAgent, string(hostID(1))), http.StatusForbidden)
	if p.Code != "agent_not_allowed" {
		t.Errorf("%+v", p)
	}
	for _, path := range []string{api.PathCollectors, api.PathRefusals} {
		caller := []string{headerPeer, "c2", api.HeaderPrincipal, asJSON(t, everyone("anna")), "Content-Type", api.MediaJSON}
		if reply := h.on(t, pki.PlanePeer, http.MethodPost, path, "{}", caller...); reply.StatusCode != http.StatusForbidden {
			t.Errorf("a person whom a collector passes on speaks as a collector at %s: %d", path, reply.StatusCode)
		}
	}
}

// TestTheGateKnowsMachinesByTheirCertificates goes through what a connection
// can prove.
func TestTheGateKnowsMachinesByTheirCertificates(t *testing.T) {
	h := guarded(t)
	certs := pkitest.New(t)
	host := pkitest.HostID()
	agent, stranger, collector := certs.Agent(host), certs.Agent(pkitest.HostID()), certs.Collector("c2")
	node := func(state fleet.NodeState) {
		t.Helper()
		h.propose(t, &ledger.SetNodeState{ID: host, State: state, At: time.Now().UTC()})
	}
	h.propose(t, &ledger.PutNode{Node: fleet.Node{ID: host, Role: fleet.AgentKind, State: fleet.NodeActive, Namespaces: []string{"data"}, Serial: agent.Serial(), Fingerprint: agent.Fingerprint(),
		Expires: agent.NotAfter().UTC(), Enrolled: time.Now().UTC(), Changed: time.Now().UTC()}, At: time.Now().UTC()})
	ask := func(plane pki.Plane, c *pki.Credentials, path string, header ...string) int {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
		if c != nil {
			r.TLS = &tls.ConnectionState{PeerCertificates: c.Chain()}
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.planes[plane].ServeHTTP(w, r)
		return w.Code
	}
	own := api.AgentPath(fleet.HostID(host)) + "/plan"
	id, _ := h.token(t, func(token *fleet.Token) { token.Name, token.Namespaces = "anna", []string{"data"} })
	gone, _ := h.token(t, func(token *fleet.Token) { token.Name = "anna" })
	h.propose(t, &ledger.RevokeToken{ID: gone, At: time.Now().UTC()})
	passed := func(token, name string, scope string, roles ...fleet.Role) []string {
		return []string{api.HeaderPrincipal, asJSON(t, fleet.Principal{Kind: fleet.PersonKind, Name: name, Token: token, Roles: roles, Scope: []string{scope}})}
	}
	admin, _ := json.Marshal(everyone("anna"))
	system, _ := json.Marshal(fleet.Principal{Kind: fleet.SystemKind, Name: "c1"})
	for _, c := range []struct {
		name   string
		plane  pki.Plane
		who    *pki.Credentials
		path   string
		header []string
		want   int
	}{
		{"an agent", pki.PlaneAgent, agent, own, nil, 404}, // let in: the host has not registered yet
		{"nobody", pki.PlaneAgent, nil, own, nil, 401},
		{"one that nobody enrolled", pki.PlaneAgent, stranger, own, nil, 403},
		{"a collector as an agent", pki.PlaneAgent, collector, own, nil, 403},
		{"an agent as a collector", pki.PlanePeer, agent, api.PathGossipKey, nil, 403},
		{"an agent with an admin's name", pki.PlanePeer, agent, api.PathHosts, []string{api.HeaderPrincipal, string(admin)}, 403},
		{"an agent with an admin's name on its own plane", pki.PlaneAgent, agent, api.PathHosts, []string{api.HeaderPrincipal, string(admin)}, 403},
		{"a collector", pki.PlanePeer, collector, api.PathGossipKey, nil, 200},
		{"a collector that reads for itself", pki.PlanePeer, collector, api.PathHosts, nil, 403},
		{"a collector for a person", pki.PlanePeer, collector, api.PathHosts, passed(id, "anna", "data", fleet.Viewer), 200},
		{"a collector for a person without a token", pki.PlanePeer, collector, api.PathHosts, []string{api.HeaderPrincipal, string(admin)}, 401},
		{"a collector for a person whose token was revoked", pki.PlanePeer, collector, api.PathHosts, passed(gone, "anna", "data", fleet.Viewer), 401},
		{"a collector for somebody else with that token", pki.PlanePeer, collector, api.PathHosts, passed(id, "berta", "data", fleet.Viewer), 403},
		{"a collector for a person with more roles", pki.PlanePeer, collector, api.PathHosts, passed(id, "anna", "data", fleet.Admin), 403},
		{"a collector for a person with more namespaces", pki.PlanePeer, collector, api.PathHosts, passed(id, "anna", fleet.Everywhere, fleet.Viewer), 403},
		{"a collector for an agent", pki.PlanePeer, collector, own, []string{api.HeaderPrincipal, asJSON(t, fleet.Principal{Kind: fleet.AgentKind, Name: host, Token: agent.Serial()})}, 404},
		{"a collector for an agent with another certificate", pki.PlanePeer, collector, own, []string{api.HeaderPrincipal, asJSON(t, fleet.Principal{Kind: fleet.AgentKind, Name: host, Token: collector.Serial()})}, 403},
		{"a collector for the system", pki.PlanePeer, collector, api.PathHosts, []string{api.HeaderPrincipal, string(system)}, 403},
		{"a collector for nobody", pki.PlanePeer, collector, api.PathHosts, []string{api.HeaderPrincipal, "{}"}, 401},
		{"a certificate and no token", pki.PlaneOperator, collector, api.PathHosts, nil, 401},
	} {
		if got := ask(c.plane, c.who, c.path, c.header...); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	node(fleet.NodeSuspended)
	if got := ask(pki.PlaneAgent, agent, own); got != http.StatusForbidden {
		t.Errorf("a suspended agent: %d", got)
	}
	node(fleet.NodeRevoked)
	if got := ask(pki.PlaneAgent, agent, own); got != http.StatusForbidden {
		t.Errorf("a revoked agent: %d", got)
	}
}

// TestNobodyGivesMoreThanTheyHave is the table of escalations.
func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	h := newHouse(t)
	token := func(roles, namespaces string) string {
		return `{"name":"eve","roles":[` + roles + `],"namespaces":[` + namespaces + `]}`
	}
	for _, c := range []struct {
		who, method, target, body string
		want                      int
	}{
		{"adam:admin:red,blue", "POST", api.PathTokens, token(`"admin"`, `"red"`), 200},
		{"adam:admin:red,blue", "POST", api.PathTokens, token(`"auditor"`, `"red","blue"`), 200},
		{"adam:admin:red,blue", "POST", api.PathTokens, token(`"viewer"`, `"*"`), 403},
		{"adam:admin:red,blue", "POST", api.PathTokens, token(`"viewer"`, `"red","green"`), 403},
		{"adam:admin:red,blue", "PUT", api.PathRules + "/red", `{"two_person":["root"],"approvals":1}`, 200},
		{"adam:admin:red,blue", "PUT", api.PathRules + "/green", `{"two_person":["root"],"approvals":1}`, 403},
		{"adam:admin:red,blue", "PUT", api.PathRules + "/*", `{}`, 403},
		{"adam:admin:red,blue", "DELETE", api.PathRules + "/*", ``, 403},
		{"adam:admin:red,blue", "POST", api.PathJoinTokens, `{}`, 403},
		{"adam:admin:red,blue", "POST", api.PathJoinTokens, `{"collector":"c9"}`, 403},
		{"adam:admin:red,blue", "PATCH", api.PathNodes + "/" + string(hostID(1)), `{"state":"revoked"}`, 403},
		{"adam:admin:red,blue", "DELETE", api.PathCollectors + "/c2", ``, 403},
		{"adam:admin:red,blue", "POST", api.PathGossipKey, ``, 403},
		{"adam:admin:red,blue", "GET", api.PathBackup, ``, 403},
		{"adam:admin:red,blue", "GET", api.PathMetrics, ``, 403},
		{"adam:admin:red,blue", "GET", api.PathHealth, ``, 403},
		{"adam:admin:red,blue", "PUT", api.PathPins + "/db", `{"labels":"*","allow":[]}`, 403},
		{"oscar:operator:*", "POST", api.PathTokens, token(`"viewer"`, `"red"`), 403},
		{"otto:approver:*", "POST", api.PathTokens, token(`"approver"`, `"red"`), 403},
		{"vera:viewer:*", "GET", api.PathAudit, ``, 403},
		{"vera:viewer:*", "GET", api.PathMetrics, ``, 200},
		{"aida:auditor:*", "GET", api.PathAudit, ``, 200},
		{"adam:admin:*", "POST", api.PathTokens, token(`"admin"`, `"*"`), 200},
	} {
		header := []string{"Authorization", "Bearer " + c.who}
		if c.body != "" {
			header = append(header, "Content-Type", api.MediaJSON)
		}
		if reply := h.do(t, c.method, c.target, c.body, header...); reply.StatusCode != c.want {
			t.Errorf("%s %s %s %s: %d, want %d: %s", c.who, c.method, c.target, c.body, reply.StatusCode, c.want, text(t, reply))
		}
	}
}

// TestRefusalsAreWrittenDown: each with who was refused what, equal ones in one
// entry, and no secret.
func TestRefusalsAreWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(t)
		id, viewer := h.token(t, nil)
		_, wrong, _ := identity.NewToken()
		for range 3 {
			h.call(t, here, http.MethodGet, api.PathTokens, viewer)
		}
		h.call(t, "192.0.2.9:1", http.MethodGet, api.PathHosts, wrong)
		h.call(t, "192.0.2.9:1", http.MethodGet, api.PathHosts, "") // shows nothing and gets nothing
		h.Remark(t.Context())
		list, err := h.ledger.Audit(everywhere, api.AuditQuery{})
		if err != nil || len(list.Items) != 2 {
			t.Fatalf("%+v, %v", list.Items, err)
		}
		one, two := list.Items[0], list.Items[1]
		if one.By.Token == "" {
			one, two = two, one
		}
		if one.By.Token != id || one.Count != 3 || one.Decision != "refused" || one.Code != "permission_denied" || one.Action != "tokens:write" || one.Object != "GET /v1/tokens" {
			t.Errorf("%+v", one)
		}
		if two.By.Name != "" || two.By.Address.String() != "192.0.2.9" || two.Code != "token_invalid" {
			t.Errorf("%+v", two)
		}
		if said := asJSON(t, list) + h.logged.String(); strings.Contains(said, viewer) || strings.Contains(said, wrong) {
			t.Error("a token is in the chain or in the log")
		}
		check(t, h.Close())
	})
}

// TestKeysAreTheirCallers: one key of two people is two requests.
func TestKeysAreTheirCallers(t *testing.T) {
	h := newHouse(t)
	body := `{"name":"eve","roles":["viewer"],"namespaces":["red"]}`
	make := func(who string) api.MadeToken {
		return decoded[api.MadeToken](t, h.do(t, http.MethodPost, api.PathTokens, body, "Content-Type", api.MediaJSON, api.HeaderIdempotency, "k", "Authorization", "Bearer "+who), http.StatusOK)
	}
	if first, second := make("anna"), make("bert"); first.ID == second.ID || first.Secret == second.Secret {
		t.Error("one got what the other made")
	}
	p := decoded[api.Problem](t, h.do(t, http.MethodPost, api.PathTokens, body, "Content-Type", api.MediaJSON, api.HeaderIdempotency, "k", "Authorization", "Bearer anna"), http.StatusConflict)
	if p.Code != api.CodeExists {
		t.Errorf("a secret is told once: %+v", p)
	}
}
