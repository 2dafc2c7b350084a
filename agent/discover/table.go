package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/crontab"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// table is a crontab to be read.
type table struct {
	source string // its name for people
	system bool
	owner  string // of a user's table
	// unread says why the daemon never looks at the file. Such a file is told
	// of only if it holds jobs, and its bad lines are nobody's trouble.
	unread fleet.Verdict
}

func (t *table) isRead() bool { return t.unread.Code == "" }

// table reads one crontab in a directory.
func (s *scan) table(ctx context.Context, out *found, dir *directory, name string, t table) {
	content, look, err := s.open(ctx, dir, name, t, out.buffer)
	if err != nil {
		if t.isRead() {
			out.failed(t.source, err)
		}
		return
	}
	out.buffer = content // which the parser keeps no part of
	file := crontab.Parse(content, crontab.Options{
		Dialect: s.grammar(t), System: t.system, Owner: t.owner, Root: look.named && look.owner == 0, Known: s.host.users.known,
	})
	if !t.isRead() && len(file.Jobs) <= len(file.Problems) {
		return // it does not even look like a table
	}
	if !t.system && t.owner != "root" {
		defer out.share(t.source, out.amount())
	}
	verdict := s.fileVerdict(out, file, look, t)
	managed := readMarks(content, jobLines(file))
	var stands *standing
	if look.path != "" {
		stands = &standing{look.path, look.stat}
	}
	for i := range file.Jobs {
		n := len(out.jobs)
		s.job(out, &file.Jobs[i], t, verdict)
		if len(out.jobs) > n {
			out.jobs[n].ManagedBy, out.asides[n].table = managed.at(file.Jobs[i].Line), stands
		}
	}
	if t.isRead() {
		for _, p := range file.Problems {
			out.problem(t.source, p.Line, p.Text, sentence(p.Reason, p.Term, s.host.cron))
		}
		silenced(out, t.source, content)
	}
}

// silenced tells of lines that are comments because tasks run them. Who knows
// the tasks knows whether that is so.
func silenced(out *found, source string, content []byte) {
	if !bytes.Contains(content, []byte(takeover.CommentStart)) {
		return
	}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		text := strings.TrimRight(string(line), "\r\n")
		if task, is := takeover.CommentOf(text); is {
			out.problem(source, number, text, fmt.Sprintf("the line is a comment, because task %s runs in its place", task))
		}
	}
}

func jobLines(file *crontab.File) []int {
	lines := make([]int, len(file.Jobs))
	for i := range file.Jobs {
		lines[i] = file.Jobs[i].Line
	}
	return lines
}

// open looks a table up, follows a link within the tree and reads it. A link
// that the daemon refuses, or that others than root may have made, is not
// followed: it could make the report tell what its maker may not read. So
// could a hard link.
func (s *scan) open(ctx context.Context, dir *directory, name string, t table, buffer []byte) ([]byte, *seen, error) {
	look := &seen{tree: s.tree, system: t.system}
	look.owner, look.named = s.host.users.uid(t.owner)
	if fd := dir.begin(name, &look.stat); fd >= 0 {
		defer unix.Close(fd)
		if look.path = dir.real + "/" + name; s.hardLinked(look) {
			return nil, nil, errHardLink
		}
		content, err := readWhole(ctx, fd, look.stat.Size, buffer)
		return content, look, err
	}
	p, err := dir.lookup(name, false)
	if err != nil {
		return nil, nil, err
	}
	defer p.Close()
	look.stat, look.path = p.stat, p.path
	if p.kind() == unix.S_IFLNK {
		if s.host.cron == Debian && !t.system {
			return nil, nil, errUserLink
		}
		if !s.tree.root(p.stat.Uid) {
			return nil, nil, errLinkOwner
		}
		target, err := dir.lookup(name, true)
		if err != nil {
			return nil, nil, fmt.Errorf("symbolic link: %w", err)
		}
		defer target.Close()
		p, look.stat, look.path = target, target.stat, ""
	}
	if s.hardLinked(look) {
		return nil, nil, errHardLink
	}
	content, err := p.read(ctx, buffer)
	return content, look, err
}

// hardLinked reports whether a user's table may be a file that its user may
// not read.
func (s *scan) hardLinked(look *seen) bool {
	return !look.system && look.stat.Nlink > 1 && look.stat.Mode&unix.S_IFMT == unix.S_IFREG && (!look.named || look.stat.Uid != look.owner)
}

var (
	errUserLink  = errors.New("a user's table must not be a symbolic link (cron says: CAN'T OPEN)")
	errHardLink  = errors.New("the file has another hard link and does not belong to its user, who may not be allowed to read it, so it is not read")
	errLinkOwner = errors.New("the symbolic link does not belong to root, so it is not followed (cron says: WRONG SYMLINK OWNER)")
)

// grammar is the dialect a table is written in: a system table can only be
// vixie's, whoever passes over it.
func (s *scan) grammar(t table) cron.Dialect {
	if t.system && s.host.reads == cron.Busybox {
		return cron.Cronie
	}
	return s.host.reads
}

// fileVerdict says whether any job of the file runs, and if not, why.
func (s *scan) fileVerdict(out *found, file *crontab.File, look *seen, t table) fleet.Verdict {
	switch check := s.host.refuses(look); {
	case !t.isRead():
		return t.unread
	case !t.system && !s.host.users.known(t.owner):
		v := no(fleet.UnknownUser, "user %q is not in /etc/passwd, so the table is an orphan that nobody runs (make the user, or remove %s)", t.owner, t.source)
		out.problem(t.source, 0, "", sentence(v.Why, "ORPHAN (no passwd entry)", s.host.cron))
		return v
	case check != nil:
		v := no(check.code, "%s, so cron ignores it (%s)", check.why, check.remedy(t))
		out.problem(t.source, 0, "", sentence(v.Why, check.term, s.host.cron))
		return v
	case file.Accepted:
		return runs
	case file.Term == crontab.NoNewline:
		return no(fleet.NoNewline, "%s (end the file with a line break)", file.Refusal)
	}
	return no(fleet.FileRefused, "%s (correct that line, and the others run as well)", file.Refusal)
}

// job adds a job of a table to what is found.
func (s *scan) job(out *found, j *crontab.Job, t table, verdict fleet.Verdict) {
	schedule, zone, location := s.clock(j)
	job := fleet.Job{
		Kind: fleet.KindCron, Source: t.source, Line: j.Line, User: printable(j.User),
		Schedule: printable(j.Fields), Timezone: zone, Command: printable(j.Command), Enabled: true, Unseen: j.Quiet,
	}
	due := upcoming(schedule, s.now.In(location), s.next)
	job.Verdict = s.jobVerdict(j, t, verdict)
	if job.Verdict.Runs && len(due) == 0 && !schedule.Reboot() && !schedule.Random() {
		job.Verdict = no(fleet.NeverDue, "no day of the calendar fits its schedule, so it never comes (correct its day or month)")
	}
	if job.Verdict.Runs {
		job.Next, job.Verdict.Why = due, s.late(j)
	}
	if complaint := schedule.Complaint(); complaint != "" && t.isRead() {
		f := schedule.Fields()
		out.problem(t.source, j.Line, job.Schedule+" "+job.Command, fmt.Sprintf(
			"busybox crond logs %q and keeps the line with what it had read until then: minute %s, hour %s, day %s, month %s, weekday %s",
			complaint, or(f.Minute), or(f.Hour), or(f.DayOfMonth), or(f.Month), or(f.DayOfWeek)))
	}
	if !out.room(len(job.Command) + j.EnvSize()) {
		return
	}
	job.Env = out.env.at(j)
	job.Latin1 = out.env.latin1 || !utf8.ValidString(j.Command)
	out.jobs = append(out.jobs, job)
	out.level()
	out.asides[len(out.jobs)-1] = aside{schedule: schedule, location: location}
	if call, ok := callOf(j); ok && t.isRead() && (t.system || t.owner == "root") {
		call.job, call.schedule, call.location = job, schedule, location
		out.calls = append(out.calls, call)
	}
}

// environment is what a file sets, made once for the jobs that share it, in
// that file or the ones after it.
type environment struct {
	of     *crontab.Job // nil: nothing is set
	set    map[string]string
	latin1 bool // it holds bytes that are no UTF-8
}

func (e *environment) at(j *crontab.Job) map[string]string {
	if e.of == nil && j.Settings() == 0 || e.of != nil && e.of.SameSettings(j) {
		return e.set
	}
	e.of, e.set, e.latin1 = j, j.Env(), false
	for name, value := range e.set {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			e.latin1 = true
			delete(e.set, name)
			e.set[printable(name)] = printable(value)
		}
	}
	return e.set
}

// clock is what a job's schedule is read in: with cronie, CRON_TZ.
func (s *scan) clock(j *crontab.Job) (cron.Schedule, string, *time.Location) {
	name, set := j.Setting("CRON_TZ")
	if !set || s.host.reads != cron.Cronie {
		return j.Schedule, s.host.zone, s.host.location
	}
	location, err := cron.Load(name)
	if err != nil { // the C library takes an unknown zone for UTC
		return j.Schedule.Wall(), "UTC", time.UTC
	}
	return j.Schedule.Wall(), name, location
}

// jobVerdict says whether a job runs, given what holds for its whole file.
func (s *scan) jobVerdict(j *crontab.Job, t table, file fleet.Verdict) fleet.Verdict {
	switch known := !t.system || s.host.users.known(j.User); {
	case !t.isRead():
		return file
	case s.host.cron == None && file.Runs:
		return no(fleet.NoScheduler, "no cron daemon is installed on this host, so nothing reads its crontabs (install one, or remove the file)")
	case !known && file.Code == fleet.FileRefused:
		return no(fleet.UnknownUser, "user %q is not in /etc/passwd; %s", j.User, file.Why)
	case !known && file.Runs:
		return no(fleet.UnknownUser, "user %q is not in /etc/passwd, so cron cannot run it (make the user, or name another)", j.User)
	case !file.Runs:
		return file
	case s.host.cronDown:
		return no(fleet.SchedulerDown, "%s is installed but does not run, so nothing is started (%s)", daemons[s.host.cron].says, daemons[s.host.cron].start)
	}
	return runs
}

// upcoming returns the next n instants of a schedule, UTC.
func upcoming(schedule cron.Schedule, after time.Time, n int) []time.Time {
	due := make([]time.Time, 0, n)
	for len(due) < n {
		at, ok := schedule.Next(after)
		if !ok {
			break
		}
		due = append(due, at.UTC())
		after = at
	}
	if len(due) == 0 {
		return nil
	}
	return due
}

// sentence joins a reason with the term the daemon logs for it.
func sentence(reason, term string, by Cron) string {
	if term == "" || by == None {
		return reason
	}
	return fmt.Sprintf("%s (cron says: %s)", reason, term)
}

// reason puts an error of looking or reading into a person's words.
func reason(err error) string {
	link := ""
	if strings.HasPrefix(err.Error(), "symbolic link: ") {
		link = "symbolic link: "
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return link + "permission denied; a full scan needs root"
	case errors.Is(err, fs.ErrNotExist) && link != "":
		return "the symbolic link points to nothing within the scanned root"
	case errors.Is(err, fs.ErrNotExist):
		return "it vanished while it was looked at"
	case errors.Is(err, unix.ELOOP):
		return "the symbolic links go round in a circle"
	case errors.Is(err, unix.ENOTDIR):
		return link + "a part of its path is no directory"
	}
	if in := new(fs.PathError); errors.As(err, &in) { // its path is that of the problem
		return link + in.Err.Error()
	}
	return err.Error()
}

// printable keeps text that is UTF-8 and reads any other as Latin-1.
func printable(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes)
}

func or(set string) string {
	if set == "" {
		return "none"
	}
	return set
}
