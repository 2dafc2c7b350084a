package discover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/calendar"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// timerDirs are the directories of units where people and packages put timers.
var timerDirs = []string{
	"/etc/systemd/system", transientDir, "/run/systemd/system", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
}

// systemTimers finds the timers of the system's systemd: from the unit files
// what is enabled, and where systemd runs, from itself what is active.
func systemTimers(ctx context.Context, s *scan, out *found) {
	m := hostSystemd()
	if m.idle = s.systemdAbsent(); s.live && m.idle == "" {
		m.bus, out.fleeting = askSystemd(ctx, s.bus), true
	}
	s.timers(ctx, out, m)
}

// timers finds the timers of one systemd.
func (s *scan) timers(ctx context.Context, out *found, m *systemd) {
	u := s.openUnits(out, m)
	defer u.Close()
	var list []*timer
	known := make(map[string]*timer) // by its own name; a timer may have others
	for _, name := range u.names("timer") {
		if ctx.Err() != nil || u.left < 0 {
			break
		}
		link := u.enabled[name]
		if m.own != nil && !u.isOwn(name, link) {
			continue
		}
		loaded := u.load(ctx, out, name)
		if loaded == nil {
			if u.where(name) == "" && u.where(splitUnit(name).of()) == "" {
				out.problem(printable(link), 0, "", "it enables a timer of which there is no unit file")
			}
			continue
		}
		t := known[loaded.name]
		if t == nil {
			t = &timer{unit: loaded}
			known[loaded.name] = t
			list = append(list, t)
		}
		t.link = orText(t.link, link)
	}
	for _, t := range list {
		if ctx.Err() == nil && u.left >= 0 && !t.generated() {
			s.timer(ctx, out, u, t)
		}
	}
	if u.left < 0 {
		out.problem(printable(u.place()), 0, "", errUnits.Error())
	}
}

// isOwn reports whether a unit or what enables it stands in the directories
// that are the manager's alone.
func (u *units) isOwn(name, link string) bool {
	within := func(file string) bool {
		return slices.ContainsFunc(u.own, func(dir string) bool { return strings.HasPrefix(file, dir+"/") })
	}
	return within(link) || within(u.where(name))
}

// systemdAbsent says why no timer of the host runs at all, or nothing.
func (s *scan) systemdAbsent() string {
	switch {
	case !s.host.stripped && !exists(s.tree, "/usr/lib/systemd/systemd") && !exists(s.tree, "/lib/systemd/systemd"):
		return "systemd is not installed on this host"
	case s.live:
		dir, err := s.tree.openDir("/run/systemd/system") // it is there as long as systemd runs
		if err != nil {
			return "systemd does not run on this host"
		}
		dir.Close()
	}
	return ""
}

// timer is a timer unit, and what it comes to.
type timer struct {
	*unit
	link     string // that enables it
	triggers []trigger
	starts   string // the name of the unit it starts
	service  *unit  // that unit; nil: it is nowhere
	bus      *busTimer
}

// trigger is one line that says when.
type trigger struct {
	setting
	text  string         // the schedule of it for people
	event calendar.Event // of OnCalendar
	err   error
}

// triggerKeys are the keys that say when, and what each reads.
var triggerKeys = map[string]func(string) (trigger, error){
	"OnCalendar":        calendarTrigger,
	"OnActiveSec":       spanTrigger,
	"OnBootSec":         spanTrigger,
	"OnStartupSec":      spanTrigger,
	"OnUnitActiveSec":   spanTrigger,
	"OnUnitInactiveSec": spanTrigger,
}

func calendarTrigger(value string) (trigger, error) {
	event, err := calendar.Parse(value)
	return trigger{event: event, text: event.String()}, err
}

func spanTrigger(value string) (trigger, error) {
	_, err := calendar.ParseSpan(value)
	return trigger{}, err
}

// generated reports whether a timer was made of a crontab, where its job is
// found already. Only what a generator made is believed to be.
func (t *timer) generated() bool {
	if !strings.HasPrefix(t.path, "/run/systemd/generator") {
		return false
	}
	source := t.last("Unit", "SourcePath")
	return strings.HasPrefix(source, "/etc/cron") || strings.HasPrefix(source, "/var/spool/cron") || source == "/etc/anacrontab"
}

// read finds the timer's triggers. An empty one, of whatever key, resets all
// before it.
func (t *timer) read() {
	for _, set := range t.settings {
		read := triggerKeys[set.key]
		switch {
		case set.section != "Timer":
		case set.key == "OnClockChange" || set.key == "OnTimezoneChange":
			if isTrue(set.value) {
				t.triggers = append(t.triggers, trigger{setting: set, text: set.key + "=yes"})
			}
		case read == nil:
		case set.value == "":
			t.triggers = nil
		default:
			one, err := read(t.expand(set.value))
			one.setting, one.err = set, err
			if one.text == "" {
				one.text = set.key + "=" + set.value
			}
			t.triggers = append(t.triggers, one)
		}
	}
}

// timer adds the job of a timer to what is found.
func (s *scan) timer(ctx context.Context, out *found, u *units, t *timer) {
	t.read()
	var schedule []string
	for _, one := range t.triggers {
		schedule = append(schedule, one.text)
		if one.err != nil {
			out.problem(printable(one.file), one.line, one.key+"="+one.value, fmt.Sprintf("systemd passes over this line: %v", one.err))
		}
	}
	t.starts = orText(t.last("Timer", "Unit"), strings.TrimSuffix(t.name, "timer")+"service")
	failures := len(out.unread)
	t.service = u.load(ctx, out, t.starts)
	if u.left < 0 {
		return // a part of it was not read
	}
	t.bus = u.bus.of(t.name)
	job := fleet.Job{
		Kind: fleet.KindTimer, Source: printable(t.path), User: printable(u.user()), Schedule: printable(strings.Join(schedule, calendar.Separator)), Timezone: t.zone(s.host.zone),
		Command: "systemctl start " + printable(t.starts), Enabled: t.mask == "" && (t.link != "" || u.transient(t.path)),
	}
	if t.starts != strings.TrimSuffix(t.name, "timer")+"service" {
		job.Unit = printable(t.starts)
	}
	if splitUnit(t.name).template && !strings.HasSuffix(t.path, "/"+t.name) && t.link != "" {
		job.Source = printable(t.link) // instances share their template's file
	}
	if t.service != nil {
		job.Command = printable(orText(t.service.command(), job.Command))
		job.User = printable(t.service.user())
		job.Env = t.service.sets()
		if t.service.last("Service", "RootDirectory") != "" || t.service.last("Service", "RootImage") != "" {
			out.elsewhere = append(out.elsewhere, job.Source)
		}
	}
	due := s.comings(t)
	job.Verdict = t.verdict(s, u, job.Enabled, len(due) == 0)
	if job.Verdict.Runs {
		job.Next = due
		job.Verdict.Why = printable(t.remarks(out, u, job.Enabled))
	}
	job.Evidence = s.timerEvidence(u, t)
	job.Unseen = u.account != nil && (t.bus == nil || !t.bus.known) // only the user's own systemd would know
	if t.partial || len(out.unread) > failures {
		out.unread = append(out.unread, job.Source)
	}
	if out.room(size(&job)) {
		out.jobs = append(out.jobs, job)
	}
}

// zone is the one all calendar triggers name, or else the host's.
func (t *timer) zone(host string) string {
	zone, first := "", true
	for _, one := range t.triggers {
		if one.event.IsZero() {
			continue
		}
		named := one.event.Zone()
		if _, err := cron.Load(named); err != nil || !first && named != zone {
			return host
		}
		zone, first = named, false
	}
	return orText(zone, host)
}

func (t *timer) onlyCalendar() bool {
	return !slices.ContainsFunc(t.triggers, func(one trigger) bool { return one.err == nil && one.event.IsZero() })
}

// afterStart reports whether every trigger counts from a run of the unit.
func (t *timer) afterStart() bool {
	return !slices.ContainsFunc(t.triggers, func(one trigger) bool {
		return one.err == nil && one.key != "OnUnitActiveSec" && one.key != "OnUnitInactiveSec"
	})
}

// comings are the next instants of a timer, UTC: of its calendar triggers, of
// the time since boot, and what systemd itself foretells of the others. Without
// it, when those come depends on what happened since the boot, which no file tells.
func (s *scan) comings(t *timer) []time.Time {
	var events calendar.Events
	var due []time.Time
	for _, one := range t.triggers {
		events = append(events, one.event)
		if span, err := calendar.ParseSpan(one.value); err == nil && one.err == nil && one.key == "OnBootSec" && span < calendar.Infinite && !s.booted.IsZero() {
			if at := s.booted.Add(span); at.After(s.now) {
				due = append(due, at.UTC())
			}
		}
	}
	if t.bus != nil && t.bus.elapses.After(s.now) && !slices.ContainsFunc(due, func(at time.Time) bool { return at.Sub(t.bus.elapses).Abs() < time.Minute }) {
		due = append(due, t.bus.elapses)
	}
	after := s.now.In(s.host.location)
	for range s.next {
		at, ok := events.Next(after)
		if !ok {
			break
		}
		due = append(due, at.UTC())
		after = at
	}
	slices.SortFunc(due, time.Time.Compare)
	return due[:min(len(due), s.next)]
}

// command is what a service starts: all of its ExecStart lines, without the
// signs in front that say how.
func (u *unit) command() string {
	var commands []string
	for _, one := range u.all("Service", "ExecStart") {
		commands = append(commands, strings.TrimLeft(one, "-:+!"))
	}
	return strings.Join(commands, " ; ")
}

// user is whom a service runs as. A user's systemd cannot change it.
func (u *unit) user() string {
	switch user := u.last("Service", "User"); {
	case u.manager.account != nil || u.manager.every:
		return u.manager.user()
	case user != "":
		return user
	case isTrue(u.last("Service", "DynamicUser")):
		return splitUnit(u.name).prefix
	}
	return "root"
}
