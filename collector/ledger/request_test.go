package ledger

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func person(name string) fleet.Principal {
	return fleet.Principal{Kind: fleet.PersonKind, Name: name, Token: "of-" + name, Scope: []string{"data"}}
}

// wanted is a request of ann's for a task.
func wanted(id string, serial uint64, needs int, change ...func(*PutRequest)) *PutRequest {
	put := testTask("a", "*")
	put.Task.Namespace, put.Serial, put.Envelope, put.Signers = "data", serial, []byte("signed by ann"), []string{"ka"}
	cmd := &PutRequest{
		Request: fleet.Request{ID: id, Namespace: "data", Object: "task data/a", Dangers: []fleet.Danger{fleet.DangerRoot}, Envelope: []byte("signed by ann"), By: person("ann"), Reason: "because", At: noon, Expires: noon.Add(24 * time.Hour), Needs: needs},
		Signers: []string{"ka"}, Action: "task.put", Command: put,
	}
	for _, fn := range change {
		fn(cmd)
	}
	return cmd
}

// yes is an approval of what is on record.
func (b *bench) yes(id, name, key string, change ...func(*Approve)) *Approve {
	b.t.Helper()
	request, err := b.Request(everywhere, id)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := &Approve{ID: id, IfIndex: request.Index, Envelope: append(slices.Clone(request.Envelope), " and "+name...), Approval: fleet.Approval{By: person(name), Key: key, At: noon.Add(time.Hour)}, At: noon.Add(time.Hour)}
	for _, fn := range change {
		fn(cmd)
	}
	return cmd
}

func TestApprovedByTwo(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "data")
	_, changed := l.Watch(Requests)
	made := l.must(wanted("r1", 7, 2)).(fleet.Request)
	<-changed
	if _, err := l.Task(everywhere, "data/a"); fleet.KindOf(err) != fleet.NotFound {
		t.Fatalf("it is given before anybody approved: %v", err)
	}
	if again := l.must(wanted("r1", 7, 1)).(fleet.Request); again.Index != made.Index || again.Needs != 2 {
		t.Errorf("the very same again: %+v", again)
	}
	first := l.must(l.yes("r1", "bob", "kb")).(Approved)
	if first.Done || len(first.Request.Approved) != 1 || string(first.Request.Envelope) != "signed by ann and bob" {
		t.Errorf("%+v", first)
	}
	if twice := l.must(l.yes("r1", "bob", "kb2")).(Approved); twice.Done || len(twice.Request.Approved) != 1 {
		t.Errorf("the same person twice: %+v", twice)
	}
	l.reopen()
	done := l.must(&Audited{At: noon.Add(2 * time.Hour), By: person("cid"), Action: "request.approve", Object: "r1", Command: &Once{
		Key: "k", Digest: "d", At: noon, Expires: noon.Add(time.Hour), Command: l.yes("r1", "cid", "kc", func(a *Approve) { a.At = noon.Add(2 * time.Hour) })}}).(Approved)
	if !done.Done || done.Task == nil || done.Task.Serial != 7 || string(done.Task.Envelope) != "signed by ann and bob and cid" || len(done.Request.Approved) != 2 || !slices.Equal(done.Task.Signers, []string{"ka", "kb", "kc"}) {
		t.Fatalf("%+v", done)
	}
	record, err := l.Task(everywhere, "data/a")
	if err != nil || !record.Changed.Equal(noon.Add(2*time.Hour)) || record.ChangedBy != "ann" {
		t.Errorf("%+v, %v", record, err)
	}
	if plan, err := l.Plan(everywhere, hostID(1)); err != nil || len(plan.Assignments) != 1 || !plan.Assignments[0].Since.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("it is due from before it was approved: %+v, %v", plan, err)
	}
	if left := l.Requests(everywhere); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	links := l.chain()
	if len(links) != 2 || links[0].Action != "task.put" || links[0].By.Name != "ann" || links[0].Object != "task data/a" || links[0].Namespace != "data" || links[1].Namespace != "data" || !strings.Contains(links[0].Why, "because; approved by bob and cid") || links[1].Action != "request.approve" || links[1].By.Name != "cid" {
		t.Errorf("%+v", links)
	}
	l.refused("not_found", &Approve{ID: "r1"})
}

// TestAttack84_NobodyApprovesAlone tries what would make two people of one.
func TestAttack84_NobodyApprovesAlone(t *testing.T) {
	for name, c := range map[string]struct {
		code   string
		name   string
		key    string
		change func(*Approve)
	}{
		"by who asked":                        {"approval_self", "ann", "kb", nil},
		"with another token of who asked":     {"approval_self", "ann", "kb", func(a *Approve) { a.Approval.By.Token = "other" }},
		"with the token of who asked":         {"approval_self", "bob", "kb", func(a *Approve) { a.Approval.By.Token = "of-ann" }},
		"in another's name":                   {"approval_self", "bob", "kb", nil},
		"with the key of who asked":           {"approval_key", "bob", "ka", nil},
		"with a key that approved":            {"approval_key", "bob", "kz", nil},
		"without a key":                       {"invalid", "bob", "", nil},
		"by nobody":                           {"invalid", "", "kb", nil},
		"of what it was before":               {"stale", "bob", "kb", func(a *Approve) { a.IfIndex-- }},
		"too late":                            {"request_expired", "bob", "kb", func(a *Approve) { a.At = noon.Add(24 * time.Hour) }},
		"another request":                     {"not_found", "bob", "kb", func(a *Approve) { a.ID = "r2" }},
		"no request":                          {"not_found", "bob", "kb", func(a *Approve) { a.ID = "" }},
		"by who asked, under nobody's tokens": {"approval_self", "ann", "kb", func(a *Approve) { a.Approval.By.Token = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			l.must(wanted("r1", 7, 2))
			l.must(l.yes("r1", "zoe", "kz"))
			changes := []func(*Approve){}
			if c.change != nil {
				changes = append(changes, c.change)
			}
			approve := l.yes("r1", c.name, c.key, changes...)
			if name == "in another's name" { // the store knows who is asking
				refusal, _ := IsRefusal(l.apply(&Audited{At: noon, By: person("ann"), Action: "request.approve", Command: approve}))
				if refusal == nil || refusal.Code != c.code {
					t.Errorf("%v", refusal)
				}
				return
			}
			l.refused(c.code, approve)
		})
	}
}

// TestAttack84_AnyChangeResets changes what a request is about while it waits.
func TestAttack84_AnyChangeResets(t *testing.T) {
	other := testTask("a", "*")
	other.Task.Namespace, other.Task.Description, other.Serial, other.Envelope = "data", "changed", 8, []byte("x")
	sibling := testTask("b", "*")
	sibling.Task.Namespace = "data"
	for name, c := range map[string]struct {
		change Command
		left   []string
	}{
		"the task itself":       {other, nil},
		"its end":               {&SetTaskState{ID: "data/a", State: fleet.TaskRetired, At: noon, Serial: 9, Envelope: []byte("x")}, nil},
		"one more signature":    {&PutEnvelope{Task: "data/a", Serial: 1, Envelope: []byte("more"), At: noon}, nil},
		"another request":       {wanted("r2", 8, 2), []string{"r2"}},
		"it is taken back":      {&DropRequest{ID: "r1", At: noon}, nil},
		"it expires":            {&Prune{At: noon.Add(24 * time.Hour)}, nil},
		"another task":          {sibling, []string{"r1"}},
		"time, but not so much": {&Prune{At: noon.Add(23 * time.Hour)}, []string{"r1"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			old := testTask("a", "*")
			old.Task.Namespace, old.Serial, old.Envelope = "data", 1, []byte("old")
			l.must(old, wanted("r1", 7, 2))
			l.must(l.yes("r1", "bob", "kb"))
			stale := l.yes("r1", "cid", "kc")
			l.must(c.change)
			for range 2 {
				var left []string
				for _, request := range l.Requests(everywhere) {
					left = append(left, request.ID)
					if request.ID == "r2" && len(request.Approved) != 0 {
						t.Errorf("approvals of before count: %+v", request)
					}
				}
				if !slices.Equal(left, c.left) {
					t.Errorf("%v waits, want %v", left, c.left)
				}
				l.reopen()
			}
			if !slices.Contains(c.left, "r1") {
				l.refused("not_found", stale)
			}
		})
	}
}

// TestHeldAndRefused approves what cannot be carried out any more.
func TestHeldAndRefused(t *testing.T) {
	l := newLedger(t)
	calendar := &PutCalendar{Calendar: fleet.Calendar{Name: "c"}, At: noon, Serial: 3, Envelope: []byte("x")}
	drop := &DropCalendar{Name: "c", Serial: 4, Envelope: []byte("y")}
	request := wanted("r1", 4, 1, func(p *PutRequest) { p.Request.Object, p.Request.Namespace, p.Command = "calendar c", "", drop })
	l.must(calendar, request)
	user := testTask("a", "*")
	user.Task.On.Blackout = []string{"c"}
	l.must(user)
	l.refused("in_use", l.yes("r1", "bob", "kb"))
	l.must(&SetTaskState{ID: "default/a", State: fleet.TaskRetired, At: noon})
	done := l.must(l.yes("r1", "bob", "kb")).(Approved)
	if !done.Done || done.Task != nil {
		t.Errorf("%+v", done)
	}
	if all := l.Calendars(everywhere); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// TestEverythingThatWaits holds each command that can wait until it is approved.
func TestEverythingThatWaits(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "data")
	l.must(testReport(1, testJob(1)), func() Command {
		put := testTask("a", "*")
		put.Task.Namespace = "data"
		return put
	}())
	adopt := &Adopt{Task: testTask("t", "*").Task, Adoption: fleet.Adoption{Host: hostID(1), Job: testJob(1), At: noon}, Serial: 5, Envelope: []byte("x")}
	adopt.Task.Namespace = "data"
	order := testOrder("o1", 1, "data/a")
	for i, c := range []struct {
		object  string
		command Command
		came    func(Approved) bool
	}{
		{"order 1", &PutOrders{Orders: []fleet.Order{order}, At: noon, Envelope: []byte("x"), Digest: "d1", Expires: noon.Add(time.Hour)}, func(a Approved) bool { return len(a.Orders) == 1 }},
		{"task data/t", adopt, func(a Approved) bool { return a.Adoption != nil && a.Adoption.Asked.Equal(noon.Add(time.Hour)) }},
		{"task data/t", &Release{Task: "data/t", At: noon, Serial: 6, Envelope: []byte("x")}, func(a Approved) bool { return a.Adoption != nil && a.Adoption.State == fleet.AdoptionReleasing }},
		{"task data/a", &SetTaskState{ID: "data/a", State: fleet.TaskRetired, At: noon, Serial: 6, Envelope: []byte("x")}, func(a Approved) bool { return a.Task != nil && a.Task.State == fleet.TaskRetired }},
		{"calendar c", &PutCalendar{Calendar: fleet.Calendar{Name: "c"}, At: noon, Serial: 1, Envelope: []byte("x")}, func(a Approved) bool { return a.Calendar != nil && a.Calendar.Changed.Equal(noon.Add(time.Hour)) }},
	} {
		id := string(rune('a' + i))
		l.must(wanted(id, 5, 1, func(p *PutRequest) { p.Request.Object, p.Command = c.object, c.command }))
		done := l.must(l.yes(id, "bob", "kb")).(Approved)
		if !done.Done || !c.came(done) {
			t.Errorf("%T: %+v", c.command, done)
		}
	}
	if orders, err := l.Orders(everywhere, hostID(1)); err != nil || len(orders) != 0 { // the task went
		t.Errorf("%+v, %v", orders, err)
	}
}

func TestPutRequestRefuses(t *testing.T) {
	l := newLedger(t)
	for name, change := range map[string]func(*PutRequest){
		"no id":        func(p *PutRequest) { p.Request.ID = "" },
		"no object":    func(p *PutRequest) { p.Request.Object = "" },
		"no approval":  func(p *PutRequest) { p.Request.Needs = 0 },
		"three":        func(p *PutRequest) { p.Request.Needs = 3 },
		"nobody signs": func(p *PutRequest) { p.Signers = nil },
		"for ever":     func(p *PutRequest) { p.Request.Expires = noon.Add(31 * 24 * time.Hour) },
		"over":         func(p *PutRequest) { p.Request.Expires = noon },
	} {
		t.Run(name, func(*testing.T) { l.refused("invalid", wanted("r", 1, 1, change)) })
	}
	l.refused("not_found", &DropRequest{ID: "none"})
}

func TestRules(t *testing.T) {
	l := newLedger(t)
	seven := uint64(7)
	put := func(namespace string, change ...func(*PutRules)) *PutRules {
		cmd := &PutRules{Rules: fleet.Rules{Namespace: namespace, TwoPerson: []fleet.Danger{fleet.DangerRoot}, Approvals: 1, Within: fleet.Duration(time.Hour)}, At: noon, Actor: "ann"}
		for _, fn := range change {
			fn(cmd)
		}
		return cmd
	}
	for name, change := range map[string]func(*PutRules){
		"no namespace": func(p *PutRules) { p.Rules.Namespace = "" }, "a bad one": func(p *PutRules) { p.Rules.Namespace = "A B" },
		"three": func(p *PutRules) { p.Rules.Approvals = 3 }, "too long": func(p *PutRules) { p.Rules.Within = fleet.Duration(31 * 24 * time.Hour) },
		"no danger": func(p *PutRules) { p.Rules.TwoPerson = []fleet.Danger{"odd"} },
	} {
		t.Run(name, func(*testing.T) { l.refused("invalid", put("data", change)) })
	}
	if rules := l.RulesOf("data"); rules.Namespace != "data" || rules.TwoPerson != nil {
		t.Errorf("%+v", rules)
	}
	made := l.must(put("data")).(fleet.Rules)
	if again := l.must(put("data")).(fleet.Rules); again.Index != made.Index || made.Index == 0 || made.By != "ann" {
		t.Errorf("%+v then %+v", made, again)
	}
	l.refused("stale", put("data", func(p *PutRules) { p.IfIndex, p.Rules.Approvals = &seven, 2 }))
	l.refused("stale", &DropRules{Namespace: "data", IfIndex: &seven})
	l.refused("not_found", &DropRules{Namespace: "other"})
	l.must(put("*", func(p *PutRules) { p.Rules.Approvals = 2 }))
	for range 2 {
		for namespace, want := range map[string]int{"data": 2, "other": 2, "": 2} {
			if got := l.RulesOf(namespace); got.Approvals != want {
				t.Errorf("%q: %+v", namespace, got)
			}
		}
		if n, mine, none := len(l.AllRules(everywhere)), l.AllRules(fleet.ScopeOf("x")), l.AllRules(fleet.Scope{}); n != 2 || len(mine) != 1 || len(none) != 0 {
			t.Errorf("%d, %+v, %+v", n, mine, none)
		}
		l.reopen()
	}
	l.must(&DropRules{Namespace: "data", IfIndex: &made.Index})
	if got := l.RulesOf("data"); got.Approvals != 2 {
		t.Errorf("%+v", got)
	}
}

func TestPolicies(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "data", "web")
	report := fleet.PolicyReport{Execute: true, Keys: []string{"k"}, AuditSeq: 3, AuditHead: []byte{1}, At: noon, Refused: []fleet.Refusal{
		{Object: "task data/a", Code: "policy:user", Why: "no", Line: 3}, {Object: "task web/b", Code: "signature", Why: "no"}, {Object: "calendar c", Code: "replay", Why: "no"},
	}}
	l.refused("unknown_host", &RecordPolicy{Host: hostID(9), Report: report, At: noon})
	l.refused("unknown_host", &RecordPolicy{Host: "x", Report: report, At: noon})
	if news, err := l.PolicyNews(hostID(1), &report); !news || err != nil {
		t.Error(err)
	}
	l.must(&RecordPolicy{Host: hostID(1), Report: report, At: noon})
	index, _ := l.Watch(Policies)
	same, older := report, report
	same.At = noon.Add(time.Hour)
	older.At, older.Execute = noon.Add(-time.Hour), false
	l.must(&RecordPolicy{Host: hostID(1), Report: same, At: noon}, &RecordPolicy{Host: hostID(1), Report: older, At: noon})
	if now, _ := l.Watch(Policies); now != index {
		t.Error("what says nothing new was written")
	}
	for _, said := range []fleet.PolicyReport{same, older} {
		if news, err := l.PolicyNews(hostID(1), &said); news || err != nil {
			t.Errorf("%+v: %v", said, err)
		}
	}
	for want, scope := range map[int]fleet.Scope{3: everywhere, 1: fleet.ScopeOf("web"), 2: fleet.ScopeOf("data", "web")} {
		all, err := l.Policies(scope)
		if err != nil || len(all) != 1 || len(all[0].Refused) != want || !all[0].Execute || all[0].Name != "host-1" {
			t.Errorf("%d: %+v, %v", want, all, err)
		}
	}
	if all, err := l.Policies(fleet.ScopeOf("other")); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	l.must(&SetNodeState{ID: string(hostID(1)), State: fleet.NodeRevoked, At: noon}, &Prune{At: noon, TrustBefore: noon})
	if all, _ := l.Policies(everywhere); len(all) != 1 {
		t.Error("it is gone too early")
	}
	l.must(&Prune{At: noon, TrustBefore: noon.Add(1)})
	if all, _ := l.Policies(everywhere); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}
