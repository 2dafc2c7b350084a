package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

var mine = fleet.ScopeOf("mine")

// enrol makes a host that takes tasks of these namespaces.
func (b *bench) enrol(n int, namespaces ...string) {
	b.t.Helper()
	node := fleet.Node{ID: string(hostID(n)), Role: fleet.AgentKind, Namespaces: namespaces, Serial: "01", Fingerprint: "ff"}
	b.must(&PutNode{Node: node, At: noon}, &RegisterHost{Host: testHost(n, "role", "db"), At: noon})
}

// settle fills a namespace with one of everything, on the host: the word is in
// all that has text.
func (b *bench) settle(host int, namespace, word string) {
	b.t.Helper()
	task := testTask("nightly", "*")
	task.Task.Namespace, task.Task.Description, task.Serial, task.Envelope = namespace, word, 1, []byte(word)
	id := task.Task.ID()
	job, edited := testJob(host), testJob(host)
	job.Command, job.Fingerprint = "/usr/bin/"+word, fleet.CommandFingerprint("/usr/bin/"+word)
	edited = job
	edited.Schedule = "0 0 * * *"
	other := testJob(host + 50)
	adopt := &Adopt{Task: testTask("taken", "*").Task, Adoption: fleet.Adoption{Host: hostID(host), Job: other, Reason: word, At: noon}}
	adopt.Task.Namespace = namespace
	run := testRun(host, id, fleet.RunMissed)
	run.Host, run.Detail = hostID(host), word
	open := testRun(host+20, id, fleet.RunRunning)
	open.Host = hostID(host)
	failed := recordRun1(uint64(host), run)
	failed.Batches[0].Host, failed.Batches[0].Journal = hostID(host), journalID(host)
	failed.Batches[0].Records = append(failed.Batches[0].Records, api.RunRecord{Sequence: uint64(host + 1), Run: open})
	order := testOrder(fleet.OrderID("o-"+word), host, id)
	order.Kind, order.Reason = fleet.OrderRun, word
	order.Run = runID(7_200_000+host, 9)
	held := testTask("waits", "*")
	held.Task.Namespace, held.Serial, held.Envelope = namespace, 1, []byte("{}")
	request := fleet.Request{ID: "r-" + word, Namespace: namespace, Object: "task " + namespace + "/waits", By: fleet.Principal{Kind: fleet.PersonKind, Name: word, Scope: []string{namespace}}, At: noon, Expires: noon.Add(time.Hour), Needs: 1}
	b.must(
		testReport(host, job, other), task, adopt, failed,
		&PutOrders{Orders: []fleet.Order{order}, At: noon},
		&RecordApplied{Applied: fleet.Applied{Host: hostID(host), Generations: map[fleet.TaskID]uint64{id: 1}, At: noon}},
		&RecordStandings{Host: hostID(host), At: noon, Standings: []fleet.Standing{{Task: id, Since: noon, Phase: fleet.PhaseRunning, Detail: word}}},
		&PutAnnotation{Annotation: fleet.Annotation{Fingerprint: job.Fingerprint, Owner: word, At: noon}},
		&PutToken{Token: fleet.Token{ID: "t-" + word, Name: word, Hash: hashOf(word), Roles: []fleet.Role{fleet.Operator}, Namespaces: []string{namespace}, Created: noon, Expires: noon.Add(time.Hour)}},
		&PutJoinToken{Token: fleet.JoinToken{ID: "j-" + word, Hash: hashOf(word), Namespaces: []string{namespace}, Created: noon, Expires: noon.Add(time.Hour)}},
		&PutRules{Rules: fleet.Rules{Namespace: namespace, Approvals: 1}, At: noon, Actor: word},
		&PutRequest{Request: request, Signers: []string{word}, Action: "task.put", Command: held},
		&RecordPolicy{Host: hostID(host), At: noon, Report: fleet.PolicyReport{At: noon, Keys: []string{word}, Refused: []fleet.Refusal{{Object: "task " + string(id), Code: "policy:user", Why: word}}}},
	)
	second := testReport(host, edited, other)
	second.At = noon.Add(time.Duration(host) * time.Minute)
	b.must(second)
}

// asked is everything that can be asked within a scope, as JSON by name.
func (b *bench) asked(scope fleet.Scope) map[string]string {
	b.t.Helper()
	answers := map[string]string{}
	say := func(name string, values ...any) {
		b.t.Helper()
		text, err := json.Marshal(values)
		if err != nil {
			b.t.Fatalf("%s: %v", name, err)
		}
		answers[name] = string(text)
	}
	fails := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	say("hosts", b.AllHosts(scope))
	page, err := b.Hosts(scope, api.HostQuery{Page: api.Page{Limit: 2}}, nil)
	say("host page", page.Hosts, page.Next, page.Total, fails(err))
	say("totals", b.Totals(scope))
	runs, failed, err := b.Activity(scope, noon.Add(-24*time.Hour))
	say("activity", runs, failed, fails(err))
	tasks, err := b.Tasks(scope, api.TaskQuery{Page: api.Page{Limit: 1}})
	tasks.Index = 0
	say("tasks", tasks, fails(err))
	say("all tasks", len(b.AllTasks(scope)))
	for _, q := range []api.RunQuery{{}, {Failed: true}, {State: fleet.RunRunning}, {State: fleet.RunPending}, {Label: "role=db"}, {Page: api.Page{Limit: 1}}, {Namespace: "theirs"}} {
		list, err := b.Runs(scope, q)
		list.Index = 0
		say(fmt.Sprintf("runs %+v", q), list, fails(err))
	}
	for _, q := range []api.ChangeQuery{{}, {Page: api.Page{Limit: 1}}, {Text: "usr"}, {Label: "role=db"}} {
		list, err := b.Changes(scope, q)
		list.Index = 0
		say(fmt.Sprintf("changes %+v", q), list, fails(err))
	}
	past, err := b.PastJobs(scope, api.JobQuery{At: noon.Add(time.Hour), Page: api.Page{Limit: 3}}, nil)
	past.Index = 0
	say("past jobs", past, fails(err))
	adoptions, err := b.Adoptions(scope)
	say("adoptions", adoptions, fails(err))
	say("standing counts", b.AllStandingCounts(scope))
	orders, err := b.StandingOrders(scope)
	say("standing orders", orders, fails(err))
	say("annotations", b.Annotations(scope, api.Page{}).Items, b.Annotations(scope, api.Page{}).Total)
	pins, err := b.Pins(scope)
	say("pins", pins, fails(err))
	acks, err := b.Acks(scope)
	say("acks", acks, fails(err))
	var accounts []Account
	err = b.Accounts(scope, "", func(fleet.TaskID, fleet.HostID) bool { return true }, true, func(a Account, _ []fleet.Run) bool {
		accounts = append(accounts, a)
		return true
	})
	say("accounts", accounts, fails(err))
	hosts, jobs, err := b.Contained(scope, "*")
	say("contained", hosts, len(jobs), fails(err))
	say("tokens", b.Tokens(scope))
	joins, err := b.JoinTokens(scope)
	say("join tokens", joins, fails(err))
	say("nodes", b.Nodes(scope))
	say("rules", b.AllRules(scope))
	say("requests", b.Requests(scope))
	policies, err := b.Policies(scope)
	say("policies", policies, fails(err))
	links, err := b.Audit(scope, api.AuditQuery{})
	links.Index = 0
	say("audit", links, fails(err))
	for n := 1; n <= 3; n++ {
		id := hostID(n)
		_, seen := b.Host(scope, id)
		_, err := b.FindHost(scope, testHost(n).Name)
		say(fmt.Sprint("host ", n), seen, fails(err))
		jobs, _ := b.Jobs(scope, id)
		problems, _ := b.Problems(scope, id)
		report, err := b.Report(scope, id)
		say(fmt.Sprint("jobs ", n), jobs, problems, report.Jobs, strings.ReplaceAll(fails(err), string(id), "the id asked for"))
		plan, err := b.Plan(scope, id)
		plan.Index = 0
		say(fmt.Sprint("plan ", n), plan, strings.ReplaceAll(fails(err), string(id), "the id asked for"))
		applied, _ := b.AppliedBy(scope, id)
		stands, _ := b.Stands(scope, id)
		orders, _ := b.Orders(scope, id)
		say(fmt.Sprint("of host ", n), b.Assigned(scope, id), applied, stands, orders)
	}
	return answers
}

// TestAttack27_OnlyOnesOwnNamespaces settles another namespace beside one's own
// and asks for everything there is: each answer, each count and each cursor is
// what it was when the other was not there.
func TestAttack27_OnlyOnesOwnNamespaces(t *testing.T) {
	const word = "zanzibar" // in every text of theirs
	alone, beside := newLedger(t), newLedger(t)
	alone.enrol(1, "mine")
	alone.settle(1, "mine", "own")
	before := alone.asked(mine)

	beside.enrol(1, "mine")
	beside.settle(1, "mine", "own")
	beside.enrol(2, "theirs")
	beside.settle(2, "theirs", word)
	for n := range 30 { // between the runs of one's own, and after
		run := testRun(n, "theirs/nightly", fleet.RunMissed)
		run.ID, run.Host = runID(n*60_000, 7), hostID(2)
		batch := recordRun1(uint64(40+n), run)
		batch.Batches[0].Host, batch.Batches[0].Journal = hostID(2), journalID(2)
		beside.must(batch)
		report := testReport(2, testJob(n))
		report.At = noon.Add(time.Duration(n) * time.Second)
		beside.must(report)
	}
	beside.must(
		&PutPin{Pin: fleet.Pin{Name: word, Labels: "role=db", At: noon}},
		&PutAck{Ack: fleet.Ack{Finding: word, Reason: word, At: noon}},
		&Audited{At: noon, By: fleet.Principal{Kind: fleet.PersonKind, Name: word, Scope: []string{"theirs"}}, Action: "rules.put", Command: &PutRules{Rules: fleet.Rules{Namespace: "theirs"}, At: noon}},
	)
	for name, after := range beside.asked(mine) {
		if clean := withoutIndexes(before[name]); withoutIndexes(after) != clean {
			t.Errorf("%s: %s", name, cmp.Diff(clean, withoutIndexes(after)))
		}
		if strings.Contains(after, word) || strings.Contains(after, "theirs") || strings.Contains(after, string(hostID(2))) {
			t.Errorf("%s tells of the others: %s", name, after)
		}
	}
	for name, answer := range beside.asked(everywhere) { // or the test would show nothing
		if answer == before[name] && !slices.Contains([]string{"acks", "host 1", "host 3", "jobs 1", "jobs 3", "of host 1", "of host 3", "plan 1", "plan 3", "standing orders"}, name) {
			t.Errorf("who sees everything sees no more in %s: %s", name, answer)
		}
	}
	for name, answer := range beside.asked(fleet.Scope{}) {
		if strings.Contains(answer, word) || strings.Contains(answer, "own") || strings.Contains(answer, string(hostID(1))) {
			t.Errorf("who sees nothing is told %s: %s", name, answer)
		}
	}
	for name, answer := range beside.asked(fleet.ScopeOf("min", "minee", "mine2")) {
		if strings.Contains(answer, "own") || strings.Contains(answer, string(hostID(1))) {
			t.Errorf("a namespace that begins alike is told %s: %s", name, answer)
		}
	}
}

// withoutIndexes takes out at which entry something changed: entries of others
// count on.
func withoutIndexes(answer string) string {
	var value any
	if err := json.Unmarshal([]byte(answer), &value); err != nil {
		return answer
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, "index")
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(value)
	text, _ := json.Marshal(value)
	return string(text)
}

// TestAttack26_ForeignAndUnknownAreAlike asks by name for what another namespace
// has, and for what nobody has: the answers are the same but for the name.
func TestAttack26_ForeignAndUnknownAreAlike(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "mine")
	l.enrol(2, "theirs")
	l.settle(2, "theirs", "word")
	run := runID(7_200_000+2, 9)
	for name, c := range map[string]struct {
		theirs, nobodys string
		ask             func(name string) error
	}{
		"task":     {"theirs/nightly", "theirs/nothing", func(n string) error { _, err := l.Task(mine, fleet.TaskID(n)); return err }},
		"adoption": {"theirs/taken", "theirs/nothin", func(n string) error { _, err := l.Adoption(mine, fleet.TaskID(n)); return err }},
		"run":      {string(run), string(runID(1, 99)), func(n string) error { _, err := l.Run(mine, fleet.RunID(n)); return err }},
		"attempts": {string(run), string(runID(1, 99)), func(n string) error { _, err := l.Attempts(mine, fleet.RunID(n)); return err }},
		"host":     {"host-2", "host-9", func(n string) error { _, err := l.FindHost(mine, n); return err }},
		"host id":  {string(hostID(2)), string(hostID(9)), func(n string) error { _, err := l.FindHost(mine, n); return err }},
		"report":   {string(hostID(2)), string(hostID(9)), func(n string) error { _, err := l.Report(mine, fleet.HostID(n)); return err }},
		"plan":     {string(hostID(2)), string(hostID(9)), func(n string) error { _, err := l.Plan(mine, fleet.HostID(n)); return err }},
		"runs of":  {"host-2", "host-9", func(n string) error { _, err := l.Runs(mine, api.RunQuery{Host: n}); return err }},
		"changes":  {"host-2", "host-9", func(n string) error { _, err := l.Changes(mine, api.ChangeQuery{Host: n}); return err }},
		"token":    {"t-word", "t-none", func(n string) error { _, err := l.Token(mine, n); return err }},
		"join":     {"j-word", "j-none", func(n string) error { _, err := l.JoinToken(mine, n); return err }},
		"node":     {string(hostID(2)), string(hostID(9)), func(n string) error { _, err := l.Node(mine, n); return err }},
		"request":  {"r-word", "r-none", func(n string) error { _, err := l.Request(mine, n); return err }},
	} {
		theirs, nobodys := c.ask(c.theirs), c.ask(c.nobodys)
		if theirs == nil || nobodys == nil || fleet.KindOf(theirs) != fleet.NotFound {
			t.Errorf("%s: %v and %v", name, theirs, nobodys)
			continue
		}
		a, _ := json.Marshal(theirs)
		b, _ := json.Marshal(nobodys)
		if got, want := strings.ReplaceAll(string(a), c.theirs, "NAME"), strings.ReplaceAll(string(b), c.nobodys, "NAME"); got != want {
			t.Errorf("%s: %s and %s", name, got, want)
		}
	}
	if _, found, _ := l.Job(mine, hostID(2), testJob(52).ID); found {
		t.Error("a job of theirs")
	}
	if said, found := l.Annotation(mine, fleet.CommandFingerprint("/usr/bin/word")); found || said.Owner != "" {
		t.Errorf("what is said about their command: %+v", said)
	}
	if _, found, _ := l.LastRun(mine, "theirs/nightly"); found {
		t.Error("their last run")
	}
	if _, found, _ := l.OrderOf(mine, run); found {
		t.Error("their order")
	}
	if _, found, _ := l.Generation(mine, "theirs/nightly", 1); found {
		t.Error("their generation")
	}
}

// TestAttack26_ChangesOfOthers asks for changes of what another namespace has:
// refused as what is not there, and nothing but the link of the chain is written.
func TestAttack26_ChangesOfOthers(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "mine")
	l.enrol(2, "theirs")
	l.settle(2, "theirs", "word")
	theirs := testTask("nightly", "*")
	theirs.Task.Namespace, theirs.Serial, theirs.Envelope = "theirs", 9, []byte("x")
	token := fleet.Token{ID: "new", Name: "n", Hash: hashOf("n"), Roles: []fleet.Role{fleet.Admin}, Namespaces: []string{"mine", "theirs"}, Created: noon, Expires: noon.Add(time.Hour)}
	wide := token
	wide.Namespaces = []string{"*"}
	join := fleet.JoinToken{ID: "new", Hash: hashOf("n"), Namespaces: []string{"*"}, Created: noon, Expires: noon.Add(time.Hour)}
	readmit := fleet.JoinToken{ID: "new", Hash: hashOf("n"), Node: hostID(2), Namespaces: []string{"mine"}, Created: noon, Expires: noon.Add(time.Hour)}
	adopt := &Adopt{Task: testTask("x", "*").Task, Adoption: fleet.Adoption{Host: hostID(2), Job: testJob(2), At: noon}}
	adopt.Task.Namespace = "mine"
	for name, c := range map[string]struct {
		command Command
		code    string
	}{
		"task":            {theirs, "permission_denied"},
		"state":           {&SetTaskState{ID: "theirs/nightly", State: fleet.TaskPaused, At: noon, Serial: 9}, "not_found"},
		"envelope":        {&PutEnvelope{Task: "theirs/nightly", Serial: 1, Envelope: []byte("y"), At: noon}, "not_found"},
		"order":           {&PutOrders{Orders: []fleet.Order{testOrder("new", 2, "theirs/nightly")}, At: noon}, "not_found"},
		"withdraw":        {&DropOrder{Host: hostID(2), ID: "o-word"}, "not_found"},
		"adopt":           {adopt, "unknown_host"},
		"release":         {&Release{Task: "theirs/taken", At: noon}, "not_found"},
		"token for more":  {&PutToken{Token: token}, "permission_denied"},
		"token for all":   {&PutToken{Token: wide}, "permission_denied"},
		"revoke":          {&RevokeToken{ID: "t-word", At: noon}, "not_found"},
		"join everywhere": {&PutJoinToken{Token: join}, "permission_denied"},
		"readmit":         {&PutJoinToken{Token: readmit}, "not_found"},
		"drop join":       {&DropJoinToken{ID: "j-word", At: noon}, "not_found"},
		"suspend":         {&SetNodeState{ID: string(hostID(2)), State: fleet.NodeSuspended, At: noon}, "not_found"},
		"rules":           {&PutRules{Rules: fleet.Rules{Namespace: "theirs"}, At: noon}, "permission_denied"},
		"rules of all":    {&PutRules{Rules: fleet.Rules{Namespace: "*"}, At: noon}, "permission_denied"},
		"drop rules":      {&DropRules{Namespace: "theirs"}, "permission_denied"},
		"approve":         {&Approve{ID: "r-word", Approval: fleet.Approval{By: fleet.Principal{Name: "x"}, Key: "k"}, At: noon}, "not_found"},
		"drop request":    {&DropRequest{ID: "r-word", At: noon}, "not_found"},
		"pin":             {&PutPin{Pin: fleet.Pin{Name: "p", Labels: "*"}}, "permission_denied"},
		"calendar":        {&PutCalendar{Calendar: fleet.Calendar{Name: "c"}, At: noon}, "permission_denied"},
		"annotation":      {&PutAnnotation{Annotation: fleet.Annotation{Fingerprint: "f", Owner: "me"}}, "permission_denied"},
		"collector":       {&DropCollector{ID: "c1"}, "permission_denied"},
	} {
		by := fleet.Principal{Kind: fleet.PersonKind, Name: "mallory", Token: "m", Scope: []string{"mine"}}
		before := dump(t, l.Ledger)
		result := l.apply(&Audited{At: noon, By: by, Action: "any", Command: c.command})
		refusal, refused := IsRefusal(result)
		if !refused || codeOf(refusal) != c.code {
			t.Errorf("%s: %v, want %s", name, result, c.code)
		}
		after := dump(t, l.Ledger)
		for _, pairs := range []map[string]string{before, after} {
			for k := range pairs {
				if k == "meta/applied" || k == "meta/audit" || strings.HasPrefix(k, "audit/") {
					delete(pairs, k)
				}
			}
		}
		if diff := diffDumps(before, after); diff != "" {
			t.Errorf("%s changed the ledger: %s", name, diff)
		}
		links, err := l.Audit(everywhere, api.AuditQuery{Newest: true, Page: api.Page{Limit: 1}})
		if err != nil || links.Items[0].Decision != AuditRefused || links.Items[0].Code != c.code || links.Items[0].By.Name != "mallory" {
			t.Errorf("%s: the chain says %+v, %v", name, links.Items, err)
		}
	}
	if broken, err := l.VerifyAudit(); broken != 0 || err != nil {
		t.Errorf("the chain is broken at %d, %v", broken, err)
	}
}

// TestAttack30_NamesAreWhole gives somebody a namespace that others' begin with,
// and that begins as others do.
func TestAttack30_NamesAreWhole(t *testing.T) {
	l := newLedger(t)
	for i, namespace := range []string{"backup", "backup-prod", "back"} {
		l.enrol(i+1, namespace)
		l.settle(i+1, namespace, fmt.Sprint("w", i))
	}
	scope := fleet.ScopeOf("backup")
	list, err := l.Tasks(scope, api.TaskQuery{})
	if err != nil || list.Total != 2 || len(l.AllHosts(scope)) != 1 {
		t.Errorf("%+v, %v, %d hosts", list, err, len(l.AllHosts(scope)))
	}
	runs, err := l.Runs(scope, api.RunQuery{})
	if err != nil || len(runs.Items) != 3 || slices.ContainsFunc(runs.Items, func(r fleet.Run) bool { return r.Task.Namespace() != "backup" }) {
		t.Errorf("%+v, %v", runs.Items, err)
	}
	if made, failed, _ := l.Activity(scope, noon.Add(-24*time.Hour)); made != 3 || failed != 1 {
		t.Errorf("%d runs, %d failed", made, failed)
	}
	if made, failed, _ := l.Activity(everywhere, noon.Add(-24*time.Hour)); made != 9 || failed != 3 {
		t.Errorf("%d runs, %d failed in all", made, failed)
	}
}

// TestSharedHost shows two namespaces on one host: each sees the host and its
// jobs, and of what runs there only their own.
func TestSharedHost(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "mine", "theirs")
	l.settle(1, "theirs", "word")
	own := testTask("own", "*")
	own.Task.Namespace = "mine"
	other := testTask("other", "*")
	other.Task.Namespace = "third"
	l.must(own, other, &SettleAdoptions{Host: hostID(1), At: noon, Adoptions: []fleet.Adoption{{Task: "theirs/taken", State: fleet.AdoptionAdopted, Asked: noon}}})
	plan, err := l.Plan(mine, hostID(1))
	if err != nil || len(plan.Assignments) != 1 || plan.Assignments[0].Task.Name != "own" || len(plan.Orders)+len(plan.Adoptions) != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
	if plan, err := l.Plan(everywhere, hostID(1)); err != nil || len(plan.Assignments) != 3 {
		t.Errorf("the host takes tasks of a namespace that is not its: %+v, %v", plan.Assignments, err)
	}
	if hosts := l.Matching(everywhere, &other.Task); len(hosts) != 0 {
		t.Errorf("%+v", hosts)
	}
	job, found, err := l.Job(mine, hostID(1), testJob(51).ID)
	if err != nil || !found || job.Adopted != "" {
		t.Errorf("%+v, %v, %v", job, found, err)
	}
	if job, _, _ := l.Job(everywhere, hostID(1), testJob(51).ID); job.Adopted != "theirs/taken" {
		t.Errorf("%+v", job)
	}
	host, _ := l.Host(mine, hostID(1))
	if got := host.NamespacesWithin(mine); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("%v", got)
	}
	if node, err := l.Node(mine, string(hostID(1))); err != nil || !slices.Equal(node.Namespaces, []string{"mine"}) {
		t.Errorf("%+v, %v", node, err)
	}
	again := &Adopt{Task: testTask("again", "*").Task, Adoption: fleet.Adoption{Host: hostID(1), Job: testJob(51), At: noon}}
	again.Task.Namespace = "mine"
	taken, refused := IsRefusal(l.apply(&Audited{At: noon, By: fleet.Principal{Kind: fleet.PersonKind, Name: "me", Scope: []string{"mine"}}, Action: "adopt", Command: again}))
	if !refused || taken.Code != "exists" || strings.Contains(taken.Error()+taken.Hint, "theirs") {
		t.Errorf("%v", taken)
	}
	// What is not wholly one's own cannot be taken from the others.
	by := fleet.Principal{Kind: fleet.PersonKind, Name: "me", Scope: []string{"mine"}}
	if refusal, refused := IsRefusal(l.apply(&Audited{At: noon, By: by, Action: "node.revoke", Command: &SetNodeState{ID: string(hostID(1)), State: fleet.NodeRevoked, At: noon}})); !refused || refusal.Code != "permission_denied" {
		t.Errorf("%v", refusal)
	}
}

// TestPagesWithinAScope walks pages of one through many of others', and finds
// each of one's own once, in order.
func TestPagesWithinAScope(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "mine")
	l.enrol(2, "theirs")
	l.enrol(3, "mine", "theirs")
	for _, namespace := range []string{"mine", "theirs"} {
		for _, name := range []string{"a", "b"} {
			put := testTask(name, "*")
			put.Task.Namespace = namespace
			l.must(put)
		}
	}
	want := 0
	for n := range 60 {
		host := 1 + n%3
		namespace := []string{"mine", "theirs"}[n%2]
		if host < 3 { // the third takes both
			namespace = []string{"mine", "theirs"}[host-1]
		}
		task := fleet.NewTaskID(namespace, []string{"a", "b"}[n/2%2])
		run := testRun(n, task, []fleet.RunState{fleet.RunRan, fleet.RunMissed}[n/3%2])
		run.ID, run.Host = runID(n/4*60_000, n), hostID(host)
		batch := recordRun1(uint64(n+1), run)
		batch.Batches[0].Host, batch.Batches[0].Journal = hostID(host), journalID(host)
		l.must(batch)
		report := testReport(host, testJob(n), testJob(n+1))
		report.At = noon.Add(time.Duration(n/4) * time.Second)
		l.must(report)
		if task.Namespace() == "mine" {
			want++
		}
	}
	for _, q := range []api.RunQuery{{}, {Failed: true}, {Host: "host-3"}, {Task: "mine/a"}} {
		whole, err := l.Runs(mine, q)
		if err != nil {
			t.Fatal(err)
		}
		if q == (api.RunQuery{}) && len(whole.Items) != want {
			t.Errorf("%d runs, want %d", len(whole.Items), want)
		}
		var paged []fleet.Run
		for q.Limit = 1; ; {
			page, err := l.Runs(mine, q)
			if err != nil {
				t.Fatal(err)
			}
			paged = append(paged, page.Items...)
			if q.After = page.Next; page.Next == "" {
				break
			}
		}
		if diff := cmp.Diff(whole.Items, paged); diff != "" || len(paged) == 0 {
			t.Errorf("%+v: %s", q, diff)
		}
	}
	all, err := l.Changes(everywhere, api.ChangeQuery{Page: api.Page{Limit: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	own := filter(all.Items, func(c api.ChangeView) bool { return c.Host != hostID(2) })
	var paged []api.ChangeView
	for q := (api.ChangeQuery{Page: api.Page{Limit: 1}}); ; {
		page, err := l.Changes(mine, q)
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, page.Items...)
		if q.After = page.Next; page.Next == "" {
			break
		}
	}
	if diff := cmp.Diff(own, paged); diff != "" || len(own) < 20 {
		t.Errorf("%d changes: %s", len(own), diff)
	}
}

// TestAttack28_NobodyMayNothing asks as somebody who has no namespace: nothing is
// carried out, not even what would change nothing.
func TestAttack28_NobodyMayNothing(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "mine")
	l.settle(1, "mine", "own")
	nobody := fleet.Principal{Kind: fleet.PersonKind, Name: "nobody", Roles: []fleet.Role{fleet.Admin}}
	for _, command := range examples() {
		switch command.(type) {
		case *Audited, *PutAck, *DropAck: // whose finding nobody sees
			continue
		}
		refusal, refused := IsRefusal(l.apply(&Audited{At: noon, By: nobody, Action: "any", Command: command}))
		known := refused && (refusal.Code == "permission_denied" || refusal.Kind == fleet.NotFound || refusal.Code == "invalid")
		if _, about := command.(bounded); !about && (!refused || refusal.Code != "permission_denied") || about && refused && !known {
			t.Errorf("%T: %v", command, refusal)
		}
	}
	l.refused("invalid", newToken("x", func(t *fleet.Token) { t.Roles = nil }))
	l.refused("invalid", newToken("x", func(t *fleet.Token) { t.Namespaces = nil }))
	if task, err := l.Task(everywhere, "mine/nightly"); err != nil || task.Serial != 1 || len(l.Tokens(everywhere)) != 1 || len(l.Requests(everywhere)) != 1 {
		t.Errorf("%+v, %v", task, err)
	}
}
