package httpd_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// countersigned returns the envelope with one signature more.
func countersigned(t testing.TB, envelope []byte, key seal.Key) string {
	t.Helper()
	e, err := seal.Parse(envelope)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Add(key); err != nil {
		t.Fatal(err)
	}
	return string(e.Marshal())
}

func signingKey(t testing.TB) seal.Key {
	t.Helper()
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

const rootTask = `{"task":"root","namespace":"vault","on":{"manual":true},"run":{"command":["/bin/true"],"user":"root"},"where":{"labels":"*"}}`

// approveInRound plays what needs two people through the API, for the test that
// holds each answer to its schema.
func approveInRound(t *testing.T, h *house, do func(method, path, target, body string, header ...string) *http.Response, submit func(*seal.Statement, string) api.Sealed) {
	t.Helper()
	do("PUT", api.PathRule, api.PathRules+"/vault", `{"two_person":["root"],"approvals":1,"within":"2h"}`, api.HeaderReason, "audit")
	do("GET", api.PathRules, api.PathRules, "")
	do("GET", api.PathRule, api.PathRules+"/vault", "")
	first := submit(tasked(t, rootTask, fleet.TaskEnabled), "").Request
	if first == nil {
		t.Fatal("a task of root did not wait for a second person")
	}
	do("GET", api.PathRequests, api.PathRequests, "")
	do("GET", api.PathRequest, api.PathRequests+"/"+first.ID, "")
	more := countersigned(t, first.Envelope, signingKey(t))
	do("POST", api.PathApproval, api.PathRequests+"/"+first.ID+"/approval", more, "Content-Type", api.MediaSealed, "Authorization", "Bearer otto:approver:vault")
	second := submit(tasked(t, rootTask, fleet.TaskPaused), "").Request
	do("DELETE", api.PathRequest, api.PathRequests+"/"+second.ID, "")
	do("DELETE", api.PathRule, api.PathRules+"/vault", "")
	envelope := text(t, do("GET", api.PathEnvelope, "/v1/tasks/vault/root/envelope", ""))
	do("PUT", api.PathEnvelope, "/v1/tasks/vault/root/envelope", countersigned(t, []byte(envelope), signingKey(t)), "Content-Type", api.MediaSealed)

	do("GET", api.PathWhoAmI, api.PathWhoAmI, "")
	do("POST", api.PathSession, api.PathSession, "")
	made := decoded[api.MadeToken](t, do("POST", api.PathTokens, api.PathTokens, `{"name":"bert","roles":["viewer"],"namespaces":["vault"],"life":"1d"}`), http.StatusOK)
	do("GET", api.PathTokens, api.PathTokens, "")
	do("GET", api.PathToken, api.PathTokens+"/"+made.ID, "")
	do("DELETE", api.PathToken, api.PathTokens+"/"+made.ID, "", api.HeaderReason, "left")
	report := fleet.PolicyReport{Execute: true, Digest: "ab", Keys: []string{"0123456789abcdef"}, TwoPerson: []fleet.Danger{fleet.DangerRoot}, At: time.Now(),
		AuditSeq: 3, AuditHead: make([]byte, 32), Refused: []fleet.Refusal{{Object: "task vault/root", Code: "policy:user", Why: "root is denied", Line: 3}}}
	do("PUT", api.PathAgentPolicy, api.AgentPath(hostID(1))+"/policy", asJSON(t, report))
	do("GET", api.PathPolicies, api.PathPolicies, "")
	do("GET", api.PathAuditAgent, api.PathAuditAgent, "")
	do("POST", api.PathRefusals, api.PathRefusals, asJSON(t, []fleet.AuditEntry{{At: time.Now(), By: everyone("anna"), Action: "tokens:write", Decision: "refused", Code: "permission_denied"}}),
		headerPeer, "c2", "Content-Type", api.MediaJSON)
	do("GET", api.PathAudit, api.PathAudit+"?newest=true", "")
	if broken, err := h.ledger.VerifyAudit(); err != nil || broken != 0 {
		t.Errorf("the chain is broken at %d, %v", broken, err)
	}
}

// waiting has anna ask for a task of root in a namespace that wants two people.
func waiting(t *testing.T, needs string) (*house, *fleet.Request) {
	t.Helper()
	h := newHouse(t)
	h.addHost(t, 1, nil)
	reply := h.do(t, http.MethodPut, api.PathRules+"/vault", `{"two_person":["root","oneshot"],"approvals":`+needs+`}`, "Content-Type", api.MediaJSON)
	decoded[fleet.Rules](t, reply, http.StatusOK)
	sealed := decoded[api.Sealed](t, h.submit(t, tasked(t, rootTask, fleet.TaskEnabled), "", "Authorization", "Bearer anna"), http.StatusAccepted)
	if sealed.Request == nil || sealed.Task != nil || sealed.Request.By.Name != "anna" {
		t.Fatalf("%+v", sealed)
	}
	decoded[api.Problem](t, h.do(t, http.MethodGet, "/v1/tasks/vault/root", ""), http.StatusNotFound)
	return h, sealed.Request
}

func (h *house) approve(t *testing.T, id, envelope, who string) *http.Response {
	t.Helper()
	return h.do(t, http.MethodPost, api.PathRequests+"/"+id+"/approval", envelope, "Content-Type", api.MediaSealed, "Authorization", "Bearer "+who)
}

func TestADangerousTaskWaitsForASecondPerson(t *testing.T) {
	h, request := waiting(t, "1")
	otto := countersigned(t, request.Envelope, signingKey(t))
	for who, want := range map[string]int{"anna": 403, "otto:operator:vault": 403, "otto:viewer:*": 403, "otto:approver:data": 404} {
		if reply := h.approve(t, request.ID, otto, who); reply.StatusCode != want {
			t.Errorf("as %s: %d, want %d: %s", who, reply.StatusCode, want, text(t, reply))
		}
	}
	for name, envelope := range map[string]string{
		"the same":       string(request.Envelope),
		"another":        signed(t, tasked(t, rootTask, fleet.TaskEnabled)),
		"two more":       countersigned(t, []byte(otto), signingKey(t)),
		"only the other": string(onlyLast(t, otto)),
	} {
		if p := decoded[api.Problem](t, h.approve(t, request.ID, envelope, "otto:approver:vault"), http.StatusConflict); p.Code != api.CodeApproval {
			t.Errorf("%s: %+v", name, p)
		}
	}
	done := decoded[api.Sealed](t, h.approve(t, request.ID, otto, "otto:approver:vault"), http.StatusOK)
	if done.Request != nil || done.Task == nil || string(done.Task.Envelope) != otto || done.Task.ChangedBy != "anna" {
		t.Errorf("%+v", done.Task)
	}
	decoded[api.Problem](t, h.approve(t, request.ID, otto, "otto:approver:vault"), http.StatusNotFound)
}

func onlyLast(t *testing.T, envelope string) []byte {
	t.Helper()
	e, err := seal.Parse([]byte(envelope))
	if err != nil {
		t.Fatal(err)
	}
	e.Signatures = e.Signatures[1:]
	return e.Marshal()
}

func TestTwoLevelsOfApproval(t *testing.T) {
	h, request := waiting(t, "2")
	first := countersigned(t, request.Envelope, signingKey(t))
	half := decoded[api.Sealed](t, h.approve(t, request.ID, first, "otto:approver:vault"), http.StatusAccepted)
	if half.Request == nil || half.Task != nil || len(half.Request.Approved) != 1 {
		t.Fatalf("after one of two: %+v", half)
	}
	second := countersigned(t, []byte(first), signingKey(t))
	if done := decoded[api.Sealed](t, h.approve(t, request.ID, second, "ida:approver:*"), http.StatusOK); done.Task == nil {
		t.Errorf("after two of two: %+v", done)
	}
}

// TestAnyChangeResetsTheApprovals: what was approved is one text, and no other.
func TestAnyChangeResetsTheApprovals(t *testing.T) {
	h, request := waiting(t, "2")
	first := countersigned(t, request.Envelope, signingKey(t))
	decoded[api.Sealed](t, h.approve(t, request.ID, first, "otto:approver:vault"), http.StatusAccepted)
	changed := decoded[api.Sealed](t, h.submit(t, tasked(t, rootTask, fleet.TaskPaused), "", "Authorization", "Bearer anna"), http.StatusAccepted).Request
	if changed.ID == request.ID || len(changed.Approved) != 0 {
		t.Errorf("%+v", changed)
	}
	decoded[api.Problem](t, h.approve(t, request.ID, countersigned(t, []byte(first), signingKey(t)), "ida:approver:*"), http.StatusNotFound)
}

// TestWhatNeedsTwoPeople is the table of dangers as the rules see them.
func TestWhatNeedsTwoPeople(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	decoded[fleet.Rules](t, h.do(t, http.MethodPut, api.PathRules+"/*", asJSON(t, fleet.Rules{TwoPerson: fleet.Dangers, Approvals: 1}), "Content-Type", api.MediaJSON), http.StatusOK)
	task := func(run, where string) *seal.Statement {
		return tasked(t, `{"task":"x","on":{"manual":true},"run":`+run+`,"where":`+where+`}`, fleet.TaskEnabled)
	}
	for name, c := range map[string]struct {
		said *seal.Statement
		want []fleet.Danger
	}{
		"harmless":  {task(`{"command":["/bin/true"],"user":"app"}`, `{"labels":"role=db"}`), nil},
		"root":      {task(`{"command":["/bin/true"],"user":"root"}`, `{"labels":"role=db"}`), []fleet.Danger{fleet.DangerRoot}},
		"nobody":    {task(`{"command":["/bin/true"]}`, `{"labels":"role=db"}`), []fleet.Danger{fleet.DangerRoot}},
		"shell":     {task(`{"command":"true","user":"app"}`, `{"labels":"role=db"}`), []fleet.Danger{fleet.DangerShell}},
		"argv":      {task(`{"command":["/usr/bin/bash","-c","true"],"user":"app"}`, `{"labels":"role=db"}`), []fleet.Danger{fleet.DangerShell}},
		"all":       {task(`{"command":["/bin/true"],"user":"app"}`, `{"labels":"*"}`), []fleet.Danger{fleet.DangerEverywhere}},
		"all names": {task(`{"command":["/bin/true"],"user":"app"}`, `{"hosts":["*"]}`), []fleet.Danger{fleet.DangerEverywhere}},
		"all nets":  {task(`{"command":["/bin/true"],"user":"app"}`, `{"networks":["0.0.0.0/0"]}`), []fleet.Danger{fleet.DangerEverywhere}},
	} {
		sealed := decoded[api.Sealed](t, h.submit(t, c.said, "?unmatched=allow"), map[bool]int{true: 200, false: 202}[c.want == nil])
		if c.want == nil {
			continue
		}
		if len(sealed.Request.Dangers) != 1 || sealed.Request.Dangers[0] != c.want[0] {
			t.Errorf("%s: %v, want %v", name, sealed.Request.Dangers, c.want)
		}
	}
}

// TestASignatureIsAddedToWhatStands: hosts may want more keys than the
// collectors' rules do.
func TestASignatureIsAddedToWhatStands(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addTask(t)
	reply := h.do(t, http.MethodGet, "/v1/tasks/data/backup/envelope", "")
	etag := reply.Header.Get("ETag")
	more := countersigned(t, []byte(text(t, reply)), signingKey(t))
	put := func(body, who string) *http.Response {
		return h.do(t, http.MethodPut, "/v1/tasks/data/backup/envelope", body, "Content-Type", api.MediaSealed, "If-Match", etag, "Authorization", "Bearer "+who)
	}
	decoded[api.Problem](t, put(more, "otto:viewer:*"), http.StatusForbidden)
	decoded[api.Problem](t, put(more, "otto:approver:web"), http.StatusNotFound)
	record := decoded[fleet.TaskRecord](t, put(more, "otto:approver:data"), http.StatusOK)
	if string(record.Envelope) != more || record.Generation != 1 || len(record.Signers) != 2 {
		t.Errorf("%+v", record)
	}
	plan, err := h.ledger.Plan(everywhere, hostID(1))
	if err != nil || string(plan.Assignments[0].Envelope) != more {
		t.Errorf("the host is given %s, %v", plan.Assignments[0].Envelope, err)
	}
}

// TestEverySealedChangeIsInTheChain names who, what and the digest of it.
func TestEverySealedChangeIsInTheChain(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	said := tasked(t, backup, fleet.TaskEnabled)
	taskOf(t, h.submit(t, said, "", "Authorization", "Bearer anna:operator:data", api.HeaderReason, "nightly"))
	decoded[api.Problem](t, h.submit(t, said, "", "If-Match", `"999"`, "Authorization", "Bearer anna:operator:data"), http.StatusPreconditionFailed)
	list := decoded[api.List[fleet.AuditEntry]](t, h.do(t, http.MethodGet, api.PathAudit+"?action=task.put", ""), http.StatusOK)
	if len(list.Items) == 0 {
		t.Fatal("nothing is in the chain")
	}
	one := list.Items[0]
	if one.By.Name != "anna" || one.Object != "task data/backup" || one.Decision != "done" || one.Why != "nightly" || len(one.Digest) != 64 || len(one.Hash) == 0 {
		t.Errorf("%+v", one)
	}
	if broken, err := h.ledger.VerifyAudit(); err != nil || broken != 0 {
		t.Errorf("the chain is broken at %d, %v", broken, err)
	}
}

// TestAnEndIsSignedByASecondPerson: hosts that want two signatures obey no end
// that has one.
func TestAnEndIsSignedByASecondPerson(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	decoded[api.Sealed](t, h.give(t, rootTask), http.StatusOK)
	decoded[api.Sealed](t, h.submit(t, retired("vault/root"), ""), http.StatusOK)
	path := "/v1/tasks/vault/root/envelope"
	first := text(t, h.do(t, http.MethodGet, path, ""))
	record := decoded[fleet.TaskRecord](t, h.do(t, http.MethodPut, path, countersigned(t, []byte(first), signingKey(t)), "Content-Type", api.MediaSealed), http.StatusOK)
	if e, err := seal.Parse(record.Envelope); err != nil || len(e.Signatures) != 2 || record.State != fleet.TaskRetired {
		t.Errorf("%+v, %v", record, err)
	}
	decoded[api.Problem](t, h.do(t, http.MethodGet, "/v1/tasks/vault/root", ""), http.StatusNotFound)
}
