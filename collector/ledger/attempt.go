package ledger

import (
	"cmp"
	"slices"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// instantDigits is how much of a run's id tells when it was made, which all
// attempts of an occurrence share.
const instantDigits = 13

// sameOccurrence reports whether two runs are attempts of one occurrence.
func sameOccurrence(a, b *fleet.Run) bool { return a.LeadsTo(b) || b.LeadsTo(a) }

// madeTogether returns the range of a host's runs that were made in the same
// millisecond as the run: few, and all attempts of its occurrence are among them.
func madeTogether(run *fleet.Run) (own, start []byte) {
	own = prefix(string(run.Host))
	return own, append(slices.Clone(own), run.ID[:min(instantDigits, len(run.ID))]...)
}

// otherAttempts returns the runs of the same occurrence that were heard of.
func otherAttempts(c *change, run *fleet.Run) (others []fleet.Run) {
	own, start := madeTogether(run)
	each(c.bucket(inRunsByHost), start, nil, func(k, _ []byte) bool {
		other, found := storedRun(c, fleet.RunID(k[len(own):]))
		if found && sameOccurrence(&other, run) {
			others = append(others, other)
		}
		return true
	})
	return others
}

// lastAttempt returns the last of them, or nil.
func lastAttempt(runs []fleet.Run) (last *fleet.Run) {
	for i := range runs {
		if last == nil || runs[i].Attempt > last.Attempt {
			last = &runs[i]
		}
	}
	return last
}

// wholeOccurrence returns the run with all other attempts of its occurrence, or
// nothing where that has no outcome yet: they are removed together.
func wholeOccurrence(c *change, run *fleet.Run) []fleet.Run {
	attempts := []fleet.Run{*run}
	if run.Again != nil || run.Attempt > 1 {
		attempts = append(attempts, otherAttempts(c, run)...)
	}
	if last := lastAttempt(attempts); !last.State.Terminal() || last.Attempted() {
		return nil
	}
	return attempts
}

// Attempts returns every attempt of the occurrence that a run belongs to, the
// first one first.
func (l *Ledger) Attempts(scope fleet.Scope, id fleet.RunID) (attempts []fleet.Run, err error) {
	run, err := l.Run(scope, id)
	if err != nil {
		return nil, err
	}
	own, start := madeTogether(&run)
	err = l.view(func(r *reader) (err error) {
		each(r.bucket(inRunsByHost), start, nil, func(k, _ []byte) bool {
			var found compact.Run
			found, _, err = row[compact.Run](r, inRuns, k[len(own):])
			if one := found.Whole(); err == nil && (one.ID == id || sameOccurrence(&one, &run)) {
				attempts = append(attempts, one)
			}
			return err == nil
		})
		return err
	})
	slices.SortFunc(attempts, func(a, b fleet.Run) int {
		return cmp.Or(cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.ID, b.ID))
	})
	return attempts, err
}
