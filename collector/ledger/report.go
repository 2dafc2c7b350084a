package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// RecordReport records what a scan found. It returns Recorded. A report whose
// hash is the one on record writes nothing; otherwise only the jobs that
// differ are written. Evidence in it is not: RecordSightings brings that.
type RecordReport struct {
	Host   fleet.HostID `json:"host"`
	Report fleet.Report `json:"report"`
	Hash   string       `json:"hash"` // Report.ContentHash()
	At     time.Time    `json:"at"`
}

// Recorded says what became of a report.
type Recorded struct {
	Changed bool `json:"changed"` // the content was not known already
	Written int  `json:"written"` // jobs new or different
	Removed int  `json:"removed"` // jobs that are no longer there
}

// reportRow is a report on disk, without its jobs and problems.
type reportRow struct {
	Scanned  time.Time `json:"scanned"`
	Recorded time.Time `json:"recorded"`
	Hash     string    `json:"hash"`
	Jobs     int       `json:"jobs"`
	Broken   int       `json:"broken"`
	Problems int       `json:"problems"`
}

func (cmd *RecordReport) apply(c *change) any {
	if c.get(inHosts, key(string(cmd.Host))) == nil {
		return unknownHost(cmd.Host)
	}
	if refusal := recordable(cmd.Report.Jobs); refusal != nil {
		return refusal
	}
	host := string(cmd.Host)
	old, found := stored[reportRow](c, inReports, key(host))
	if found && old.Hash == cmd.Hash {
		return Recorded{}
	}
	at := cmd.At
	if !compact.Plausible(&at) {
		return fleet.Invalidf("at", at.UTC().Format(time.RFC3339), "want an instant between 1970 and 2200")
	}
	if found && !at.After(old.Recorded) {
		at = old.Recorded.Add(1) // proposers' clocks differ; a host's history goes one way
	}
	result, jobs := cmd.writeJobs(c, at)
	report := reportRow{
		Scanned: cmd.Report.Scanned, Recorded: at, Hash: cmd.Hash,
		Jobs: len(jobs), Problems: len(cmd.Report.Problems), Broken: broken(jobs),
	}
	c.put(inReports, key(host), encode(report))
	if problems := encode(cmd.Report.Problems); !bytes.Equal(problems, c.get(inProblems, key(host))) {
		c.put(inProblems, key(host), problems)
	}
	c.hosts = append(c.hosts, cmd.Host)
	c.notify(Jobs)
	c.after(func(l *Ledger) { l.memory.setReport(cmd.Host, report) })
	return result
}

// recordable refuses jobs that could not be kept apart.
func recordable(jobs []fleet.Job) *fleet.Error {
	seen := make(map[fleet.JobID]bool, len(jobs))
	for _, job := range jobs {
		if id := string(job.ID); !keyable(id) || seen[job.ID] {
			return fleet.Invalidf("jobs.id", id, "every job needs an id of its own, of 1–%d bytes", maxKeyPart)
		}
		seen[job.ID] = true
	}
	return nil
}

// writeJobs writes what differs and its history, and returns the jobs that the
// host has now.
func (cmd *RecordReport) writeJobs(c *change, at time.Time) (Recorded, []fleet.Job) {
	result := Recorded{Changed: true}
	past := history{c: c, host: string(cmd.Host), at: at}
	old := storedJobs(c, past.host)
	var fresh []*fleet.Job
	jobs := slices.Clone(cmd.Report.Jobs)
	stale := map[string]*time.Time{} // sources that could not be read
	for i := range jobs {
		job := &jobs[i]
		job.Evidence = nil // rides in sightings
		if job.Stale != nil {
			stale[job.Source] = job.Stale
		}
		was, known := old[job.ID]
		if !known {
			fresh = append(fresh, job)
			continue
		}
		delete(old, job.ID)
		next, what, differs := was.next(*job, at)
		if what != 0 {
			past.note(was, job.ID, what)
		}
		if differs {
			c.put(inJobs, key(past.host, string(job.ID)), encode(next))
			result.Written++
		}
	}
	gone := make([]*jobRow, 0, len(old))
	for _, was := range sorted(old) {
		if since := stale[was.Job.Source]; since == nil {
			gone = append(gone, was)
		} else { // nobody saw it vanish
			if was.Job.Stale == nil {
				was.Job.Stale = since
				c.put(inJobs, key(past.host, string(was.Job.ID)), encode(was))
				result.Written++
			}
			jobs = append(jobs, was.Job)
		}
	}
	past.replace(gone, fresh)
	past.write()
	forgetSightings(c, cmd.Host)
	result.Written += len(fresh)
	result.Removed = len(gone)
	return result, jobs
}

// storedJobs returns the jobs of a host as they are on record.
func storedJobs(c *change, host string) map[fleet.JobID]*jobRow {
	jobs := map[fleet.JobID]*jobRow{}
	err := eachRow(&c.reader, inJobs, prefix(host), func(_ []byte, row jobRow) bool {
		jobs[row.Job.ID] = &row
		return true
	})
	if err != nil {
		panic(unwritten{fmt.Errorf("read jobs: %w", err)})
	}
	return jobs
}

// replace removes the jobs that are gone and writes the new ones. A job that
// was moved or edited in place is both, and one change.
func (h *history) replace(gone []*jobRow, fresh []*fleet.Job) {
	slices.SortFunc(gone, func(a, b *jobRow) int { return bySource(a.Job, b.Job) })
	slices.SortFunc(fresh, func(a, b *fleet.Job) int { return bySource(*a, *b) })
	became := match(gone, fresh)
	matched := map[fleet.JobID]bool{}
	for _, job := range fresh {
		next := jobRow{Job: *job, FirstSeen: h.at, Changed: h.at}
		if was := became[job.ID]; was == nil {
			h.note(nil, job.ID, appeared)
		} else {
			matched[was.Job.ID] = true
			what := compareJobs(&was.Job, job)
			h.note(was, job.ID, what)
			if what&bitOf(fleet.ChangeCommand) == 0 { // it is the same, elsewhere
				next.FirstSeen = was.FirstSeen
				h.bring(was.Job.ID, job.ID)
			}
		}
		h.c.put(inJobs, key(h.host, string(job.ID)), encode(next))
	}
	for _, was := range gone {
		if !matched[was.Job.ID] {
			h.note(was, was.Job.ID, vanished)
		}
		h.c.delete(inJobs, key(h.host, string(was.Job.ID)))
	}
}

// bring takes the evidence of a job along to its new id.
func (h *history) bring(was, is fleet.JobID) {
	seen, next := h.c.get(inSightings, key(h.host, string(was))), key(h.host, string(is))
	if seen != nil && h.c.get(inSightings, next) == nil {
		h.c.put(inSightings, next, bytes.Clone(seen))
	}
}

// next returns the row for the job as it is now, what changed, and whether the
// row must be written. The coming instants alone are no reason: they differ in
// each scan and follow from the schedule. What could not be read did not change.
func (old *jobRow) next(job fleet.Job, at time.Time) (next jobRow, what whats, differs bool) {
	next = jobRow{Job: job, FirstSeen: old.FirstSeen, Changed: old.Changed}
	if job.Stale == nil {
		what = compareJobs(&old.Job, &job)
	}
	if what != 0 {
		next.Changed = at
	}
	still := next
	still.Job.Next = old.Job.Next
	return next, what, !bytes.Equal(encode(old), encode(still))
}

func broken(jobs []fleet.Job) (n int) {
	for i := range jobs {
		if !jobs[i].Verdict.Runs {
			n++
		}
	}
	return n
}

func unknownHost(id fleet.HostID) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no host %s", id).WithCode("unknown_host").
		WithHint("the agent registers the host before it reports")
}
