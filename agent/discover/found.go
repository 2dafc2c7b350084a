package discover

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// found is what one source found.
type found struct {
	jobs     []fleet.Job
	problems []fleet.Problem
	calls    []call
	parts    []part // yet to be looked at
	opinions []opinion
	asides   []aside         // of the jobs, in their order; fewer where there is nothing to say
	unread   []string        // files and directories that could not be read
	hung     []string        // sources, and parts of them, of which nothing was read
	unjudged bool            // nobody could look at what jobs start
	notes    []note          // of all that was looked at
	fleeting bool            // it depends on more than that and the time of the jobs
	kept     bool            // it is what was found before
	remote   map[string]bool // mount points, when jobs were judged
	// elsewhere are the sources of jobs that run in another root.
	elsewhere []string
	bytes     int
	left      int    // jobs left out for want of room
	buffer    []byte // of the file read last
	env       environment
}

func (f *found) problem(source string, line int, text, reason string) {
	switch n := len(f.problems); {
	case n < fleet.MaxReportProblems-1:
		f.problems = append(f.problems, fleet.Problem{Source: source, Line: line, Text: printable(text), Reason: printable(reason)})
	case n < fleet.MaxReportProblems:
		f.problems = append(f.problems, fleet.Problem{Source: "/", Reason: fmt.Sprintf("there are more problems than the %d a report holds", n)})
	}
}

// room reports whether another job of that many bytes fits into a report.
func (f *found) room(bytes int) bool {
	if f.bytes+bytes > maxReportBytes || len(f.jobs) >= fleet.MaxReportJobs {
		f.left++
		return false
	}
	f.bytes += bytes
	return true
}

// from notes which source, or part of one, the jobs were found in.
func (f *found) from(origin string) {
	f.level()
	for i := range f.asides {
		f.asides[i].origin = origin
	}
	for i := range f.hung {
		f.hung[i] = origin
	}
}

// level makes the asides as many as the jobs.
func (f *found) level() {
	if n := len(f.jobs) - len(f.asides); n > 0 {
		f.asides = append(f.asides, make([]aside, n)...)
	}
}

func (f *found) add(other *found) {
	f.level()
	other.level()
	if f.bytes+other.bytes <= maxReportBytes && len(f.jobs)+len(other.jobs) <= fleet.MaxReportJobs {
		f.jobs, f.asides = append(f.jobs, other.jobs...), append(f.asides, other.asides...)
		f.bytes += other.bytes
	} else {
		for i, job := range other.jobs {
			if f.room(size(&job)) {
				f.jobs, f.asides = append(f.jobs, job), append(f.asides, other.asides[i])
			}
		}
	}
	f.left += other.left
	f.unread, f.hung = append(f.unread, other.unread...), append(f.hung, other.hung...)
	f.elsewhere = append(f.elsewhere, other.elsewhere...)
	for _, p := range other.problems {
		f.problem(p.Source, p.Line, p.Text, p.Reason)
	}
}

// size is what a job's command and environment take in a report.
func size(job *fleet.Job) int {
	n := len(job.Command)
	for name, value := range job.Env {
		n += len(name) + len(value)
	}
	return n
}

// identify gives every job its fingerprint and the id it has unless there is
// another like it. Secrets are left out of both: whoever knows a hash could
// try out what they are.
func (f *found) identify() {
	f.level()
	for i := range f.jobs {
		job, secret := &f.jobs[i], &f.asides[i].secret
		if job.ID != "" {
			continue
		}
		var command string
		if command, *secret = secretless(job); *secret && job.Kind == fleet.KindCron {
			shell, _, _ := cron.Percent(job.Command) // what else is masked is its input
			_, *secret = mask.Constant(shell, false)
		}
		job.ID, job.Fingerprint = fleet.Identity(job.Kind, job.Source, job.User, command)
	}
}

func secretless(job *fleet.Job) (string, bool) {
	return mask.ConstantOf(job)
}

// sorted puts what was found into an order that is the same for the same tree,
// and tells equal jobs apart.
func (f *found) sorted() ([]fleet.Job, []fleet.Problem) {
	f.sort()
	slices.SortStableFunc(f.problems, func(a, b fleet.Problem) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line))
	})
	ordinals := make(map[fleet.JobID]int, len(f.jobs))
	for i := range f.jobs {
		job := &f.jobs[i]
		first := job.ID
		if n := ordinals[first]; n > 0 {
			command, _ := secretless(job)
			job.ID = fleet.NewJobID(job.Kind, job.Source, job.User, command, n)
		}
		ordinals[first]++
	}
	if f.left > 0 && len(f.problems) < fleet.MaxReportProblems {
		f.problem("/", 0, "", fmt.Sprintf("%d jobs are left out: a report holds %d jobs and %d MiB of commands", f.left, fleet.MaxReportJobs, maxReportBytes>>20))
	}
	if f.jobs == nil {
		f.jobs = []fleet.Job{} // not null in JSON
	}
	if f.problems == nil {
		f.problems = []fleet.Problem{}
	}
	return f.jobs, f.problems
}

func (f *found) sort() {
	f.level()
	sort.Stable((*inPlace)(f))
}

// inPlace sorts jobs by where they stand. It swaps by index: a job is too large
// to be handed about.
type inPlace found

func (f *inPlace) Len() int { return len(f.jobs) }

func (f *inPlace) Less(i, k int) bool {
	a, b := &f.jobs[i], &f.jobs[k]
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line)) < 0
}

func (f *inPlace) Swap(i, k int) {
	f.jobs[i], f.jobs[k] = f.jobs[k], f.jobs[i]
	f.asides[i], f.asides[k] = f.asides[k], f.asides[i]
}
