package ledger

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func adopt(task string, host, job int) *Adopt {
	put := testTask(task, "*")
	put.Task.Where = fleet.Where{Hosts: []string{string(hostID(host))}}
	return &Adopt{
		Task: put.Task, Document: put.Document, MediaType: api.MediaYAML,
		Adoption: fleet.Adoption{Host: hostID(host), Job: testJob(job), By: "ann", Reason: "central", At: noon},
	}
}

func (b *bench) settled(task fleet.TaskID, state fleet.AdoptionState, host int) *SettleAdoptions {
	row, _ := b.Adoption(everywhere, task)
	return &SettleAdoptions{Host: hostID(host), At: noon.Add(time.Minute), Adoptions: []fleet.Adoption{
		{Task: task, State: state, Why: "w", Handed: noon.Add(30 * time.Second), Asked: row.Asked},
	}}
}

func TestAdoptionThereAndBack(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, &RegisterHost{Host: testHost(2), At: noon})
	_, changed := l.Watch(PlanOf(hostID(1)))
	l.must(adopt("nightly", 1, 1))
	select {
	case <-changed:
	default:
		t.Error("the host was not woken")
	}
	plan, err := l.Plan(everywhere, hostID(1))
	if err != nil || len(plan.Assignments) != 1 || len(plan.Adoptions) != 1 || plan.Adoptions[0].State != fleet.AdoptionWanted || plan.Adoptions[0].Job.ID != testJob(1).ID {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	if other, _ := l.Plan(everywhere, hostID(2)); len(other.Adoptions)+len(other.Assignments) != 0 {
		t.Errorf("another host has %+v", other)
	}
	const task = fleet.TaskID("default/nightly")
	l.refused("exists", adopt("other", 1, 1))         // the same job
	l.refused("exists", adopt("nightly", 2, 5))       // the same task
	l.refused("unknown_host", adopt("third", 3, 1))   // no such host
	l.must(l.settled(task, fleet.AdoptionAdopted, 2)) // not its host
	if a, _ := l.Adoption(everywhere, task); a.State != fleet.AdoptionWanted {
		t.Errorf("another host settled it: %+v", a)
	}
	l.must(l.settled(task, fleet.AdoptionAdopted, 1))
	if a, _ := l.Adoption(everywhere, task); a.State != fleet.AdoptionAdopted || !a.Handed.Equal(noon.Add(30*time.Second)) {
		t.Errorf("%+v", a)
	}
	l.must(l.settled(task, fleet.AdoptionRefused, 1)) // too late
	l.refused("adopted", &SetTaskState{ID: task, State: fleet.TaskRetired, At: noon})
	elsewhere := testTask("nightly", "*")
	l.refused("adopted", elsewhere)
	l.must(&SetTaskState{ID: task, State: fleet.TaskPaused, At: noon}) // that is a person's to decide

	l.must(&Release{Task: task, At: noon.Add(-time.Hour), Actor: "bob", Reason: "back"})
	a, err := l.Adoption(everywhere, task)
	if err != nil || a.State != fleet.AdoptionReleasing || !a.At.After(noon.Add(time.Minute)) || a.By != "bob" {
		t.Errorf("%+v, %v", a, err)
	}
	l.must(l.settled(task, fleet.AdoptionStuck, 1))
	l.must(&Release{Task: task, At: noon.Add(time.Hour)})
	late := l.settled(task, fleet.AdoptionReleased, 1)
	l.must(late)
	if _, err := l.Task(everywhere, task); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("the task is still given: %v", err)
	}
	if plan, _ := l.Plan(everywhere, hostID(1)); len(plan.Adoptions)+len(plan.Assignments) != 0 {
		t.Errorf("plan %+v", plan)
	}
	l.refused("illegal_move", &Release{Task: task, At: noon})
	l.refused("not_found", &Release{Task: "default/none", At: noon})
	l.must(adopt("nightly", 1, 1)) // once more, under the same name
	if record, err := l.Task(everywhere, task); err != nil || record.Generation != 2 {
		t.Errorf("%+v, %v", record, err)
	}
	l.must(late) // said again, about the wish before
	if a, _ := l.Adoption(everywhere, task); a.State != fleet.AdoptionWanted {
		t.Errorf("an old word counts for a new wish: %+v", a)
	}
	l.must(l.settled(task, fleet.AdoptionRefused, 1))
	if _, err := l.Task(everywhere, task); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("a refused task is still given: %v", err)
	}
	l.reopen()
	if all, err := l.Adoptions(everywhere); err != nil || len(all) != 1 || all[0].State != fleet.AdoptionRefused {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestAdoptionsThatAreOverAreForgotten, and no others, however old.
func TestAdoptionsThatAreOverAreForgotten(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, adopt("stands", 1, 1), adopt("over", 1, 2), adopt("fresh", 1, 3))
	l.must(l.settled("default/stands", fleet.AdoptionAdopted, 1), l.settled("default/over", fleet.AdoptionRefused, 1))
	late := l.settled("default/fresh", fleet.AdoptionRefused, 1)
	late.At = noon.Add(time.Hour)
	l.must(late, &Prune{At: noon.Add(time.Hour)})
	if all, _ := l.Adoptions(everywhere); len(all) != 3 {
		t.Errorf("without a bound %d of 3 are left", len(all))
	}
	l.must(&Prune{At: noon.Add(time.Hour), ChangesBefore: noon.Add(30 * time.Minute)})
	for task, stays := range map[fleet.TaskID]bool{"default/stands": true, "default/over": false, "default/fresh": true} {
		if _, err := l.Adoption(everywhere, task); (err == nil) != stays {
			t.Errorf("%s: %v", task, err)
		}
	}
	l.must(adopt("over", 1, 2))
}
