package account

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAttack27_AccountWithinAScope holds lines and proofs within a scope to
// those of a ledger that has nothing else.
func TestAttack27_AccountWithinAScope(t *testing.T) {
	due := func(l *life, namespaces ...string) {
		for i, namespace := range namespaces {
			task := fleet.Task{Name: "nightly", Namespace: namespace, On: fleet.Trigger{Cron: "0 * * * *"}, Run: fleet.Execute{Command: fleet.Command{Shell: "x"}}, Where: fleet.Where{Labels: "*"}}
			l.apply(&ledger.PutTask{Task: task, Document: []byte("x"), At: start})
			stint := &fleet.Stint{Task: task.ID(), Generation: 1, After: start}
			l.apply(&ledger.RecordRuns{At: start, Batches: []ledger.HostBatch{{Host: host, Journal: journal[:31] + fleet.JournalID(rune('0'+i)), Records: []api.RunRecord{{Sequence: uint64(i + 1), Stint: stint}}}}})
		}
	}
	alone, beside := newLife(t, 1), newLife(t, 1)
	due(alone, "mine")
	due(beside, "mine", "theirs", "mine2")
	now := start.Add(5 * time.Hour)
	mine := fleet.ScopeOf("mine")
	for name, q := range map[string]Query{"whole": {}, "theirs": {Task: "theirs/nightly"}, "window": {Since: start.Add(time.Hour)}} {
		want, err := alone.book.Lines(everywhere, q, now)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := beside.book.Lines(mine, q, now); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%s: %v %s", name, err, cmp.Diff(want, got))
		}
	}
	want, _ := alone.book.Prove(everywhere, Query{}, now)
	if got, err := beside.book.Prove(mine, Query{}, now); err != nil || !cmp.Equal(want, got) || got.Accounts != 1 {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
	if all, err := beside.book.Lines(everywhere, Query{}, now); err != nil || len(all) != 3 {
		t.Errorf("%+v, %v", all, err)
	}
}
