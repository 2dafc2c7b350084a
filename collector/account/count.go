package account

import (
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// counter counts due instants, and remembers what it counted: what is over does
// not change.
type counter struct {
	generation func(fleet.TaskID, uint64) (fleet.Task, bool, error)

	mu       sync.Mutex
	schedule map[generation]*schedule
	counted  map[stint]counted
}

type generation struct {
	task   fleet.TaskID
	number uint64
}

type stint struct {
	generation
	host  fleet.HostID
	after int64
}

// counted is how many instants a stint had up to one of them.
type counted struct {
	until time.Time
	n     int
}

func newCounter(known func(fleet.TaskID, uint64) (fleet.Task, bool, error)) *counter {
	return &counter{generation: known, schedule: map[generation]*schedule{}, counted: map[stint]counted{}}
}

// of counts the instants of a stint on a host.
func (c *counter) of(task fleet.TaskID, host fleet.HostID, span ledger.Span) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.scheduleOf(generation{task, span.Generation})
	if err != nil {
		return 0, err
	}
	k := stint{generation{task, span.Generation}, host, span.After.UnixNano()}
	known, seen := c.counted[k]
	if !seen || known.until.After(span.Last) {
		known = counted{until: span.After}
	}
	if span.Last.After(known.until) {
		known.n += s.count(host, known.until, span.Last)
		known.until = span.Last
		c.counted[k] = known
	}
	return known.n, nil
}

// between counts the instants of a generation on a host in a window.
func (c *counter) between(task fleet.TaskID, host fleet.HostID, number uint64, after, until time.Time) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.scheduleOf(generation{task, number})
	if err != nil {
		return 0, err
	}
	return s.count(host, after, until), nil
}

// clock returns the due instants of a generation on a host, and whether there
// is a schedule at all.
func (c *counter) clock(task fleet.TaskID, host fleet.HostID, number uint64) (fleet.Clock, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.scheduleOf(generation{task, number})
	if err != nil {
		return fleet.Clock{}, false, err
	}
	return s.clocks(host), s.clocked, nil
}

func (c *counter) scheduleOf(g generation) (*schedule, error) {
	if s := c.schedule[g]; s != nil {
		return s, nil
	}
	task, known, err := c.generation(g.task, g.number)
	if err != nil {
		return nil, err
	}
	if !known { // no host can have been given it: nothing was due under it
		return &schedule{clocks: func(fleet.HostID) fleet.Clock { return fleet.Clock{} }, clocked: true}, nil
	}
	s, err := newSchedule(task)
	if err == nil {
		c.schedule[g] = s
	}
	return s, err
}

// schedule counts the instants of one generation on any host. Hosts differ by
// their share of the spread only, so whole hours are walked once for all.
type schedule struct {
	clocks  func(fleet.HostID) fleet.Clock
	clocked bool
	plain   fleet.Clock // without a spread
	period  bool        // counted by arithmetic, nothing is kept
	first   int64       // hour since 1970 that before begins with
	before  []int       // instants before each hour, from the first on
}

func newSchedule(task fleet.Task) (*schedule, error) {
	s := &schedule{clocked: task.On.Clocked(), period: task.On.Every > 0}
	var err error
	if s.clocks, err = task.Clocks(); err != nil {
		return nil, err
	}
	task.On.Spread = 0
	s.plain, err = task.Clock("")
	return s, err
}

func (s *schedule) count(host fleet.HostID, after, until time.Time) int {
	if !s.clocked || !until.After(after) {
		return 0
	}
	spread := s.clocks(host).Spread()
	after, until = after.Add(-spread), until.Add(-spread)
	from, to := hourOf(after)+1, hourOf(until)
	if s.period || to <= from {
		return s.plain.Count(after, until)
	}
	// Count takes the end along and leaves the beginning out.
	n := s.plain.Count(after, hourAt(from).Add(-1)) + s.plain.Count(hourAt(to).Add(-1), until)
	return n + s.upTo(to, from) - s.upTo(from, from)
}

// upTo returns how many instants there are before the hour, counted from an
// hour that is no later than least.
func (s *schedule) upTo(hour, least int64) int {
	if len(s.before) == 0 || least < s.first {
		s.first, s.before = least, []int{0}
	}
	for last := s.first + int64(len(s.before)) - 1; last < hour; last++ {
		s.before = append(s.before, s.before[len(s.before)-1]+s.plain.Count(hourAt(last).Add(-1), hourAt(last+1).Add(-1)))
	}
	return s.before[hour-s.first]
}

func hourOf(at time.Time) int64 { return at.Unix() / 3600 }

func hourAt(hour int64) time.Time { return time.Unix(hour*3600, 0) }
