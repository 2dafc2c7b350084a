package discover

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// confirmAfter is how long bad news must last to be told: whoever writes a
	// file anew takes its jobs away for an instant.
	confirmAfter = 500 * time.Millisecond
	// maxHeld is how long a report is held back at most, however often the
	// bad news changes.
	maxHeld = 1200 * time.Millisecond
)

// aside is what is known of a found job beside the job.
type aside struct {
	secret   bool   // its command holds one
	origin   string // the source, and the part of it, that it was found in
	schedule cron.Schedule
	location *time.Location // nil: the schedule does not say when it comes
	table    *standing      // of a table's job; nil: it was reached by a link
}

// standing is a file that was read, as it was then.
type standing struct {
	path string // in the tree, through no link
	stat unix.Stat_t
}

// next tells the coming instants again where some of them have passed. The
// old ones are left alone: others may hold them.
func (a *aside) next(due []time.Time, now time.Time, n int) []time.Time {
	if len(due) == 0 || due[0].After(now) {
		return due
	}
	if a.location != nil {
		return upcoming(a.schedule, now.In(a.location), n)
	}
	for len(due) > 0 && !due[0].After(now) {
		due = due[1:]
	}
	return due
}

// failed notes what could not be looked at. Whether its jobs are gone cannot
// be said then, unless the error itself says what is there.
func (f *found) failed(source string, err error) {
	f.problem(source, 0, "", reason(err))
	if passing(err) {
		f.unread = append(f.unread, source)
	}
}

// passing reports whether an error tells nothing of what is there.
func passing(err error) bool {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return errors.Is(err, errReplaced)
	}
	return !slices.Contains([]syscall.Errno{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EISDIR, unix.ENAMETOOLONG, unix.ENXIO}, number)
}

// lastGood is the last good state of what the scans of a tree found.
type lastGood struct {
	jobs     []fleet.Job
	asides   []aside
	problems []fleet.Problem
	known    map[fleet.JobID]int // where a job stands among them
	bad      map[fleet.JobID]time.Time
	held     time.Time // since when the report is held back; zero: it is not
	scanned  bool
}

// settle makes of what one scan found what is told: what could not be read
// keeps its last good state, and bad news waits for a second look.
func (m *lastGood) settle(all *found, now, real time.Time, n int) {
	current := make(map[fleet.JobID]int, len(all.jobs))
	for i := range all.jobs {
		current[all.jobs[i].ID] = i
	}
	if m.keep(all, current, now, real, n) {
		all.sort()
		clear(current)
		for i := range all.jobs {
			current[all.jobs[i].ID] = i
		}
	}
	if m.hold(all, current, real) {
		all.jobs, all.asides, all.problems = slices.Clone(m.jobs), m.asides, m.problems
		return
	}
	m.jobs, m.asides, m.problems, m.known = slices.Clone(all.jobs), all.asides, all.problems, current
	m.scanned = true
}

// keep puts the jobs of what could not be read back, as they were when it
// could, and reports whether there are any. What was made of a part of a job's
// files does not count.
func (m *lastGood) keep(all *found, current map[fleet.JobID]int, now, real time.Time, n int) bool {
	since := real.UTC().Truncate(time.Second)
	parts := make(map[string]bool)
	missing := all.gaps()
	var kept found
	for i := range m.jobs {
		at, there := current[m.jobs[i].ID]
		exactly, within := missing.hold(m.jobs[i].Source, m.asides[i].origin)
		if there && !exactly {
			m.opinion(all, at, i)
			continue
		}
		if !within {
			continue
		}
		parts[m.jobs[i].Source] = exactly
		job := m.jobs[i]
		job.Next = m.asides[i].next(job.Next, now, n)
		if job.Stale == nil {
			job.Stale = &since
		}
		kept.jobs, kept.asides = append(kept.jobs, job), append(kept.asides, m.asides[i])
	}
	if len(kept.jobs) == 0 {
		return false
	}
	whole := found{jobs: all.jobs[:0], asides: all.asides[:0]}
	for i := range all.jobs {
		if !parts[all.jobs[i].Source] {
			whole.jobs, whole.asides = append(whole.jobs, all.jobs[i]), append(whole.asides, all.asides[i])
		}
	}
	all.jobs, all.asides = append(whole.jobs, kept.jobs...), append(whole.asides, kept.asides...)
	return true
}

// opinion keeps what was thought of a job where nobody could look at what it
// starts.
func (m *lastGood) opinion(all *found, at, i int) {
	last, job := &m.jobs[i], &all.jobs[at]
	if !all.unjudged || !job.Verdict.Runs || job.Container != "" {
		return
	}
	job.Risks = last.Risks
	if !last.Verdict.Runs && (last.Verdict.Code == fleet.NoCommand || last.Verdict.Code == fleet.NotExecutable || last.Verdict.Code == fleet.LockedUser) {
		job.Verdict, job.Next = last.Verdict, nil
	}
}

// gaps are what one scan could not read.
type gaps struct {
	files map[string]bool // and directories
	hung  map[string]bool // sources, and parts of them
}

func (f *found) gaps() gaps {
	g := gaps{make(map[string]bool, len(f.unread)), make(map[string]bool, len(f.hung))}
	for _, name := range f.unread {
		g.files[name] = true
	}
	for _, name := range f.hung {
		g.hung[name] = true
	}
	return g
}

// hold reports whether the file of a job could not be read, or what it was
// found in.
func (g *gaps) hold(source, origin string) (exactly, within bool) {
	if g.files[source] {
		return true, true
	}
	row, _, _ := strings.Cut(origin, "\x00")
	if g.hung[everything] || g.hung[row] || g.hung[origin] {
		return false, true
	}
	for i := len(source) - 1; i > 0 && len(g.files) > 0; i-- {
		if source[i] == '/' && g.files[source[:i]] {
			return false, true
		}
	}
	return false, false
}

// everything hangs where nothing could be looked at.
const everything = "/"

// hold reports whether a job is gone or runs no more, and that was not yet so
// at an earlier look.
func (m *lastGood) hold(all *found, current map[fleet.JobID]int, real time.Time) bool {
	bad := make(map[fleet.JobID]time.Time)
	young := false
	for i := range m.jobs {
		last := &m.jobs[i]
		at, there := current[last.ID]
		if there && (all.jobs[at].Verdict.Runs || !last.Verdict.Runs) {
			continue
		}
		since, known := m.bad[last.ID]
		if !known {
			since = real
		}
		bad[last.ID] = since
		young = young || real.Sub(since) < confirmAfter
	}
	m.bad = bad
	if m.held.IsZero() {
		m.held = real
	}
	if m.scanned && young && real.Sub(m.held) < maxHeld {
		return true
	}
	m.bad, m.held = nil, time.Time{}
	return false
}
