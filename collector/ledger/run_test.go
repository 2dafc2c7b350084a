package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// testRun is a run of host 1 due n minutes after noon.
func testRun(n int, task fleet.TaskID, state fleet.RunState) fleet.Run {
	run := fleet.Run{
		ID: runID(n*60_000, n), Task: task, Generation: 1, Host: hostID(1),
		Due: noon.Add(time.Duration(n) * time.Minute), State: state,
	}
	if state == fleet.RunRan {
		exit := 0
		run.Exit = &exit
	}
	return run
}

// recordRun1 delivers runs of host 1 from one place of its journal on.
func recordRun1(sequence uint64, runs ...fleet.Run) *RecordRuns {
	batch := HostBatch{Host: hostID(1), Journal: journalID(1)}
	for i, run := range runs {
		batch.Records = append(batch.Records, api.RunRecord{Sequence: sequence + uint64(i), Run: run})
	}
	return &RecordRuns{Batches: []HostBatch{batch}, At: noon}
}

func TestRecordRunsOnce(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	deliver := recordRun1(5, testRun(1, "default/a", fleet.RunRan), testRun(2, "default/a", fleet.RunRan))
	first := l.must(deliver).([]Receipt)
	if want := []Receipt{{Host: hostID(1), Journal: journalID(1), Acknowledged: 6, Recorded: 2}}; !cmp.Equal(first, want) {
		t.Errorf("%+v", first)
	}
	before := dump(t, l.Ledger)
	if again := l.must(deliver).([]Receipt); again[0].Acknowledged != 6 || again[0].Recorded != 0 {
		t.Errorf("delivered again: %+v", again)
	}
	after := dump(t, l.Ledger)
	delete(before, "meta/applied")
	delete(after, "meta/applied")
	if diff := diffDumps(before, after); diff != "" {
		t.Errorf("delivered again, it changed something: %s", diff)
	}
	// A journal of another id (the host's disk was lost) starts from 1.
	fresh := recordRun1(1, testRun(3, "default/a", fleet.RunRan))
	fresh.Batches[0].Journal = journalID(2)
	if got := l.must(fresh).([]Receipt); got[0].Acknowledged != 1 || got[0].Recorded != 1 {
		t.Errorf("another journal: %+v", got)
	}
}

func TestRecordRunsRefusesBatches(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	stranger, nameless, disordered := recordRun1(1, testRun(1, "default/a", fleet.RunRan)), recordRun1(1), recordRun1(1, testRun(1, "default/a", fleet.RunRan), testRun(2, "default/a", fleet.RunRan))
	stranger.Batches[0].Host = hostID(9)
	nameless.Batches[0].Journal = "mine"
	disordered.Batches[0].Records[1].Sequence = 1
	all := &RecordRuns{At: noon}
	for _, one := range []*RecordRuns{stranger, nameless, disordered, recordRun1(1, testRun(3, "default/a", fleet.RunRan))} {
		all.Batches = append(all.Batches, one.Batches...)
	}
	receipts := l.must(all).([]Receipt)
	for i, want := range []fleet.Kind{fleet.NotFound, fleet.Invalid, fleet.Invalid} {
		if got := receipts[i]; got.Refusal == nil || got.Refusal.Kind != want || got.Recorded != 0 {
			t.Errorf("batch %d: %+v, want %v", i, got, want)
		}
	}
	if good := receipts[3]; good.Refusal != nil || good.Recorded != 1 {
		t.Errorf("the batch beside them: %+v", good)
	}
}

// TestRunMoves tries every move between every two states.
func TestRunMoves(t *testing.T) {
	for from := range fleet.RunMoves {
		for to := range fleet.RunMoves {
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				l := newLedger(t)
				l.must(&RegisterHost{Host: testHost(1), At: noon}, recordRun1(1, testRun(1, "default/a", from)))
				got := l.must(recordRun1(2, testRun(1, "default/a", to))).([]Receipt)[0]
				run, err := l.Run(everywhere, runID(60_000, 1))
				if err != nil {
					t.Fatal(err)
				}
				legal := from == to || from.MayMoveTo(to)
				if want := map[bool]fleet.RunState{true: to, false: from}[legal]; run.State != want || (got.Refused == 0) != legal {
					t.Errorf("it is %s, %+v; want %s", run.State, got, want)
				}
				if got.Acknowledged != 2 {
					t.Errorf("acknowledged %d: a record that cannot be true must not hold up the others", got.Acknowledged)
				}
				if open := l.Totals(everywhere).Open; (open == 0) != (run.State.Terminal() || run.State == fleet.RunPending) {
					t.Errorf("%d open", open)
				}
			})
		}
	}
}

func TestRecordRunsRefusesRecords(t *testing.T) {
	for name, change := range map[string]func(*fleet.Run){
		"no id":              func(r *fleet.Run) { r.ID = "" },
		"a long id":          func(r *fleet.Run) { r.ID += "0" },
		"an id with a NUL":   func(r *fleet.Run) { r.ID = "a\x00b" },
		"another host":       func(r *fleet.Run) { r.Host = hostID(2) },
		"no task":            func(r *fleet.Run) { r.Task = "" },
		"a state of nowhere": func(r *fleet.Run) { r.State = "odd" },
		"no instant":         func(r *fleet.Run) { r.Due = time.Time{} },
		"an instant too far": func(r *fleet.Run) { r.Due = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"an end too far":     func(r *fleet.Run) { end := time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC); r.Ended = &end },
		"a long order":       func(r *fleet.Run) { r.Order = "0123456789012345678901234567890123456" },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			l.must(&RegisterHost{Host: testHost(1), At: noon})
			run := testRun(1, "default/a", fleet.RunRan)
			change(&run)
			got := l.must(recordRun1(1, run, testRun(2, "default/a", fleet.RunRan))).([]Receipt)[0]
			if got.Refused != 1 || got.Recorded != 1 || got.Why == "" || got.Acknowledged != 2 {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("a run of another task", func(t *testing.T) {
		l := newLedger(t)
		l.must(&RegisterHost{Host: testHost(1), At: noon}, recordRun1(1, testRun(1, "default/a", fleet.RunBegun)))
		if got := l.must(recordRun1(2, testRun(1, "default/b", fleet.RunRan))).([]Receipt)[0]; got.Refused != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestRunKeepsWhatWasSaid(t *testing.T) {
	l := newLedger(t)
	started := noon.Add(time.Second)
	begun, ended := testRun(1, "default/a", fleet.RunRunning), testRun(1, "default/a", fleet.RunRan)
	begun.Started, begun.PID, begun.Order = &started, 7, "o1"
	l.must(&RegisterHost{Host: testHost(1), At: noon}, recordRun1(1, begun), recordRun1(2, ended))
	want := ended
	want.Started, want.PID, want.Order = &started, 7, "o1"
	got, err := l.Run(everywhere, want.ID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := l.Run(everywhere, runID(1, 99)); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("no run: %v", err)
	}
	if _, err := l.Run(everywhere, ""); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("no id: %v", err)
	}
	whole := wholeRun()
	whole.Tail, whole.Order = "not \xff text", ""
	l.must(recordRun1(3, whole))
	if got, err := l.Run(everywhere, whole.ID); err != nil || !cmp.Equal(got, whole) {
		t.Errorf("%v %s", err, cmp.Diff(whole, got))
	}
}

// manyRuns fills a ledger with runs of three hosts and tasks whose names are
// prefixes of each other, and returns them, the newest first.
func manyRuns(t *testing.T, l *bench) []fleet.Run {
	var all []fleet.Run
	for host := range 3 {
		l.must(&RegisterHost{Host: testHost(host), At: noon})
		batch := HostBatch{Host: hostID(host), Journal: journalID(1)}
		for n := range 60 {
			states := []fleet.RunState{fleet.RunRan, fleet.RunRan, fleet.RunMissed, fleet.RunRunning, fleet.RunUnknown, fleet.RunSkipped}
			run := testRun(n, fleet.TaskID([]string{"default/foo", "default/foo2", "default/fo"}[n%3]), states[(n+host)%len(states)])
			run.ID, run.Host = runID(n*60_000, n*10+host), hostID(host)
			if n%5 == 0 && run.State == fleet.RunRan {
				*run.Exit = 1
			}
			if n%10 == 0 {
				run.Order = fleet.OrderID(fmt.Sprintf("o%d", n))
			}
			if n%20 == 0 {
				until := run.Due.Add(10 * time.Minute)
				run.Until, run.Count = &until, 10
			}
			all = append(all, run)
			batch.Records = append(batch.Records, api.RunRecord{Sequence: uint64(n + 1), Run: run})
		}
		l.must(&RecordRuns{Batches: []HostBatch{batch}, At: noon})
	}
	slices.SortFunc(all, func(a, b fleet.Run) int { return -cmpString(a.ID, b.ID) })
	return all
}

func cmpString[T ~string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// TestRuns compares every combination of filters with the plain way.
func TestRuns(t *testing.T) {
	l := newLedger(t)
	all := manyRuns(t, l)
	for _, task := range []fleet.TaskID{"", "default/foo", "default/foo2", "default/f"} {
		for _, host := range []string{"", "host-1", string(hostID(2))} {
			for _, state := range []fleet.RunState{"", fleet.RunRunning, fleet.RunMissed, fleet.RunRan, fleet.RunSkipped, "odd"} {
				for _, failed := range []bool{false, true} {
					for _, order := range []fleet.OrderID{"", "o10", "o1"} {
						for _, span := range [][2]int{{}, {10, 0}, {0, 30}, {20, 40}} {
							q := api.RunQuery{Task: task, Host: host, State: state, Failed: failed, Order: order}
							if span[0] > 0 {
								q.Since = noon.Add(time.Duration(span[0]) * time.Minute)
							}
							if span[1] > 0 {
								q.Until = noon.Add(time.Duration(span[1]) * time.Minute)
							}
							q.Limit = 1 + (len(task)+len(host)+len(state)+span[0])%40
							compareRuns(t, l, q, all)
						}
					}
				}
			}
		}
	}
	if _, err := l.Runs(everywhere, api.RunQuery{Host: "nobody"}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("runs of no host: %v", err)
	}
}

func compareRuns(t *testing.T, l *bench, q api.RunQuery, all []fleet.Run) {
	t.Helper()
	var want, got []fleet.RunID
	for _, r := range all {
		end := r.Due
		if r.Until != nil {
			end = *r.Until
		}
		named := q.Host == "" || q.Host == string(r.Host) || q.Host == "host-1" && r.Host == hostID(1)
		if (q.Task == "" || q.Task == r.Task) && named && (q.State == "" || q.State == r.State) && (!q.Failed || r.Failed()) &&
			(q.Order == "" || q.Order == r.Order) && (q.Since.IsZero() || !end.Before(q.Since)) && (q.Until.IsZero() || r.Due.Before(q.Until)) {
			want = append(want, r.ID)
		}
	}
	for p := q; ; {
		list, err := l.Runs(everywhere, p)
		if err != nil || list.Index != l.next {
			t.Fatalf("%+v: index %d, %v", q, list.Index, err)
		}
		for _, run := range list.Items {
			got = append(got, run.ID)
		}
		if p.After = list.Next; p.After == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v: %d runs, want %d: %v, %v", q, len(got), len(want), got, want)
	}
}

func TestRunsStayInTheirPages(t *testing.T) {
	l := newLedger(t)
	manyRuns(t, l)
	first, err := l.Runs(everywhere, api.RunQuery{Page: api.Page{Limit: 10}})
	if err != nil {
		t.Fatal(err)
	}
	l.must(recordRun1(1000, testRun(500, "default/new", fleet.RunRan))) // newer than all
	second, err := l.Runs(everywhere, api.RunQuery{Page: api.Page{Limit: 10, After: first.Next}})
	if err != nil || second.Items[0].ID >= first.Items[9].ID || second.Items[0].Task == "default/new" {
		t.Errorf("%v, the next page begins with %+v", err, second.Items[0])
	}
	last, found, err := l.LastRun(everywhere, "default/new")
	if err != nil || !found || last.ID != runID(500*60_000, 500) {
		t.Errorf("LastRun: %+v, %v, %v", last, found, err)
	}
	if _, found, err := l.LastRun(everywhere, "default/ne"); found || err != nil {
		t.Errorf("LastRun of no task: %v, %v", found, err)
	}
}

func TestActivity(t *testing.T) {
	l := newLedger(t)
	all := manyRuns(t, l) // all between 12:00 and 13:00
	late := testRun(70, "default/a", fleet.RunMissed)
	l.must(recordRun1(1000, late))
	failed := 0
	for i := range all {
		if all[i].Failed() {
			failed++
		}
	}
	for since, want := range map[time.Time][2]int{
		noon:                        {len(all) + 1, failed + 1},
		noon.Add(59 * time.Minute):  {len(all) + 1, failed + 1},
		noon.Add(60 * time.Minute):  {1, 1},
		noon.Add(120 * time.Minute): {0, 0},
		{}:                          {len(all) + 1, failed + 1},
	} {
		if runs, fails, err := l.Activity(everywhere, since); err != nil || runs != want[0] || fails != want[1] {
			t.Errorf("since %v: %d runs, %d failed, %v; want %v", since, runs, fails, err, want)
		}
	}
}

func TestPruneRuns(t *testing.T) {
	l := newLedger(t)
	all := manyRuns(t, l)
	open, old := 0, 0
	cut := noon.Add(30 * time.Minute)
	for i := range all {
		if !all[i].State.Terminal() {
			open++
		} else if all[i].Due.Before(cut) {
			old++
		}
	}
	got := l.must(&Prune{At: noon, RunsBefore: cut, Limit: 10}).(Pruned)
	if got.Runs != 10 || !got.More {
		t.Errorf("with a limit: %+v", got)
	}
	got = l.must(&Prune{At: noon, RunsBefore: cut}).(Pruned)
	if got.Runs != old-10 || got.More {
		t.Errorf("the rest: %+v, want %d", got, old-10)
	}
	compareRuns(t, l, api.RunQuery{State: fleet.RunRunning, Page: api.Page{Limit: 1000}}, all)
	checkIndexes(t, l.Ledger)

	got = l.must(&Prune{At: noon, RunsOfTask: 5}).(Pruned)
	for _, task := range []fleet.TaskID{"default/foo", "default/foo2", "default/fo"} {
		list, err := l.Runs(everywhere, api.RunQuery{Task: task, Page: api.Page{Limit: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		ended := 0
		for i, run := range list.Items {
			if run.State.Terminal() && i >= 5 {
				ended++
			}
		}
		if ended > 0 || len(list.Items) < 5 {
			t.Errorf("%s: %d runs are left, %d of them ended and beyond the newest 5", task, len(list.Items), ended)
		}
	}
	checkIndexes(t, l.Ledger)
	if again := l.must(&Prune{At: noon, RunsOfTask: 5}).(Pruned); again.Runs != 0 {
		t.Errorf("again: %+v after %+v", again, got)
	}
	if l.Totals(everywhere).Open != open {
		t.Errorf("%d open, want %d", l.Totals(everywhere).Open, open)
	}
}

// checkIndexes compares the ranges and counts of runs with the runs there are.
func checkIndexes(t testing.TB, l *Ledger) {
	t.Helper()
	want, kept := map[string]string{}, map[fleet.TaskID]int{}
	open := 0
	err := l.view(func(r *reader) error {
		return eachRow(r, inRuns, nil, func(_ []byte, row compact.Run) bool {
			run := row.Whole()
			kept[run.Task]++
			open += opens(&run)
			for _, index := range runIndexes {
				if k := index.key(&run); k != nil {
					want[bucketNames[index.in]+"/"+string(k)] = ""
				}
			}
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for task, n := range kept {
		want[bucketNames[inKept]+"/"+string(task)] = string(bigEndian(uint64(n)))
	}
	got := map[string]string{}
	all := dump(t, l)
	for _, b := range []bucket{inRunsByTask, inRunsByHost, inRunsByOrder, inRunsFailed, inRunsFailedByTask, inRunsFailedByHost, inRunsOpen, inKept} {
		for k, v := range all {
			if name := bucketNames[b] + "/"; len(k) > len(name) && k[:len(name)] == name {
				got[k] = v
			}
		}
	}
	if diff := diffDumps(want, got); diff != "" {
		t.Errorf("indexes differ from the runs: %s", diff)
	}
	if n := l.Totals(everywhere).Open; n != open {
		t.Errorf("%d open in memory, %d on disk", n, open)
	}
}
