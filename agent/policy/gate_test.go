package policy

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

func TestAPlanIsWrittenAnewFromItsStatements(t *testing.T) {
	b := newBed(t, usual)
	s := b.says(task())
	given := given(task(), sign(t, s, b.anna))
	given.Generation = 7
	before := asJSON(t, given)
	plan, refused := b.takes(given)
	if len(refused) != 0 || len(plan.Assignments) != 1 {
		t.Fatal(refused)
	}
	if asJSON(t, given) != before {
		t.Error("the plan itself was changed")
	}
	want := fleet.Assignment{
		Task: task(), State: fleet.TaskEnabled, Generation: 7, Document: []byte("task: nightly\n"), MediaType: "application/yaml",
		Since: given.Since, Envelope: given.Envelope,
	}
	if given.Since.Before(s.Issued) {
		want.Since = s.Issued
	}
	if diff := cmp.Diff(want, plan.Assignments[0]); diff != "" {
		t.Error(diff)
	}
}

// A pause is another statement, and does not make what was due before undue.
func TestWhatIsDueSinceSurvivesAPause(t *testing.T) {
	b := newBed(t, usual)
	first := b.says(task())
	first.Issued = first.Issued.Add(-time.Hour)
	first.Serial -= 3_600_000
	a := given(task(), sign(t, first, b.anna))
	a.Since = first.Issued.Add(time.Minute)
	b.takes(a)
	second := b.says(task())
	second.Task.State = fleet.TaskPaused
	a.Envelope = sign(t, second, b.anna)
	plan, refused := b.takes(a)
	if len(refused) != 0 || !plan.Assignments[0].Since.Equal(a.Since) || plan.Assignments[0].State != fleet.TaskPaused {
		t.Errorf("%v %+v", refused, plan.Assignments)
	}
	a.Task.Name = "weekly"
	first.Name, first.Task.Definition = "weekly", &a.Task
	a.Envelope, a.Since = sign(t, first, b.anna), time.Unix(0, 0)
	if plan, _ = b.takes(a); !plan.Assignments[0].Since.Equal(first.Issued) {
		t.Errorf("due since %v, which is before anybody said it", plan.Assignments[0].Since)
	}
}

func TestATaskWhoseEndHasComeDoesNotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, usual)
		s := b.says(task())
		s.Expires = time.Now().Add(time.Hour).UTC()
		want(t, b.take(s), "")
		time.Sleep(2 * time.Hour)
		if err := b.gate.May(s.Task.Definition); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("got %v", err)
		}
	})
}

func TestATaskOfALaterVersionIsShownAndNotBegun(t *testing.T) {
	b := newBed(t, usual)
	text := asJSON(t, b.says(task()))
	text = strings.Replace(text, `"user":"alice"`, `"user":"alice","sandbox":"whole"`, 1)
	plan, refused := b.takes(given(task(), forgeBytes(t, []byte(text), b.anna)))
	if len(refused) != 0 || plan.Assignments[0].Unread == "" || !strings.Contains(plan.Assignments[0].Unread, "sandbox") {
		t.Errorf("%v %+v", refused, plan.Assignments)
	}
	plan, refused = b.takes(given(task(), forgeBytes(t, []byte(text), newKey(t))))
	if len(refused) != 1 || refused[0].Code != "signature" || plan.Assignments[0].Refused == nil {
		t.Errorf("by a stranger: %v", refused)
	}
}

func (b *bed) calendar(name string, drop bool) *seal.Statement {
	b.serial++
	s := &seal.Statement{
		Version: 1, Cluster: cluster, Kind: seal.KindCalendar, Name: name, Serial: b.serial, Issued: time.UnixMilli(int64(b.serial)).UTC(),
		Calendar: &seal.Calendar{},
	}
	if from := time.Now().UTC(); !drop {
		s.Calendar.Definition = &fleet.Calendar{Name: name, Windows: []fleet.Window{{From: &from, For: fleet.Duration(time.Hour)}}}
	}
	return s
}

func TestATaskWithoutItsSealedCalendarIsRefused(t *testing.T) {
	b := newBed(t, `execute: on
keys:
  - {key: ANNA, namespaces: [data]}
  - {key: BERT, namespaces: [web]}
users: {allow: [alice]}
commands: [{path: /bin/true}]
`)
	with := task()
	with.On.Blackout = []string{"holidays"}
	a := given(with, sign(t, b.says(with), b.anna))
	good, foreign := b.calendar("holidays", false), b.calendar("holidays", false)
	for _, test := range []struct {
		name   string
		sealed [][]byte
		code   string
	}{
		{"there is none", nil, "signature"},
		{"not sealed", [][]byte{nil}, "signature"},
		{"by a stranger", [][]byte{sign(t, good, newKey(t))}, "signature"},
		{"another", [][]byte{sign(t, b.calendar("other", false), b.anna)}, "signature"},
		{"sealed", [][]byte{sign(t, good, b.anna)}, ""},
		{"for another namespace", [][]byte{sign(t, foreign, b.bert)}, "signature"},
		{"the one before", [][]byte{sign(t, good, b.anna)}, "replay"},
		{"dropped", [][]byte{sign(t, b.calendar("holidays", true), b.anna)}, "signature"},
	} {
		plan, refused := b.gate.Open(&fleet.Plan{
			Host: hostID, Assignments: []fleet.Assignment{a}, Calendars: []fleet.Calendar{{Name: "holidays"}}, Sealed: test.sealed,
		})
		switch {
		case test.code == "":
			if len(refused) != 0 || len(plan.Calendars) != 1 || len(plan.Calendars[0].Windows) != 1 {
				t.Errorf("%s: %v %+v", test.name, refused, plan.Calendars)
			}
		case len(refused) == 0 || refused[0].Code != test.code || plan.Assignments[0].Refused == nil:
			t.Errorf("%s: %v", test.name, refused)
		}
	}
}

func (b *bed) event(name, id string) *seal.Statement {
	b.serial++
	return &seal.Statement{
		Version: 1, Cluster: cluster, Kind: seal.KindEvent, Name: name, Serial: b.serial, Issued: time.UnixMilli(int64(b.serial)).UTC(),
		Expires: time.Now().Add(time.Hour).UTC(), Event: &seal.Event{ID: id, Due: time.Now().UTC(), Payload: "v2"},
	}
}

func TestAnEventMakesOnlyThoseDueThatWaitForIt(t *testing.T) {
	b := newBed(t, strings.Replace(usual, `["*"]`, "[data]", 1))
	waits, other := task(), task()
	waits.On = fleet.Trigger{Event: "deployed"}
	other.Name = "other"
	plan := func(s *seal.Statement, task fleet.TaskID, keys ...seal.Signer) (*fleet.Plan, []fleet.Refusal) {
		return b.gate.Open(&fleet.Plan{
			Host:        hostID,
			Assignments: []fleet.Assignment{given(waits, sign(t, b.says(waits), b.anna)), given(other, sign(t, b.says(other), b.anna))},
			Orders:      []fleet.Order{{ID: orderA, Run: orderA, Kind: fleet.OrderRun, Host: hostID, Task: task, Due: time.Now(), Expires: s.Expires, Cause: "event deployed", Envelope: sign(t, s, keys...)}},
		})
	}
	event := b.event("deployed", orderA)
	got, refused := plan(event, "data/nightly", b.anna)
	if len(refused) != 0 {
		t.Fatal(refused)
	}
	want := fleet.Order{
		ID: seal.OrderID(orderA, hostID, "data/nightly"), Run: seal.RunID(orderA, hostID, "data/nightly"), Kind: fleet.OrderRun, Host: hostID, Task: "data/nightly",
		Due: event.Event.Due, Expires: event.Expires, Cause: "event deployed", Payload: "v2", By: "anna (" + seal.KeyID(b.anna.Public()) + ")", Envelope: got.Orders[0].Envelope,
	}
	if diff := cmp.Diff(want, got.Orders[0]); diff != "" {
		t.Error(diff)
	}
	_, refused = plan(event, "data/other", b.anna)
	wantOne(t, refused, "target")
	_, refused = plan(b.event("else", orderB), "data/nightly", b.anna)
	wantOne(t, refused, "target")
	_, refused = plan(event, "web/nightly", b.anna)
	wantOne(t, refused, "signature")
	_, refused = plan(b.event("deployed", orderB), "data/nightly", newKey(t))
	wantOne(t, refused, "signature")
}

func TestWhatNobodySignsComesOnlyWhereThePolicySaysSo(t *testing.T) {
	b := newBed(t, usual+"unsigned_triggers: [webhook]\norders: {every: 1m}\n")
	hooked := task()
	hooked.On = fleet.Trigger{Webhook: true}
	a := given(hooked, sign(t, b.says(hooked), b.anna))
	hook := fleet.Order{
		ID: orderA, Run: seal.HookRunID(orderA, hostID, "data/nightly"), Kind: fleet.OrderRun, Host: other, Task: "data/nightly", Due: time.Now().UTC(), Expires: time.Now().Add(time.Hour).UTC(),
		Cause: "webhook", Payload: "{}", By: "evil", Reason: "evil",
	}
	plan, refused := b.order(a, hook)
	want := hook
	want.Host, want.By, want.Reason = hostID, "", ""
	if len(refused) != 0 {
		t.Fatal(refused)
	}
	if diff := cmp.Diff(want, plan.Orders[0]); diff != "" {
		t.Error(diff)
	}
	for name, test := range map[string]struct {
		change func(o *fleet.Order)
		code   string
	}{
		"another cause": {func(o *fleet.Order) { o.Cause = "event deployed" }, "signature"},
		"another task":  {func(o *fleet.Order) { o.Task = "data/other" }, "target"},
		"to stop":       {func(o *fleet.Order) { o.Kind = fleet.OrderStop }, "parse"},
		"for ever":      {func(o *fleet.Order) { o.Expires = o.Due.AddDate(1, 0, 0) }, "parse"},
		"over": {func(o *fleet.Order) {
			o.ID, o.Expires = "0191aaaa-0000-4000-8000-000000000009", time.Now().Add(-time.Minute)
		}, "time"},
		"too soon": {func(o *fleet.Order) { o.ID = "0191aaaa-0000-4000-8000-000000000008" }, "rate"},
	} {
		wrong := hook
		test.change(&wrong)
		wrong.Run = seal.HookRunID(wrong.ID, hostID, wrong.Task)
		if _, refused := b.order(a, wrong); len(refused) != 1 || refused[0].Code != test.code {
			t.Errorf("%s: %v", name, refused)
		}
	}
	plain := given(task(), sign(t, b.says(task()), b.anna)) // waits for no webhook
	_, refused = b.order(plain, hook)
	wantOne(t, refused, "target")
	b.policy(usual)
	b.reread()
	_, refused = b.order(given(hooked, sign(t, b.says(hooked), b.anna)), hook)
	wantOne(t, refused, "signature")
}

func TestAnOrderSaysWhatItsStatementSays(t *testing.T) {
	b := newBed(t, usual)
	a := given(task(), sign(t, b.says(task()), b.anna))
	s := b.orders(fleet.OrderCancel, orderA)
	s.Order.Reason = "wrong day"
	beside := b.ordered(s, sign(t, s, b.anna))
	beside.Kind, beside.Run, beside.Task, beside.By = fleet.OrderRun, orderB, "data/other", "evil"
	plan, refused := b.order(a, beside)
	if len(refused) != 0 {
		t.Fatal(refused)
	}
	want := fleet.Order{
		ID: seal.OrderID(orderA, hostID, "data/nightly"), Kind: fleet.OrderCancel, Host: hostID, Task: "data/nightly", Run: s.Order.Run,
		Due: s.Order.Due, Expires: s.Expires, Reason: "wrong day", By: "anna (" + seal.KeyID(b.anna.Public()) + ")", Envelope: beside.Envelope,
	}
	if diff := cmp.Diff(want, plan.Orders[0]); diff != "" {
		t.Error(diff)
	}
}

// What cannot be written down is not taken, and what was taken stands.
func TestADiskThatTakesNothing(t *testing.T) {
	b := newBed(t, usual)
	old := given(task(), sign(t, b.says(task()), b.anna))
	if _, refused := b.takes(old); len(refused) != 0 {
		t.Fatal(refused)
	}
	if err := os.RemoveAll(b.path("state")); err != nil {
		t.Fatal(err)
	}
	second := task()
	second.Name = "second"
	run := b.orders(fleet.OrderRun, orderA)
	plan, refused := b.gate.Open(&fleet.Plan{
		Host: hostID, Assignments: []fleet.Assignment{old, given(second, sign(t, b.says(second), b.anna))},
		Orders: []fleet.Order{b.ordered(run, sign(t, run, b.anna))},
	})
	if len(refused) != 2 || plan.Assignments[0].Refused != nil || plan.Assignments[1].Refused == nil || plan.Orders[0].Refused == nil {
		t.Errorf("%v %+v", refused, plan)
	}
	for _, r := range refused {
		want(t, &r, "replay")
	}
}

func TestChangesAreTakenInWithoutARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, strings.Replace(usual, "execute: on", "execute: off", 1))
		s := b.says(task())
		want(t, b.take(s), "policy:execute")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.gate.Run(ctx) }()
		time.Sleep(10 * time.Second)
		select {
		case <-b.gate.Changed():
			t.Error("nothing changed")
		default:
		}
		b.policy(usual)
		select {
		case <-b.gate.Changed():
		case <-time.After(5 * time.Second):
			t.Fatal("the change was not seen")
		}
		want(t, b.take(s), "")
		b.gate.SetHost(fleet.Host{ID: hostID, Name: "db-1", Labels: map[string]string{"role": "web"}})
		<-b.gate.Changed()
		want(t, b.take(s), "target")
		// What is refused is judged again: time may mend it.
		select {
		case <-b.gate.Changed():
		case <-time.After(2 * time.Minute):
			t.Error("what is refused is not judged again")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (b *bed) adopts(kind seal.Kind) *seal.Statement {
	s := b.says(task())
	s.Kind, s.Hosts, s.Expires = kind, []fleet.HostID{hostID}, time.Now().Add(time.Hour).UTC()
	if kind == seal.KindRelease {
		s.Task = &seal.Task{State: fleet.TaskRetired}
		return s
	}
	s.Task.Definition.Where = fleet.Where{Hosts: []string{string(hostID)}}
	s.Adopt = &seal.Adoption{Job: "0123456789abcdef", Source: "/etc/crontab", Line: 3, Fingerprint: "abc"}
	return s
}

func wish(state fleet.AdoptionState, envelope []byte) fleet.Adoption {
	return fleet.Adoption{
		Task: "data/nightly", Host: hostID, State: state, Asked: time.Now().UTC(), Envelope: envelope,
		Job: fleet.Job{ID: "0123456789abcdef", Source: "/etc/crontab", Line: 3, Fingerprint: "abc", Command: "/bin/true"},
	}
}

func TestAnAdoptionFromWishToRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, usual+"adoption: allowed\n")
		s := b.adopts(seal.KindAdopt)
		envelope := sign(t, s, b.anna)
		open := func(state fleet.AdoptionState, envelope []byte, a fleet.Assignment) (*fleet.Plan, []fleet.Refusal) {
			return b.gate.Open(&fleet.Plan{Host: hostID, Assignments: []fleet.Assignment{a}, Adoptions: []fleet.Adoption{wish(state, envelope)}})
		}
		a := given(*s.Task.Definition, envelope)
		plan, refused := open(fleet.AdoptionWanted, envelope, a)
		if len(refused) != 0 || plan.Adoptions[0].Job.Fingerprint != "abc" {
			t.Fatalf("%v %+v", refused, plan.Adoptions)
		}
		asked := plan.Adoptions[0].Asked
		if err := b.gate.MayAdopt(&plan.Adoptions[0], &s.Task.Definition.Run); err != nil {
			t.Error(err)
		}
		if err := b.gate.MayAdopt(&plan.Adoptions[0], &fleet.Execute{User: "root", Command: fleet.Command{Argv: []string{"/bin/true"}}}); err == nil {
			t.Error("what the job really runs is not judged")
		}
		b.silent["data/nightly"] = true
		time.Sleep(48 * time.Hour) // the wish is over, what came of it stands
		if plan, refused = open(fleet.AdoptionAdopted, envelope, a); len(refused) != 0 || !plan.Adoptions[0].Asked.Equal(asked) {
			t.Errorf("%v, asked %v: a wish of the same words is the same wish", refused, plan.Adoptions[0].Asked)
		}
		// Nobody gives the job back whom no statement lets.
		if plan, refused = open(fleet.AdoptionReleasing, envelope, a); len(refused) != 1 || refused[0].Code != "signature" || len(plan.Adoptions) != 0 || plan.Assignments[0].Refused != nil {
			t.Errorf("%v %+v", refused, plan)
		}
		back := b.adopts(seal.KindRelease)
		back.Issued, back.Serial, back.Expires = time.Now().UTC(), uint64(time.Now().UnixMilli()), time.Now().Add(time.Hour).UTC()
		give := sign(t, back, b.anna)
		if plan, refused = open(fleet.AdoptionReleasing, give, a); len(refused) != 0 || plan.Assignments[0].Refused != nil {
			t.Errorf("until the line is back the task runs: %v", refused)
		}
		if plan, refused = open(fleet.AdoptionAdopted, envelope, a); len(plan.Adoptions) != 0 || len(refused) == 0 {
			t.Errorf("the older wish counts again: %v", refused)
		}
		b.silent["data/nightly"] = false
		_, refused = b.takes(a)
		wantOne(t, refused, "replay")
	})
}

func TestAdoptionsThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		name, policy, code string
		change             func(s *seal.Statement, w *fleet.Adoption)
	}{
		{"forbidden", usual, "policy:adoption", nil},
		{"two people", usual + "adoption: allowed\ntwo_person: [adoption]\n", "approval", nil},
		{"another line", usual + "adoption: allowed\n", "signature", func(_ *seal.Statement, w *fleet.Adoption) { w.Job.Fingerprint = "other" }},
		{"another file", usual + "adoption: allowed\n", "signature", func(_ *seal.Statement, w *fleet.Adoption) { w.Job.Source = "/etc/cron.d/x" }},
		{"another task", usual + "adoption: allowed\n", "signature", func(_ *seal.Statement, w *fleet.Adoption) { w.Task = "data/other" }},
		{"its task may not run", usual + "adoption: allowed\n", "policy:user", func(s *seal.Statement, _ *fleet.Adoption) { s.Task.Definition.Run.User = "root" }},
		{"over", usual + "adoption: allowed\n", "time", func(s *seal.Statement, _ *fleet.Adoption) {
			s.Issued, s.Serial, s.Expires = s.Issued.Add(-2*time.Hour), s.Serial-7_200_000, s.Issued.Add(-time.Hour)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, test.policy)
			s, w := b.adopts(seal.KindAdopt), wish(fleet.AdoptionWanted, nil)
			if test.change != nil {
				test.change(s, &w)
			}
			w.Envelope = sign(t, s, b.anna)
			a := given(*s.Task.Definition, w.Envelope)
			plan, refused := b.gate.Open(&fleet.Plan{Host: hostID, Assignments: []fleet.Assignment{a}, Adoptions: []fleet.Adoption{w}})
			if len(refused) != 2 {
				t.Fatalf("refused %v: where the line still runs the task must not", refused)
			}
			want(t, &refused[0], test.code)
			if err := b.gate.MayAdopt(&plan.Adoptions[0], nil); err == nil {
				t.Error("it may be adopted all the same")
			}
		})
	}
}

func TestWhatAnAdoptionWouldMeet(t *testing.T) {
	good, bad := task().Run, task().Run
	bad.User = "root"
	for policy, codes := range map[string][3]string{
		usual + "adoption: allowed\n": {"", "", "policy:user"},
		usual:                         {"policy:adoption", "policy:adoption", "policy:adoption"},
		strings.Replace(usual, "execute: on", "execute: off", 1) + "adoption: allowed\n": {"policy:execute", "policy:execute", "policy:execute"},
		"x": {"policy:execute", "policy:execute", "policy:execute"},
	} {
		b := newBed(t, policy)
		for i, run := range []*fleet.Execute{nil, &good, &bad} {
			w := wish(fleet.AdoptionWanted, nil)
			err := b.gate.WouldAdopt(&w, run)
			if e, _ := errors.AsType[*fleet.Error](err); (err == nil) != (codes[i] == "") || e != nil && e.Code != codes[i] {
				t.Errorf("%q, %d: %v", policy, i, err)
			}
			if b.gate.MayAdopt(&w, run) == nil {
				t.Error("what nobody signed is adopted")
			}
		}
	}
}

func TestSecretsAreJudgedWhenTheyAreKnown(t *testing.T) {
	b := newBed(t, usual)
	with := task()
	with.Run.Command.Argv = []string{"/bin/echo", "full", "<redacted:00112233>"}
	s := b.says(with)
	plan, refused := b.takes(given(with, sign(t, s, b.anna)))
	if len(refused) != 0 || plan.Assignments[0].Refused != nil {
		t.Fatal(refused)
	}
	for secret, may := range map[string]bool{"/srv/secret": true, "/etc/shadow": false} {
		filled := with
		filled.Run.Command.Argv = []string{"/bin/echo", "full", secret}
		if err := b.gate.May(&filled); (err == nil) != may {
			t.Errorf("%s: %v", secret, err)
		}
	}
}

func TestTheReportSaysWhoIsTrustedAndWhatIsRefused(t *testing.T) {
	b := newBed(t, usual+"two_person: [root]\n")
	asRoot := task()
	asRoot.Run.User = "root"
	b.takes(given(asRoot, sign(t, b.says(asRoot), b.anna)))
	got := b.gate.Report()
	seq, head := b.gate.chain.last()
	want := fleet.PolicyReport{
		Execute: true, Digest: b.gate.policy.Digest, Keys: []string{seal.KeyID(b.anna.Public())}, TwoPerson: []fleet.Danger{fleet.DangerRoot},
		Refused:  []fleet.Refusal{{Object: "task data/nightly", Code: "policy:user", Why: "user root (0) is denied as root", Line: 6}},
		AuditSeq: seq, AuditHead: head, At: got.At,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if seq != 2 { // the policy, and the refusal
		t.Errorf("%d audit entries", seq)
	}
	b.takes(given(asRoot, sign(t, b.says(asRoot), b.anna))) // refused as before
	if again, _ := b.gate.chain.last(); again != seq {
		t.Errorf("the same refusal is told again: %d", again)
	}
}

func TestAGateWithoutItsDirectoryIsNone(t *testing.T) {
	b := newBed(t, usual)
	b.config.Dir = b.path("policy.yaml")
	if _, err := New(b.config); err == nil {
		t.Error("it remembers nothing, and works")
	}
	b.config.Log = slog.New(slog.DiscardHandler)
}
