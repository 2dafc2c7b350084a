package ledger

import (
	"bytes"
	"time"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// pruneLimit is how many runs one Prune removes when it names no limit: few
// enough that other entries need not wait for it.
const pruneLimit = 5_000

// Prune removes what is old. It returns Pruned. A run without an outcome is
// kept, however old; the attempts of an occurrence go together.
type Prune struct {
	At         time.Time `json:"at"`           // orders, acknowledgements and remembered requests that expired by then go
	RunsBefore time.Time `json:"runs_before"`  // runs whose id was made before go; zero: none for their age
	RunsOfTask int       `json:"runs_of_task"` // of each task only so many of the newest stay; zero: all
	Limit      int       `json:"limit"`        // runs to remove at most, but for attempts that go together, and as many changes of jobs; zero: 5000
	// ChangesBefore is from when on the history of found jobs stays, and the
	// adoptions that are over; zero: all.
	ChangesBefore time.Time `json:"changes_before,omitzero"`
	// TrustBefore is from when on tokens that expired, were used or revoked stay,
	// and the policies of hosts that were revoked; zero: all.
	TrustBefore time.Time `json:"trust_before,omitzero"`
	// ProofsBefore is from when on proofs stay, and ProofBytes how much they may
	// take in all; zero: all.
	ProofsBefore time.Time `json:"proofs_before,omitzero"`
	ProofBytes   int64     `json:"proof_bytes,omitempty"`
}

// Pruned says what a Prune removed.
type Pruned struct {
	Runs     int  `json:"runs"`
	Orders   int  `json:"orders"`
	Requests int  `json:"requests"`
	Acks     int  `json:"acks,omitempty"`
	Changes  int  `json:"changes,omitempty"` // of found jobs
	Proofs   int  `json:"proofs,omitempty"`  // blocks of them
	More     bool `json:"more"`              // the limit was reached: prune again
}

func (cmd *Prune) apply(c *change) any {
	limit := cmd.Limit
	if limit <= 0 {
		limit = pruneLimit
	}
	var pruned Pruned
	pruned.Orders = dropOrders(c, byExpiry, func(order fleet.Order) bool {
		return !order.Expires.IsZero() && !order.Expires.After(cmd.At)
	})
	pruned.Requests = forgetRequests(c, cmd.At)
	pruneLeases(c, cmd.At)
	pruned.Acks = dropAcks(c, cmd.At)
	pruned.Runs = cmd.removeOld(c, limit)
	pruned.Runs += cmd.removeSurplus(c, limit-pruned.Runs)
	pruned.Changes = cmd.forgetChanges(c, limit)
	cmd.forgetAdoptions(c)
	cmd.expireRequests(c)
	cmd.forgetEnvelopes(c)
	cmd.forgetTokens(c)
	cmd.forgetJoinTokens(c)
	cmd.forgetPolicies(c)
	pruned.Proofs = cmd.dropProofs(c, limit)
	pruned.More = pruned.Runs >= limit || pruned.Changes >= limit || pruned.Proofs >= limit
	if pruned.Runs > 0 {
		c.notify(Runs)
	}
	return pruned
}

// removeOld removes runs made before RunsBefore, and the counts of their hours.
func (cmd *Prune) removeOld(c *change, limit int) int {
	if cmd.RunsBefore.IsZero() {
		return 0
	}
	var old goners
	each(c.bucket(inRuns), nil, nil, func(id, _ []byte) bool {
		made, tells := madeAt(id)
		if tells && !made.Before(cmd.RunsBefore) || len(old.runs) >= limit {
			return false
		}
		run, _ := storedRun(c, fleet.RunID(id))
		if tells || run.Due.Before(cmd.RunsBefore) {
			old.add(c, &run)
		}
		return true
	})
	removeRuns(c, old.runs)
	gone := false
	for _, k := range c.keys(inHours, nil) {
		if number(k) >= hourNumber(cmd.RunsBefore) {
			break
		}
		c.delete(inHours, k)
		gone = true
	}
	if !gone {
		return len(old.runs)
	}
	for _, k := range c.keys(inHoursOf, nil) {
		if number(k[len(k)-8:]) < hourNumber(cmd.RunsBefore) {
			c.delete(inHoursOf, k)
		}
	}
	return len(old.runs)
}

// goners collects runs that go.
type goners struct {
	runs  []fleet.Run
	among map[fleet.RunID]bool // of occurrences with several attempts
}

// add takes a run along, with all attempts of its occurrence, if that is over.
func (g *goners) add(c *change, run *fleet.Run) {
	if !run.State.Terminal() || g.among[run.ID] {
		return
	}
	all := wholeOccurrence(c, run)
	g.runs = append(g.runs, all...)
	if len(all) < 2 {
		return
	}
	if g.among == nil {
		g.among = map[fleet.RunID]bool{}
	}
	for i := range all {
		g.among[all[i].ID] = true
	}
}

// removeSurplus removes the oldest runs of tasks that have too many.
func (cmd *Prune) removeSurplus(c *change, limit int) int {
	if cmd.RunsOfTask <= 0 || limit <= 0 {
		return 0
	}
	var surplus goners
	each(c.bucket(inKept), nil, nil, func(task, kept []byte) bool {
		if excess := min(int(number(kept))-cmd.RunsOfTask, limit-len(surplus.runs)); excess > 0 {
			surplus.oldest(c, string(task), excess)
		}
		return len(surplus.runs) < limit
	})
	removeRuns(c, surplus.runs)
	return len(surplus.runs)
}

// oldest adds the n oldest runs of a task, leaving out those without an outcome.
func (g *goners) oldest(c *change, task string, n int) {
	own := prefix(task)
	each(c.bucket(inRunsByTask), own, nil, func(k, _ []byte) bool {
		if run, found := storedRun(c, fleet.RunID(k[len(own):])); found {
			g.add(c, &run)
		}
		n--
		return n > 0
	})
}

// forgetChanges removes what changed before ChangesBefore and the versions that
// ended with it. What stands since is kept, however old.
func (cmd *Prune) forgetChanges(c *change, limit int) (forgotten int) {
	before := cmd.ChangesBefore
	if !compact.Plausible(&before) {
		return 0
	}
	var old [][]byte
	each(c.bucket(inChanges), nil, nil, func(k, v []byte) bool {
		if number(k[:8]) >= uint64(before.UnixNano()) || forgotten >= limit {
			return false
		}
		entries, _ := stored[[]changed](c, inChanges, k)
		forgotten += len(entries)
		old = append(old, bytes.Clone(k))
		return true
	})
	for _, k := range old {
		forgetChange(c, k)
	}
	if before.After(c.historySince()) && len(old) > 0 {
		c.put(inMeta, historyKey, bigEndian(uint64(before.UnixNano())))
	}
	return forgotten
}

func forgetChange(c *change, k []byte) {
	entries, _ := stored[[]changed](c, inChanges, k)
	host := string(k[8:])
	for _, entry := range entries {
		if version := endedBy(c, host, entry.before(), k[:8]); version != nil {
			c.delete(inVersions, version)
		}
	}
	c.delete(inChangesByHost, append(prefix(host), k[:8]...))
	c.delete(inChanges, k)
}

// endedBy returns where the version of a job lies that ended at the instant. It
// walks forwards, where the oldest is the first: a cursor of bbolt that walks
// backwards stops at pages that this transaction emptied.
func endedBy(c *change, host string, job fleet.JobID, until []byte) (version []byte) {
	each(c.bucket(inVersions), prefix(host, string(job)), nil, func(k, v []byte) bool {
		if bytes.Equal(v[:8], until) {
			version = bytes.Clone(k)
		}
		return version == nil
	})
	return version
}

func removeRuns(c *change, runs []fleet.Run) {
	less := map[fleet.TaskID]int{}
	for i := range runs {
		removeRun(c, &runs[i])
		less[runs[i].Task]--
	}
	for task, n := range sorted(less) {
		addKept(c, task, n)
	}
	forgetRuns(c, runs)
}
