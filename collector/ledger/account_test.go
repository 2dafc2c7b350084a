package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// accountOn1 is the account of the task a on host 1, without its counts.
func (b *bench) accountOn1() (found Account) {
	b.t.Helper()
	err := b.Accounts(everywhere, "default/a", func(_ fleet.TaskID, host fleet.HostID) bool { return host == hostID(1) }, false, func(account Account, _ []fleet.Run) bool {
		found = account
		return true
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// TestStintsFollowEachOther tells of stints as agents do: one ends where its
// agent says, or with the last instant that was heard of; and none begins before
// what was told already, as that of a host would that lost its journal.
func TestStintsFollowEachOther(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	sequence := uint64(0)
	tell := func(journal int, record api.RunRecord) {
		t.Helper()
		sequence++
		record.Sequence = sequence
		batch := HostBatch{Host: hostID(1), Journal: journalID(journal), Records: []api.RunRecord{record}}
		if got := l.must(&RecordRuns{Batches: []HostBatch{batch}, At: noon}).([]Receipt); got[0].Refused != 0 {
			t.Fatalf("%+v", got)
		}
	}
	stint := func(generation uint64, after int, last time.Time) api.RunRecord {
		return api.RunRecord{Stint: &fleet.Stint{Task: "default/a", Generation: generation, After: at(after), Last: last}}
	}
	tell(1, stint(1, 0, time.Time{}))
	tell(1, api.RunRecord{Run: testRun(3, "default/a", fleet.RunRan)})
	tell(1, stint(2, 6, at(5))) // the agent decided up to 5 before
	tell(1, api.RunRecord{Run: testRun(8, "default/a", fleet.RunRan)})
	tell(1, stint(0, 9, at(9))) // it is no longer due
	tell(1, stint(2, 12, time.Time{}))
	tell(1, api.RunRecord{Run: testRun(14, "default/a", fleet.RunRan)})
	tell(2, stint(3, 11, time.Time{})) // the journal was lost
	tell(2, api.RunRecord{Run: testRun(16, "default/a", fleet.RunSkipped)})
	want := []Span{{1, at(0), at(5)}, {2, at(6), at(9)}, {2, at(12), at(14)}, {3, at(14), at(16)}}
	got := l.accountOn1()
	if diff := cmp.Diff(want, got.Stints); diff != "" {
		t.Error(diff)
	}
	if !got.Counting || !got.Decided.Equal(at(16)) || got.Ran != 3 || got.Skipped != 1 || got.Ordered != 0 {
		t.Errorf("%+v", got)
	}
	for name, wrong := range map[string]fleet.Stint{"no task": {After: noon}, "no instant": {Task: "default/a"}, "an odd one": {Task: "default/a", After: noon, Last: time.Unix(5, 0)}} {
		sequence++
		batch := HostBatch{Host: hostID(1), Journal: journalID(2), Records: []api.RunRecord{{Sequence: sequence, Stint: &wrong}}}
		if receipt := l.must(&RecordRuns{Batches: []HostBatch{batch}, At: noon}).([]Receipt)[0]; receipt.Refused != 1 || receipt.Acknowledged != sequence {
			t.Errorf("%s: %+v", name, receipt)
		}
	}
}

// TestGenerationsAreKept changes a task: the triggers of both generations stay,
// without what they run.
func TestGenerationsAreKept(t *testing.T) {
	l := newLedger(t)
	first, second := testTask("a", "*"), testTask("a", "*")
	first.Task.On, second.Task.On = fleet.Trigger{Cron: "0 1 * * *"}, fleet.Trigger{Every: fleet.Duration(time.Hour)}
	second.Document = []byte("another")
	l.must(first, second, &SetTaskState{ID: "default/a", State: fleet.TaskPaused, At: noon})
	for generation, on := range map[uint64]fleet.Trigger{1: first.Task.On, 2: second.Task.On} {
		kept, known, err := l.Generation(everywhere, "default/a", generation)
		want := fleet.Task{Name: first.Task.Name, Namespace: first.Task.Namespace, On: on}
		if diff := cmp.Diff(want, kept); diff != "" || !known || err != nil {
			t.Errorf("generation %d: %s %v", generation, diff, err)
		}
	}
	if _, known, _ := l.Generation(everywhere, "default/a", 3); known {
		t.Error("a generation that never was is known")
	}
}
