package ledger

import (
	"bytes"
	"maps"
	"time"

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

// jobRow is a found job on disk.
type jobRow struct {
	Job       fleet.Job `json:"job"`
	FirstSeen time.Time `json:"first_seen"`
	Changed   time.Time `json:"changed"`
}

func (cmd *RecordReport) apply(c *change) any {
	if c.get(inHosts, key(string(cmd.Host))) == nil {
		return unknownHost(cmd.Host)
	}
	if refusal := recordable(cmd.Report.Jobs); refusal != nil {
		return refusal
	}
	host := string(cmd.Host)
	if old, found := stored[reportRow](c, inReports, key(host)); found && old.Hash == cmd.Hash {
		return Recorded{}
	}
	result := cmd.writeJobs(c)
	report := reportRow{
		Scanned: cmd.Report.Scanned, Recorded: cmd.At, Hash: cmd.Hash,
		Jobs: len(cmd.Report.Jobs), Problems: len(cmd.Report.Problems), Broken: broken(cmd.Report.Jobs),
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

func (cmd *RecordReport) writeJobs(c *change) Recorded {
	result := Recorded{Changed: true}
	host := string(cmd.Host)
	gone := map[string]bool{}
	for _, k := range c.keys(inJobs, prefix(host)) {
		gone[string(k)] = true
	}
	for _, job := range cmd.Report.Jobs {
		job.Evidence = nil // rides in sightings
		k := key(host, string(job.ID))
		old, found := stored[jobRow](c, inJobs, k)
		delete(gone, string(k))
		if next, differs := old.next(job, found, cmd.At); differs {
			c.put(inJobs, k, encode(next))
			result.Written++
		}
	}
	result.Removed = len(gone)
	for k := range sorted(gone) {
		c.delete(inJobs, []byte(k))
	}
	forgetSightings(c, cmd.Host)
	return result
}

// next returns the row for the job as it is now, and whether it must be
// written. The coming instants alone are no reason: they differ in each scan
// and follow from the schedule.
func (old jobRow) next(job fleet.Job, found bool, at time.Time) (jobRow, bool) {
	if !found {
		return jobRow{Job: job, FirstSeen: at, Changed: at}, true
	}
	next := jobRow{Job: job, FirstSeen: old.FirstSeen, Changed: old.Changed}
	if !sameJob(&old.Job, &job) {
		next.Changed = at
	}
	still := next
	still.Job.Next = old.Job.Next
	return next, !bytes.Equal(encode(old), encode(still))
}

// sameJob reports whether two readings of a job run the same way. The line it
// stands on and the evidence of its last run do not count.
func sameJob(a, b *fleet.Job) bool {
	return a.Schedule == b.Schedule && a.Timezone == b.Timezone && a.Command == b.Command &&
		a.Enabled == b.Enabled && a.Verdict == b.Verdict && maps.Equal(a.Env, b.Env)
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
