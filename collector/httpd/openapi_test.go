package httpd_test

import (
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// wholeTask and wholeDaemon have the fields that tasks of other rounds have not.
const (
	wholeTask = `{"task":"whole","namespace":"data","params":{"n":{"type":"int","description":"d","default":"1","min":"0","max":"9"},"c":{"type":"choice","values":["a"],"default":"a"},"t":{"type":"text","default":"x","pattern":"[a-z]*","max_length":9}},"on":{"every":"1h","after_end":true,"blackout":["year-end"],"deadline":"1m"},
		"run":{"command":"true","shell":"strict","group":"g","groups":["adm"],"login":true,"umask":"0027","no_new_privs":true,"private_tmp":true,"stdin":"x"},
		"where":{"labels":"*"},
		"limits":{"timeout":"1m","stall":"1m","keep":{"runs":1,"age":"1d","size":"1MiB"},"memory":"1GiB","cpu":1.5,"processes":9,"io_weight":50,"ionice":"idle","rlimits":{"nofile":9}},
		"wait_for":{"tcp":["a:1"],"http":["http://a"],"file":["/f"],"unit":["u.service"],"command":["/c"],"every":"1s","timeout":"1m"},
		"retry":{"attempts":3,"base":"1s","factor":2,"cap":"1m","jitter":0.5,"budget":"1h","on":["75"]},
		"breaker":{"failures":5,"rate":0.5,"window":"1h","open":"30m","key":"k"}}`
	wholeDaemon = `{"task":"api","namespace":"data","on":{"daemon":true},"run":{"command":"true"},"where":{"labels":"*"},
		"restart":{"policy":"always","base":"1s","cap":"5m","reset":"10m","give_up":"10/1h","when":{"memory":"1GiB","cpu":1,"files":9,"for":"1m"}},
		"health":{"exec":["/h"],"every":"1s","timeout":"1s","fail":3,"start":"1s"},"needs":["postgres"]}`
)

func openDocument(t testing.TB) *openapi3.T {
	t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	document, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return document
}

func TestDocumentAndRoutesAgree(t *testing.T) {
	document := openDocument(t)
	routes := map[string]bool{}
	for _, route := range newHouse(t).Routes() {
		name := route.Method + " " + route.Path
		routes[name] = true
		item := document.Paths.Find(route.Path)
		if item == nil || item.GetOperation(route.Method) == nil {
			t.Errorf("%s is not in the document", name)
			continue
		}
		operation := item.GetOperation(route.Method)
		if got := requestSchema(operation); got != route.Request {
			t.Errorf("%s reads %q, the document says %q", name, route.Request, got)
		}
		if got := replySchema(operation); got != route.Reply {
			t.Errorf("%s answers %q, the document says %q", name, route.Reply, got)
		}
		for part := range strings.SplitSeq(route.Path, "/") {
			parameter := strings.Trim(part, "{}")
			declared := operation.Parameters.GetByInAndName("path", parameter) != nil || item.Parameters.GetByInAndName("path", parameter) != nil
			if part != parameter && !declared {
				t.Errorf("%s: the document does not tell of {%s}", name, parameter)
			}
		}
	}
	for path, item := range document.Paths.Map() {
		for method := range item.Operations() {
			if !routes[method+" "+path] {
				t.Errorf("%s %s is in the document and in no route", method, path)
			}
		}
	}
}

func requestSchema(operation *openapi3.Operation) string {
	if operation.RequestBody == nil {
		return ""
	}
	media := operation.RequestBody.Value.Content.Get(api.MediaJSON)
	if sealed := operation.RequestBody.Value.Content.Get(api.MediaSealed); sealed != nil {
		media = sealed
	}
	if media == nil {
		return ""
	}
	return strings.TrimPrefix(media.Schema.Ref, "#/components/schemas/")
}

func replySchema(operation *openapi3.Operation) string {
	reply := operation.Responses.Status(http.StatusOK)
	if reply == nil {
		reply = operation.Responses.Status(http.StatusCreated)
	}
	if reply == nil {
		return ""
	}
	media := reply.Value.Content.Get(api.MediaJSON)
	if media == nil {
		return ""
	}
	return strings.TrimPrefix(media.Schema.Ref, "#/components/schemas/")
}

// TestQueryParametersAreDocumented holds the queries of the API to the
// parameters of the document, both ways.
func TestQueryParametersAreDocumented(t *testing.T) {
	document := openDocument(t)
	page := api.Page{After: "a", Limit: 1, Index: 1, Wait: 1}
	now := time.Unix(1, 0)
	for path, query := range map[string]any{
		api.PathHosts:      api.HostQuery{Page: page, Text: "a", Label: "a", Presence: "a", Problems: true},
		api.PathJobs:       api.JobQuery{Page: page, Text: "a", Host: "a", User: "a", Source: "a", Kind: "a", Label: "a", Fingerprint: "a", Verdict: "a", Owner: "a", Overdue: true, At: now, Changed: now},
		api.PathJobGroups:  api.JobQuery{Page: page, Text: "a", Host: "a", User: "a", Source: "a", Kind: "a", Label: "a", Fingerprint: "a", Verdict: "a", Owner: "a", Overdue: true},
		api.PathTasks:      api.TaskQuery{Page: page, Text: "a", Namespace: "a", Host: "a", Label: "a", User: "a", State: "a"},
		api.PathChanges:    api.ChangeQuery{Page: page, Host: "a", Job: "a", Label: "a", What: "a", Text: "a", Since: now, Until: now},
		api.PathRuns:       api.RunQuery{Page: page, Task: "a", Namespace: "a", Host: "a", Label: "a", User: "a", State: "a", Failed: true, Order: "a", Since: now, Until: now, Occurrence: "a"},
		api.PathUpcoming:   api.UpcomingQuery{Page: page, From: now, Until: now, Host: "a", Label: "a", Text: "a", Task: "a"},
		api.PathAccount:    api.AccountQuery{Page: page, Task: "a", Namespace: "a", Host: "a", Label: "a", Hosts: true, Since: now, Until: now},
		api.PathStandings:  api.StandingQuery{Page: page, Task: "a", Namespace: "a", Host: "a", Label: "a", Phase: "a", Breaker: "a", Health: "a", Bad: true},
		api.PathDensity:    api.DensityQuery{Host: "a", Label: "a", From: now, Zone: "a"},
		api.PathCollisions: api.CollisionQuery{Page: page, Host: "a", Label: "a", From: now, Until: now, Least: 1},
		api.PathSpread:     api.SpreadQuery{Label: "a", Host: "a", From: now, Until: now, Most: 1},
		api.PathProofs:     api.ProofQuery{Page: page, Host: "a", Task: "a", Since: now, Until: now},
		api.PathFindings:   api.FindingQuery{Page: page, Host: "a", Job: "a", Label: "a", Kind: "a", Severity: "a", Owner: "a", Text: "a", Acked: "a"},
	} {
		want := append(slices.Collect(maps.Keys(api.Values(query))), "consistent")
		var got []string
		for _, parameter := range document.Paths.Find(path).Get.Parameters {
			got = append(got, parameter.Value.Name)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s: the query has %v, the document %v", path, want, got)
		}
	}
}

// TestRepliesAreAsDocumented plays one round through the whole API and holds
// each answer to its schema, in which no other field is allowed.
func TestRepliesAreAsDocumented(t *testing.T) {
	document := openDocument(t)
	h := newHouse(t)
	seen := map[string]bool{}
	do := func(method, path, target, body string, header ...string) *http.Response {
		t.Helper()
		if strings.HasPrefix(body, "{") && !slices.Contains(header, "Content-Type") {
			header = append(header, "Content-Type", api.MediaJSON)
		}
		reply := h.do(t, method, target, body, header...)
		operation := document.Paths.Find(path).GetOperation(method)
		conforms(t, method+" "+target, operation, reply)
		if reply.StatusCode < 300 {
			seen[operation.OperationID] = true
		}
		return reply
	}
	host := fleet.Host{ID: hostID(1), Name: "host-1", Labels: map[string]string{"role": "db"}, OS: "Debian", CPUs: 2, Cron: "debian", Timezone: "UTC"}
	agent := api.AgentPath(host.ID)
	do("PUT", api.PathAgent, agent, asJSON(t, host))
	report := h.addReport(t, 1, "/bin/true")
	report.Jobs[0].Verdict, report.Jobs[0].Env = fleet.Verdict{Why: "no such user"}, map[string]string{"A": "b"}
	report.Jobs[0].Evidence = &fleet.Evidence{Last: report.Scanned, Grade: "started", From: "journal"}
	report.Problems = []fleet.Problem{{Source: "/etc/crontab", Line: 3, Text: "x", Reason: "no schedule"}}
	do("PUT", api.PathAgentReport, agent+"/report", asJSON(t, report))
	said := fleet.Sightings{Since: map[fleet.JobKind]time.Time{fleet.KindCron: report.Scanned}, Jobs: map[fleet.JobID]fleet.Evidence{report.Jobs[0].ID: {Last: report.Scanned, Grade: fleet.GradeStarted, From: "journal"}}}
	do("PUT", api.PathAgentSeen, agent+"/sightings", asJSON(t, said))
	print := report.Jobs[0].Fingerprint
	do("PUT", api.PathPin, api.PathPins+"/db", `{"labels":"role=db"}`, api.HeaderReason, "hard")
	do("PUT", api.PathAnnotation, api.PathAnnotations+"/"+print, `{"owner":"team-data","note":"ask first"}`)
	ack := api.PathFindings + "/" + standing(t, h) + "/ack"
	do("PUT", api.PathFindingAck, ack, `{"reason":"known","expires":"2100-01-01T00:00:00Z"}`)
	do("DELETE", api.PathFindingAck, ack, "")
	do("POST", api.PathResolve, api.PathResolve, backup)
	submit := func(said *seal.Statement, query string) api.Sealed {
		t.Helper()
		reply := do("POST", api.PathSealed, api.PathSealed+query, signed(t, said), "Content-Type", api.MediaSealed, api.HeaderReason, "because")
		var sealed api.Sealed
		if err := json.Unmarshal([]byte(text(t, reply)), &sealed); err != nil || reply.StatusCode >= 300 {
			t.Fatalf("%s: %s, %v", said.Object(), reply.Status, err)
		}
		return sealed
	}
	submit(tasked(t, backup, fleet.TaskEnabled), "")
	submit(tasked(t, strings.Replace(backup, "30 2", "31 2", 1), fleet.TaskEnabled), "")
	do("PUT", api.PathAgentApply, agent+"/applied", asJSON(t, fleet.Applied{Host: host.ID, Generations: map[fleet.TaskID]uint64{"data/backup": 2}, At: time.Now()}))
	run := newRun(1, fleet.RunRan)
	going := newRun(1, fleet.RunRunning)
	do("POST", api.PathAgentRuns, agent+"/runs", asJSON(t, api.RunBatch{Journal: fleet.JournalID(strings.Repeat("c", 32)), Records: []api.RunRecord{{Sequence: 1, Run: run}, {Sequence: 2, Run: going}}}))
	wish := submit(ordered(fleet.OrderRun, "data/backup", host.ID), "?queue=allow").Orders[0]
	do("GET", api.PathAgentPlan, agent+"/plan", "")
	do("PUT", api.PathAgentAdopt, agent+"/adoptions", asJSON(t, []fleet.Adoption{{Task: "default/true", Host: host.ID, State: fleet.AdoptionAdopted, Handed: time.Now(), At: time.Now()}}), "Content-Type", api.MediaJSON)
	do("GET", api.PathAgentAsks, agent+"/asks", "")
	do("POST", api.PathAgentAnswer, agent+"/asks/none", "x", "Content-Type", api.MediaOutput)
	submit(closing(t, "year-end", `{"timezone":"Europe/Berlin","windows":[{"cron":"0 0 24 12 *","for":"24h","summary":"closed"}]}`, api.MediaJSON), "")
	submit(closing(t, "bare", "windows: [{from: 2026-12-24T00:00:00Z, for: 2d}]\n", api.MediaYAML), "")
	for _, whole := range []string{wholeTask, wholeDaemon} {
		submit(tasked(t, whole, fleet.TaskEnabled), "")
	}
	do("GET", api.PathAgentPlan, agent+"/plan", "")
	later := time.Now().Add(time.Minute)
	stands := api.Stands{Done: []fleet.OrderID{"o1"}, Standings: []fleet.Standing{
		{Task: "data/api", Since: later, Phase: fleet.PhaseBackoff, Run: "r", Restarts: 3, At: &later, Detail: "d", Health: fleet.Unhealthy, HealthDetail: "h"},
		{Task: "data/whole", Since: later, Breaker: fleet.BreakerOpen, Failures: 5, At: &later},
	}}
	do("PUT", api.PathAgentStands, agent+"/standings", asJSON(t, stands))
	for kind, task := range map[fleet.OrderKind]fleet.TaskID{fleet.OrderStart: "data/api", fleet.OrderStop: "data/api", fleet.OrderRestart: "data/api", fleet.OrderReset: "data/whole"} {
		submit(ordered(kind, task, host.ID), "?queue=allow")
	}
	again := time.Now().Add(time.Minute)
	failed := newRun(1, fleet.RunRan)
	failed.Params = fleet.Params{"n": "2"}
	failed.ID, failed.Attempt, failed.Again, failed.Used = failed.ID[:35]+"9", 1, &again, fleet.Used{CPU: 1, Memory: 2, Read: 3, Written: 4}
	do("POST", api.PathAgentRuns, agent+"/runs", asJSON(t, api.RunBatch{Journal: fleet.JournalID(strings.Repeat("d", 32)), Records: []api.RunRecord{{Sequence: 1, Run: failed}, {Sequence: 2, Run: failed.NextAttempt()}}}))
	do("GET", api.PathRuns, api.PathRuns+"?occurrence="+string(failed.ID), "")
	for path, target := range map[string]string{
		api.PathStandings: "", api.PathCalendars: "", api.PathCalendar: api.PathCalendars + "/year-end",
		api.PathOverview: "", api.PathHosts: "", api.PathHost: api.HostPath("host-1"), api.PathJobs: "", api.PathJobGroups: "", api.PathTasks: "",
		api.PathTask: "/v1/tasks/data/backup", api.PathTaskHosts: "/v1/tasks/data/backup/hosts", api.PathRuns: "", api.PathRun: api.RunPath(run.ID),
		api.PathUpcoming: api.PathUpcoming + "?until=" + url.QueryEscape(time.Now().Add(24*time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)),
		api.PathAccount:  api.PathAccount + "?hosts=true", api.PathProof: "",
		api.PathDensity: "", api.PathCollisions: api.PathCollisions + "?least=1", api.PathSpread: "", api.PathHostLoss: api.HostPath("host-1") + "/loss",
		api.PathFindings: "", api.PathFinding: api.PathFindings + "/" + standing(t, h),
		api.PathChanges: "", api.PathPins: "", api.PathPin: api.PathPins + "/db", api.PathAnnotations: "", api.PathAnnotation: api.PathAnnotations + "/" + print,
		api.PathAdoptions: "", api.PathCollectors: "", api.PathBackup: "", api.PathLivez: "", api.PathReadyz: "", api.PathHealth: "", api.PathMetrics: "", api.PathOpenAPI: "", api.PathVersion: "",
	} {
		if target == "" {
			target = path
		}
		do("GET", path, target, "")
	}
	submit(tasked(t, `{"task":"hooked","namespace":"data","on":{"webhook":true},"run":{"command":"true"},"where":{"labels":"*"},"limits":{"fleet":1,"timeout":"1m"}}`, fleet.TaskEnabled), "")
	submit(tasked(t, `{"task":"waiting","namespace":"data","on":{"event":"deployed"},"run":{"command":"true"},"where":{"labels":"*"}}`, fleet.TaskEnabled), "")
	do("POST", api.PathTaskHook, "/v1/hooks/data/hooked", `{"a": 1}`)
	submit(raised("deployed", "{}"), "")
	do("POST", api.PathAgentLeases, agent+"/leases", `{"task":"data/hooked","run":"r1"}`)
	do("DELETE", api.PathAgentLease, agent+"/leases/r1?task=data/hooked", "")
	do("DELETE", api.PathPin, api.PathPins+"/db", "")
	submit(cancelled(fleet.Run{ID: wish.Run, Task: wish.Task, Host: wish.Host}), "")
	submit(retired("data/backup"), "")
	do("POST", api.PathCollectors, api.PathCollectors, `{"id":"c2","raft":"127.0.0.1:7781","api":"https://127.0.0.1:7780"}`, headerPeer, "c2")
	do("DELETE", api.PathCollector, api.PathCollectors+"/c2", "")
	enrolInRound(t, do)
	proveInRound(t, do)
	approveInRound(t, h, do, submit)
	seen["output"], seen["answer"] = true, true                           // TestOutput… does these
	for _, id := range []string{"adopt", "adoption", "jobDiff", "live"} { // TestAdoption… and TestLive… do these
		seen[id] = true
	}
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			if !seen[operation.OperationID] {
				t.Errorf("%s %s was never answered well", method, path)
			}
		}
	}
}

// conforms holds a reply to what the document says of it.
func conforms(t *testing.T, name string, operation *openapi3.Operation, reply *http.Response) {
	t.Helper()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	reply.Body = io.NopCloser(strings.NewReader(string(body)))
	described := operation.Responses.Status(reply.StatusCode)
	if described == nil {
		described = operation.Responses.Default()
	}
	if described == nil {
		t.Errorf("%s: the document knows no %d: %s", name, reply.StatusCode, body)
		return
	}
	media, _, err := mime.ParseMediaType(reply.Header.Get("Content-Type"))
	if err != nil {
		t.Errorf("%s: content type: %v", name, err)
		return
	}
	content := described.Value.Content.Get(media)
	if content == nil {
		t.Errorf("%s: the document knows no %s for %d: %s", name, media, reply.StatusCode, body)
		return
	}
	var value any = string(body)
	if strings.HasSuffix(media, "json") {
		if err := json.Unmarshal(body, &value); err != nil {
			t.Fatal(err)
		}
	}
	if err := content.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors()); err != nil {
		t.Errorf("%s: %v\n%s", name, err, body)
	}
}

// standing returns the id of a finding that stands.
func standing(t *testing.T, h *house) string {
	t.Helper()
	list, err := h.Findings(as(t, "admin"), api.FindingQuery{})
	if err != nil || len(list.Items) == 0 {
		t.Fatalf("%d findings, %v", len(list.Items), err)
	}
	return list.Items[0].ID
}
