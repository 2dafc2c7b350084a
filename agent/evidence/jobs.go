package evidence

import (
	"bytes"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// jobs finds the jobs of a report by what is logged of them.
type jobs struct {
	list    []fleet.Job
	named   map[string][]int // by name: what a line says of a job, see key
	sorted  []string         // the names of commands, for lines that were cut
	clocks  map[int]clockOf
	callers []int // jobs that call run-parts
	scratch []byte
}

// clockOf is when a job is due.
type clockOf struct {
	schedule cron.Schedule
	zone     *time.Location
	known    bool
}

// name appends the name under which a job is looked up.
func name(buffer []byte, kind fleet.JobKind, user string, text []byte) []byte {
	buffer = append(append(buffer, kind...), 0)
	buffer = append(append(buffer, user...), 0)
	return canonical(buffer, text)
}

// newJobs reads a report. idents are the names of anacron's jobs, by line.
func newJobs(report *fleet.Report, idents map[int]string) *jobs {
	j := &jobs{list: report.Jobs, named: make(map[string][]int, len(report.Jobs)), clocks: make(map[int]clockOf)}
	add := func(i int, user, text string) {
		key := string(name(nil, j.list[i].Kind, user, []byte(text)))
		j.named[key] = append(j.named[key], i)
	}
	for i := range j.list {
		job := &j.list[i]
		switch {
		case job.Container != "": // it logs to somebody else
			continue
		case job.Kind == fleet.KindCron:
			for _, text := range renderings(job.Command) {
				add(i, job.User, text)
			}
		case job.Kind == fleet.KindAnacron:
			if ident := idents[job.Line]; ident != "" {
				add(i, "", ident)
			}
		case job.Kind == fleet.KindRunParts:
			add(i, "", job.Source)
		case job.Kind == fleet.KindTimer && system(job):
			add(i, "", serviceOf(job))
		}
		if job.Kind != fleet.KindRunParts && strings.Contains(job.Command, "run-parts") {
			j.callers = append(j.callers, i)
		}
	}
	for key := range j.named {
		if strings.HasPrefix(key, string(fleet.KindCron)+"\x00") {
			j.sorted = append(j.sorted, key)
		}
	}
	sort.Strings(j.sorted)
	return j
}

// system reports whether a timer is the system's. The journal tells of those.
func system(job *fleet.Job) bool { return strings.Contains(job.Source, "/systemd/system/") }

// serviceOf is the unit that a timer starts unless it says otherwise.
func serviceOf(job *fleet.Job) string {
	return strings.TrimSuffix(path.Base(job.Source), ".timer") + ".service"
}

// of returns the jobs that an event is about: one as a rule, several where
// they have the same command and are due at the same minute.
func (j *jobs) of(e *event) []int {
	found := j.exact(e, e.text)
	if found == nil && e.kind == fleet.KindCron {
		if child, rest, ok := childPrefix(e.text); ok {
			if found = j.exact(e, rest); found != nil {
				e.child = child
			}
		}
	}
	if found == nil && e.cut {
		found = j.beginning(e)
	}
	if len(found) > 1 && e.what == started {
		return j.due(found, e.at)
	}
	return found
}

func (j *jobs) exact(e *event, text []byte) []int {
	j.scratch = name(j.scratch[:0], e.kind, e.user, text)
	return j.named[string(j.scratch)]
}

// childPrefix reads the "[42] " that Debian's cron -L 8 puts before a command.
func childPrefix(text []byte) (child int, rest []byte, ok bool) {
	digits, rest, found := bytes.Cut(text, []byte("] "))
	if !found || len(digits) < 2 || digits[0] != '[' {
		return 0, nil, false
	}
	child, ok = number(digits[1:])
	return child, rest, ok
}

// leastCut is how many bytes of a command must be there before it is believed
// that a log cut it.
const leastCut = 100

// beginning finds the one command that begins as the line does.
func (j *jobs) beginning(e *event) []int {
	text := e.text
	if child, rest, ok := childPrefix(text); ok {
		e.child, text = child, rest
	}
	if len(text) < leastCut {
		return nil
	}
	key := string(name(nil, e.kind, e.user, text))
	first := sort.SearchStrings(j.sorted, key)
	last := first
	for last < len(j.sorted) && strings.HasPrefix(j.sorted[last], key) {
		last++
	}
	if last != first+1 {
		return nil
	}
	return j.named[j.sorted[first]]
}

// due chooses among jobs with the same user and command those that are due at
// an instant: cron starts a job within its minute, and says so a moment later.
// If none is, the one that was due last.
func (j *jobs) due(among []int, at time.Time) []int {
	var best []int
	var latest time.Time
	for _, back := range []time.Duration{0, time.Minute} {
		minute := at.Add(-back).Truncate(time.Minute)
		for _, i := range among {
			if next, ok := j.next(i, minute.Add(-time.Second)); ok && next.Before(minute.Add(time.Minute)) {
				best = append(best, i)
			}
		}
		if len(best) > 0 {
			return best
		}
	}
	for _, i := range among {
		for next, ok := j.next(i, at.Add(-lateStart)); ok && next.Before(at); next, ok = j.next(i, next) {
			if next.After(latest) {
				best, latest = []int{i}, next
			}
		}
	}
	if best == nil {
		return among[:1]
	}
	return best
}

// lateStart is how late a daemon may start what it slept through.
const lateStart = time.Hour

// next returns when a job is due next after an instant.
func (j *jobs) next(i int, after time.Time) (time.Time, bool) {
	c, read := j.clocks[i]
	if !read {
		c = readClock(&j.list[i])
		j.clocks[i] = c
	}
	if !c.known {
		return time.Time{}, false
	}
	return c.schedule.Next(after.In(c.zone))
}

func readClock(job *fleet.Job) clockOf {
	zone, err := cron.Load(job.Timezone)
	if err != nil {
		zone = time.Local
	}
	for _, daemon := range []cron.Dialect{cron.Debian, cron.Cronie, cron.Busybox} {
		if schedule, err := daemon.Parse(job.Schedule); err == nil {
			return clockOf{schedule, zone, true}
		}
	}
	return clockOf{}
}

// units are the services of the report's timers, for the journal to look for.
func (j *jobs) units() []string {
	var units []string
	for i := range j.list {
		if job := &j.list[i]; job.Kind == fleet.KindTimer && job.Container == "" && system(job) && len(units) < maxUnits {
			units = append(units, serviceOf(job))
		}
	}
	slices.Sort(units)
	return slices.Compact(units)
}

// caller finds the job whose line makes run-parts run a program: the one with
// the same schedule and user that names the program's directory.
func (j *jobs) caller(part *fleet.Job) (int, bool) {
	dir := path.Dir(part.Source)
	for _, i := range j.callers {
		if job := &j.list[i]; job.Schedule == part.Schedule && job.User == part.User && names(job.Command, dir) {
			return i, true
		}
	}
	return 0, false
}

// names reports whether a word of the command is the directory.
func names(command, dir string) bool {
	for rest := command; ; {
		i := strings.Index(rest, dir)
		if i < 0 {
			return false
		}
		rest = rest[i+len(dir):]
		end := strings.TrimPrefix(rest, "/")
		if end == "" || strings.ContainsRune(" \t;&|)}'\"", rune(end[0])) {
			return true
		}
	}
}
