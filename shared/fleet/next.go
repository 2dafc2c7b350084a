package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// Clock is the due instants of one task on one host. It is a small value, safe
// to copy and to share. Its zero value is never due.
type Clock struct {
	kind         clockKind
	schedule     cron.Schedule
	location     *time.Location
	period       time.Duration
	fixed        time.Time // the anchor of every, the instant of at
	spread       time.Duration
	starts, ends time.Time // zero: no bound
}

type clockKind uint8

const (
	clockNever clockKind = iota
	clockCron
	clockEvery
	clockAt
)

// Clock returns the task's due instants on the host. A task that is not Clocked
// has none. The error is an Invalid one, for a task that was never validated.
func (t *Task) Clock(host HostID) (Clock, error) {
	clock, err := t.clock()
	if err != nil {
		return Clock{}, err
	}
	clock.spread = spreadOf(t.ID(), host, time.Duration(t.On.Spread))
	return clock, nil
}

// Clocks is Clock for many hosts: the trigger is read once.
func (t *Task) Clocks() (func(HostID) Clock, error) {
	unspread, err := t.clock()
	if err != nil {
		return nil, err
	}
	id, spread := t.ID(), time.Duration(t.On.Spread)
	return func(host HostID) Clock {
		clock := unspread
		clock.spread = spreadOf(id, host, spread)
		return clock
	}, nil
}

func (t *Task) clock() (Clock, error) {
	var clock Clock
	if t.On.Starts != nil {
		clock.starts = *t.On.Starts
	}
	if t.On.Ends != nil {
		clock.ends = *t.On.Ends
	}
	switch {
	case t.On.Cron != "":
		return clock.withCron(t.On.Cron, t.On.Timezone)
	case t.On.Every > 0 && !t.On.AfterEnd:
		clock.kind, clock.period, clock.fixed = clockEvery, time.Duration(t.On.Every), time.Unix(0, 0)
		if t.On.Anchor != nil {
			clock.fixed = *t.On.Anchor
		}
	case t.On.At != nil:
		clock.kind, clock.fixed = clockAt, *t.On.At
	}
	return clock, nil
}

// ClockFrom returns the due instants of a task whose period is counted from the
// end of the run before, if that was then: one period later, and every period
// from there as long as no run moves it.
func (t *Task) ClockFrom(end time.Time) Clock {
	clock := Clock{kind: clockEvery, period: time.Duration(t.On.Every), fixed: end}
	if t.On.Starts != nil {
		clock.starts = *t.On.Starts
	}
	if t.On.Ends != nil {
		clock.ends = *t.On.Ends
	}
	return clock
}

func (c Clock) withCron(expression, zone string) (Clock, error) {
	var err error
	if c.schedule, err = cron.Parse(expression); err != nil {
		return Clock{}, Invalidf("on.cron", expression, "%v", err)
	}
	c.kind, c.location = clockCron, time.UTC
	if zone != "" {
		if c.location, err = cron.Load(zone); err != nil {
			return Clock{}, Invalidf("on.timezone", zone, "%v", err)
		}
	}
	return c, nil
}

// Next returns the first due instant after the given one, in UTC, the host's
// share of the spread included. It is false where none comes. The bounds Starts
// and Ends hold for the instants before they are spread, so that every host
// has the same number of them.
func (c Clock) Next(after time.Time) (time.Time, bool) {
	after = after.Add(-c.spread)
	if early := c.starts.Add(-1); !c.starts.IsZero() && after.Before(early) {
		after = early
	}
	next, ok := c.next(after)
	if !ok || !c.ends.IsZero() && !next.Before(c.ends) {
		return time.Time{}, false
	}
	return next.Add(c.spread).UTC(), true
}

func (c Clock) next(after time.Time) (time.Time, bool) {
	switch c.kind {
	case clockCron:
		return c.schedule.Next(after.In(c.location))
	case clockEvery:
		return after.Add(c.period - phase(after, c.fixed, c.period)), true
	case clockAt:
		return c.fixed, after.Before(c.fixed)
	default:
		return time.Time{}, false
	}
}

// Spread returns how much later than its schedule the task is due on this
// host: always the same, less than the task's spread.
func (c Clock) Spread() time.Duration { return c.spread }

// Next returns the first due instant of the task on the host after the given
// one. Who asks often keeps the Clock instead.
func (t *Task) Next(host HostID, after time.Time) (time.Time, bool) {
	clock, err := t.Clock(host)
	if err != nil {
		return time.Time{}, false
	}
	return clock.Next(after)
}

// phase returns how long ago the last instant anchor + k × period was, k being
// any whole number: 0 ≤ phase < period. It is exact for every representable
// time, where a time.Duration between the two would overflow.
func phase(at, anchor time.Time, period time.Duration) time.Duration {
	since := remainder(at, period) - remainder(anchor, period)
	if since < 0 {
		since += period
	}
	return since
}

// remainder is the nanoseconds since year 1 modulo the period.
func remainder(t time.Time, period time.Duration) time.Duration {
	const yearOne = 62135596800 // seconds before 1970
	high, low := bits.Mul64(uint64(t.Unix()+yearOne), uint64(time.Second))
	low, carry := bits.Add64(low, uint64(t.Nanosecond()), 0)
	return time.Duration(bits.Rem64(high+carry, low, uint64(period)))
}

// spreadOf draws a host's share of a spread from the two names, in whole
// seconds where the spread has some, so that it is the same for ever and
// differs from host to host.
func spreadOf(task TaskID, host HostID, spread time.Duration) time.Duration {
	if spread <= 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(string(task) + "\x00" + string(host)))
	unit := time.Second
	if spread < unit {
		unit = time.Nanosecond
	}
	return time.Duration(binary.BigEndian.Uint64(sum[:8])%uint64(spread/unit)) * unit
}
