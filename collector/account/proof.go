package account

import (
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxFaults is how many faults a proof names.
const maxFaults = 100

// Prove derives the accounts within the scope anew, instant by instant, as far back as there are
// records: every instant that was due under a schedule has exactly one record,
// and no record tells of another instant. Bounds of the query mean nothing.
func (b *Book) Prove(scope fleet.Scope, q Query, now time.Time) (api.Proof, error) {
	proof := api.Proof{Faults: []api.AccountFault{}}
	var failed error
	err := b.source.Accounts(scope, q.Task, q.wanted, true, func(account ledger.Account, runs []fleet.Run) bool {
		failed = b.proveOne(&proof, &account, runs, now)
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	return proof, err
}

func (b *Book) proveOne(proof *api.Proof, account *ledger.Account, runs []fleet.Run, now time.Time) error {
	proof.Accounts++
	proof.Records += len(runs)
	line, err := b.whole(account, now)
	if err != nil {
		return err
	}
	proof.Difference += line.Difference
	proof.Pending += line.Pending
	p := prover{proof: proof, account: account}
	runs, _ = outcomes(runs)
	p.sum(&line, runs)
	return p.compare(b, scheduled(account, runs, b.free))
}

// scheduled returns the records of instants that a schedule made due and that
// are still whole, in their order.
func scheduled(account *ledger.Account, runs []fleet.Run, free func(*fleet.Run) bool) []fleet.Run {
	own := slices.DeleteFunc(slices.Clone(runs), func(run fleet.Run) bool {
		return run.Order != "" || !run.Due.After(account.Forgotten) || free(&run)
	})
	slices.SortFunc(own, func(a, b fleet.Run) int { return a.Due.Compare(b.Due) })
	return own
}

// prover compares one account.
type prover struct {
	proof   *api.Proof
	account *ledger.Account
	told    time.Time // the last instant that a record told of
}

// Blame adds a fault to a proof, or counts it where there are enough.
func Blame(proof *api.Proof, fault api.AccountFault) {
	if len(proof.Faults) == maxFaults {
		proof.More++
		return
	}
	proof.Faults = append(proof.Faults, fault)
}

func (p *prover) blame(kind api.FaultKind, instant time.Time, run fleet.RunID, format string, arguments ...any) {
	Blame(p.proof, api.AccountFault{
		Kind: kind, Task: p.account.Task, Host: p.account.Host, Instant: instant, Run: run, Text: fmt.Sprintf(format, arguments...),
	})
}

// sum holds the totals to the records, while all of them are there, and to what
// was due.
func (p *prover) sum(line *api.AccountLine, runs []fleet.Run) {
	if line.Difference != 0 {
		p.blame(api.FaultSum, time.Time{}, "", "%d were due, %d have an outcome or are pending", line.Due, line.Due-line.Difference)
	}
	if !p.account.Forgotten.IsZero() {
		return
	}
	records := map[fleet.RunState]int{}
	for i := range runs {
		if run := &runs[i]; run.State.Terminal() {
			records[run.State] += run.Instants()
		}
	}
	totals := map[fleet.RunState]int{
		fleet.RunRan: line.Ran, fleet.RunSkipped: line.Skipped, fleet.RunMissed: line.Missed, fleet.RunUnknown: line.Unknown,
	}
	for _, state := range []fleet.RunState{fleet.RunRan, fleet.RunSkipped, fleet.RunMissed, fleet.RunUnknown} {
		if records[state] != totals[state] && line.Difference == 0 {
			p.blame(api.FaultSum, time.Time{}, "", "the account counts %d %s, the records say %d", totals[state], state, records[state])
		}
	}
}

// compare walks the stints and the records side by side.
func (p *prover) compare(b *Book, runs []fleet.Run) error {
	for _, span := range p.account.Stints {
		clock, _, err := b.counter.clock(p.account.Task, p.account.Host, span.Generation)
		if err != nil {
			return err
		}
		after := span.After
		if p.account.Forgotten.After(after) {
			after = p.account.Forgotten
		}
		at, ok := clock.Next(after)
		for ok && !at.After(span.Last) {
			runs = p.early(runs, at)
			if len(runs) == 0 || runs[0].Due.After(at) {
				p.proof.Due++
				p.blame(api.FaultMissing, at, "", "it was due and nothing tells what became of it")
				at, ok = clock.Next(at)
				continue
			}
			at, ok = p.take(&runs[0], clock, at, span.Last)
			runs = runs[1:]
		}
	}
	p.early(runs, time.Time{})
	return nil
}

// early passes over records of instants before at that were not due, or all of
// them where at is zero.
func (p *prover) early(runs []fleet.Run, at time.Time) []fleet.Run {
	for len(runs) > 0 && (at.IsZero() || runs[0].Due.Before(at)) {
		run := &runs[0]
		if run.Due.After(p.told) {
			p.blame(api.FaultNotDue, run.Due, run.ID, "a record says %s, and nothing was due then", run.State)
		} else {
			p.blame(api.FaultDoubled, run.Due, run.ID, "a record says %s, and another one tells of that instant already", run.State)
		}
		runs = runs[1:]
	}
	return runs
}

// take passes over the instants that a record tells of, and returns the next.
func (p *prover) take(run *fleet.Run, clock fleet.Clock, at, last time.Time) (time.Time, bool) {
	end, n, ok := run.Due, 0, true
	if run.Until != nil && run.Until.After(end) {
		end = *run.Until
	}
	if end.After(last) {
		end = last
	}
	for ; ok && !at.After(end); at, ok = clock.Next(at) {
		n, p.told = n+1, at
	}
	p.proof.Due += n
	if n != run.Instants() {
		p.blame(api.FaultMiscount, run.Due, run.ID, "a record tells of %d instants up to %s, and %d were due", run.Instants(), end.Format(time.RFC3339), n)
	}
	return at, ok
}
