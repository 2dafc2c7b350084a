package findings

import (
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/calendar"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// When is everything that decides when a job is due. It is comparable: jobs
// that are equal in it are due at the same instants.
type When struct {
	Schedule, Zone string
	Rules          Rules
	Wall           bool // cronie under CRON_TZ: the wall clock and nothing else

	anchor int64 // of a period: an instant that it is due at, seconds since 1970
	period time.Duration
}

// Rules says who reads the schedule.
type Rules string

// Whose rules there are beside those of the dialects of cron.
const (
	Systemd Rules = "systemd" // calendar events
	Period  Rules = "period"  // again and again after an instant that the host foretold: an estimate
	Once    Rules = "once"
)

// dialects maps what a host says of its cron to the reading of it.
var dialects = map[string]cron.Dialect{"debian": cron.Debian, "cronie": cron.Cronie, "busybox": cron.Busybox}

// WhenOf returns when the job is due, by the rules of what starts it on its
// host, and false for one that the host will not run or that is due at no
// instant that can be told.
func WhenOf(job *fleet.Job, host *fleet.Host) (When, bool) {
	w := When{Schedule: job.Schedule, Zone: job.Timezone}
	if w.Zone == "" {
		w.Zone = host.Timezone
	}
	if w.Zone == "" {
		w.Zone = "UTC"
	}
	if !job.Enabled || !job.Verdict.Runs || job.Schedule == "" {
		return w, false
	}
	switch {
	case job.Kind == fleet.KindAt:
		at, err := time.Parse(time.RFC3339, job.Schedule)
		w.Rules, w.anchor = Once, at.Unix()
		return w, err == nil
	case job.Kind == fleet.KindTimer:
		w.Rules = Systemd
		if len(calendar.ParseEvents(job.Schedule)) > 0 {
			return w, true
		}
		return w.every(monotonic(job.Schedule), lastOf(job))
	case anacronPeriod(job) > 0:
		var next time.Time
		if len(job.Next) > 0 {
			next = job.Next[0]
		}
		return w.every(anacronPeriod(job), next)
	}
	if w.Rules = Rules(host.Cron); dialects[host.Cron] == 0 {
		w.Rules = Rules(cron.Debian.String())
	}
	w.Wall = host.Cron == cron.Cronie.String() && job.Env["CRON_TZ"] != ""
	return w, true
}

func lastOf(job *fleet.Job) time.Time {
	if job.Evidence == nil {
		return time.Time{}
	}
	return job.Evidence.Last
}

// every makes it due again and again, if it is known when once.
func (w When) every(period time.Duration, at time.Time) (When, bool) {
	w.Rules, w.anchor, w.period = Period, at.Unix(), period
	return w, period > 0 && !at.IsZero()
}

// anacronPeriod returns how often anacron starts a job; zero, where it is not
// anacron that does.
func anacronPeriod(job *fleet.Job) time.Duration {
	if job.Kind != fleet.KindAnacron && job.Kind != fleet.KindRunParts {
		return 0
	}
	fields := strings.Fields(job.Schedule)
	if len(fields) != 2 {
		return 0
	}
	const day = 24 * time.Hour
	switch fields[0] {
	case "@daily":
		return day
	case "@weekly":
		return 7 * day
	case "@monthly":
		return 31 * day
	case "@yearly", "@annually":
		return 366 * day
	}
	days, err := strconv.Atoi(fields[0])
	if err != nil || days < 1 || days > 10_000 {
		return 0
	}
	return time.Duration(days) * day
}

// monotonic returns the span after which a timer without calendar events
// starts its unit again; zero, where it does not say.
func monotonic(schedule string) time.Duration {
	for one := range strings.SplitSeq(schedule, calendar.Separator) {
		key, value, _ := strings.Cut(one, "=")
		if key != "OnUnitActiveSec" && key != "OnUnitInactiveSec" {
			continue
		}
		if span, err := calendar.ParseSpan(value); err == nil && span >= time.Second {
			return span
		}
	}
	return 0
}

// Clock tells the instants of a When. Its zero value is never due.
type Clock struct {
	schedule interface {
		Next(after time.Time) (time.Time, bool)
	}
	location *time.Location
}

// Clock reads the schedule. It is false for one without instants of the clock,
// such as @reboot or a value that cronie draws.
func (w When) Clock() (Clock, bool) {
	location, err := cron.Load(w.Zone)
	if err != nil {
		return Clock{}, false
	}
	switch w.Rules {
	case Once, Period:
		return Clock{periodic{time.Unix(w.anchor, 0), w.period}, location}, w.anchor > 0
	case Systemd:
		events := calendar.ParseEvents(w.Schedule)
		return Clock{events, location}, len(events) > 0
	}
	schedule, ok := w.cron()
	return Clock{schedule, location}, ok
}

// cron reads the schedule of a cron.
func (w When) cron() (cron.Schedule, bool) {
	schedule, err := dialects[string(w.Rules)].Parse(w.Schedule)
	if err != nil || schedule.Reboot() || schedule.Random() {
		return schedule, false
	}
	if w.Wall {
		schedule = schedule.Wall()
	}
	return schedule, true
}

// Next returns the first instant after the given one, UTC.
func (c Clock) Next(after time.Time) (time.Time, bool) {
	if c.schedule == nil {
		return time.Time{}, false
	}
	at, ok := c.schedule.Next(after.In(c.location))
	return at.UTC(), ok
}

// periodic is due at an instant and, with a period, again and again after it.
type periodic struct {
	first  time.Time
	period time.Duration
}

// Next returns the first instant after the given one.
func (p periodic) Next(after time.Time) (time.Time, bool) {
	switch {
	case after.Before(p.first):
		return p.first, true
	case p.period <= 0:
		return time.Time{}, false
	}
	at := p.first.Add((after.Sub(p.first)/p.period + 1) * p.period)
	return at, at.After(after) // not so where centuries lie between
}
