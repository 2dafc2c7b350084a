package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// calendar signs a calendar of that name; hours is how long it blacks out.
func (l *life) calendar(name string, hours int) []byte {
	s := l.says(task())
	s.Kind, s.Namespace, s.Name, s.Task = seal.KindCalendar, "", name, nil
	s.Calendar = &seal.Calendar{Definition: &fleet.Calendar{Name: name, Windows: []fleet.Window{{Cron: "0 0 25 12 *", For: fleet.Duration(time.Duration(hours) * time.Hour)}}}}
	return sign(l.t, s, l.anna)
}

// closed is a task that keeps the calendar.
func closed(name string) fleet.Task {
	t := task()
	t.On.Blackout = []string{name}
	return t
}

// TestANewerCalendarAmongTheTombstonesEndsNothing: as little as one that is
// withheld.
func TestANewerCalendarAmongTheTombstonesEndsNothing(t *testing.T) {
	l := newLife(t, usual)
	plan := of(given(closed("holidays"), sign(t, l.says(closed("holidays")), l.anna)))
	plan.Sealed = [][]byte{l.calendar("holidays", 24)}
	was := *l.find(l.told(plan), "data/nightly")
	newer := l.calendar("holidays", 48)
	for _, bad := range []fleet.Plan{
		{Assignments: plan.Assignments, Sealed: plan.Sealed, Tombstones: [][]byte{newer}},
		{Tombstones: [][]byte{newer}}, {},
	} {
		l.goesOn("moved", l.told(bad), was)
		l.goesOn("moved, after a restart", l.again(), was)
	}
	plan.Sealed = [][]byte{newer}
	if opened := l.told(plan); len(opened.Calendars) != 1 || opened.Calendars[0].Windows[0].For != fleet.Duration(48*time.Hour) {
		t.Errorf("the newer one is not taken when it is given: %+v", opened.Calendars)
	}
}

// TestANewVersionWaitsForItsCalendar: a version that cannot be carried out,
// because the calendar that it names is kept from this host, does not end the one
// before.
func TestANewVersionWaitsForItsCalendar(t *testing.T) {
	for name, step := range map[string]func(text []byte, a fleet.Assignment) fleet.Plan{
		"given":                func(_ []byte, a fleet.Assignment) fleet.Plan { return of(a) },
		"among the tombstones": func(text []byte, _ fleet.Assignment) fleet.Plan { return fleet.Plan{Tombstones: [][]byte{text}} },
	} {
		l := newLife(t, usual)
		was := *l.find(l.told(of(given(task(), sign(t, l.says(task()), l.anna)))), "data/nightly")
		calendar := l.calendar("holidays", 24)
		text := sign(t, l.says(closed("holidays")), l.anna)
		next := given(closed("holidays"), text)
		l.goesOn(name, l.told(step(text, next)), was)
		l.goesOn(name+", after a restart", l.again(), was)
		l.goesOn(name+", and then nothing", l.told(fleet.Plan{}), was)
		whole := of(next)
		whole.Sealed = [][]byte{calendar}
		if is := l.find(l.told(whole), "data/nightly"); is == nil || is.Refused != nil || !slices.Equal(is.Task.On.Blackout, []string{"holidays"}) {
			t.Errorf("%s: the newer version is not taken with its calendar: %+v", name, is)
		}
	}
}

// TestASpoiltEnvelopeDoesNotTakeThePlaceOfTheGoodOne: not even while nobody can
// say which is which, or both are refused.
func TestASpoiltEnvelopeDoesNotTakeThePlaceOfTheGoodOne(t *testing.T) {
	for name, policy := range map[string]string{"no policy": "execute: maybe\n", "execute: off": "execute: off\n" + usual[len("execute: on\n"):]} {
		l := newLife(t, usual)
		a := given(task(), sign(t, l.says(task()), l.anna))
		e, _ := seal.Parse(a.Envelope)
		e.Signatures[0].Sig = slices.Clone(e.Signatures[0].Sig)
		e.Signatures[0].Sig[5] ^= 1
		spoilt := with(a, e.Marshal())
		was := *l.find(l.told(of(spoilt, a)), a.Task.ID())
		l.policy(policy)
		l.reread()
		l.told(fleet.Plan{})
		l.told(of(spoilt))
		l.policy(usual)
		l.reread()
		l.goesOn(name, l.again(), was)
		l.goesOn(name+", and then nothing", l.told(fleet.Plan{}), was)
	}
}

// TestASignatureThatIsTakenAwayIsKept: who strips one of two lets the task end
// with the key of the other otherwise.
func TestASignatureThatIsTakenAwayIsKept(t *testing.T) {
	both := strings.Replace(usual, "users:", "  - key: BERT\n    name: bert\n    namespaces: [\"*\"]\nusers:", 1)
	l := newLife(t, both)
	s := l.says(task())
	whole := given(task(), sign(t, s, l.anna, l.bert))
	was := *l.find(l.told(of(whole)), "data/nightly")
	stripped := with(whole, sign(t, s, l.anna))
	for range 2 {
		l.goesOn("stripped", l.told(of(stripped)), with(was, stripped.Envelope))
	}
	if n := len(l.given.Kept.Assignments); n != 1 || len(l.gate.withheld) > 0 {
		t.Errorf("%d are kept beside, withheld %v", n, l.gate.withheld)
	}
	l.policy(strings.Replace(usual, "ANNA", "BERT", 1))
	l.reread()
	l.goesOn("without the key of the other", l.again(), was)
	l.goesOn("and given again", l.told(of(stripped)), was)
	l.policy(both)
	l.reread()
	l.goesOn("with both", l.told(of(whole)), was)
	if l.given.Kept != nil {
		t.Errorf("what is given is kept beside: %+v", l.given.Kept)
	}
}
