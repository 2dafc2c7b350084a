package work

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/agent/prove"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
	"github.com/fleetcron/fleetcron/shared/seal"
)

var provingHost = self{host: "0123456789abcdef0123456789abcdef", cluster: "00112233445566778899aabbccddeeff"}

// proving is a journal and who signs what is in it.
type proving struct {
	dir  string
	book *journal.Journal
	*prover
}

func newProving(t *testing.T, dir string) *proving {
	book, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	had := book.Stats()
	p, err := newProver(Config{StateDir: dir}, provingHost, book, had.Newest, had.Acknowledged, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return &proving{dir, book, p}
}

func (p *proving) close() {
	p.keeper.Close()
	p.book.Close()
}

func runNumbered(n int, state fleet.RunState) fleet.Run {
	return fleet.Run{ID: fleet.RunID(fmt.Sprintf("0190a000-0000-7000-8000-%012d", n)), Task: "data/backup", Generation: 1, Host: provingHost.host, Due: time.Unix(1_800_000_000+int64(n), 0).UTC(), State: state}
}

func skippedRun(n int) fleet.Run {
	run := runNumbered(n, fleet.RunSkipped)
	run.Reason = fleet.SkippedPaused
	return run
}

// proven returns the runs that the proofs on disk speak of, in order.
func proven(t *testing.T, dir string) (runs []fleet.RunID) {
	var last *proof.Block
	err := prove.Each(filepath.Join(dir, "proofs"), func(b *proof.Block) error {
		if err := b.Check(); err != nil {
			return err
		}
		if last != nil && !b.Follows(last) {
			return fmt.Errorf("line %d of chain %s does not follow line %d of chain %s", b.First, b.Chain, last.Last(), last.Chain)
		}
		last = b
		for _, entry := range b.Lines {
			runs = append(runs, entry.Line.Run)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// TestNoLineIsLostOrDoubled lets runs begin and end, the collectors take them
// and the agent die, in any order and at any point, and asks at the end what was
// signed: each outcome once, as they came.
func TestNoLineIsLostOrDoubled(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &life{t: t, random: rand.New(rand.NewPCG(seed, 0))}
			l.lives(t.TempDir())
			defer func() { l.close() }()
			for range 80 {
				l.steps()[l.random.IntN(len(l.steps()))]()
				if acknowledged := l.book.Stats().Acknowledged; acknowledged > l.seen {
					t.Fatalf("the journal may forget up to %d, and %d is signed", acknowledged, l.seen)
				}
			}
			l.speaks()
			if runs := proven(t, l.dir); !slices.Equal(runs, l.want) {
				t.Fatalf("signed %v, want %v", runs, l.want)
			}
		})
	}
}

// life is what an agent goes through.
type life struct {
	t *testing.T
	*proving
	random *rand.Rand
	n      int
	begun  []int
	want   []fleet.RunID // in the order in which they ended
	ended  []uint64      // the records that say so
}

// lives takes up what is on disk, with few records at once.
func (l *life) lives(dir string) {
	l.proving = newProving(l.t, dir)
	l.page, l.prover.book = 2, forgetful{l.proving.book, l.forgets}
}

// forgetful is a journal that asks before it may forget.
type forgetful struct {
	*journal.Journal
	asks func(sequence uint64)
}

func (f forgetful) Acknowledge(sequence uint64) {
	f.asks(sequence)
	f.Journal.Acknowledge(sequence)
}

// forgets holds the journal to what is signed on disk.
func (l *life) forgets(sequence uint64) {
	_, spoken := l.keeper.Spoken()
	for _, ended := range l.ended {
		if ended > spoken && ended <= sequence && ended > l.proving.book.Stats().Acknowledged {
			l.t.Fatalf("record %d may be forgotten, and only what is said up to %d is signed", ended, spoken)
		}
	}
}

func (l *life) steps() []func() {
	return []func(){l.begins, l.begins, l.ends, l.ends, l.settles, l.settles, l.acknowledges, l.acknowledges, l.speaks, l.dies, l.diesWriting}
}

func (l *life) record(run fleet.Run) {
	if err := l.book.Record(l.t.Context(), run, nil); err != nil {
		l.t.Fatal(err)
	}
	if run.State.Terminal() {
		l.want = append(l.want, run.ID)
		l.ended = append(l.ended, l.book.Stats().Newest)
	}
}

func (l *life) begins() {
	l.n++
	l.record(runNumbered(l.n, fleet.RunBegun))
	l.begun = append(l.begun, l.n)
}

func (l *life) ends() {
	if len(l.begun) == 0 {
		return
	}
	i := l.random.IntN(len(l.begun))
	run := runNumbered(l.begun[i], fleet.RunRan)
	run.Exit = new(int)
	l.record(run)
	l.begun = slices.Delete(l.begun, i, i+1)
}

func (l *life) settles() {
	l.n++
	l.record(skippedRun(l.n))
}

func (l *life) acknowledges() { l.Acknowledge(l.random.Uint64N(l.book.Stats().Newest + 1)) }

func (l *life) speaks() {
	if _, err := l.speak(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) dies() {
	l.close()
	l.lives(l.dir)
}

// diesWriting ends it within the writing of what it signs: some of that is on
// disk, and nobody was told anything yet.
func (l *life) diesWriting() {
	before, had := l.signed(), l.book.Stats().Acknowledged
	l.acked = 0
	l.speaks()
	if l.book.Stats().Acknowledged != had {
		l.t.Fatal("the journal may forget what no collector has")
	}
	l.close()
	if left := l.signed() - before; left > 0 {
		names, _ := filepath.Glob(filepath.Join(l.dir, "proofs", "*.blocks"))
		name := names[len(names)-1]
		stat, err := os.Stat(name)
		if err == nil {
			err = os.Truncate(name, stat.Size()-l.random.Int64N(left+1))
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
	l.lives(l.dir)
}

// signed is how many bytes were.
func (l *life) signed() (bytes int64) {
	names, _ := filepath.Glob(filepath.Join(l.dir, "proofs", "*.blocks"))
	for _, name := range names {
		stat, err := os.Stat(name)
		if err != nil {
			l.t.Fatal(err)
		}
		bytes += stat.Size()
	}
	return bytes
}

// TestTheJournalWaitsForTheProof shows that what collectors have is forgotten
// once it is signed, which happens by itself, and that a burst is one block.
func TestTheJournalWaitsForTheProof(t *testing.T) {
	dir := t.TempDir()
	p := newProving(t, dir)
	defer func() { p.close() }()
	records := func(from, to int) {
		for n := from; n <= to; n++ {
			if err := p.book.Record(t.Context(), skippedRun(n), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	records(1, 20)
	newest := p.book.Stats().Newest
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		p.Acknowledge(newest)
		if acknowledged := p.book.Stats().Acknowledged; acknowledged != 0 {
			t.Errorf("forgotten up to %d before anything was signed", acknowledged)
		}
		time.Sleep(proveEvery)
		if acknowledged := p.book.Stats().Acknowledged; acknowledged != newest {
			t.Errorf("forgotten up to %d of %d", acknowledged, newest)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	p.close()
	p = newProving(t, dir) // with channels of this side of the bubble
	batch, err := p.Undelivered(t.Context(), &link.ProofPage{Bytes: 1 << 20})
	if err != nil || len(batch.Blocks) != 1 || len(batch.Blocks[0].Lines) != 20 || batch.Last != 1 {
		t.Fatalf("%d blocks to %d, %v", len(batch.Blocks), batch.Last, err)
	}
	if err := p.Delivered(batch.Last); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if batch, err := p.Undelivered(ctx, &link.ProofPage{Bytes: 1 << 20}); err == nil {
		t.Errorf("given again: %+v", batch)
	}
}

// TestALineSaysWhatWasSigned shows that a line names what people signed that its
// run ran under, also when the task is another one since.
func TestALineSaysWhatWasSigned(t *testing.T) {
	p := newProving(t, t.TempDir())
	defer p.close()
	task := fleet.Task{
		Name: "backup", Namespace: "data", Where: fleet.Where{Labels: "*"},
		On: fleet.Trigger{Manual: true}, Run: fleet.Execute{Command: fleet.Command{Argv: []string{"/bin/true"}}, User: "nobody"},
	}
	plan := policytest.Sealed(fleet.Plan{Assignments: []fleet.Assignment{{Task: task, State: fleet.TaskPaused, Generation: 1}}})
	p.Plan(&plan)
	p.Plan(&fleet.Plan{Assignments: []fleet.Assignment{{Task: task, Generation: 2, Envelope: []byte("another")}}})
	envelope, err := seal.Parse(plan.Assignments[0].Envelope)
	if err != nil {
		t.Fatal(err)
	}
	second := skippedRun(2)
	second.Generation = 2
	lines := p.lines([]fleet.RunRecord{{Sequence: 1, Run: skippedRun(1)}, {Sequence: 2, Run: second}})
	if len(lines) != 2 || lines[0].Line.Statement == nil || lines[0].Line.Statement.String() != envelope.Digest() || lines[1].Line.Statement != nil {
		t.Errorf("%+v, want %s and none", lines, envelope.Digest())
	}
}
