package ledger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// modelSeeds and modelEntries size the model test: a few seconds.
const (
	modelSeeds   = 12
	modelEntries = 1000
)

// TestModel applies random commands to ledgers that get there in different
// ways: one entry at a time; in batches, with restarts; and from a snapshot of
// half way, with entries repeated that it holds already. All must come to the
// same bytes, and memory to what a restart reads.
func TestModel(t *testing.T) {
	for seed := range uint64(modelSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			entries := randomEntries(t, seed, modelEntries)
			random := rand.New(rand.NewPCG(seed, 3))
			one, batched, restored := newLedger(t), newLedger(t), newLedger(t)
			results := make([]any, 0, len(entries))
			for _, entry := range entries {
				results = append(results, one.Apply([]Entry{entry})...)
			}
			half := len(entries) / 2
			inBatches(t, random, batched, entries[:half], results[:half])
			if err := restored.Restore(bytes.NewReader(snapshotOf(t, batched.Ledger))); err != nil {
				t.Fatal(err)
			}
			inBatches(t, random, batched, entries[half:], results[half:])
			again := half - random.IntN(half)
			restored.Apply(entries[again:])

			want := snapshotOf(t, one.Ledger)
			for name, l := range map[string]*bench{"in batches": batched, "from a snapshot": restored} {
				if !bytes.Equal(want, snapshotOf(t, l.Ledger)) {
					t.Errorf("%s: %s", name, diffDumps(dump(t, one.Ledger), dump(t, l.Ledger)))
				}
				sameMemory(t, name, one.Ledger, l.Ledger)
			}
			checkIndexes(t, one.Ledger)
			before := one.memory
			one.reopen()
			one.opened = before.index
			compareMemory(t, "after a restart", &before, &one.memory)
		})
	}
}

// inBatches applies the entries a few at a time, with restarts in between, and
// compares the results.
func inBatches(t *testing.T, random *rand.Rand, l *bench, entries []Entry, want []any) {
	t.Helper()
	for len(entries) > 0 {
		n := min(len(entries), 1+random.IntN(20))
		for i, got := range l.Apply(entries[:n]) {
			if diff := cmp.Diff(want[i], got, alike); diff != "" {
				t.Fatalf("entry %d: %s", entries[i].Index, diff)
			}
		}
		entries, want = entries[n:], want[n:]
		if random.IntN(8) == 0 {
			l.reopen()
		}
	}
}

func sameMemory(t *testing.T, name string, a, b *Ledger) {
	t.Helper()
	compareMemory(t, name, &a.memory, &b.memory)
}

func compareMemory(t *testing.T, name string, a, b *memory) {
	t.Helper()
	if a.index != b.index || a.term != b.term || !cmp.Equal(a.open, b.open) {
		t.Errorf("%s: at %d/%d with %v open, and at %d/%d with %v", name, a.index, a.term, a.open, b.index, b.term, b.open)
	}
	if diff := cmp.Diff(a.sorted, b.sorted); diff != "" {
		t.Errorf("%s: hosts: %s", name, diff)
	}
	if diff := cmp.Diff(a.hosts, b.hosts); diff != "" {
		t.Errorf("%s: hosts by id: %s", name, diff)
	}
	if diff := cmp.Diff(a.annotations, b.annotations); diff != "" {
		t.Errorf("%s: annotations: %s", name, diff)
	}
	rows := func(m *memory) map[fleet.TaskID]taskRow {
		tasks := map[fleet.TaskID]taskRow{}
		for id, task := range m.tasks {
			tasks[id] = task.taskRow
		}
		return tasks
	}
	if diff := cmp.Diff(a.adoptions, b.adoptions); diff != "" {
		t.Errorf("%s: adoptions: %s", name, diff)
	}
	if diff := cmp.Diff(a.calendars, b.calendars); diff != "" {
		t.Errorf("%s: calendars: %s", name, diff)
	}
	for what, pair := range map[string][2]any{
		"tokens": {a.tokens, b.tokens}, "nodes": {a.nodes, b.nodes}, "rules": {a.rules, b.rules}, "requests": {a.requests, b.requests}, "tombstones": {a.tombstones, b.tombstones},
	} {
		if diff := cmp.Diff(pair[0], pair[1], alike); diff != "" {
			t.Errorf("%s: %s: %s", name, what, diff)
		}
	}
	if diff := cmp.Diff(a.standings, b.standings); diff != "" {
		t.Errorf("%s: standings: %s", name, diff)
	}
	if diff := cmp.Diff(a.stands, b.stands); diff != "" {
		t.Errorf("%s: how tasks stand: %s", name, diff)
	}
	if diff := cmp.Diff(rows(a), rows(b)); diff != "" {
		t.Errorf("%s: tasks: %s", name, diff)
	}
}

// randomEntries draws commands over few hosts, tasks and runs, so that they
// meet each other often. Indexes have gaps, as those of raft have.
func randomEntries(t *testing.T, seed uint64, n int) []Entry {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	entries, index, term := make([]Entry, 0, n), uint64(0), uint64(1)
	drawn := map[string]int{}
	for len(entries) < n {
		index += 1 + uint64(random.IntN(3))
		if random.IntN(50) == 0 {
			term++
		}
		command := randomCommand(random, noon.Add(time.Duration(index)*time.Minute), true)
		drawn[fmt.Sprintf("%T", command)]++
		data, err := Encode(command)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{Index: index, Term: term, Data: data})
	}
	if len(drawn) != len(kinds) {
		t.Fatalf("seed %d draws %d kinds of commands of %d: %v", seed, len(drawn), len(kinds), drawn)
	}
	return entries
}

func randomCommand(random *rand.Rand, at time.Time, outer bool) Command {
	host := random.IntN(4)
	name := []string{"foo", "foo2", "fo"}[random.IntN(3)]
	task := fleet.NewTaskID("", name)
	var if0 *uint64
	if random.IntN(3) == 0 {
		if0 = ifIndex(uint64(random.IntN(100)))
	}
	switch n := random.IntN(90); {
	case n >= 50:
		return randomTrust(random, host, name, at, outer)
	case n == 0:
		return &InitCluster{ID: fmt.Sprint("c", random.IntN(2)), At: at}
	case n == 1:
		return &PutCollector{ID: fleet.CollectorID(fmt.Sprint("c", random.IntN(3))), API: "http://127.0.0.1", At: at}
	case n == 2:
		return &DropCollector{ID: fleet.CollectorID(fmt.Sprint("c", random.IntN(3)))}
	case n < 6:
		return &RegisterHost{Host: testHost(host, "role", fmt.Sprint(random.IntN(2))), At: at}
	case n < 9:
		return randomReport(random, host, at)
	case n < 12:
		put := testTask(name, []string{"*", "role=0", "role=1"}[random.IntN(3)])
		if places := random.IntN(3); places > 0 {
			put.Task.Limits = fleet.Limits{Fleet: places, Timeout: fleet.Duration(time.Minute)}
		}
		if random.IntN(3) == 0 {
			put.Task.On.Blackout = []string{"c0"}
		}
		if random.IntN(4) == 0 {
			put.Task.On = fleet.Trigger{Daemon: true}
		}
		put.At, put.IfIndex = at, if0
		if random.IntN(3) == 0 {
			put.Serial, put.Envelope, put.Signers = uint64(random.IntN(100)), []byte(fmt.Sprint(random.IntN(3))), []string{"k"}
			put.State = []fleet.TaskState{"", fleet.TaskEnabled, fleet.TaskPaused}[random.IntN(3)]
		}
		return put
	case n < 14:
		states := []fleet.TaskState{fleet.TaskEnabled, fleet.TaskPaused, fleet.TaskRetired, "odd"}
		set := &SetTaskState{ID: task, State: states[random.IntN(4)], IfIndex: if0, At: at}
		if random.IntN(2) == 0 {
			set.Serial, set.Envelope = uint64(random.IntN(100)), []byte("state")
		}
		return set
	case n < 17:
		order := testOrder(fleet.OrderID(fmt.Sprint("o", random.IntN(6))), host, task)
		order.Run = runID(60_000*random.IntN(40), 1)
		if order.Expires = at.Add(20 * time.Minute); random.IntN(3) == 0 {
			order.Kind = []fleet.OrderKind{fleet.OrderCancel, fleet.OrderStop, fleet.OrderRestart, fleet.OrderReset}[random.IntN(4)]
		}
		put := &PutOrders{Orders: []fleet.Order{order}, At: at}
		if random.IntN(2) == 0 {
			put.Envelope, put.Digest, put.Expires = []byte("orders"), fmt.Sprint("d", random.IntN(9)), at.Add(30*time.Minute)
		}
		return put
	case n == 17:
		return &DropOrder{Host: hostID(host), ID: fleet.OrderID(fmt.Sprint("o", random.IntN(6)))}
	case n == 18:
		generations := map[fleet.TaskID]uint64{task: uint64(random.IntN(3)), "default/foo": 1}
		return &RecordApplied{Applied: fleet.Applied{Host: hostID(host), Generations: generations, At: at.Add(-time.Duration(random.IntN(9)) * time.Minute)}}
	case n < 27:
		return randomRuns(random, at)
	case n == 27:
		return &Prune{At: at, RunsBefore: at.Add(-time.Hour), RunsOfTask: 2 + random.IntN(5), Limit: 1 + random.IntN(20), ChangesBefore: at.Add(-2 * time.Hour), TrustBefore: at.Add(-2 * time.Hour)}
	case n < 36:
		return randomWord(random, host, at)
	case n < 40:
		return randomAdoption(random, host, name, at)
	case n < 44:
		return randomStandings(random, host, at)
	case n < 46:
		calendar := fleet.Calendar{Name: fmt.Sprint("c", random.IntN(2)), Description: fmt.Sprint(random.IntN(2))}
		put := &PutCalendar{Calendar: calendar, IfIndex: if0, At: at.Add(-time.Duration(random.IntN(9)) * time.Minute)}
		if random.IntN(3) == 0 {
			put.Serial, put.Envelope = uint64(random.IntN(100)), []byte("calendar")
		}
		return put
	case n == 46:
		return &DropCalendar{Name: fmt.Sprint("c", random.IntN(2)), IfIndex: if0, Serial: uint64(random.IntN(100)), Envelope: []byte("dropped")}
	default:
		if !outer {
			return &DropCollector{ID: "none"}
		}
		return &Once{
			Key: fmt.Sprint("k", random.IntN(8)), Digest: fmt.Sprint(random.IntN(2)), At: at, Expires: at.Add(30 * time.Minute),
			Command: randomCommand(random, at, false),
		}
	}
}

func randomStandings(random *rand.Rand, host int, at time.Time) *RecordStandings {
	cmd := &RecordStandings{Host: hostID(host), At: at.Add(-time.Duration(random.IntN(9)) * time.Minute)}
	for _, name := range []string{"fo", "foo", "foo2"} {
		if random.IntN(2) == 0 {
			continue
		}
		cmd.Standings = append(cmd.Standings, fleet.Standing{
			Task: fleet.NewTaskID("", name), Since: noon, Restarts: random.IntN(3),
			Phase:   []fleet.Phase{"", fleet.PhaseRunning, fleet.PhaseCrashLoop}[random.IntN(3)],
			Breaker: []fleet.BreakerState{"", fleet.BreakerClosed, fleet.BreakerOpen}[random.IntN(3)],
			Health:  []fleet.HealthState{"", fleet.Healthy, fleet.Unhealthy}[random.IntN(3)],
		})
	}
	if len(cmd.Standings) > 1 && random.IntN(9) == 0 {
		slices.Reverse(cmd.Standings) // refused
	}
	for range random.IntN(3) {
		cmd.Done = append(cmd.Done, fleet.OrderID(fmt.Sprint("o", random.IntN(6))))
	}
	return cmd
}

func randomAdoption(random *rand.Rand, host int, name string, at time.Time) Command {
	task := fleet.NewTaskID("", name)
	switch random.IntN(3) {
	case 0:
		put := testTask(name, "*")
		return &Adopt{Task: put.Task, Document: put.Document, MediaType: put.MediaType, Adoption: fleet.Adoption{Host: hostID(host), Job: testJob(random.IntN(3)), At: noon}}
	case 1:
		return &Release{Task: task, At: at.Add(-time.Minute)}
	}
	states := []fleet.AdoptionState{fleet.AdoptionAdopted, fleet.AdoptionRefused, fleet.AdoptionReleased, fleet.AdoptionStuck, fleet.AdoptionWanted, "odd"}
	said := fleet.Adoption{Task: task, State: states[random.IntN(len(states))], Handed: at, Asked: noon}
	return &SettleAdoptions{Host: hostID(host), Adoptions: []fleet.Adoption{said}, At: at}
}

func randomReport(random *rand.Rand, host int, at time.Time) *RecordReport {
	var jobs []fleet.Job
	for n := range 10 {
		if random.IntN(2) == 0 {
			continue
		}
		job := testJob(n)
		job.Schedule, job.Env = fmt.Sprintf("%d * * * *", random.IntN(2)), map[string]string{"A": "1", "B": fmt.Sprint(random.IntN(2)), "C": "3"}
		switch random.IntN(8) {
		case 0: // moved
			job.Source = "/etc/cron.d/other"
		case 1: // edited in place
			job.Command += " --more"
			job.Fingerprint = fleet.CommandFingerprint(job.Command)
		case 2:
			job.Stale = &at
		}
		job.ID = fleet.NewJobID(job.Kind, job.Source, job.User, job.Command, 0)
		jobs = append(jobs, job)
	}
	report := testReport(host, jobs...)
	report.At = at
	return report
}

// randomWord draws what people say about jobs, and what hosts saw of them.
func randomWord(random *rand.Rand, host int, at time.Time) Command {
	name := []string{"foo", "foo2"}[random.IntN(2)]
	switch random.IntN(10) {
	case 9:
		return &TakeLease{Task: fleet.NewTaskID("", name), Run: runID(random.IntN(200)*60_000, host), Host: hostID(host), At: at}
	case 8:
		return &ReturnLease{Task: fleet.NewTaskID("", name), Run: runID(random.IntN(200)*60_000, host), Host: hostID(host)}
	case 0:
		return &PutPin{Pin: fleet.Pin{Name: name, Labels: "role=0", At: at}}
	case 1:
		return &DropPin{Name: name}
	case 2:
		return &PutAnnotation{Annotation: fleet.Annotation{Fingerprint: testJob(random.IntN(3)).Fingerprint, Owner: []string{"", "ann"}[random.IntN(2)], At: at}}
	case 3:
		return &PutAck{Ack: fleet.Ack{Finding: name, Reason: "r", At: at, Expires: at.Add(20 * time.Minute)}}
	case 4:
		return &DropAck{Finding: name}
	}
	said := fleet.Sightings{Jobs: map[fleet.JobID]fleet.Evidence{}}
	for range random.IntN(4) {
		said.Jobs[testJob(random.IntN(14)).ID] = fleet.Evidence{Last: at.Add(-time.Duration(random.IntN(40)) * time.Minute), Grade: fleet.GradeStarted}
	}
	if random.IntN(3) > 0 {
		said.Since = map[fleet.JobKind]time.Time{fleet.KindCron: noon.Add(time.Duration(random.IntN(2)) * time.Hour)}
	}
	return &RecordSightings{Host: hostID(host), Sightings: said, At: at}
}

func randomRuns(random *rand.Rand, at time.Time) *RecordRuns {
	states := []fleet.RunState{fleet.RunPending, fleet.RunBegun, fleet.RunRunning, fleet.RunRan, fleet.RunRan, fleet.RunMissed, fleet.RunUnknown, fleet.RunSkipped, "odd"}
	cmd := &RecordRuns{At: at}
	for range 1 + random.IntN(3) {
		host := random.IntN(5)
		batch := HostBatch{Host: hostID(host), Journal: journalID(random.IntN(2))}
		sequence := uint64(random.IntN(40))
		for range random.IntN(6) {
			sequence += uint64(random.IntN(4)) // zero: out of order
			n := random.IntN(200)
			if random.IntN(4) == 0 {
				stint := &fleet.Stint{Task: "default/foo", Generation: uint64(random.IntN(3)), After: noon.Add(time.Duration(n) * time.Minute)}
				if random.IntN(2) == 0 {
					stint.Last = stint.After
				}
				batch.Records = append(batch.Records, api.RunRecord{Sequence: sequence, Stint: stint})
				continue
			}
			run := testRun(n, fleet.NewTaskID("", []string{"foo", "foo2"}[n%2]), states[random.IntN(len(states))])
			run.ID, run.Host = runID(n*60_000, host), hostID(host)
			if n%7 == 0 {
				run.Order = fleet.OrderID(fmt.Sprint("o", random.IntN(6)))
			}
			if n%5 == 0 {
				run = randomAttempt(random, run)
			}
			batch.Records = append(batch.Records, api.RunRecord{Sequence: sequence, Run: run})
		}
		cmd.Batches = append(cmd.Batches, batch)
	}
	return cmd
}

// randomAttempt returns one of the attempts of a run's occurrence, in any state.
func randomAttempt(random *rand.Rand, run fleet.Run) fleet.Run {
	run.Attempt = 1
	for range random.IntN(3) {
		again := run.Due.Add(time.Minute)
		run.Again = &again
		state, exit := run.State, run.Exit
		run = run.NextAttempt()
		run.State, run.Exit = state, exit
	}
	if random.IntN(2) == 0 {
		run.Again = nil
	}
	return run
}

// TestReplayChangesNothing gives a ledger its whole log again, as raft does
// when it starts without a snapshot.
func TestReplayChangesNothing(t *testing.T) {
	entries := randomEntries(t, 99, modelEntries)
	l := newLedger(t)
	l.Apply(entries)
	want := snapshotOf(t, l.Ledger)
	tx := l.lastTx()
	l.Apply(entries)
	l.Apply(entries[:10])
	l.Apply(nil)
	if !bytes.Equal(want, snapshotOf(t, l.Ledger)) {
		t.Error("a replay changed the ledger")
	}
	if l.lastTx() != tx {
		t.Error("a replay wrote to the file")
	}
}

// lastTx returns the number of the last transaction that wrote.
func (b *bench) lastTx() (id int) {
	b.t.Helper()
	if err := b.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		b.t.Fatal(err)
	}
	return id
}
