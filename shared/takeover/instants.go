package takeover

import (
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/calendar"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Next returns the first instant after the given one, in UTC, and false where
// none comes.
type Next func(after time.Time) (time.Time, bool)

// Instants returns when the host's own scheduler starts the job.
func Instants(job *fleet.Job, host *fleet.Host) (Next, error) {
	location, err := zone(job)
	if err != nil {
		return nil, err
	}
	switch job.Kind {
	case fleet.KindTimer:
		event, err := eventOf(job)
		return within(event.Next, location), err
	case fleet.KindAnacron:
		return nil, refuse("anacron runs it some time within its period, whenever the host is up; a task needs instants of its own")
	case fleet.KindAt:
		return nil, refuse("an at job runs once and is gone: assign a task with --at, and take it out with atrm")
	case fleet.KindRunParts:
		if len(strings.Fields(job.Schedule)) < 5 && !strings.HasPrefix(job.Schedule, "@") {
			return nil, refuse("anacron says when its directory is due; a task needs instants of its own")
		}
	}
	schedule, err := scheduleOf(job, host)
	return within(schedule.Next, location), err
}

func eventOf(job *fleet.Job) (calendar.Event, error) {
	if strings.Contains(job.Schedule, calendar.Separator) {
		return calendar.Event{}, refuse("its timer has several triggers (%s), and a task has one", job.Schedule)
	}
	event, err := calendar.Parse(job.Schedule)
	if err != nil {
		return event, refuse("%s is counted from an event, not from the clock", job.Schedule)
	}
	return event, nil
}

// scheduleOf reads the schedule of a line as the host's cron does.
func scheduleOf(job *fleet.Job, host *fleet.Host) (cron.Schedule, error) {
	dialect := dialectOf(host)
	if dialect == cron.Strict {
		return cron.Schedule{}, refuse("the host's cron is %q, and how that reads a schedule is not known", host.Cron)
	}
	schedule, err := dialect.Parse(job.Schedule)
	switch {
	case err != nil:
		return schedule, refuse("its schedule %q cannot be read: %v", job.Schedule, err)
	case schedule.Reboot():
		return schedule, refuse("@reboot is no clock time; no task starts with the host")
	case schedule.Random():
		return schedule, refuse("its host draws the time of %q anew at each start of cron: write the one that is meant into the line first", job.Schedule)
	}
	if dialect == cron.Cronie && job.Env["CRON_TZ"] != "" {
		schedule = schedule.Wall()
	}
	return schedule, nil
}

// dialectOf returns how the host's cron reads its tables, and cron.Strict where
// that is not known.
func dialectOf(host *fleet.Host) cron.Dialect {
	for _, d := range []cron.Dialect{cron.Debian, cron.Cronie, cron.Busybox} {
		if d.String() == host.Cron {
			return d
		}
	}
	return cron.Strict
}

func within(next func(time.Time) (time.Time, bool), location *time.Location) Next {
	return func(after time.Time) (time.Time, bool) {
		at, ok := next(after.In(location))
		return at.UTC(), ok
	}
}

func zone(job *fleet.Job) (*time.Location, error) {
	if job.Timezone == "" {
		return nil, refuse("the zone of its host has no name, so nobody can say when %q is due", job.Schedule)
	}
	location, err := cron.Load(job.Timezone)
	if err != nil {
		return nil, refuse("its zone %q is not known here: %v", job.Timezone, err)
	}
	return location, nil
}

// trigger says when the task is due: at the job's own instants, or at those of
// another schedule that was asked for.
func trigger(job *fleet.Job, host *fleet.Host, schedule string) (fleet.Trigger, error) {
	theirs, err := Instants(job, host)
	if err != nil {
		return fleet.Trigger{}, err
	}
	if schedule != "" {
		return fleet.Trigger{Cron: schedule, Timezone: job.Timezone}, nil
	}
	text := job.Schedule
	if job.Kind == fleet.KindTimer {
		event, _ := eventOf(job) // Instants has read it
		if text, err = fromCalendar(event); err != nil {
			return fleet.Trigger{}, err
		}
	}
	ours, err := cron.Parse(text)
	if err != nil {
		return fleet.Trigger{}, refuse("its schedule %q means something on that host only: %v", job.Schedule, err)
	}
	location, _ := zone(job) // Instants has read it, too
	if !agree(theirs, within(ours.Next, location)) {
		return fleet.Trigger{}, refuse("the host reads its schedule %q in a way of its own: say what is meant with another schedule", job.Schedule)
	}
	return fleet.Trigger{Cron: text, Timezone: job.Timezone}, nil
}

// compared is how many instants two schedules must share from each month of a
// year on to be taken for the same, so that days, months and weekdays all have
// their turn.
const compared = 40

// agree reports whether two readings of a schedule have the same instants. In
// months in which clocks are set it does not look: the daemons differ there by
// design, and a task follows one rule everywhere.
func agree(a, b Next) bool {
	for month := range 12 {
		at := time.Date(2026, time.Month(1+month), 10, 0, 0, 0, 0, time.UTC)
		for range compared {
			left, more := a(at)
			right, also := b(at)
			if clocksAreSet(left) {
				break
			}
			if more != also || !left.Equal(right) {
				return false
			}
			if at = left; !more {
				break
			}
		}
	}
	return true
}

// clocksAreSet reports whether many zones set their clocks in that month.
func clocksAreSet(at time.Time) bool {
	switch at.Month() {
	case time.March, time.April, time.September, time.October, time.November:
		return true
	}
	return false
}
