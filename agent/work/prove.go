package work

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/prove"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// records are those of the journal.
type records interface {
	ID() fleet.JournalID
	Outbox(after uint64, limit int) ([]fleet.RunRecord, error)
	Acknowledge(sequence uint64)
}

// prover signs what became of runs. The journal hears that the collectors have a
// record only when what it says is signed, and that is on disk: so it forgets
// none that nobody can prove.
type prover struct {
	book       records
	keeper     *prove.Keeper
	statements *prove.Statements
	log        *slog.Logger
	page       int           // records that are looked at at once
	news       chan struct{} // holds one when there may be something to sign

	mu    sync.Mutex
	acked uint64 // the collectors have the records up to here
	seen  uint64 // all up to here is signed, or is of no run's end
}

// How long it is waited: for company, between two blocks, and after a failure.
const (
	proveFirst = time.Second
	proveEvery = 10 * time.Second
	proveAgain = time.Minute
)

const provePage = 1000

// newProver goes on where the last block on disk ended. The journal's state is
// newest, and what the collectors have of it.
func newProver(cfg Config, me self, book records, newest, acknowledged uint64, log *slog.Logger) (*prover, error) {
	key, err := prove.DrawKey(filepath.Join(cfg.StateDir, prove.KeyFile), log)
	if err != nil {
		return nil, err
	}
	statements, err := prove.OpenStatements(filepath.Join(cfg.StateDir, "statements.json"))
	if err != nil {
		return nil, err
	}
	keeper, err := prove.Open(cfg.proofDir(), key, me.cluster, me.host, prove.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	p := &prover{book: book, keeper: keeper, statements: statements, log: log, page: provePage, news: make(chan struct{}, 1), acked: acknowledged}
	switch journal, spoken := keeper.Spoken(); {
	case journal != book.ID():
		p.seen = acknowledged
	case spoken > newest:
		log.Error("the journal is an older one than the proofs: another chain of them begins", "spoken", spoken, "newest", newest)
		keeper.Forsake()
		p.seen = acknowledged
	default: // what was acknowledged beyond it told of no run's end
		p.seen = max(spoken, acknowledged)
	}
	p.poke()
	return p, nil
}

func (c *Config) proofDir() string { return filepath.Join(c.StateDir, "proofs") }

// poke says that there may be something to sign.
func (p *prover) poke() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// Plan remembers what was signed that the tasks of an opened plan run under.
func (p *prover) Plan(plan *fleet.Plan) {
	var fresh []prove.Generation
	given := make(map[fleet.TaskID]bool, len(plan.Assignments))
	for i := range plan.Assignments {
		a := &plan.Assignments[i]
		id := a.Task.ID()
		if given[id] = true; a.Refused != nil || p.statements.Knows(id, a.Generation) {
			continue
		}
		if statement, known := statementOf(a.Envelope); known {
			fresh = append(fresh, prove.Generation{Task: id, Number: a.Generation, Statement: statement})
		}
	}
	p.statements.Keep(func(task fleet.TaskID) bool { return given[task] })
	if err := p.statements.Add(fresh); err != nil {
		p.log.Error("proofs will not say what their runs ran under", "error", err)
	}
}

// statementOf returns the hash of what is signed in an envelope.
func statementOf(text []byte) (statement proof.Hash, known bool) {
	envelope, err := seal.Parse(text)
	if err != nil {
		return statement, false
	}
	_, err = hex.Decode(statement[:], []byte(envelope.Digest()))
	return statement, err == nil
}

// Acknowledge takes note of what the collectors have.
func (p *prover) Acknowledge(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked = max(p.acked, sequence)
	if p.acked <= p.seen {
		p.book.Acknowledge(p.acked)
		return
	}
	p.poke()
}

// Run signs until ctx ends, and once more then.
func (p *prover) Run(ctx context.Context) error {
	wait := proveFirst
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-p.news:
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		began := time.Now()
		signed, err := p.speak()
		switch {
		case err != nil:
			p.log.Error("what was run is not signed, and the journal keeps it", "error", err, "again_in", proveAgain.String())
			wait = proveAgain
			p.poke()
		case signed:
			wait = max(proveFirst, proveEvery-time.Since(began))
		default:
			wait = proveFirst
		}
	}
	return nil
}

// speak signs what is new, and lets the journal forget what the collectors have
// of it. It reports whether there was anything.
func (p *prover) speak() (signed bool, err error) {
	for !p.keeper.Full() {
		p.mu.Lock()
		after := p.seen
		p.mu.Unlock()
		page, err := p.book.Outbox(after, p.page)
		if err != nil || len(page) == 0 {
			return signed, err
		}
		through := page[len(page)-1].Sequence
		if lines := p.lines(page); len(lines) > 0 {
			if err := p.keeper.Add(p.book.ID(), through, lines); err != nil {
				return signed, err
			}
			signed = true
		}
		p.pass(through)
	}
	return signed, nil
}

// pass takes note of how far it has signed.
func (p *prover) pass(through uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = through
	p.book.Acknowledge(min(p.acked, p.seen))
}

// lines returns what there is to say of records.
func (p *prover) lines(page []fleet.RunRecord) (lines []prove.Said) {
	for i := range page {
		run := &page[i].Run
		if page[i].Stint == nil && run.State.Terminal() {
			lines = append(lines, prove.Said{Sequence: page[i].Sequence, Line: proof.LineOf(run, p.statements.Of(run.Task, run.Generation))})
		}
	}
	return lines
}

// Undelivered waits for blocks that no collector has.
func (p *prover) Undelivered(ctx context.Context, ask *link.ProofPage) (link.ProofBatch, error) {
	for {
		changed := p.keeper.Changed()
		blocks, last, err := p.keeper.Undelivered(ask.After, min(max(ask.Bytes, 1), maxProofs))
		if err != nil || len(blocks) > 0 {
			return link.ProofBatch{Blocks: blocks, Last: last}, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return link.ProofBatch{}, ctx.Err()
		}
	}
}

// maxProofs is how many bytes of blocks are given at once, about.
const maxProofs = 512 << 10

// Delivered notes which the collectors have.
func (p *prover) Delivered(last uint64) error {
	if err := p.keeper.Delivered(last); err != nil {
		return fmt.Errorf("proofs: %w", err)
	}
	p.poke() // there may have been no room
	return nil
}
