package checker

import (
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Kind is what was done to a fleet, or decided by people, for a while.
type Kind string

// The kinds of windows.
const (
	AgentDown     Kind = "agent_down"     // killed, and not yet started again
	AgentStopped  Kind = "agent_stopped"  // SIGSTOP, or too slow to do anything
	GuardianDown  Kind = "guardian_down"  // the parent of the commands was killed, with its agent or alone
	HostDown      Kind = "host_down"      // rebooting
	ClockForward  Kind = "clock_forward"  // the instants that the clock passed over
	ClockBack     Kind = "clock_back"     // the instants that it showed again
	Suspended     Kind = "suspended"      // as a clock that goes forward, with everything else standing still
	DiskFull      Kind = "disk_full"      // the journal's
	CollectorAway Kind = "collector_away" // from the host's point of view
	StartsFail    Kind = "starts_fail"    // the command, its user or a limit of it is not to be had
	Overload      Kind = "overload"       // more was due than the agent may start
	Unready       Kind = "unready"        // what the task waits for is not there
	Unwell        Kind = "unwell"         // a supervised command does not answer its probes
	Taken         Kind = "taken"          // all places that the task has in the fleet
	PlanLate      Kind = "plan_late"      // between the acceptance of a task and its arrival

	Paused    Kind = "paused"
	Blackout  Kind = "blackout"
	Broken    Kind = "broken"    // the breaker is open, by who counts the failures
	Cancelled Kind = "cancelled" // somebody stopped a run, or took the task away
	Stopped   Kind = "stopped"   // a supervised command, by a person or for good
	Moved     Kind = "moved"     // the host was outside of the task's networks
)

// Window is a time in which something was so. Host and Task empty: for all.
type Window struct {
	Kind     Kind
	Host     fleet.HostID
	Task     fleet.TaskID
	From, To time.Time // both included
}

// causes says what must have been going on where a record has a reason. Those
// without a row are explained otherwise: by a run that went on, or by nothing.
var causes = map[fleet.Reason][]Kind{
	fleet.SkippedPaused:    {Paused, PlanLate},
	fleet.SkippedBlackout:  {Blackout},
	fleet.SkippedBreaker:   {Broken},
	fleet.SkippedCancelled: {Cancelled},
	fleet.SkippedExpired:   {AgentDown, HostDown, AgentStopped, ClockForward, Suspended},
	fleet.SkippedAway:      {Moved},

	fleet.MissedAgentDown:    {AgentDown, HostDown, ClockBack},
	fleet.MissedHostDown:     {HostDown, ClockBack, ClockForward}, // when a host booted is reckoned by its clock
	fleet.MissedDeadline:     {AgentStopped, Suspended, ClockForward, ClockBack, DiskFull, Overload},
	fleet.MissedClockJump:    {ClockForward, Suspended, AgentStopped},
	fleet.MissedJournal:      {DiskFull},
	fleet.MissedForkFailed:   {StartsFail},
	fleet.MissedNoUser:       {StartsFail},
	fleet.MissedLimits:       {StartsFail},
	fleet.MissedSpecLate:     {PlanLate},
	fleet.MissedNoLease:      {CollectorAway, AgentDown, AgentStopped, Suspended, Taken, Overload},
	fleet.MissedPrecondition: {Unready},
	fleet.MissedLoad:         {Overload, AgentDown, AgentStopped, Suspended},

	fleet.UnknownAgentDied: {GuardianDown, HostDown},
	fleet.UnknownHostDied:  {HostDown},
}

// gathers lists the kinds that make an agent lose what it had decided and not
// written: such an instant may lie before the window by what is gathered.
var gathers = []Kind{AgentDown, HostDown}

// interval is a time with both its ends, in nanoseconds.
type interval struct{ from, to int64 }

// cover is a set of intervals, in order and apart from each other.
type cover []interval

// newCover joins what overlaps.
func newCover(all []interval) cover {
	slices.SortFunc(all, func(a, b interval) int {
		if a.from != b.from {
			return int(min(1, max(-1, a.from-b.from)))
		}
		return 0
	})
	var joined cover
	for _, i := range all {
		if n := len(joined); n > 0 && i.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, i.to)
		} else {
			joined = append(joined, i)
		}
	}
	return joined
}

// first returns the first interval that reaches at or beyond an instant.
func (c cover) first(at int64) (interval, bool) {
	i, _ := slices.BinarySearchFunc(c, at, func(i interval, at int64) int {
		if i.to < at {
			return -1
		}
		return 1
	})
	if i == len(c) {
		return interval{}, false
	}
	return c[i], true
}

// overlaps reports whether any of it lies within the two instants.
func (c cover) overlaps(from, to int64) bool {
	i, ok := c.first(from)
	return ok && i.from <= to
}

type place struct {
	kind Kind
	host fleet.HostID
	task fleet.TaskID
}

// windows finds what was going on at an instant.
type windows map[place]cover

func newWindows(all []Window, tolerance Tolerance) windows {
	lists := map[place][]interval{}
	for _, w := range all {
		before := tolerance.Late
		if slices.Contains(gathers, w.Kind) {
			before = max(before, tolerance.Gather)
		}
		after := tolerance.Late
		if w.Kind == ClockForward || w.Kind == Suspended {
			after = max(after, tolerance.Notice)
		}
		at := place{w.Kind, w.Host, w.Task}
		lists[at] = append(lists[at], interval{w.From.Add(-before).UnixNano(), w.To.Add(after).UnixNano()})
	}
	found := windows{}
	for at, list := range lists {
		found[at] = newCover(list)
	}
	return found
}

// of returns the covers that hold for a task on a host.
func (w windows) of(kinds []Kind, task fleet.TaskID, host fleet.HostID) (all []cover) {
	for _, kind := range kinds {
		for _, at := range []place{{kind, host, task}, {kind, host, ""}, {kind, "", task}, {kind, "", ""}} {
			if c := w[at]; c != nil {
				all = append(all, c)
			}
		}
	}
	return all
}

// overlap reports whether something of the kinds was going on between two
// instants.
func (w windows) overlap(kinds []Kind, task fleet.TaskID, host fleet.HostID, from, to time.Time) bool {
	for _, c := range w.of(kinds, task, host) {
		if c.overlaps(from.UnixNano(), to.UnixNano()) {
			return true
		}
	}
	return false
}

// until returns how far something of the kinds goes on from an instant, and
// false where nothing was.
func (w windows) until(kinds []Kind, task fleet.TaskID, host fleet.HostID, at time.Time) (time.Time, bool) {
	nano, far, found := at.UnixNano(), int64(0), false
	for _, c := range w.of(kinds, task, host) {
		if i, ok := c.first(nano); ok && i.from <= nano {
			far, found = max(far, i.to), true
		}
	}
	return time.Unix(0, far).UTC(), found
}
