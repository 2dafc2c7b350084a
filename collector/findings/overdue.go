package findings

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// How long after its instant a job may be seen to start before it is overdue.
// The host tells what it saw within five minutes; the rest is what the
// mechanism itself may take.
const (
	graceCron    = 15 * time.Minute
	graceParts   = 2 * time.Hour // the programs of a directory run one after another
	graceAnacron = 24 * time.Hour
	graceMost    = 24 * time.Hour // of timers: a period of theirs, for their random delays are not longer
)

// expect notes the first instant at which the job should have started after it
// last did. Where the host would not have seen a start, nothing is expected.
func (r *row) expect(host *Host, job *api.JobView, page *page) {
	covered, known := host.Since[job.Kind]
	if !known || !r.is(runs) || job.Unseen || job.Kind == fleet.KindAt || job.Adopted != "" {
		return
	}
	base := covered
	later := func(at time.Time) {
		if at.After(base) {
			base = at
		}
	}
	if job.Changed.After(job.FirstSeen) {
		later(job.Changed)
	}
	if job.Evidence != nil { // it was there when it ran, whoever knew of it
		later(job.Evidence.Last)
	} else {
		later(job.FirstSeen)
	}
	clock := page.clock
	if r.when.Value().Rules == Period { // counts from its last start, not from an instant of the clock
		r.due = base.Add(r.when.Value().period).Unix()
		r.grace = int32(r.patience(0).Seconds())
		return
	}
	due, ok := clock.Next(base)
	if !ok {
		return
	}
	next, ok := clock.Next(due)
	if !ok {
		next = due.Add(graceMost)
	}
	r.due, r.grace = due.Unix(), int32(r.patience(next.Sub(due)).Seconds())
}

// patience is the grace of the job, which has this long between two starts.
func (r *row) patience(period time.Duration) time.Duration {
	switch {
	case r.when.Value().Rules == Period && r.kind == fleet.KindTimer:
		return min(max(r.when.Value().period, graceCron), graceMost)
	case r.when.Value().Rules == Period:
		return graceAnacron
	case r.kind == fleet.KindTimer:
		return min(max(period, graceCron), graceMost)
	case r.kind == fleet.KindRunParts:
		return graceParts
	}
	return graceCron
}

// overdue returns the instant at which the job should have started and did
// not, as far as that is known now: what was due while the host was silent may
// have started, and what was due while it was down could not.
func (r *row) overdue(host *Host, known *almanac, now time.Time) (time.Time, bool) {
	if r.due == 0 {
		return time.Time{}, false
	}
	due, grace := time.Unix(r.due, 0).UTC(), time.Duration(r.grace)*time.Second
	if due.Before(host.Back) {
		if r.when.Value().Rules == Period {
			due = host.Back.Add(r.when.Value().period)
		} else {
			next, ok := known.page(r.when.Value()).clock.Next(host.Back.Add(-1))
			if !ok {
				return time.Time{}, false
			}
			due = next
		}
	}
	if now.Before(due.Add(grace)) || !host.Quiet.IsZero() && host.Quiet.Before(due.Add(grace)) {
		return time.Time{}, false
	}
	return due, true
}

// missed counts the instants from the first to now, up to a limit.
func (r *row) missed(first time.Time, known *almanac, now time.Time) int {
	const most = 1000
	when := r.when.Value()
	if when.Rules == Period {
		return 1 + int(now.Sub(first)/when.period)
	}
	clock, n := known.page(when).clock, 0
	for at, ok := first, true; ok && at.Before(now) && n < most; at, ok = clock.Next(at) {
		n++
	}
	return n
}
