package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// sealed is a task with a statement.
func sealed(name, labels string, serial uint64, change ...func(*PutTask)) *PutTask {
	put := testTask(name, labels)
	put.Serial, put.Envelope, put.Signers = serial, fmt.Appendf(nil, "%s at %d", name, serial), []string{"ka"}
	for _, fn := range change {
		fn(put)
	}
	return put
}

func ended(name string, serial uint64) *SetTaskState {
	return &SetTaskState{ID: fleet.NewTaskID("", name), State: fleet.TaskRetired, At: noon, Serial: serial, Envelope: fmt.Appendf(nil, "%s ends at %d", name, serial)}
}

func TestSealedTask(t *testing.T) {
	l := newLedger(t)
	first := l.must(sealed("a", "*", 5)).(fleet.TaskRecord)
	if first.Serial != 5 || string(first.Envelope) != "a at 5" || !slices.Equal(first.Signers, []string{"ka"}) {
		t.Errorf("%+v", first)
	}
	if again := l.must(sealed("a", "*", 5)).(fleet.TaskRecord); again.Index != first.Index {
		t.Errorf("the very same: %+v", again)
	}
	resigned := l.must(sealed("a", "*", 6)).(fleet.TaskRecord)
	if resigned.Generation != 1 || resigned.Serial != 6 || resigned.Index == first.Index {
		t.Errorf("signed anew: %+v", resigned)
	}
	paused := l.must(sealed("a", "*", 7, func(p *PutTask) { p.State, p.At = fleet.TaskPaused, noon.Add(time.Hour) })).(fleet.TaskRecord)
	if paused.State != fleet.TaskPaused || paused.Generation != 1 || string(paused.Envelope) != "a at 7" {
		t.Errorf("paused: %+v", paused)
	}
	edited := l.must(sealed("a", "role=db", 8, func(p *PutTask) { p.State = fleet.TaskPaused })).(fleet.TaskRecord)
	if edited.State != fleet.TaskPaused || edited.Generation != 2 {
		t.Errorf("edited: %+v", edited)
	}
	if resumed := l.must(sealed("a", "role=db", 9, func(p *PutTask) { p.State = fleet.TaskEnabled })).(fleet.TaskRecord); resumed.State != fleet.TaskEnabled || resumed.Generation != 2 {
		t.Errorf("resumed: %+v", resumed)
	}
	l.refused("invalid", sealed("a", "*", 10, func(p *PutTask) { p.State = fleet.TaskRetired }))
}

// TestAttack69_OlderStatements brings statements that are not above the last one,
// about what is there and about what is gone.
func TestAttack69_OlderStatements(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "*")
	l.must(sealed("a", "*", 5), sealed("gone", "*", 5), ended("gone", 9), &PutCalendar{Calendar: fleet.Calendar{Name: "c"}, At: noon, Serial: 5, Envelope: []byte("c")},
		&PutCalendar{Calendar: fleet.Calendar{Name: "dropped"}, At: noon, Serial: 5, Envelope: []byte("c")}, &DropCalendar{Name: "dropped", Serial: 9, Envelope: []byte("end"), At: noon})
	other := func(p *PutTask) { p.Envelope = []byte("other bytes") }
	calendar := func(name string, serial uint64, text string) *PutCalendar {
		return &PutCalendar{Calendar: fleet.Calendar{Name: name, Description: "changed"}, At: noon, Serial: serial, Envelope: []byte(text)}
	}
	for name, command := range map[string]Command{
		"an older one":                  sealed("a", "role=x", 4),
		"the same serial, other bytes":  sealed("a", "*", 5, other),
		"none at all":                   testTask("a", "role=x"),
		"none, and the same definition": testTask("a", "*"),
		"an older end":                  ended("a", 5),
		"an unsealed end":               &SetTaskState{ID: "default/a", State: fleet.TaskRetired, At: noon},
		"an unsealed pause":             &SetTaskState{ID: "default/a", State: fleet.TaskPaused, At: noon},
		"of a task that is gone":        sealed("gone", "*", 8),
		"that a task is back, unsealed": testTask("gone", "*"),
		"the tombstone as a task":       sealed("gone", "*", 9),
		"of a calendar":                 calendar("c", 5, "other"),
		"of a calendar, unsealed":       calendar("c", 0, ""),
		"the end of a calendar":         &DropCalendar{Name: "c", Serial: 5, At: noon},
		"of a dropped calendar":         calendar("dropped", 9, "c"),
		"of a dropped one, unsealed":    calendar("dropped", 0, ""),
	} {
		t.Run(name, func(t *testing.T) { l.refused("replay", command) })
	}
	l.reopen()
	l.refused("replay", sealed("gone", "*", 9))
	l.refused("replay", calendar("dropped", 9, "c"))
	back := l.must(sealed("gone", "*", 10)).(fleet.TaskRecord)
	if back.State != fleet.TaskEnabled || back.Generation != 2 {
		t.Errorf("%+v", back)
	}
	l.must(calendar("dropped", 10, "c"))
}

func TestPutEnvelope(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "*")
	first := l.must(sealed("a", "*", 5)).(fleet.TaskRecord)
	_, plan := l.Watch(PlanOf(hostID(1)))
	more := &PutEnvelope{Task: "default/a", Serial: 5, Envelope: []byte("two signed it"), Signers: []string{"ka", "kb"}, IfIndex: &first.Index, At: noon, Actor: "bob"}
	record := l.must(more).(fleet.TaskRecord)
	<-plan
	if record.Generation != 1 || record.Serial != 5 || len(record.Signers) != 2 || record.ChangedBy != "bob" {
		t.Errorf("%+v", record)
	}
	if again := l.must(more).(fleet.TaskRecord); again.Index != record.Index {
		t.Errorf("%+v", again)
	}
	stale := *more
	stale.Envelope = []byte("x")
	l.refused("stale", &stale)
	l.refused("stale", &PutEnvelope{Task: "default/a", Serial: 4, Envelope: []byte("x"), At: noon})
	l.refused("invalid", &PutEnvelope{Task: "default/a", Serial: 5, At: noon})
	l.refused("not_found", &PutEnvelope{Task: "default/none", Serial: 5, Envelope: []byte("x"), At: noon})
	l.must(testTask("plain", "*"))
	l.refused("invalid", &PutEnvelope{Task: "default/plain", Envelope: []byte("x"), At: noon})
}

// TestAnEndGetsASecondSignature: a host that wants two obeys the end only then,
// and has to hear of it.
func TestAnEndGetsASecondSignature(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "*")
	l.must(sealed("a", "*", 5), &RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"default/a": 1}, At: noon}})
	gone := l.must(ended("a", 6)).(fleet.TaskRecord)
	stale := gone.Index - 1
	more := PutEnvelope{Task: "default/a", Serial: 6, Envelope: []byte("two ended it"), Signers: []string{"ka", "kb"}, IfIndex: &stale, At: noon, Actor: "bob"}
	l.refused("stale", &more)
	more.IfIndex = &gone.Index
	_, plan := l.Watch(PlanOf(hostID(1)))
	if record := l.must(&more).(fleet.TaskRecord); record.State != fleet.TaskRetired || len(record.Signers) != 2 {
		t.Errorf("%+v", record)
	}
	select {
	case <-plan:
	default:
		t.Error("the host does not hear of it")
	}
	if got := tombstones(l, 1); len(got) != 1 || got[0] != "two ended it" {
		t.Errorf("it is told %q", got)
	}
	if record, err := l.Statement(everywhere, "default/a"); err != nil || string(record.Envelope) != "two ended it" {
		t.Errorf("%+v, %v", record, err)
	}
	if _, err := l.Statement(fleet.ScopeOf("data"), "default/a"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("out of the scope: %v", err)
	}
}

// TestPlanCarriesStatements holds a plan to its statements: those of what is
// given, and those that say of what the host runs that it is not given any more.
func TestPlanCarriesStatements(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "default")
	said := func(names ...fleet.TaskID) *RecordApplied {
		generations := map[fleet.TaskID]uint64{}
		for _, name := range names {
			generations[name] = 1
		}
		l.next += 10 // later than what it said before
		return &RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: generations, At: noon.Add(time.Duration(l.next) * time.Second)}}
	}
	blackout := func(p *PutTask) { p.Task.On.Blackout = []string{"c", "plain"} }
	l.must(
		&PutCalendar{Calendar: fleet.Calendar{Name: "c"}, At: noon, Serial: 5, Envelope: []byte("c at 5")}, &PutCalendar{Calendar: fleet.Calendar{Name: "plain"}, At: noon},
		&PutCalendar{Calendar: fleet.Calendar{Name: "dropped"}, At: noon, Serial: 5, Envelope: []byte("x")}, &DropCalendar{Name: "dropped", Serial: 6, Envelope: []byte("dropped ends"), At: noon},
		sealed("stays", "*", 1, blackout), sealed("ends", "*", 1), sealed("leaves", "*", 1), testTask("unsealed", "*"), sealed("never", "role=x", 1),
		said("default/stays", "default/ends", "default/leaves", "default/unsealed"),
		ended("ends", 2), sealed("leaves", "role=x", 2), &SetTaskState{ID: "default/unsealed", State: fleet.TaskRetired, At: noon},
	)
	for range 2 {
		plan, err := l.Plan(everywhere, hostID(1))
		if err != nil || len(plan.Assignments) != 1 || string(plan.Assignments[0].Envelope) != "stays at 1" {
			t.Fatalf("%+v, %v", plan, err)
		}
		if diff := cmp.Diff([][]byte{[]byte("c at 5"), nil}, plan.Sealed); diff != "" || len(plan.Calendars) != 2 {
			t.Error(diff)
		}
		if diff := cmp.Diff([][]byte{[]byte("ends ends at 2"), []byte("leaves at 2"), []byte("dropped ends")}, plan.Tombstones); diff != "" {
			t.Error(diff)
		}
		l.reopen()
	}
	l.must(said("default/stays"))
	if plan, _ := l.Plan(everywhere, hostID(1)); len(plan.Tombstones) != 1 {
		t.Errorf("what it does not run any more is told: %q", plan.Tombstones)
	}
	l.must(&PutCalendar{Calendar: fleet.Calendar{Name: "dropped"}, At: noon, Serial: 7, Envelope: []byte("x")})
	if plan, _ := l.Plan(everywhere, hostID(1)); len(plan.Tombstones) != 0 {
		t.Errorf("%q", plan.Tombstones)
	}
}

// TestAttack71_OrdersAreCarriedOutOnce brings the statement of orders again while
// they stand, after they are carried out, and after it is forgotten.
func TestAttack71_OrdersAreCarriedOutOnce(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "*")
	l.enrol(2, "*")
	l.must(sealed("a", "*", 1))
	orders := func() *PutOrders {
		first, second := testOrder("o1", 1, "default/a"), testOrder("o2", 2, "default/a")
		first.Run, second.Run = runID(1, 1), runID(1, 2)
		return &PutOrders{Orders: []fleet.Order{first, second}, At: noon, Envelope: bytes.Repeat([]byte("e"), 1000), Digest: "d1", Expires: noon.Add(time.Hour)}
	}
	written := l.must(orders()).([]fleet.Order)
	if len(written) != 2 || written[0].Envelope != nil {
		t.Errorf("%+v", written)
	}
	before := len(dump(t, l.Ledger))
	if again := l.must(orders()).([]fleet.Order); !cmp.Equal(again, written) || len(dump(t, l.Ledger)) != before {
		t.Errorf("%+v", again)
	}
	plan, err := l.Plan(everywhere, hostID(1))
	if err != nil || len(plan.Orders) != 1 || len(plan.Orders[0].Envelope) != 1000 {
		t.Fatalf("%+v, %v", plan.Orders, err)
	}
	if order, found, err := l.OrderOf(everywhere, runID(1, 1)); err != nil || !found || order.Envelope != nil {
		t.Errorf("%+v, %v", order, err)
	}
	ran := func(host int) *RecordRuns {
		run := testRun(0, "default/a", fleet.RunRan)
		run.ID, run.Host, run.Order = runID(1, host), hostID(host), fleet.OrderID(fmt.Sprint("o", host))
		batch := recordRun1(uint64(host), run)
		batch.Batches[0].Host, batch.Batches[0].Journal = hostID(host), journalID(host)
		return batch
	}
	l.must(ran(1))
	if left := l.must(orders()).([]fleet.Order); len(left) != 1 || left[0].ID != "o2" {
		t.Errorf("the one that is over comes back: %+v", left)
	}
	l.must(ran(2))
	l.refused("replay", orders())
	l.must(&Prune{At: noon.Add(30 * time.Minute)})
	l.reopen()
	l.refused("replay", orders())
	l.must(&Prune{At: noon.Add(time.Hour)}) // it expired, and nobody takes it any more
	for k := range dump(t, l.Ledger) {
		if bytes.HasPrefix([]byte(k), []byte(bucketNames[inEnvelopes])) {
			t.Errorf("%q is kept", k)
		}
	}
	l.refused("invalid", &PutOrders{Orders: orders().Orders, At: noon, Envelope: []byte("x")})
	// Nobody signs what a webhook causes.
	hook := orders()
	hook.Envelope, hook.Digest = nil, ""
	l.must(hook)
	l.must(&DropOrder{Host: hostID(1), ID: "o1"}, hook)
}

// TestReleaseIsTheTombstone follows an adopted task to its end.
func TestReleaseIsTheTombstone(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "*")
	adopt := &Adopt{Task: testTask("t", "*").Task, Adoption: fleet.Adoption{Host: hostID(1), Job: testJob(1), At: noon}, Serial: 5, Envelope: []byte("adopt"), Signers: []string{"ka"}}
	wish := l.must(adopt).(fleet.Adoption)
	if wish.Serial != 5 || string(wish.Envelope) != "adopt" {
		t.Errorf("%+v", wish)
	}
	settle := func(state fleet.AdoptionState) *SettleAdoptions {
		adoption, err := l.Adoption(everywhere, "default/t")
		if err != nil {
			t.Fatal(err)
		}
		return &SettleAdoptions{Host: hostID(1), At: noon, Adoptions: []fleet.Adoption{{Task: "default/t", Asked: adoption.Asked, State: state}}}
	}
	l.must(settle(fleet.AdoptionAdopted), &RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"default/t": 1}, At: noon}})
	release := &Release{Task: "default/t", At: noon, Serial: 5, Envelope: []byte("release")}
	l.refused("replay", release)
	release.Serial = 6
	l.must(release)
	l.refused("replay", sealed("t", "*", 6)) // the release is above it already
	plan, err := l.Plan(everywhere, hostID(1))
	if err != nil || string(plan.Assignments[0].Envelope) != "adopt" || string(plan.Adoptions[0].Envelope) != "release" {
		t.Errorf("%+v, %v", plan, err)
	}
	l.must(settle(fleet.AdoptionReleased))
	plan, err = l.Plan(everywhere, hostID(1))
	if err != nil || len(plan.Assignments) != 0 || len(plan.Tombstones) != 1 || string(plan.Tombstones[0]) != "release" {
		t.Errorf("%+v, %v", plan, err)
	}
	l.refused("replay", sealed("t", "*", 6))
	l.must(sealed("t", "*", 7))
}

// TestRefusedAdoptionHasNoTombstone: nobody asked for its end, the host did.
func TestRefusedAdoptionHasNoTombstone(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "*")
	wish := l.must(&Adopt{Task: testTask("t", "*").Task, Adoption: fleet.Adoption{Host: hostID(1), Job: testJob(1), At: noon}, Serial: 5, Envelope: []byte("adopt")}).(fleet.Adoption)
	l.must(&RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"default/t": 1}, At: noon}},
		&SettleAdoptions{Host: hostID(1), At: noon, Adoptions: []fleet.Adoption{{Task: "default/t", Asked: wish.Asked, State: fleet.AdoptionRefused}}})
	if plan, err := l.Plan(everywhere, hostID(1)); err != nil || len(plan.Tombstones)+len(plan.Assignments) != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
	l.refused("replay", sealed("t", "*", 5))
}
