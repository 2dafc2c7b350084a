package fleet

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/cron"
)

var (
	userPattern  = regexp.MustCompile(`^[a-z_][a-z0-9_.-]{0,31}\$?$`)
	umaskPattern = regexp.MustCompile(`^0[0-7]{3}$`)
	envPattern   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Validate reports every field of t that is wrong.
func (t *Task) Validate() error {
	var check checker
	check.that(ValidName(t.Name), "task", t.Name, "want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	check.that(t.Namespace == "" || ValidName(t.Namespace), "namespace", t.Namespace, "want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	check.that(len(t.Owner) <= 128, "owner", t.Owner, "at most 128 bytes")
	check.that(len(t.Description) <= 4096, "description", "", "at most 4096 bytes")
	t.On.validate(&check)
	t.Run.validate(&check)
	t.Where.validate(&check)
	t.Limits.validate(&check)
	check.that(!t.Supervised() || t.Limits.Fleet == 0, "limits.fleet", strconv.Itoa(t.Limits.Fleet), "does not go with a command that is kept up: it never ends")
	t.validatePolicies(&check)
	t.validateParams(&check)
	return check.err()
}

// triggers lists the names of the triggers that are set.
func (o *Trigger) triggers() []string {
	var set []string
	for _, trigger := range []struct {
		name string
		set  bool
	}{
		{"cron", o.Cron != ""}, {"every", o.Every != 0}, {"at", o.At != nil},
		{"event", o.Event != ""}, {"file", o.File != ""}, {"webhook", o.Webhook},
		{"startup", o.Startup != ""}, {"manual", o.Manual}, {"daemon", o.Daemon},
	} {
		if trigger.set {
			set = append(set, trigger.name)
		}
	}
	return set
}

func (o *Trigger) validate(check *checker) {
	set := o.triggers()
	check.that(len(set) == 1, "on", strings.Join(set, ", "), "want exactly one of cron, every, at, event, file, webhook, startup, manual, daemon")
	check.that(o.Event == "" || ValidName(o.Event), "on.event", o.Event, "want a name of 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit")
	if reason := badPattern(o.File); o.File != "" && reason != "" {
		check.fail("on.file", o.File, reason)
	}
	if o.Cron != "" {
		o.validateCron(check)
	}
	check.that(o.Timezone == "" || o.Cron != "", "on.timezone", o.Timezone, "belongs to cron only")
	check.that(o.Every == 0 || time.Duration(o.Every) >= MinEvery, "on.every", o.Every.String(), "want at least 1s")
	check.that(o.Anchor == nil || o.Every != 0, "on.anchor", "", "belongs to every only")
	clock := o.Cron != "" || o.Every != 0
	check.that(o.Spread == 0 || clock, "on.spread", o.Spread.String(), "belongs to cron and every only")
	check.that(o.Spread == 0 || o.Every == 0 || o.Spread < o.Every, "on.spread", o.Spread.String(), "must be shorter than the period")
	check.that(o.Deadline == 0 || clock || o.At != nil, "on.deadline", o.Deadline.String(), "belongs to cron, every and at only")
	check.that(o.Starts == nil || o.Ends == nil || o.Starts.Before(*o.Ends), "on.ends", "", "must be after starts")
	switch o.Missed.Policy {
	case "", MissedSkip, MissedOnce, MissedAll:
	default:
		check.fail("on.missed.policy", string(o.Missed.Policy), "want skip, once or all")
	}
	caused := o.Event != "" || o.File != "" || o.Webhook
	check.that(o.Merge == 0 || caused, "on.merge", o.Merge.String(), "belongs to event, file and webhook only")
	check.that(o.Merge <= Duration(MaxMerge), "on.merge", o.Merge.String(), "want at most 10m")
	check.that(o.Startup == "" || o.Startup == StartupBoot || o.Startup == StartupAgent, "on.startup", string(o.Startup), "want boot or agent")
	check.that(!o.AfterEnd || o.Every != 0, "on.after_end", "", "belongs to every only")
	check.that(!o.AfterEnd || o.Anchor == nil && o.Spread == 0 && o.Missed == (Missed{}), "on.after_end", "", "does not go with anchor, spread and missed: there are no fixed instants")
	check.that(len(o.Blackout) == 0 || !o.Daemon && !o.Manual && o.Startup == "", "on.blackout", strings.Join(o.Blackout, ", "), "does not go with daemon, startup and manual")
	check.that(len(o.Blackout) <= 20, "on.blackout", "", "at most 20 calendars")
	for _, name := range o.Blackout {
		check.that(ValidName(name), "on.blackout", name, "want the name of a calendar")
	}
	check.that(o.Missed == (Missed{}) || clock, "on.missed", string(o.Missed.Policy), "belongs to cron and every only")
}

// badPattern says what is wrong with the path of a file trigger, or nothing.
func badPattern(pattern string) string {
	dir, last := path.Split(pattern)
	_, err := path.Match(last, "x")
	switch {
	case !path.IsAbs(pattern) || path.Clean(pattern) != pattern || last == "":
		return "want an absolute path of a file, such as /var/spool/in/*.csv"
	case strings.ContainsAny(dir, `*?[\`):
		return "wildcards belong into the last element only"
	case err != nil:
		return "the wildcards do not close"
	case len(pattern) > 1024 || strings.ContainsRune(pattern, 0):
		return "want at most 1024 bytes without NUL"
	}
	return ""
}

func (o *Trigger) validateCron(check *checker) {
	schedule, err := cron.Parse(o.Cron)
	if err != nil {
		check.fail("on.cron", o.Cron, err.Error())
	} else if schedule.Reboot() {
		check.fail("on.cron", o.Cron, "@reboot is no clock time; write startup: boot")
	}
	if o.Timezone != "" {
		if _, err := cron.Load(o.Timezone); err != nil {
			check.fail("on.timezone", o.Timezone, err.Error())
		}
	}
}

func (e *Execute) validate(check *checker) {
	check.that(!e.Command.IsZero(), "run.command", "", "is missing")
	size := len(e.Command.Shell)
	for _, word := range e.Command.Argv {
		size += len(word) + 1
		check.that(!strings.ContainsRune(word, 0), "run.command", word, "must not contain NUL")
	}
	check.that(!strings.ContainsRune(e.Command.Shell, 0), "run.command", e.Command.Shell, "must not contain NUL")
	check.that(size <= MaxCommandSize, "run.command", "", "at most 32 KiB")
	if len(e.Command.Argv) > 0 {
		program := e.Command.Argv[0]
		check.that(path.IsAbs(program), "run.command", program, "want an absolute path to the program; a string instead of a list goes to the shell")
	}
	check.that(len(e.Stdin) <= MaxCommandSize, "run.stdin", "", "at most 32 KiB")
	check.that(!strings.ContainsRune(e.Stdin, 0), "run.stdin", "", "must not contain NUL")
	check.that(e.User == "" || userPattern.MatchString(e.User), "run.user", e.User, "want a user name")
	check.that(e.Dir == "" || path.IsAbs(e.Dir), "run.dir", e.Dir, "want an absolute path")
	check.that(e.Shell == "" || e.Shell == ShellPlain || e.Shell == ShellStrict, "run.shell", string(e.Shell), "want plain or strict")
	check.that(e.Shell == "" || e.Command.Shell != "", "run.shell", string(e.Shell), "belongs to a command that is one text; a list is executed as it stands")
	check.that(e.Group == "" || userPattern.MatchString(e.Group), "run.group", e.Group, "want a group name")
	check.that(len(e.Groups) <= 64, "run.groups", "", "at most 64")
	for _, group := range e.Groups {
		check.that(userPattern.MatchString(group), "run.groups", group, "want a group name")
	}
	check.that(e.Umask == "" || umaskPattern.MatchString(e.Umask), "run.umask", e.Umask, `want an octal mask in quotes, such as "0027"`)
	for name, value := range sorted(e.Env) {
		check.that(envPattern.MatchString(name), "run.env", name, "want a name of A-Z a-z 0-9 _")
		check.that(!strings.HasPrefix(name, "FLEETCRON_"), "run.env", name, "names that begin with FLEETCRON_ are set by the agent")
		check.that(!strings.ContainsRune(value, 0), "run.env."+name, value, "must not contain NUL")
	}
}

func (l *Limits) validate(check *checker) {
	switch l.Overlap {
	case "", OverlapSkip, OverlapQueue, OverlapReplace, OverlapAllow:
	default:
		check.fail("limits.overlap", string(l.Overlap), "want skip, queue, replace or allow")
	}
	check.that(l.PerHost >= 0 && l.PerHost <= 1000, "limits.per_host", "", "want 1–1000")
	check.that(l.Fleet >= 0 && l.Fleet <= 100_000, "limits.fleet", strconv.Itoa(l.Fleet), "want 1–100000")
	check.that(l.Fleet == 0 || l.Timeout > 0, "limits.fleet", strconv.Itoa(l.Fleet), "needs limits.timeout: a place in the fleet must come free even if its host is lost")
	check.that(l.Wait == 0 || l.Fleet > 0, "limits.wait", l.Wait.String(), "belongs to limits.fleet only")
	check.that(l.Nice >= -20 && l.Nice <= 19, "limits.nice", "", "want -20..19")
	check.that(l.Output >= 0 && l.Output <= 1<<30, "limits.output", l.Output.String(), "want at most 1GiB")
	l.validateKernel(check)
}
