package policy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// TestAnyPlanOfSignedStatements puts statements that are signed well wherever a
// hostile collector could, in any order and again: the gate stands, and what it
// lets begin is what somebody signed.
func TestAnyPlanOfSignedStatements(t *testing.T) {
	b := newBed(t, usual+"adoption: allowed\nunsigned_triggers: [webhook]\n")
	said := map[string]bool{} // definitions
	var texts [][]byte
	add := func(s *seal.Statement) {
		if s.Task != nil && s.Task.Definition != nil {
			said[fmt.Sprintf("%+v", *s.Task.Definition)] = true
		}
		texts = append(texts, sign(t, s, b.anna))
	}
	for n := range 3 {
		given := task()
		given.Limits.Nice = n
		if n == 2 {
			given.On = fleet.Trigger{Event: "deployed", Blackout: []string{"holidays"}}
		}
		add(b.says(given))
		paused := b.says(given)
		paused.Task.State = fleet.TaskPaused
		add(paused)
		add(b.retires(given))
		adopt := b.says(given)
		adopt.Kind, adopt.Hosts, adopt.Expires = seal.KindAdopt, []fleet.HostID{hostID}, time.Now().Add(time.Hour).UTC()
		adopt.Adopt = &seal.Adoption{Job: "j", Source: "/etc/crontab", Line: 1, Fingerprint: "f"}
		add(adopt)
		release := b.retires(given)
		release.Kind, release.Hosts, release.Expires = seal.KindRelease, []fleet.HostID{hostID}, time.Now().Add(time.Hour).UTC()
		add(release)
		calendar := b.says(given)
		calendar.Kind, calendar.Namespace, calendar.Name, calendar.Task = seal.KindCalendar, "", "holidays", nil
		calendar.Calendar = &seal.Calendar{Definition: &fleet.Calendar{Name: "holidays"}}
		if n == 1 {
			calendar.Calendar.Definition = nil
		}
		add(calendar)
		for i, kind := range []fleet.OrderKind{fleet.OrderRun, fleet.OrderCancel, fleet.OrderStart, fleet.OrderStop, fleet.OrderRestart, fleet.OrderReset} {
			add(b.orders(kind, fmt.Sprintf("%08d-1111-4111-8111-11111111111%d", n, i)))
		}
		event := b.says(given)
		event.Kind, event.Namespace, event.Name, event.Task, event.Expires = seal.KindEvent, "", "deployed", nil, time.Now().Add(time.Hour).UTC()
		event.Event = &seal.Event{ID: fmt.Sprintf("%08d-2222-4111-8111-111111111111", n), Due: time.Now().UTC()}
		add(event)
	}
	texts = append(texts, nil, []byte("x"))
	seed := uint64(20261121)
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	text := func() []byte { return texts[r.IntN(len(texts))] }
	id := task().Name
	for range 1000 {
		if r.IntN(50) == 0 {
			b.gate.Close()
			b.gate = nil
			if err := os.RemoveAll(b.config.Dir); err != nil {
				t.Fatal(err)
			}
			b.open()
		}
		b.silent[fleet.NewTaskID("data", id)] = r.IntN(2) == 0
		plan := fleet.Plan{Host: hostID}
		for range r.IntN(3) {
			a := given(task(), text())
			a.Generation, a.State = uint64(r.IntN(4)), []fleet.TaskState{fleet.TaskEnabled, fleet.TaskRetired, "?"}[r.IntN(3)]
			plan.Assignments = append(plan.Assignments, a)
			plan.Tombstones, plan.Sealed = append(plan.Tombstones, text()), append(plan.Sealed, text())
			plan.Orders = append(plan.Orders, fleet.Order{ID: "31111111-1111-4111-8111-111111111111", Run: "31111111-1111-4111-8111-111111111112", Kind: fleet.OrderRun, Task: a.Task.ID(), Due: time.Now(), Expires: time.Now().Add(time.Hour), Envelope: text(), Cause: []string{"", "webhook", "event x"}[r.IntN(3)]})
			states := []fleet.AdoptionState{fleet.AdoptionWanted, fleet.AdoptionAdopted, fleet.AdoptionReleasing, fleet.AdoptionStuck, ""}
			plan.Adoptions = append(plan.Adoptions, fleet.Adoption{Task: a.Task.ID(), Host: hostID, State: states[r.IntN(len(states))], Job: fleet.Job{ID: "j", Source: "/etc/crontab", Fingerprint: "f"}, Envelope: text()})
		}
		opened, _ := b.gate.Open(&plan)
		seen := map[fleet.TaskID]bool{}
		for i := range opened.Assignments {
			a := &opened.Assignments[i]
			if seen[a.Task.ID()] {
				t.Fatal("a task is given twice")
			}
			seen[a.Task.ID()] = true
			if err := b.gate.May(&a.Task); (err == nil) != (a.Refused == nil) {
				t.Fatalf("refused: %v, and asked at its begin: %v", a.Refused, err)
			}
			if a.Refused == nil && (!said[fmt.Sprintf("%+v", a.Task)] || a.State == fleet.TaskRetired || reflect.DeepEqual(a.Task, fleet.Task{})) {
				t.Fatalf("nobody said %+v", a)
			}
		}
		for _, o := range opened.Orders {
			if o.Refused == nil && o.Cause != "webhook" && len(o.Envelope) == 0 {
				t.Fatalf("nobody ordered %+v", o)
			}
		}
	}
}

// TestWhatRunsUntilAJobIsBack is the task as it was last, and no version before.
func TestWhatRunsUntilAJobIsBack(t *testing.T) {
	b := newBed(t, usual+"adoption: allowed\n")
	old, last := task(), task()
	last.Limits.Nice = 5
	first, second := given(old, sign(t, b.says(old), b.anna)), given(last, sign(t, b.says(last), b.anna))
	b.silent[old.ID()] = true
	for _, a := range []fleet.Assignment{first, second} {
		if r := b.offer(a); r != nil {
			t.Fatal(r)
		}
	}
	gone := sign(t, b.retires(old), b.anna) // that the collectors did not take
	release := b.retires(old)
	release.Kind, release.Hosts, release.Expires = seal.KindRelease, []fleet.HostID{hostID}, time.Now().Add(time.Hour).UTC()
	back := sign(t, release, b.anna)
	with := func(a fleet.Assignment) *fleet.Refusal {
		plan, _ := b.gate.Open(&fleet.Plan{
			Host: hostID, Assignments: []fleet.Assignment{a}, Tombstones: [][]byte{back},
			Adoptions: []fleet.Adoption{{Task: old.ID(), Host: hostID, State: fleet.AdoptionReleasing, Envelope: back}},
		})
		if len(plan.Assignments) == 0 {
			return &fleet.Refusal{}
		}
		return plan.Assignments[0].Refused
	}
	if r := with(second); r != nil {
		t.Errorf("what ran last: %v", r)
	}
	if r := with(first); r == nil || r.Code != codeReplay {
		t.Errorf("what ran before: %v", r)
	}
	if r := with(given(old, gone)); r == nil {
		t.Error("a tombstone runs")
	}
}
