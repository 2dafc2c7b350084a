package discover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// stampDir is where anacron writes the day on which it last began a job, once
// that has ended.
const stampDir = "/var/spool/anacron"

// estimated ends the verdict of a job whose next instant cannot be known: it
// depends on when the host is up.
const estimated = "; the next start is an estimate"

// anacronJobs finds the jobs of /etc/anacrontab.
func anacronJobs(ctx context.Context, s *scan, out *found) {
	const source = "/etc/anacrontab"
	dir := s.dir(out, "/etc")
	if dir == nil {
		return
	}
	defer dir.Close()
	content, _, err := s.open(ctx, dir, "anacrontab", table{source: source, system: true}, nil)
	if err != nil {
		if p, missing := dir.lookup("anacrontab", false); missing == nil {
			p.Close()
			out.failed(source, err)
		} else if !errors.Is(missing, fs.ErrNotExist) {
			out.failed(source, missing)
		}
		return
	}
	names := croniePeriods
	if s.host.name == "debian" {
		names = debianPeriods
	}
	out.fleeting = true // it depends on today, and on what starts anacron
	tab := parseAnacrontab(content, names)
	for _, p := range tab.problems {
		out.problem(source, p.line, p.text, p.reason+"; anacron skips the line")
	}
	a := anacron{scan: s, tab: tab, from: s.anacronStart()}
	a.daily, _ = s.stamp(ctx, "cron.daily")
	lines := make([]int, len(tab.entries))
	for i := range tab.entries {
		lines[i] = tab.entries[i].line
	}
	a.managed = readMarks(content, lines)
	for i := range tab.entries {
		if ctx.Err() != nil {
			return
		}
		a.add(ctx, out, &tab.entries[i])
	}
}

// anacron is what is known when its jobs are told.
type anacron struct {
	*scan
	tab     *anacrontab
	managed marks
	from    anacronStart
	daily   time.Time // the stamp of cron.daily
	at      int       // the settings that env and size are of
	env     map[string]string
	size    int
}

// add adds a job, and the call where it calls run-parts.
func (a *anacron) add(ctx context.Context, out *found, e *anacronEntry) {
	if a.at != e.settings {
		a.at, a.env, a.size = e.settings, a.tab.env(e.settings), a.tab.size(e.settings)
	}
	if !out.room(len(e.command) + a.size) {
		return
	}
	stamp, known := a.stamp(ctx, e.ident)
	job := fleet.Job{
		Kind: fleet.KindAnacron, Source: "/etc/anacrontab", Line: e.line, User: "root",
		Schedule: fmt.Sprintf("%s %d", e.period, e.delay), Timezone: a.host.zone,
		Command: printable(e.command), Latin1: !utf8.ValidString(e.command), Env: a.env, Enabled: true, Verdict: a.verdict(e),
		ManagedBy: a.managed.at(e.line),
	}
	if known && !stamp.After(a.now) { // else a clock was wrong
		job.Evidence = &fleet.Evidence{Last: stamp.UTC(), Grade: "stamp", From: printable(stampDir + "/" + e.ident)}
	}
	if job.Verdict.Runs {
		if next, ok := a.next(e, stamp, known); ok {
			job.Next = []time.Time{next.UTC()}
			job.Verdict.Why += estimated
		}
	}
	out.jobs = append(out.jobs, job)
	if strings.Contains(e.command, "run-parts") {
		c := call{job: job, words: shellWords.FindAllString(e.command, -1), anacron: true}
		out.calls = append(out.calls, c)
	}
}

// verdict says whether anacron is there and started, and by what.
func (a *anacron) verdict(e *anacronEntry) fleet.Verdict {
	switch {
	case !a.host.anacron:
		return no(fleet.NoScheduler, "anacron is not installed on this host, so nothing reads /etc/anacrontab (install anacron or cronie-anacron)")
	case a.from.why != "":
		return no(fleet.NoScheduler, "%s", a.from.why)
	case !a.tab.anyHour && a.tab.hours[0] == a.tab.hours[1]:
		return no(fleet.NeverDue, "START_HOURS_RANGE leaves no hour to start in (let its second hour be later than its first)")
	}
	why := fmt.Sprintf("anacron starts it %s, %d minutes after anacron itself", period(e.period), e.delay)
	if e.random > 0 {
		why += fmt.Sprintf(" and up to %d more at random", e.random)
	}
	return fleet.Verdict{Runs: true, Why: why + "; " + a.from.says}
}

// stamp reads the day on which anacron last began a job, as its midnight.
func (s *scan) stamp(ctx context.Context, ident string) (time.Time, bool) {
	if ident == "." || ident == ".." || strings.Contains(ident, "/") {
		return time.Time{}, false
	}
	p, err := s.tree.lookup(stampDir+"/"+ident, false)
	if err != nil {
		return time.Time{}, false
	}
	defer p.Close()
	if p.stat.Size > 64 { // it has nine bytes
		return time.Time{}, false
	}
	content, err := p.read(ctx, nil)
	if err != nil || len(content) < 8 {
		return time.Time{}, false
	}
	day, err := time.ParseInLocation("20060102", string(content[:8]), s.host.location)
	return day, err == nil && day.Year() >= 1970
}

// anacronStart is what starts anacron.
type anacronStart struct {
	says     string // a part of a sentence
	why      string // nothing does
	schedule cron.Schedule
	location *time.Location
	known    bool // the schedule is
	daily    bool // it passes over the days on which cron.daily was run
}

// anacronStart finds what starts anacron: its timer, a line of a table, the
// script in cron.hourly, or the boot.
func (s *scan) anacronStart() anacronStart {
	if start, ok := s.anacronTimer(); ok {
		return start
	}
	systemd := exists(s.tree, "/usr/lib/systemd/systemd") || exists(s.tree, "/lib/systemd/systemd")
	for _, c := range s.calls {
		if !c.starts || !c.job.Verdict.Runs || systemd && strings.Contains(c.job.Command, "/run/systemd/system") {
			continue
		}
		return anacronStart{says: fmt.Sprintf("%s line %d starts anacron", c.job.Source, c.job.Line), schedule: c.schedule, location: c.location, known: true}
	}
	if start, ok := s.anacronHourly(); ok {
		return start
	}
	for _, name := range []string{"/etc/systemd/system/multi-user.target.wants/anacron.service", "/etc/rc2.d/S01anacron"} {
		if there(s.tree, name) {
			return anacronStart{says: path.Base(name) + " starts anacron, at boot only"}
		}
	}
	if s.host.stripped {
		return anacronStart{says: "what starts anacron cannot be seen here: this is a copy of some files"}
	}
	return anacronStart{why: "nothing starts anacron: neither anacron.timer, nor a line of a table, nor /etc/cron.hourly/0anacron"}
}

// anacronHours is when the timer that Debian ships starts anacron.
const anacronHours = "30 7-23 * * *"

// anacronTimer reports whether systemd starts anacron.
func (s *scan) anacronTimer() (anacronStart, bool) {
	const name = "/etc/systemd/system/anacron.timer"
	if there(s.tree, name) { // masked, or replaced by one's own
		return anacronStart{says: "anacron.timer starts anacron"}, exists(s.tree, name) && there(s.tree, "/etc/systemd/system/timers.target.wants/anacron.timer")
	}
	for _, dir := range []string{"/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		if !there(s.tree, dir+"/timers.target.wants/anacron.timer") {
			continue
		}
		start := anacronStart{says: "anacron.timer starts anacron", location: s.host.location}
		unit := string(text(context.Background(), s.tree, "/usr/lib/systemd/system/anacron.timer", "/lib/systemd/system/anacron.timer"))
		start.known = strings.Contains(unit, "\nOnCalendar=*-*-* 07..23:30\n") && !there(s.tree, name+".d")
		if start.known {
			start.schedule, _ = cron.Debian.Parse(anacronHours)
		}
		return start, true
	}
	return anacronStart{}, false
}

// anacronHourly reports whether a script in cron.hourly starts anacron.
func (s *scan) anacronHourly() (anacronStart, bool) {
	const script = "/etc/cron.hourly/0anacron"
	p, err := s.tree.lookup(script, true)
	if err != nil {
		return anacronStart{}, false
	}
	p.Close()
	if p.kind() != unix.S_IFREG || p.stat.Mode&0o111 == 0 {
		return anacronStart{}, false
	}
	for _, c := range s.calls {
		if c.on("/etc/cron.hourly") && c.job.Verdict.Runs && s.rule(&c).takes("0anacron") {
			says := fmt.Sprintf("%s, called by %s line %d, starts anacron", script, c.job.Source, c.job.Line)
			return anacronStart{says: says, schedule: c.schedule, location: c.location, known: !c.runCrons, daily: true}, true
		}
	}
	return anacronStart{}, false
}

// there reports whether a name is there, whatever it is.
func there(t *tree, name string) bool {
	p, err := t.lookup(name, false)
	if err != nil {
		return false
	}
	p.Close()
	return true
}

const (
	maxPeriodDays = 36_500 // of which a next start is told
	maxStarts     = 200    // of anacron that are looked at for one job
)

// next estimates when anacron next begins a job: at the first of anacron's own
// starts at which it is due and that the hours allow, plus the delay.
func (a *anacron) next(e *anacronEntry, stamp time.Time, known bool) (time.Time, bool) {
	if !a.from.known {
		return time.Time{}, false
	}
	least, ok := leastDays(e.period)
	if !ok || e.delay > 60*24*366 {
		return time.Time{}, false
	}
	after := a.now
	if from := stamp.AddDate(0, 0, least).Add(-time.Second); known && !stamp.After(a.now) && from.After(after) {
		after = from
	}
	for range maxStarts {
		start, ok := a.from.schedule.Next(after.In(a.from.location))
		if !ok {
			return time.Time{}, false
		}
		after = start
		day := midnight(start.In(a.host.location))
		begins := start.Add(time.Duration(e.delay) * time.Minute)
		switch {
		case a.from.daily && day.Equal(a.daily):
		case known && !due(e.period, stamp, day):
		case known && !a.tab.allows(begins.In(a.host.location).Hour()):
		default:
			return begins, true
		}
	}
	return time.Time{}, false
}

// allows reports whether jobs may begin in an hour.
func (tab *anacrontab) allows(hour int) bool {
	return (tab.anyHour || hour >= tab.hours[0] && hour < tab.hours[1]) && (tab.hour < 0 || hour == tab.hour)
}

func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}

// leastDays is how many days pass at least from one start to the next.
func leastDays(period string) (int, bool) {
	switch period {
	case "@daily":
		return 1, true
	case "@weekly":
		return 7, true
	case "@monthly":
		return 28, true
	case "@yearly", "@annually":
		return 365, true
	}
	days, ok := small(period)
	return days, ok && days <= maxPeriodDays
}

// due reports whether a job with that stamp is due on a day. A stamp of a day
// to come counts as a clock that was wrong.
func due(period string, stamp, day time.Time) bool {
	passed := days(stamp, day)
	last, this := 0, 0
	switch period {
	case "@monthly":
		first := time.Date(day.Year(), day.Month(), 1, 12, 0, 0, 0, time.UTC)
		last, this = days(first.AddDate(0, -1, 0), first), days(first, first.AddDate(0, 1, 0))
	case "@yearly", "@annually":
		first := time.Date(day.Year(), time.January, 1, 12, 0, 0, 0, time.UTC)
		last, this = days(first.AddDate(-1, 0, 0), first), days(first, first.AddDate(1, 0, 0))
	default:
		last, _ = leastDays(period)
		this = last
	}
	return passed < 0 || passed >= last || passed == this
}

// days counts the days of the calendar from one to the other.
func days(from, to time.Time) int {
	utc := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	return int(utc(to).Sub(utc(from)) / (24 * time.Hour))
}
