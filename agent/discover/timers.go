package discover

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/calendar"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// timerDirs are the directories of units where people and packages put timers.
var timerDirs = []string{
	"/etc/systemd/system", "/etc/systemd/system/timers.target.wants", transientDir, "/run/systemd/system", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
}

// systemTimers finds the timers of the system's systemd from the unit files
// alone: what is enabled is known, what is active is not.
func systemTimers(ctx context.Context, s *scan, out *found) {
	u := s.openUnits(out)
	defer u.Close()
	var list []*timer
	known := make(map[string]*timer) // by its own name; a timer may have others
	for _, name := range u.names("timer") {
		if ctx.Err() != nil {
			return
		}
		link := u.enabled[name]
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
	absent := s.systemdAbsent()
	for _, t := range list {
		if !t.generated() {
			s.timer(ctx, out, u, t, absent)
		}
	}
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
// found already.
func (t *timer) generated() bool {
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
			one, err := read(expand(set.value, t.name))
			one.setting, one.err = set, err
			if one.text == "" {
				one.text = set.key + "=" + set.value
			}
			t.triggers = append(t.triggers, one)
		}
	}
}

// timer adds the job of a timer to what is found.
func (s *scan) timer(ctx context.Context, out *found, u *units, t *timer, absent string) {
	t.read()
	var schedule []string
	for _, one := range t.triggers {
		schedule = append(schedule, one.text)
		if one.err != nil {
			out.problem(printable(one.file), one.line, one.key+"="+one.value, fmt.Sprintf("systemd passes over this line: %v", one.err))
		}
	}
	name := orText(t.last("Timer", "Unit"), strings.TrimSuffix(t.name, "timer")+"service")
	service := u.load(ctx, out, name)
	job := fleet.Job{
		Kind: fleet.KindTimer, Source: printable(t.path), User: "root", Schedule: printable(strings.Join(schedule, calendar.Separator)), Timezone: t.zone(s.host.zone),
		Command: "systemctl start " + printable(name), Enabled: t.mask == "" && (t.link != "" || strings.HasPrefix(t.path, transientDir+"/")),
	}
	if splitUnit(t.name).template && !strings.HasSuffix(t.path, "/"+t.name) && t.link != "" {
		job.Source = printable(t.link) // instances share their template's file
	}
	if service != nil {
		job.Command = printable(orText(service.command(), job.Command))
		job.User = printable(service.user())
	}
	why := orText(absent, t.why(s, service, name))
	if why == "" && t.afterStart() && u.enabled[name] == "" {
		why = fmt.Sprintf("it counts from when %s ran, which nothing starts the first time", name)
	}
	if why == "" && !job.Enabled {
		why = fmt.Sprintf("it is not enabled: no link pulls it in (systemctl enable %s)", t.name)
	}
	due := t.upcoming(s.now.In(s.host.location), s.next)
	if why == "" && len(due) == 0 && t.onlyCalendar() {
		why = "its date has been or does not exist, so it never comes again"
	}
	job.Verdict = fleet.Verdict{Runs: why == "", Why: printable(why)}
	if job.Verdict.Runs {
		job.Next = due
		job.Verdict.Why = printable(t.delays(out))
	}
	if out.room(len(job.Command)) {
		out.jobs = append(out.jobs, job)
	}
}

// why says why a timer starts nothing, whether it is enabled or not.
func (t *timer) why(s *scan, service *unit, name string) string {
	bad := slices.IndexFunc(t.triggers, func(one trigger) bool { return one.err != nil })
	good := slices.ContainsFunc(t.triggers, func(one trigger) bool { return one.err == nil })
	switch {
	case strings.HasPrefix(t.mask, "/run/"):
		return fmt.Sprintf("it is masked until the next boot, by %s", t.mask)
	case t.mask != "":
		return fmt.Sprintf("it is masked, by %s (systemctl unmask %s)", t.mask, t.name)
	case !good && bad >= 0:
		return fmt.Sprintf("systemd refuses it: its only trigger is not valid: %v", t.triggers[bad].err)
	case !good:
		return "systemd refuses it: no OnCalendar= or other On…= line says when"
	case path.Ext(name) != ".service":
		return "" // such a unit is often made by systemd itself
	case service == nil:
		return fmt.Sprintf("the unit it starts, %s, is nowhere", name)
	case service.mask != "":
		return fmt.Sprintf("the unit it starts, %s, is masked by %s", name, service.mask)
	case service.last("Service", "User") != "" && !isTrue(service.last("Service", "DynamicUser")) && !s.knownOrNumber(service.user()):
		return fmt.Sprintf("user %q of %s is not in /etc/passwd", service.user(), name)
	case service.command() == "" && len(service.all("Service", "ExecStop")) == 0 && service.last("Unit", "SuccessAction") == "":
		return fmt.Sprintf("systemd refuses %s: it has no ExecStart=", name)
	}
	return ""
}

func (s *scan) knownOrNumber(user string) bool {
	return s.host.users.known(user) || strings.Trim(user, "0123456789") == "" || strings.Contains(user, "%")
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

// upcoming returns the next n instants of all calendar triggers, UTC. When the
// others come depends on what happened since the boot, which no file tells.
func (t *timer) upcoming(after time.Time, n int) []time.Time {
	var events calendar.Events
	for _, one := range t.triggers {
		events = append(events, one.event)
	}
	var due []time.Time
	for at, ok := events.Next(after); ok && len(due) < n; at, ok = events.Next(at) {
		due = append(due, at.UTC())
	}
	return due
}

// delays says how much later than foretold a timer may come, and what becomes
// of the times the host was off.
func (t *timer) delays(out *found) string {
	var says []string
	if delay := t.span(out, "RandomizedDelaySec", 0); delay > 0 {
		says = append(says, fmt.Sprintf("a random delay of up to %s", t.last("Timer", "RandomizedDelaySec")))
	}
	if accuracy := t.span(out, "AccuracySec", time.Minute); accuracy > time.Minute {
		says = append(says, fmt.Sprintf("put off by up to %s to save wakeups", t.last("Timer", "AccuracySec")))
	}
	if isTrue(t.last("Timer", "Persistent")) && slices.ContainsFunc(t.triggers, func(one trigger) bool { return !one.event.IsZero() }) {
		says = append(says, "missed while the host was off: made up for at boot")
	}
	return strings.Join(says, "; ")
}

// span reads a time span; one that is not valid counts as not set.
func (t *timer) span(out *found, key string, otherwise time.Duration) time.Duration {
	value := t.last("Timer", key)
	if value == "" {
		return otherwise
	}
	span, err := calendar.ParseSpan(value)
	if err != nil {
		out.problem(printable(t.path), 0, key+"="+value, fmt.Sprintf("systemd passes over this line: %v", err))
		return otherwise
	}
	return span
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

// user is whom a service runs as.
func (u *unit) user() string {
	if user := u.last("Service", "User"); user != "" {
		return user
	}
	if isTrue(u.last("Service", "DynamicUser")) {
		return splitUnit(u.name).prefix
	}
	return "root"
}
