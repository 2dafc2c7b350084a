package ledger

import (
	"testing"

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
