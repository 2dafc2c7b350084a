package ledger

import (
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAttack37_AHostSpeaksOfItsOwn lets a host tell of tasks of a namespace that
// it is not for: nothing of it is taken.
func TestAttack37_AHostSpeaksOfItsOwn(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "mine")
	l.enrol(2, "theirs")
	for _, namespace := range []string{"mine", "theirs"} {
		put := testTask("a", "*")
		put.Task.Namespace = namespace
		put.Task.Limits = fleet.Limits{Fleet: 1, Timeout: 1}
		l.must(put)
	}
	foreign := testRun(1, "theirs/a", fleet.RunRan)
	own := testRun(2, "mine/a", fleet.RunRan)
	others := testRun(3, "mine/a", fleet.RunRan)
	others.Host = hostID(2)
	stint := &fleet.Stint{Task: "theirs/a", Generation: 1, After: noon}
	batch := HostBatch{Host: hostID(1), Journal: journalID(1), Records: []api.RunRecord{{Sequence: 1, Run: foreign}, {Sequence: 2, Run: own}, {Sequence: 3, Stint: stint}, {Sequence: 4, Run: others}}}
	got := l.must(&RecordRuns{Batches: []HostBatch{batch}, At: noon}).([]Receipt)[0]
	if got.Recorded != 1 || got.Refused != 3 || got.Acknowledged != 4 || got.Why != "the host takes no tasks of namespace theirs" {
		t.Errorf("%+v", got)
	}
	l.must(&RecordStandings{Host: hostID(1), At: noon, Standings: []fleet.Standing{{Task: "mine/a", Phase: fleet.PhaseRunning}, {Task: "theirs/a", Phase: fleet.PhaseCrashLoop}}},
		&RecordApplied{Applied: fleet.Applied{Host: hostID(1), Generations: map[fleet.TaskID]uint64{"mine/a": 1, "theirs/a": 9}, At: noon}})
	if stands, _ := l.Stands(everywhere, hostID(1)); len(stands) != 1 || stands[0].Task != "mine/a" {
		t.Errorf("%+v", stands)
	}
	if settled, err := l.Settled(hostID(1), []fleet.Standing{{Task: "mine/a", Phase: fleet.PhaseRunning}, {Task: "theirs/a", Phase: fleet.PhaseCrashLoop}}, nil); !settled || err != nil {
		t.Errorf("it is proposed again and again: %v", err)
	}
	if applied, err := l.AppliedBy(everywhere, hostID(1)); err != nil || len(applied.Generations) != 1 {
		t.Errorf("%+v, %v", applied, err)
	}
	l.refused("not_found", &TakeLease{Task: "theirs/a", Run: foreign.ID, Host: hostID(1), At: noon})
	l.must(&TakeLease{Task: "mine/a", Run: runID(9, 9), Host: hostID(1), At: noon})

	// What it was given before counts, also when it is given elsewhere.
	begun := testRun(5, "mine/a", fleet.RunRunning)
	l.must(recordRun1(5, begun))
	node, err := l.Node(everywhere, string(hostID(1)))
	if err != nil {
		t.Fatal(err)
	}
	node.Namespaces = []string{"theirs"}
	l.must(&PutNode{Node: node, At: noon})
	ended := testRun(5, "mine/a", fleet.RunRan)
	if got := l.must(recordRun1(6, ended)).([]Receipt)[0]; got.Recorded != 1 {
		t.Errorf("%+v", got)
	}
	checkIndexes(t, l.Ledger)
}

// TestCancelNamesItsTask orders the end of a run under the name of another task,
// as somebody would who may not see the one that it is of.
func TestCancelNamesItsTask(t *testing.T) {
	l := newLedger(t)
	l.enrol(1, "mine", "theirs")
	for _, namespace := range []string{"mine", "theirs"} {
		put := testTask("a", "*")
		put.Task.Namespace = namespace
		l.must(put)
	}
	run := testRun(1, "theirs/a", fleet.RunRunning)
	l.must(recordRun1(1, run))
	cancel := testOrder("c", 1, "mine/a")
	cancel.Kind, cancel.Run = fleet.OrderCancel, run.ID
	by := fleet.Principal{Kind: fleet.PersonKind, Name: "me", Scope: []string{"mine"}}
	refusal, refused := IsRefusal(l.apply(&Audited{At: noon, By: by, Action: "order.cancel", Command: &PutOrders{Orders: []fleet.Order{cancel}, At: noon}}))
	if !refused || refusal.Error() != noRun(run.ID).Error() {
		t.Errorf("%v", refusal)
	}
	cancel.Task = "theirs/a"
	l.must(&PutOrders{Orders: []fleet.Order{cancel}, At: noon})
}

// TestAttack113_NoChangeWithoutItsLink fills the disk: what was changed has its
// link, and what has none was not changed.
func TestAttack113_NoChangeWithoutItsLink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := open(path, bbolt.Options{NoSync: true, MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Ledger: l, t: t, where: path}
	var fatal *Fatal
	func() {
		defer func() { fatal, _ = recover().(*Fatal) }()
		for n := range 10_000 {
			put := testTask(fmt.Sprintf("task-%d", n), "*")
			put.Document = make([]byte, 4000)
			b.apply(&Audited{At: noon, By: ann(), Action: "task.put", Command: put})
		}
	}()
	if fatal == nil {
		t.Fatal("a full disk went unnoticed")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = open(path, bbolt.Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	links, err := l.Audit(everywhere, api.AuditQuery{})
	if tasks := len(l.AllTasks(everywhere)); err != nil || tasks == 0 || links.Total != tasks {
		t.Errorf("%d links of %d changes, %v", links.Total, tasks, err)
	}
	if broken, err := l.VerifyAudit(); broken != 0 || err != nil {
		t.Error(broken, err)
	}
}
