package policy

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// life is a host whose plans follow one another, each kept on disk as the part
// that does the work keeps it.
type life struct {
	*bed
	given *fleet.Plan
}

// told is what becomes of a plan.
func (l *life) told(plan fleet.Plan) *fleet.Plan {
	l.t.Helper()
	plan.Host, plan.Kept = hostID, nil // as the part that does the work has it
	before := l.given
	opened, err := l.gate.Follow(&plan, before, func(kept *fleet.Kept) error {
		plan.Kept = kept
		text, err := json.Marshal(plan)
		if err != nil {
			return err
		}
		l.given = new(fleet.Plan)
		return json.Unmarshal(text, l.given)
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return opened
}

// again opens what is kept, as after a restart.
func (l *life) again() *fleet.Plan {
	l.t.Helper()
	l.open()
	opened, _ := l.gate.Open(l.given)
	return opened
}

func (l *life) find(plan *fleet.Plan, id fleet.TaskID) *fleet.Assignment {
	for i := range plan.Assignments {
		if plan.Assignments[i].Task.ID() == id {
			return &plan.Assignments[i]
		}
	}
	return nil
}

// goesOn fails unless the task is in the plan as it was taken.
func (l *life) goesOn(what string, plan *fleet.Plan, was fleet.Assignment) {
	l.t.Helper()
	is := l.find(plan, was.Task.ID())
	switch {
	case is == nil:
		l.t.Errorf("%s: the task is over", what)
	case is.Refused != nil:
		l.t.Errorf("%s: refused: %s", what, is.Refused)
	case asJSON(l.t, *is) != asJSON(l.t, was):
		l.t.Errorf("%s: the task is\n%s\nand was\n%s", what, asJSON(l.t, *is), asJSON(l.t, was))
	case l.gate.May(&is.Task) != nil:
		l.t.Errorf("%s: it may not begin: %v", what, l.gate.May(&is.Task))
	}
}

func newLife(t *testing.T, policy string) *life { return &life{bed: newBed(t, policy)} }

// TestNothingButASignedWordEndsATask: what a plan leaves out or spoils goes on as
// it was, through restarts as well.
func TestNothingButASignedWordEndsATask(t *testing.T) {
	stripped := func(text []byte) []byte {
		e, _ := seal.Parse(text)
		e.Signatures[0].Sig = slices.Clone(e.Signatures[0].Sig)
		e.Signatures[0].Sig[5] ^= 1
		return e.Marshal()
	}
	for name, spoil := range map[string]func(l *life, a fleet.Assignment, older []byte) fleet.Plan{
		"an empty plan": func(*life, fleet.Assignment, []byte) fleet.Plan { return fleet.Plan{} },
		"no envelope":   func(_ *life, a fleet.Assignment, _ []byte) fleet.Plan { return of(with(a, nil)) },
		"an envelope that is none": func(_ *life, a fleet.Assignment, _ []byte) fleet.Plan {
			return of(with(a, []byte("{}")))
		},
		"a signature that is none": func(_ *life, a fleet.Assignment, _ []byte) fleet.Plan {
			return of(with(a, stripped(a.Envelope)))
		},
		"the good one, and then one that is none": func(_ *life, a fleet.Assignment, _ []byte) fleet.Plan {
			return of(a, with(a, stripped(a.Envelope)))
		},
		"an older one": func(_ *life, a fleet.Assignment, older []byte) fleet.Plan { return of(with(a, older)) },
		"a newer one that nobody trusted signed": func(l *life, a fleet.Assignment, _ []byte) fleet.Plan {
			return of(with(a, sign(l.t, l.says(a.Task), newKey(l.t))))
		},
		"an end that nobody trusted signed": func(l *life, a fleet.Assignment, _ []byte) fleet.Plan {
			return fleet.Plan{Tombstones: [][]byte{sign(l.t, l.retires(a.Task), newKey(l.t))}}
		},
		"an end for another cluster": func(l *life, a fleet.Assignment, _ []byte) fleet.Plan {
			s := l.retires(a.Task)
			s.Cluster = "ffffffffffffffffffffffffffffffff"
			return fleet.Plan{Tombstones: [][]byte{sign(l.t, s, l.anna)}}
		},
		"itself as its end": func(_ *life, a fleet.Assignment, older []byte) fleet.Plan {
			return fleet.Plan{Tombstones: [][]byte{a.Envelope, older}}
		},
		"other words beside it": func(_ *life, a fleet.Assignment, _ []byte) fleet.Plan {
			a.Generation, a.State, a.Since = 77, fleet.TaskPaused, time.Now().AddDate(50, 0, 0)
			a.Task.Run.User = "root"
			return of(a)
		},
		"an adoption that nobody signed": func(_ *life, a fleet.Assignment, _ []byte) fleet.Plan {
			return fleet.Plan{Adoptions: []fleet.Adoption{wish(fleet.AdoptionWanted, nil)}, Assignments: []fleet.Assignment{a}}
		},
		"a word of its own that it goes on": func(_ *life, a fleet.Assignment, older []byte) fleet.Plan {
			return fleet.Plan{Kept: &fleet.Kept{Assignments: []fleet.Assignment{with(a, older)}}}
		},
	} {
		l := newLife(t, usual)
		older := sign(t, l.says(task()), l.anna)
		changed := task()
		changed.Limits.Nice = 3
		a := given(changed, sign(t, l.says(changed), l.anna))
		was := *l.find(l.told(of(a)), a.Task.ID())
		if was.Refused != nil {
			t.Fatal(was.Refused)
		}
		opened := l.told(spoil(l, a, older))
		l.goesOn(name, opened, was)
		if len(opened.Adoptions) > 0 {
			t.Errorf("%s: it keeps the turn: %+v", name, opened.Adoptions)
		}
		l.goesOn(name+", after a restart", l.again(), was)
		l.goesOn(name+", and then again", l.told(spoil(l, a, older)), was)
		l.goesOn(name+", and then nothing", l.told(fleet.Plan{}), was)
		if n := len(l.given.Kept.Assignments); n != 1 {
			t.Errorf("%s: %d things are kept of one", name, n)
		}
		l.goesOn(name+", and then it is given", l.told(of(a)), was)
		if l.given.Kept != nil {
			t.Errorf("%s: what is given is kept beside, too: %+v", name, l.given.Kept)
		}
	}
}

func of(list ...fleet.Assignment) fleet.Plan { return fleet.Plan{Assignments: list} }

func with(a fleet.Assignment, envelope []byte) fleet.Assignment {
	a.Envelope = envelope
	return a
}

// TestWhoEndsATask: a signed word does, and root of the host; and what they end
// does not come back.
func TestWhoEndsATask(t *testing.T) {
	elsewhere := task()
	elsewhere.Where.Labels = "role=web"
	for name, end := range map[string]func(l *life) fleet.Plan{
		"retired": func(l *life) fleet.Plan {
			return fleet.Plan{Tombstones: [][]byte{sign(t, l.retires(task()), l.anna)}}
		},
		"a version for others": func(l *life) fleet.Plan {
			return fleet.Plan{Tombstones: [][]byte{sign(t, l.says(elsewhere), l.anna)}}
		},
		"a version for others, as if it were for this host": func(l *life) fleet.Plan {
			return of(given(elsewhere, sign(t, l.says(elsewhere), l.anna)))
		},
		"root": func(l *life) fleet.Plan {
			if err := Drop(l.config.Dir, "data/nightly"); err != nil {
				t.Fatal(err)
			}
			return fleet.Plan{}
		},
		"the host's labels": func(l *life) fleet.Plan {
			host := l.config.Host
			host.Labels = map[string]string{"role": "web"}
			l.config.Host = host
			return fleet.Plan{}
		},
	} {
		l := newLife(t, usual)
		a := given(task(), sign(t, l.says(task()), l.anna))
		l.told(of(a))
		plan := end(l)
		l.open()
		if is := l.find(l.told(plan), "data/nightly"); is != nil && is.Refused == nil {
			t.Errorf("%s: the task goes on", name)
		}
		l.told(fleet.Plan{})
		if is := l.find(l.again(), "data/nightly"); is != nil {
			t.Errorf("%s: the task is there: %+v", name, is)
		}
		if is := l.find(l.told(of(a)), "data/nightly"); is != nil && is.Refused == nil {
			t.Errorf("%s: the collectors brought it back", name)
		}
		if name == "the host's labels" {
			continue
		}
		newer := given(task(), sign(t, l.says(task()), l.anna))
		if is := l.find(l.told(of(newer)), "data/nightly"); is == nil || is.Refused != nil {
			t.Errorf("%s: a newer statement does not bring it back: %+v", name, is)
		}
	}
}

// TestANewerStatementIsObeyedWhereverItStands: a pause that comes as the end of
// the task is a pause.
func TestANewerStatementIsObeyedWhereverItStands(t *testing.T) {
	l := newLife(t, usual)
	a := given(task(), sign(t, l.says(task()), l.anna))
	was := *l.find(l.told(of(a)), a.Task.ID())
	pause := l.says(task())
	pause.Task.State = fleet.TaskPaused
	paused := sign(t, pause, l.anna)
	for _, step := range []fleet.Plan{{Tombstones: [][]byte{paused}}, {}, of(a), {Tombstones: [][]byte{paused}, Assignments: []fleet.Assignment{a}}} {
		opened := l.told(step)
		for _, plan := range []*fleet.Plan{opened, l.again()} {
			is := l.find(plan, a.Task.ID())
			if is == nil || is.Refused != nil || is.State != fleet.TaskPaused {
				t.Fatalf("the task is %+v", is)
			}
			if is.Generation != was.Generation+1 || !is.Since.Equal(was.Since) {
				t.Fatalf("generation %d since %s, was %d since %s", is.Generation, is.Since, was.Generation, was.Since)
			}
		}
	}
}

// TestWhatIsRefusedByThePolicyStays: a newer statement that the policy refuses
// takes the place of the one before, and does not go away by being withheld.
func TestWhatIsRefusedByThePolicyStays(t *testing.T) {
	l := newLife(t, usual)
	l.told(of(given(task(), sign(t, l.says(task()), l.anna))))
	bad := task()
	bad.Run.User = "www-data"
	l.told(of(given(bad, sign(t, l.says(bad), l.anna))))
	for _, plan := range []*fleet.Plan{l.told(fleet.Plan{}), l.again()} {
		if is := l.find(plan, "data/nightly"); is == nil || is.Refused == nil || is.Refused.Code != "policy:user" {
			t.Errorf("%+v", is)
		}
	}
	if held := l.gate.Held(); !slices.Equal(held, []fleet.TaskID{"data/nightly"}) {
		t.Errorf("held: %v", held)
	}
	l.policy(strings.Replace(usual, "[alice, backup]", "[alice, backup, www-data]", 1))
	l.reread()
	if is := l.find(l.told(fleet.Plan{}), "data/nightly"); is == nil || is.Refused != nil || is.Task.Run.User != "www-data" {
		t.Errorf("when the policy allows it: %+v", is)
	}
	if held := l.gate.Held(); len(held) > 0 {
		t.Errorf("held: %v", held)
	}
}

// TestABrokenPolicyChangesNoTask: while no policy is in force nothing begins, and
// what the collectors say beside a statement counts as little as ever.
func TestABrokenPolicyChangesNoTask(t *testing.T) {
	l := newLife(t, usual)
	a := given(task(), sign(t, l.says(task()), l.anna))
	was := *l.find(l.told(of(a)), a.Task.ID())
	l.policy("execute: maybe\n")
	l.reread()
	junk := a
	junk.Generation, junk.State, junk.Since, junk.Task.On.Cron = 50, fleet.TaskPaused, time.Now().AddDate(1, 0, 0), "* * * * *"
	for name, plan := range map[string]fleet.Plan{
		"as it was": of(a), "other words beside it": of(junk), "nothing": {}, "no envelope": of(with(junk, nil)), "twice": of(a, with(junk, []byte("{}"))),
		"its end, which nobody can judge now": {Tombstones: [][]byte{sign(t, l.retires(task()), newKey(t))}},
	} {
		is := l.find(l.told(plan), a.Task.ID())
		if is == nil || is.Refused == nil || is.Refused.Code != codeExecute {
			t.Fatalf("%s: %+v", name, is)
		}
		same := *is
		same.Refused = nil
		if asJSON(t, same) != asJSON(t, was) {
			t.Errorf("%s: the task is %s and was %s", name, asJSON(t, same), asJSON(t, was))
		}
		if held := l.gate.Held(); !slices.Equal(held, []fleet.TaskID{a.Task.ID()}) {
			t.Errorf("%s: held: %v", name, held)
		}
	}
	l.policy(usual)
	l.reread()
	l.goesOn("with the policy back", l.again(), was)
}

// TestACalendarThatIsWithheldStands: also one that was dropped, while the version
// of its task that does without it has not come.
func TestACalendarThatIsWithheldStands(t *testing.T) {
	l := newLife(t, usual)
	calendar := func(definition *fleet.Calendar) []byte {
		s := l.says(task())
		s.Kind, s.Namespace, s.Name, s.Task, s.Calendar = seal.KindCalendar, "", "holidays", nil, &seal.Calendar{Definition: definition}
		return sign(t, s, l.anna)
	}
	first := calendar(&fleet.Calendar{Name: "holidays", Windows: []fleet.Window{{Cron: "0 0 25 12 *", For: fleet.Duration(24 * time.Hour)}}})
	closed := task()
	closed.On.Blackout = []string{"holidays"}
	a := given(closed, sign(t, l.says(closed), l.anna))
	plan := of(a)
	plan.Sealed = [][]byte{first}
	opened := l.told(plan)
	was := *l.find(opened, a.Task.ID())
	calendars := asJSON(t, opened.Calendars)
	dropped := calendar(nil)
	for name, plan := range map[string]fleet.Plan{
		"left out": of(a), "all left out": {}, "spoilt": {Assignments: []fleet.Assignment{a}, Sealed: [][]byte{[]byte("{}")}},
		"dropped": {Assignments: []fleet.Assignment{a}, Tombstones: [][]byte{dropped}},
	} {
		opened := l.told(plan)
		l.goesOn(name, opened, was)
		if got := asJSON(t, opened.Calendars); got != calendars {
			t.Errorf("%s: the calendars are %s", name, got)
		}
		opened = l.again()
		l.goesOn(name+", after a restart", opened, was)
		if got := asJSON(t, opened.Calendars); got != calendars {
			t.Errorf("%s: the calendars are %s after a restart", name, got)
		}
		if n := len(l.given.Kept.Sealed); n != 1 {
			t.Errorf("%s: %d calendars are kept", name, n)
		}
	}
	l.told(fleet.Plan{Tombstones: [][]byte{sign(t, l.retires(closed), l.anna)}})
	l.told(fleet.Plan{})
	if l.given.Kept != nil {
		t.Errorf("without the task this is kept: %+v", l.given.Kept)
	}
}

// TestAWithheldTaskIsTold: after a while, as long as it is so, and once to the
// audit chain. A legitimate end is never taken for that.
func TestAWithheldTaskIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, usual)
		a := given(task(), sign(t, l.says(task()), l.anna))
		withheld := func() bool {
			return slices.ContainsFunc(l.gate.Report().Refused, func(r fleet.Refusal) bool {
				return r.Code == fleet.RefusalWithheld && r.Object == "task data/nightly"
			})
		}
		l.told(of(a))
		l.told(fleet.Plan{})
		if withheld() {
			t.Error("told before a signed end could have come")
		}
		time.Sleep(withheldFor)
		if l.told(fleet.Plan{}); !withheld() {
			t.Errorf("not told: %+v", l.gate.Report().Refused)
		}
		if l.told(of(a)); withheld() {
			t.Error("told of what is given")
		}
		l.told(fleet.Plan{})
		l.told(fleet.Plan{Tombstones: [][]byte{sign(t, l.retires(task()), l.anna)}})
		time.Sleep(withheldFor)
		if l.told(fleet.Plan{}); withheld() {
			t.Error("told of what has ended")
		}
		here := task()
		here.Where.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		l.told(of(given(here, sign(t, l.says(here), l.anna))))
		l.told(fleet.Plan{})
		time.Sleep(withheldFor)
		if opened := l.told(fleet.Plan{}); withheld() || l.find(opened, here.ID()) == nil {
			t.Error("told, or dropped, of a task whose networks this host may have left")
		}
	})
}

// TestSinceAndGenerationStand: the collectors say them once, and no later than now.
func TestSinceAndGenerationStand(t *testing.T) {
	l := newLife(t, usual)
	a := given(task(), sign(t, l.says(task()), l.anna))
	a.Generation, a.Since = 5, time.Now().AddDate(1, 0, 0)
	was := *l.find(l.told(of(a)), a.Task.ID())
	if was.Since.After(time.Now()) {
		t.Errorf("it counts from %s", was.Since)
	}
	for _, since := range []time.Time{{}, time.Now().AddDate(-1, 0, 0), time.Now().Add(time.Hour)} {
		a.Since, a.Generation = since, a.Generation+1
		l.goesOn(fmt.Sprint(since), l.told(of(a)), was)
	}
	paused := l.says(task())
	paused.Task.State = fleet.TaskPaused
	again := given(task(), sign(t, paused, l.anna))
	again.Generation, again.Since = 1, time.Now().Add(time.Hour)
	if is := l.find(l.told(of(again)), a.Task.ID()); is.Generation != was.Generation || !is.Since.Equal(was.Since) || is.State != fleet.TaskPaused {
		t.Errorf("a pause makes it %+v", is)
	}
	retired := sign(t, l.retires(task()), l.anna)
	l.told(fleet.Plan{Tombstones: [][]byte{retired}})
	back := given(task(), sign(t, l.says(task()), l.anna))
	back.Generation = was.Generation
	if is := l.find(l.told(of(back)), a.Task.ID()); is.Generation <= was.Generation {
		t.Errorf("what was retired and is given again has generation %d, as it had before", is.Generation)
	}
}

// TestAReleaseThatComesAsAnEnd does not leave a job with nobody to run it.
func TestAReleaseThatComesAsAnEnd(t *testing.T) {
	l := newLife(t, usual+"adoption: allowed\n")
	a := given(task(), sign(t, l.says(task()), l.anna))
	l.silent[a.Task.ID()] = true
	was := *l.find(l.told(of(a)), a.Task.ID())
	release := l.retires(task())
	release.Kind, release.Hosts, release.Expires = seal.KindRelease, []fleet.HostID{hostID}, time.Now().Add(time.Hour).UTC()
	text := sign(t, release, l.anna)
	l.goesOn("while the job is silent", l.told(fleet.Plan{Tombstones: [][]byte{text}}), was)
	l.silent[a.Task.ID()] = false
	if is := l.find(l.told(fleet.Plan{Tombstones: [][]byte{text}}), a.Task.ID()); is != nil {
		t.Errorf("the job is back, and the task is there: %+v", is)
	}
}

// TestAJobThatAPersonPutBackIsNotRunTwice: who takes the mark off a line by hand
// ends the task that ran in its place, also where nobody can sign that.
func TestAJobThatAPersonPutBackIsNotRunTwice(t *testing.T) {
	l := newLife(t, usual+"adoption: allowed\n")
	a := given(task(), sign(t, l.says(task()), l.anna))
	l.silent[a.Task.ID()] = true
	was := *l.find(l.told(of(a)), a.Task.ID())
	l.goesOn("while the job is silent", l.told(fleet.Plan{}), was)
	l.silent[a.Task.ID()] = false
	for range 2 {
		if is := l.find(l.told(fleet.Plan{}), a.Task.ID()); is != nil {
			t.Errorf("the job is back, and the task is there: %+v", is)
		}
	}
	newer := given(task(), sign(t, l.says(task()), l.anna))
	was = *l.find(l.told(of(newer)), a.Task.ID())
	l.goesOn("an ordinary task of that name", l.told(fleet.Plan{}), was)
}

// TestAnOlderOrderDoesNotUndoANewerOne: a stop that was held back until somebody
// had said start stops nothing.
func TestAnOlderOrderDoesNotUndoANewerOne(t *testing.T) {
	b := newBed(t, usual+"orders: {run: allowed}\n")
	daemon := task()
	daemon.On = fleet.Trigger{Daemon: true}
	a := given(daemon, sign(t, b.says(daemon), b.anna))
	stop, start := b.orders(fleet.OrderStop, "11111111-1111-4111-8111-111111111111"), b.orders(fleet.OrderStart, "21111111-1111-4111-8111-111111111111")
	order := func(s *seal.Statement) fleet.Order {
		return fleet.Order{Kind: s.Order.Kind, Task: "data/nightly", Envelope: sign(t, s, b.anna)}
	}
	if plan, refused := b.order(a, order(start)); len(plan.Orders) != 1 {
		t.Fatal(refused)
	}
	b.open()
	if plan, refused := b.order(a, order(stop)); len(plan.Orders) != 0 || len(refused) != 1 || refused[0].Code != codeReplay {
		t.Errorf("%+v, %v", plan.Orders, refused)
	}
	if plan, refused := b.order(a, order(start)); len(plan.Orders) != 1 {
		t.Errorf("the newer one, again: %v", refused)
	}
	again := b.orders(fleet.OrderStop, "31111111-1111-4111-8111-111111111111")
	if plan, refused := b.order(a, order(again)); len(plan.Orders) != 1 {
		t.Errorf("a stop that was said after it: %v", refused)
	}
}

// TestRootDropsWhatIsThisHosts, and is told where it is not, or stands for a job.
func TestRootDropsWhatIsThisHosts(t *testing.T) {
	l := newLife(t, usual)
	dir := l.config.Dir
	for task, kind := range map[fleet.TaskID]fleet.Kind{"data/nightly": fleet.NotFound, "Data/x": fleet.Invalid} {
		if err := Drop(dir, task); fleet.KindOf(err) != kind {
			t.Errorf("%s: %v", task, err)
		}
	}
	if err := Drop(filepath.Join(dir, "none"), "data/nightly"); fleet.KindOf(err) != fleet.NotFound {
		t.Error(err)
	}
	a := given(task(), sign(t, l.says(task()), l.anna))
	l.silent[a.Task.ID()] = true
	was := *l.find(l.told(of(a)), a.Task.ID())
	if err := Drop(dir, a.Task.ID()); fleet.KindOf(err) != fleet.Conflict {
		t.Error(err)
	}
	l.silent[a.Task.ID()] = false
	l.told(of(a))
	if err := Drop(dir, a.Task.ID()); err != nil {
		t.Fatal(err)
	}
	l.silent[a.Task.ID()] = true // it was adopted in that moment
	l.goesOn("adopted meanwhile", l.told(of(a)), was)
	l.silent[a.Task.ID()] = false
	l.told(of(a))
	if err := Drop(dir, a.Task.ID()); err != nil {
		t.Fatal(err)
	}
	if is := l.find(l.again(), a.Task.ID()); is != nil {
		t.Errorf("dropped, and there: %+v", is)
	}
	if !slices.ContainsFunc(l.gate.Report().Refused, func(r fleet.Refusal) bool { return r.Code == codeDropped }) {
		t.Errorf("nobody is told: %+v", l.gate.Report().Refused)
	}
	if left, err := os.ReadDir(filepath.Join(dir, dropsName)); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, chainName))
	if err != nil || strings.Count(string(text), `"action":"dropped"`) != 2 {
		t.Errorf("the audit chain says %s, %v", text, err)
	}
}

// TestACrashBetweenPlanAndBook leaves the task, as it was or as it became, and
// never a book that refuses what the plan has.
func TestACrashBetweenPlanAndBook(t *testing.T) {
	l := newLife(t, usual)
	l.told(of(given(task(), sign(t, l.says(task()), l.anna))))
	before, err := os.ReadFile(filepath.Join(l.config.Dir, bookName))
	if err != nil {
		t.Fatal(err)
	}
	changed := task()
	changed.Limits.Nice = 3
	next := of(given(changed, sign(t, l.says(changed), l.anna)))
	next.Host = hostID
	if _, err := l.gate.Follow(&next, l.given, func(*fleet.Kept) error { return os.ErrInvalid }); err == nil {
		t.Error("a plan that cannot be saved is followed")
	}
	if is := l.find(l.again(), "data/nightly"); is == nil || is.Refused != nil || is.Task.Limits.Nice != 0 {
		t.Errorf("when the plan could not be saved: %+v", is)
	}
	saved := false
	if _, err := l.gate.Follow(&next, l.given, func(*fleet.Kept) error {
		now, err := os.ReadFile(filepath.Join(l.config.Dir, bookName))
		if saved = true; string(now) != string(before) {
			t.Error("the book notes what no plan on disk has")
		}
		return err
	}); err != nil || !saved {
		t.Fatal(err)
	}
	l.file("state/"+bookName, string(before), 0o600) // the power went after the plan was saved
	l.given = &next
	if is := l.find(l.again(), "data/nightly"); is == nil || is.Refused != nil || is.Task.Limits.Nice != 3 {
		t.Errorf("after a crash: %+v", is)
	}
}

// TestARefusedOrderEndsNoRunOfAnother: its outcome goes under the run that it
// names, and the ids of runs that are due by themselves can be worked out.
func TestARefusedOrderEndsNoRunOfAnother(t *testing.T) {
	b := newBed(t, usual+"unsigned_triggers: [webhook]\n")
	hooked := task()
	hooked.On = fleet.Trigger{Webhook: true}
	a := given(hooked, sign(t, b.says(hooked), b.anna))
	due := fleet.Occurrence{Task: "data/nightly", Scope: hostID, Nominal: time.Now()}.Run()
	const id = fleet.OrderID("0197a8f0-0000-7000-8000-000000000002")
	hook := seal.HookRunID(id, hostID, "data/nightly")
	statement := b.orders(fleet.OrderRun, "11111111-1111-4111-8111-111111111111")
	text := sign(t, statement, newKey(t))
	right := seal.RunID(statement.Order.ID, hostID, "data/nightly")
	for name, c := range map[string]struct {
		envelope []byte
		cause    string
		id       fleet.OrderID
		run      fleet.RunID
		passes   bool
	}{
		"nobody signed it, and it is a webhook's":        {nil, "webhook", id, hook, true},
		"nobody signed it, and its run is due by itself": {nil, "webhook", id, due, false},
		"nobody signed it at all":                        {nil, "", id, due, false},
		"a stranger signed it":                           {text, "", seal.OrderID(statement.Order.ID, hostID, "data/nightly"), right, true},
		"a stranger signed it, and its run is another's": {text, "", seal.OrderID(statement.Order.ID, hostID, "data/nightly"), due, false},
		"a stranger signed it, and its run is a hook's":  {text, "", seal.OrderID(statement.Order.ID, hostID, "data/nightly"), hook, false},
	} {
		o := fleet.Order{ID: c.id, Run: c.run, Kind: fleet.OrderRun, Host: hostID, Task: hooked.ID(), Cause: c.cause, Due: time.Now(), Expires: time.Now().Add(time.Hour), Envelope: c.envelope}
		plan, _ := b.order(a, o)
		if (len(plan.Orders) == 1) != c.passes {
			t.Errorf("%s: %+v", name, plan.Orders)
		}
	}
}
