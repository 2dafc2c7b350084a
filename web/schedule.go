package web

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/calendar"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// schedule is when something runs, as people say it and as it was written.
type schedule struct {
	Words string // "every weekday at 02:30"; empty where only the text is known
	Zone  string // empty where the clock on the wall does not matter
	Raw   string // "30 2 * * 1-5"
}

// dialects names the readers of the cron daemons that a host may say it has.
var dialects = map[string]cron.Dialect{
	"debian":  cron.Debian,
	"cronie":  cron.Cronie,
	"busybox": cron.Busybox,
}

// jobSchedule describes a found job as its host's cron daemon reads it; an
// unknown daemon counts as Debian's.
func jobSchedule(job *fleet.Job, daemon string) schedule {
	out := schedule{Raw: job.Schedule, Zone: job.Timezone}
	if job.Kind != fleet.KindCron && job.Kind != fleet.KindRunParts {
		return out
	}
	parsed, err := dialectOf(daemon).Parse(job.Schedule)
	if err != nil {
		return out
	}
	out.Words = parsed.Describe()
	if parsed.Reboot() {
		out.Zone = ""
	}
	return out
}

func dialectOf(daemon string) cron.Dialect {
	if dialect, known := dialects[daemon]; known {
		return dialect
	}
	return cron.Debian
}

// taskSchedule describes a task's trigger.
func taskSchedule(on *fleet.Trigger) schedule {
	switch {
	case on.Cron != "":
		out := schedule{Raw: on.Cron, Zone: on.Timezone}
		if out.Zone == "" {
			out.Zone = "UTC"
		}
		if parsed, err := cron.Parse(on.Cron); err == nil {
			out.Words = parsed.Describe()
		}
		return out
	case on.AfterEnd:
		return schedule{Words: on.Every.String() + " after each end", Raw: "every: " + on.Every.String() + ", after_end"}
	case on.Every != 0:
		return schedule{Words: "every " + on.Every.String(), Raw: "every: " + on.Every.String()}
	case on.At != nil:
		return schedule{Words: "once, " + on.At.UTC().Format("2 Jan 2006 at 15:04:05"), Zone: "UTC", Raw: "at: " + on.At.Format(time.RFC3339)}
	case on.Event != "":
		return schedule{Words: "when " + on.Event + " happens", Raw: "event: " + on.Event}
	case on.File != "":
		return schedule{Words: "when a file appears or changes", Raw: "file: " + on.File}
	case on.Webhook:
		return schedule{Words: "when its address is called", Raw: "webhook"}
	case on.Startup == fleet.StartupBoot:
		return schedule{Words: "once per boot of the host", Raw: "startup: boot"}
	case on.Startup != "":
		return schedule{Words: "at each start of the agent", Raw: "startup: " + string(on.Startup)}
	case on.Manual:
		return schedule{Words: "when someone asks", Raw: "manual"}
	case on.Daemon:
		return schedule{Words: "always running", Raw: "daemon"}
	}
	return schedule{}
}

// nextOf returns the first instant after now at which a found job comes, as
// its host foretold it, or else as its schedule says. Zero: unknown or never.
func nextOf(job *fleet.Job, daemon string, now time.Time) time.Time {
	if coming := comingOf(job, daemon, now, 1); len(coming) > 0 {
		return coming[0]
	}
	return time.Time{}
}

// comingOf returns the next n instants of a found job, or as many as are
// known: first those that its host foretold, then those of its schedule.
func comingOf(job *fleet.Job, daemon string, now time.Time, n int) []time.Time {
	if !job.Verdict.Runs {
		return nil
	}
	var out []time.Time
	for _, next := range job.Next {
		if next.After(now) && len(out) < n {
			out = append(out, next)
		}
	}
	zone, err := cron.Load(job.Timezone)
	next := successor(job, daemon)
	if err != nil || next == nil {
		return out
	}
	at := now.In(zone)
	if len(out) > 0 {
		at = out[len(out)-1].In(zone)
	}
	for len(out) < n {
		var ok bool
		if at, ok = next(at); !ok {
			break
		}
		out = append(out, at)
	}
	return out
}

// successor returns what finds the instant after another by a job's schedule;
// nil where the schedule does not tell.
func successor(job *fleet.Job, daemon string) func(time.Time) (time.Time, bool) {
	switch job.Kind {
	case fleet.KindTimer:
		return calendar.ParseEvents(job.Schedule).Next
	case fleet.KindCron, fleet.KindRunParts:
		if parsed, err := dialectOf(daemon).Parse(job.Schedule); err == nil {
			return parsed.Next
		}
	}
	return nil
}
