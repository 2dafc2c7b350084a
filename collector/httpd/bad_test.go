package httpd_test

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

var update = flag.Bool("update", false, "write the goldens anew")

// bad is every way to ask wrongly, by the name of its golden.
var bad = []struct {
	name, method, target, body string
	header                     []string
	status                     int
}{
	{"no_route", "GET", "/v1/nothing", "", nil, 404},
	{"no_route_below", "GET", "/v1/runs/x/output/../../../etc/passwd", "", nil, 404},
	{"wrong_method", "POST", api.PathHosts, "", nil, 405},
	{"wrong_method_odd", "BREW", api.PathHosts, "", nil, 405},
	{"no_host", "GET", "/v1/hosts/nobody", "", nil, 404},
	{"host_with_slash", "GET", "/v1/hosts/..%2f..%2fetc%2fpasswd", "", nil, 404},
	{"task_name", "GET", "/v1/tasks/data/UPPER", "", nil, 404},
	{"no_task", "GET", "/v1/tasks/data/none", "", nil, 404},
	{"no_run", "GET", "/v1/runs/0197", "", nil, 404},
	{"unknown_parameter", "GET", api.PathHosts + "?colour=red", "", nil, 400},
	{"parameter_twice", "GET", api.PathHosts + "?q=a&q=b", "", nil, 422},
	{"parameter_in_fixed_place", "GET", api.PathOverview + "?a=b", "", nil, 400},
	{"query_escape", "GET", api.PathHosts + "?q=%zz", "", nil, 422},
	{"bad_limit", "GET", api.PathHosts + "?limit=-1", "", nil, 422},
	{"limit_too_large", "GET", api.PathHosts + "?limit=5000", "", nil, 422},
	{"bad_cursor", "GET", api.PathHosts + "?after=*", "", nil, 422},
	{"bad_wait", "GET", api.PathHosts + "?index=1&wait=soon", "", nil, 422},
	{"bad_index", "GET", api.PathHosts + "?index=-1", "", nil, 422},
	{"bad_presence", "GET", api.PathHosts + "?presence=ghost", "", nil, 422},
	{"bad_selector", "GET", api.PathHosts + "?label=%3D%3D", "", nil, 422},
	{"bad_state", "GET", api.PathRuns + "?state=fine", "", nil, 422},
	{"bad_instant", "GET", api.PathRuns + "?since=yesterday", "", nil, 422},
	{"bad_span", "GET", api.PathUpcoming + "?from=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z", "", nil, 422},
	{"upcoming_label", "GET", api.PathUpcoming + "?label=%3D%3D", "", nil, 422},
	{"density_zone", "GET", api.PathDensity + "?zone=Mars/Olympus", "", nil, 422},
	{"density_from", "GET", api.PathDensity + "?from=1900-01-01T00:00:00Z", "", nil, 422},
	{"density_no_host", "GET", api.PathDensity + "?host=nobody", "", nil, 404},
	{"collisions_span", "GET", api.PathCollisions + "?from=2026-01-01T00:00:00Z&until=2026-01-03T00:00:00Z", "", nil, 422},
	{"collisions_backwards", "GET", api.PathCollisions + "?from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "", nil, 422},
	{"collisions_least", "GET", api.PathCollisions + "?least=-1", "", nil, 422},
	{"collisions_cursor", "GET", api.PathCollisions + "?after=eA", "", nil, 422},
	{"spread_most", "GET", api.PathSpread + "?most=2h", "", nil, 422},
	{"spread_label", "GET", api.PathSpread + "?label=%3D", "", nil, 422},
	{"loss_no_host", "GET", "/v1/hosts/nobody/loss", "", nil, 404},
	{"findings_kind", "GET", api.PathFindings + "?kind=odd", "", nil, 422},
	{"findings_severity", "GET", api.PathFindings + "?severity=loud", "", nil, 422},
	{"findings_acked", "GET", api.PathFindings + "?acked=yes", "", nil, 422},
	{"findings_cursor", "GET", api.PathFindings + "?after=eA", "", nil, 422},
	{"findings_no_host", "GET", api.PathFindings + "?host=nobody", "", nil, 404},
	{"no_finding", "GET", api.PathFindings + "/0123456789abcdef", "", nil, 404},
	{"finding_form", "GET", api.PathFindings + "/XYZ", "", nil, 404},
	{"jobs_unknown_term", "GET", api.PathJobs + "?q=usr:root", "", nil, 422},
	{"jobs_is", "GET", api.PathJobs + "?q=is:late", "", nil, 422},
	{"bad_stream", "GET", "/v1/runs/0197/output?stream=stdin", "", nil, 422},
	{"hook_of_a_form", "POST", "/v1/hooks/data/backup", `a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
	{"hook_broken", "POST", "/v1/hooks/data/backup", `{"a":`, []string{"Content-Type", api.MediaJSON}, 400},
	{"hook_too_large", "POST", "/v1/hooks/data/backup", `"` + strings.Repeat("x", 17<<10) + `"`, []string{"Content-Type", api.MediaJSON}, 413},
	{"hook_of_no_task", "POST", "/v1/hooks/data/none", `{}`, []string{"Content-Type", api.MediaJSON}, 404},
	{"hook_of_another_trigger", "POST", "/v1/hooks/data/backup", `{}`, []string{"Content-Type", api.MediaJSON}, 409},
	{"lease_of_no_task", "POST", "/v1/agents/00000000000000000000000000000001/leases", `{"task":"data/none","run":"r"}`, []string{"Content-Type", api.MediaJSON}, 404},
	{"lease_without_need", "POST", "/v1/agents/00000000000000000000000000000001/leases", `{"task":"data/backup","run":"r"}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"lease_returned_nowhere", "DELETE", "/v1/agents/00000000000000000000000000000001/leases/r", "", nil, 422},
	{"no_content_type", "POST", api.PathResolve, backup, nil, 415},
	{"wrong_content_type", "POST", api.PathResolve, backup, []string{"Content-Type", "text/html"}, 415},
	{"content_encoding", "POST", api.PathResolve, backup, []string{"Content-Type", api.MediaJSON, "Content-Encoding", "gzip"}, 415},
	{"task_too_large", "POST", api.PathResolve, strings.Repeat("x", 300<<10), []string{"Content-Type", api.MediaYAML}, 413},
	{"task_broken", "POST", api.PathResolve, `{"task":`, []string{"Content-Type", api.MediaJSON}, 422},
	{"task_unknown_field", "POST", api.PathResolve, "task: x\ncolour: red\n", []string{"Content-Type", api.MediaYAML}, 422},
	{"task_many_faults", "POST", api.PathResolve, `{"task":"UPPER","on":{"cron":"61 * * * *"},"run":{},"where":{}}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"task_two", "POST", api.PathResolve, "task: a\non: {manual: true}\nrun: {command: date}\nwhere: {labels: \"*\"}\n---\ntask: b\non: {manual: true}\nrun: {command: date}\nwhere: {labels: \"*\"}\n", []string{"Content-Type", api.MediaYAML}, 422},
	{"weak_etag", "PUT", "/v1/rules/data", `{}`, []string{"Content-Type", api.MediaJSON, "If-Match", `W/"3"`}, 422},
	{"adopt_unknown_field", "POST", api.PathAdoptions, `{"host":"host-1","jobb":"1234"}`, []string{"Content-Type", api.MediaJSON}, 400},
	{"adopt_no_job", "POST", api.PathAdoptions, `{"host":"host-1","job":""}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"adopt_versioned", "POST", api.PathAdoptions, `{"host":"host-1","job":"1234"}`, []string{"Content-Type", api.MediaJSON, "If-Match", `"3"`}, 422},
	{"no_adoption", "GET", "/v1/adoptions/data/none", "", nil, 404},
	{"diff_bad_job", "GET", "/v1/hosts/host-1/jobs/..%2f..%2f/diff", "", nil, 404},
	{"body_empty", "POST", api.PathTokens, "", []string{"Content-Type", api.MediaJSON}, 400},
	{"body_broken", "POST", api.PathTokens, "{\"name\":\n\"anna\",}", []string{"Content-Type", api.MediaJSON}, 400},
	{"body_trailing", "POST", api.PathTokens, `{"name":"anna"} {}`, []string{"Content-Type", api.MediaJSON}, 400},
	{"body_wrong_case", "POST", api.PathTokens, `{"NAME":"anna"}`, []string{"Content-Type", api.MediaJSON}, 400},
	{"body_twice", "POST", api.PathTokens, `{"name":"anna","name":"root"}`, []string{"Content-Type", api.MediaJSON}, 400},
	{"body_unknown_field", "POST", api.PathTokens, `{"uid":0}`, []string{"Content-Type", api.MediaJSON}, 400},
	{"body_wrong_type", "POST", api.PathTokens, `{"name":3}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"body_utf8", "POST", api.PathTokens, "{\"name\":\"\xff\"}", []string{"Content-Type", api.MediaJSON}, 400},
	{"body_deep", "POST", api.PathTokens, `{"name":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, []string{"Content-Type", api.MediaJSON}, 400},
	{"body_too_large", "POST", api.PathTokens, `{"name":"` + strings.Repeat("x", api.MaxBody) + `"}`, []string{"Content-Type", api.MediaJSON}, 413},
	{"agent_unknown", "GET", api.AgentPath(hostID(8)) + "/plan", "", nil, 404},
	{"agent_id_form", "GET", "/v1/agents/host-1/plan", "", nil, 404},
	{"register_faults", "PUT", api.AgentPath(hostID(1)), `{"id":"` + string(hostID(1)) + `","name":"","labels":{"A B":"c"}}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"register_other", "PUT", api.AgentPath(hostID(1)), `{"id":"` + string(hostID(2)) + `","name":"x"}`, []string{"Content-Type", api.MediaJSON}, 403},
	{"register_bad_address", "PUT", api.AgentPath(hostID(1)), `{"id":"` + string(hostID(1)) + `","name":"x","addresses":["here"]}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"report_nested_field", "PUT", api.AgentPath(hostID(1)) + "/report", `{"host":"x","scanned":"2026-01-01T00:00:00Z","jobs":[{"id":"a","source":"/x"},{"id":"b","Source":"/x"}]}`, []string{"Content-Type", api.MediaJSON}, 400},
	{"runs_bad_journal", "POST", api.AgentPath(hostID(1)) + "/runs", `{"journal":"x","records":[]}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"answer_unknown", "POST", api.AgentPath(hostID(1)) + "/asks/none", "x", []string{"Content-Type", api.MediaOutput}, 404},
	{"sightings_faults", "PUT", api.AgentPath(hostID(1)) + "/sightings", `{"since":{"dream":"2026-01-01T00:00:00Z"},"jobs":{"x":{"last":"0001-01-01T00:00:00Z","grade":"guess","from":"journal"}}}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"sightings_unknown", "PUT", api.AgentPath(hostID(8)) + "/sightings", `{}`, []string{"Content-Type", api.MediaJSON}, 404},
	{"changes_job_alone", "GET", api.PathChanges + "?job=0123456789abcdef", "", nil, 422},
	{"changes_what", "GET", api.PathChanges + "?what=everything", "", nil, 422},
	{"changes_span", "GET", api.PathChanges + "?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", "", nil, 422},
	{"changes_cursor", "GET", api.PathChanges + "?after=abcd", "", nil, 422},
	{"changes_no_host", "GET", api.PathChanges + "?host=nobody", "", nil, 404},
	{"jobs_to_come", "GET", api.PathJobs + "?at=2190-01-01T00:00:00Z", "", nil, 422},
	{"jobs_past_overdue", "GET", api.PathJobs + "?at=2026-01-01T00:00:00Z&overdue=true", "", nil, 422},
	{"jobs_past_cursor", "GET", api.PathJobs + "?at=2026-01-01T00:00:00Z&after=abcd", "", nil, 422},
	{"groups_past", "GET", api.PathJobGroups + "?at=2026-01-01T00:00:00Z", "", nil, 422},
	{"pin_name", "PUT", api.PathPins + "/UPPER", `{"labels":"*"}`, []string{"Content-Type", api.MediaJSON}, 404},
	{"pin_faults", "PUT", api.PathPins + "/db", `{"labels":"==","allow":[{"fingerprint":"x","user":""}]}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"pin_unmatched", "PUT", api.PathPins + "/db", `{"labels":"role=none"}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"pin_version", "PUT", api.PathPins + "/db", `{"labels":"*"}`, []string{"Content-Type", api.MediaJSON, "If-Match", `"3"`}, 422},
	{"no_pin", "GET", api.PathPins + "/none", "", nil, 404},
	{"no_pin_to_drop", "DELETE", api.PathPins + "/none", "", nil, 404},
	{"annotation_form", "PUT", api.PathAnnotations + "/xyz", `{"owner":"a"}`, []string{"Content-Type", api.MediaJSON}, 404},
	{"annotation_faults", "PUT", api.PathAnnotations + "/0123456789abcdef", `{"owner":"a\u001b[31m","note":"` + strings.Repeat("x", 2001) + `"}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"no_annotation", "GET", api.PathAnnotations + "/0123456789abcdef", "", nil, 404},
	{"ack_faults", "PUT", api.PathFindings + "/0123456789abcdef/ack", `{"reason":" ","expires":"2020-01-01T00:00:00Z"}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"ack_form", "PUT", api.PathFindings + "/none/ack", `{"reason":"x"}`, []string{"Content-Type", api.MediaJSON}, 404},
	{"no_ack_to_drop", "DELETE", api.PathFindings + "/0123456789abcdef/ack", "", nil, 404},
	{"standings_phase", "GET", api.PathStandings + "?phase=asleep", "", nil, 422},
	{"standings_no_task", "GET", api.PathStandings + "?task=data/none", "", nil, 404},
	{"stands_faults", "PUT", api.AgentPath(hostID(1)) + "/standings", `{"standings":[{"task":"data/api","since":"2026-01-01T00:00:00Z","phase":"asleep"}]}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"stands_twice", "PUT", api.AgentPath(hostID(1)) + "/standings", `{"standings":[{"task":"data/api","since":"2026-01-01T00:00:00Z"},{"task":"data/api","since":"2026-01-01T00:00:00Z"}]}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"stands_unknown", "PUT", api.AgentPath(hostID(8)) + "/standings", `{"standings":[]}`, []string{"Content-Type", api.MediaJSON}, 404},
	{"live_stranger", "GET", "/v1/hosts/nobody/live", "", nil, 404},
	{"occurrence_alone", "GET", api.PathRuns + "?occurrence=r1&failed", "", nil, 422},
	{"no_calendar", "GET", api.PathCalendars + "/none", "", nil, 404},
	{"join_faults", "POST", api.PathCollectors, `{"id":"c2","raft":"here","api":"there"}`, []string{"Content-Type", api.MediaJSON, headerPeer, "c2"}, 422},
	{"join_another", "POST", api.PathCollectors, `{"id":"c3","raft":"127.0.0.1:1","api":"https://127.0.0.1:2"}`, []string{"Content-Type", api.MediaJSON, headerPeer, "c2"}, 403},
	{"no_token", "GET", api.PathHosts, "", []string{"Authorization", ""}, 401},
	{"too_weak", "POST", api.PathTokens, `{}`, []string{"Content-Type", api.MediaJSON, "Authorization", "Bearer anna:viewer:*"}, 403},
	{"too_narrow", "GET", api.PathMetrics, "", []string{"Authorization", "Bearer anna:admin:data"}, 403},
	{"agent_for_another", "GET", api.AgentPath(hostID(1)) + "/plan", "", []string{headerAgent, string(hostID(2))}, 403},
	{"agent_among_people", "GET", api.PathHosts, "", []string{headerAgent, string(hostID(1))}, 403},
	{"token_faults", "POST", api.PathTokens, `{"name":"a b","roles":["viewer"],"namespaces":["data"]}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"token_role", "POST", api.PathTokens, `{"name":"anna","roles":["root"],"namespaces":["data"]}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"token_life", "POST", api.PathTokens, `{"name":"anna","roles":["viewer"],"namespaces":["data"],"life":"400d"}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"token_nowhere", "POST", api.PathTokens, `{"name":"anna","roles":["viewer"],"namespaces":[]}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"token_of_others", "POST", api.PathTokens, `{"name":"anna","roles":["viewer"],"namespaces":["*"]}`, []string{"Content-Type", api.MediaJSON, "Authorization", "Bearer anna:admin:data"}, 403},
	{"no_node", "PATCH", api.PathNodes + "/none", `{"state":"revoked"}`, []string{"Content-Type", api.MediaJSON}, 404},
	{"node_state", "PATCH", api.PathNodes + "/none", `{"state":"gone"}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"rules_of_another", "PUT", "/v1/rules/data", `{"namespace":"web"}`, []string{"Content-Type", api.MediaJSON}, 422},
	{"no_request", "GET", api.PathRequests + "/0123456789abcdef", "", nil, 404},
	{"sealed_json", "POST", api.PathSealed, `{}`, []string{"Content-Type", api.MediaJSON}, 415},
	{"sealed_nothing", "POST", api.PathSealed, `{}`, []string{"Content-Type", api.MediaSealed}, 422},
	{"sealed_type", "POST", api.PathSealed, `{"payloadType":"text/plain","payload":"","signatures":[{"keyid":"a","sig":""}]}`, []string{"Content-Type", api.MediaSealed}, 422},
}

func TestBadInputIsToldClearly(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addTask(t)
	before, _ := h.ledger.Applied()
	for _, one := range bad {
		t.Run(one.name, func(t *testing.T) {
			reply := h.do(t, one.method, one.target, one.body, append([]string{api.HeaderRequestID, "request-1"}, one.header...)...)
			got := text(t, reply)
			if reply.StatusCode != one.status {
				t.Errorf("status %d, want %d", reply.StatusCode, one.status)
			}
			if media := reply.Header.Get("Content-Type"); media != api.MediaProblem {
				t.Errorf("content type %q", media)
			}
			if reply.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("a browser may guess what this is")
			}
			if one.status == http.StatusMethodNotAllowed && reply.Header.Get("Allow") == "" {
				t.Error("no Allow")
			}
			golden(t, one.name, got)
		})
	}
	if after, _ := h.ledger.Applied(); after != before {
		// The refusals of the ledger itself are entries too, and change nothing.
		if h.addTaskAgain(t).Generation != 1 {
			t.Error("something was half applied")
		}
	}
}

// addTaskAgain reads the task that bad input must not have changed.
func (h *house) addTaskAgain(t *testing.T) fleet.TaskRecord {
	t.Helper()
	record, err := h.ledger.Task(everywhere, "data/backup")
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	got = regexp.MustCompile(`20\d\d-[-0-9T:.]+Z since`).ReplaceAllString(got, "INSTANT since")
	file := filepath.Join("testdata", "problems", name+".json")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// TestEveryRouteRefusesWhatItIsNot walks the map of each plane: each path with
// every method that it does not have, and each route that reads a body with the
// wrong type.
func TestEveryRouteRefusesWhatItIsNot(t *testing.T) {
	h := newHouse(t)
	for plane, caller := range certified {
		methods := map[string][]string{}
		for _, route := range h.Routes() {
			if route.On(plane) {
				methods[route.Path] = append(methods[route.Path], route.Method)
			}
		}
		for path, has := range methods {
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} {
				if strings.Contains(strings.Join(has, " "), method) {
					continue
				}
				reply := h.on(t, plane, method, filled(path), "", caller...)
				p := decoded[api.Problem](t, reply, http.StatusMethodNotAllowed)
				if p.Code != api.CodeMethod || !strings.Contains(reply.Header.Get("Allow"), has[0]) {
					t.Errorf("%s %s: %+v, Allow %q", method, path, p, reply.Header.Get("Allow"))
				}
			}
		}
		for _, route := range h.Routes() {
			if route.Body == "" || !route.On(plane) || plane == pki.PlanePeer && !route.Held(fleet.CollectorKind) {
				continue
			}
			p := decoded[api.Problem](t, h.on(t, plane, route.Method, filled(route.Path), "{}", append(caller, "Content-Type", "text/plain")...), http.StatusUnsupportedMediaType)
			if p.Hint == "" {
				t.Errorf("%s %s: %+v", route.Method, route.Path, p)
			}
		}
	}
}

// certified is who calls on each plane.
var certified = map[pki.Plane][]string{
	pki.PlaneOperator: {"Authorization", "Bearer admin"},
	pki.PlaneAgent:    {headerAgent, string(hostID(1))},
	pki.PlanePeer:     {headerPeer, "c2"},
	pki.PlaneEnroll:   nil,
}

// on sends a request to one plane.
func (h *house) on(t testing.TB, plane pki.Plane, method, target, body string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost"+target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.planes[plane].ServeHTTP(w, r)
	return w.Result()
}

// filled puts something into each parameter of a path.
func filled(path string) string {
	return strings.NewReplacer("{host}", string(hostID(1)), "{namespace}", "data", "{name}", "backup", "{run}", "0197", "{collector}", "c1", "{ask}", "a", "{pin}", "db",
		"{fingerprint}", "0123456789abcdef", "{finding}", "0123456789abcdef", "{request}", "0123456789abcdef", "{token}", "abcdefgh", "{node}", string(hostID(1)),
		"{job}", "0123456789abcdef", "{calendar}", "year-end").Replace(path)
}

// TestEveryRouteAsksForItsPermission walks the map with people of each role, and
// with nobody.
func TestEveryRouteAsksForItsPermission(t *testing.T) {
	h := newHouse(t)
	for _, route := range h.Routes() {
		if !route.On(pki.PlaneOperator) || route.Permission == httpd.Public {
			continue
		}
		for _, role := range fleet.Roles {
			reply := h.do(t, route.Method, filled(route.Path), "", "Authorization", "Bearer anna:"+string(role)+":*")
			if may := httpd.Holds(role, route.Permission); may == (reply.StatusCode == http.StatusForbidden) {
				t.Errorf("%s %s as %s: %d, holds %s: %v", route.Method, route.Path, role, reply.StatusCode, route.Permission, may)
			}
		}
	}
}

func TestHostHeader(t *testing.T) {
	h := newHouse(t, func(d *httpd.Deps) { d.AllowedHosts = []string{"Fleet.example"} })
	for host, status := range map[string]int{
		"localhost": 200, "LOCALHOST:7770": 200, "127.0.0.1:7770": 200, "127.9.8.7": 200, "[::1]:7770": 200, "::1": 200, "fleet.EXAMPLE:80": 200, "localhost.": 200,
		"evil.example": 421, "10.0.0.1": 421, "127.0.0.1.evil.example": 421, "localhost.evil": 421, "": 421, "fleet.example.evil": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/livez", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("Host %q: %d, want %d", host, w.Code, status)
		}
	}
}

// panicky is a search that panics.
type panicky struct{ httpd.Search }

func (panicky) Query(fleet.Scope, api.JobQuery) (api.List[api.JobView], error) { panic("boom") }

func (panicky) Groups(fleet.Scope, api.JobQuery) (api.List[api.JobGroup], error) {
	return api.List[api.JobGroup]{}, errors.New("secret /var/lib path")
}

func TestAFaultOfOursIsLoggedAndNotTold(t *testing.T) {
	h := newHouse(t, func(d *httpd.Deps) { d.Search = panicky{d.Search} })
	p := decoded[api.Problem](t, h.do(t, http.MethodGet, api.PathJobs, "", api.HeaderRequestID, "request-7",
		"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), http.StatusInternalServerError)
	if p.RequestID != "request-7" || strings.Contains(p.Detail, "boom") {
		t.Errorf("problem %+v", p)
	}
	logged := h.logged.String()
	if strings.Count(logged, `"panic":"boom"`) != 1 || strings.Count(logged, `"stack"`) != 1 || !strings.Contains(logged, "panicky") || !strings.Contains(logged, "request-7") {
		t.Errorf("logged %s", logged)
	}
	if !strings.Contains(logged, `"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"`) {
		t.Errorf("the caller's trace is lost: %s", logged)
	}
	p = decoded[api.Problem](t, h.do(t, http.MethodGet, api.PathJobGroups, ""), http.StatusInternalServerError)
	if strings.Contains(p.Detail, "secret") || !strings.Contains(h.logged.String(), "secret") {
		t.Errorf("problem %+v", p)
	}
}

func TestLogLinesHaveTheSameFieldsEverywhere(t *testing.T) {
	h := newHouse(t)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for traceparent, taken := range map[string]bool{
		parent: true, "ff" + parent[2:]: false, strings.ToUpper(parent): false, "00-" + strings.Repeat("0", 32) + parent[35:]: false, "nonsense": false,
	} {
		h.do(t, http.MethodPost, api.PathResolve, backup, "Traceparent", traceparent, "Authorization", "Bearer anna")
		lines := strings.Split(strings.TrimSpace(h.logged.String()), "\n")
		last := lines[len(lines)-1]
		for _, field := range []string{`"timestamp":`, `"level":"info"`, `"message":"request"`, `"service":"collector"`, `"trace_id":"`, `"caller":"person anna"`, `"status":415`} {
			if !strings.Contains(last, field) {
				t.Errorf("no %s in %s", field, last)
			}
		}
		if got := strings.Contains(last, `"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"`); got != taken {
			t.Errorf("%s: taken %v", traceparent, got)
		}
	}
}

func TestRoutesWithAHoleAreRefused(t *testing.T) {
	for name, route := range map[string]httpd.Route{
		"no permission": {Method: "GET", Path: "/x"},
		"no handler":    {Method: "GET", Path: "/x", Permission: httpd.Public},
	} {
		if err := httpd.CheckRoutes([]httpd.Route{route}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	h := newHouse(t)
	if err := httpd.CheckRoutes(append(h.Routes(), h.Routes()[0])); err == nil {
		t.Error("a route may stand in the map twice")
	}
	if _, err := httpd.New(httpd.Deps{}); err == nil {
		t.Error("a server without a ledger")
	}
}

func TestAWaitEndsWithItsCaller(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Hosts(ctx, api.HostQuery{Page: api.Page{Index: 1 << 40}})
	if fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("err %v", err)
	}
}
