package cron

import "time"

const (
	// A change of the clock of up to three hours is one that vixie's heirs make
	// up for; a larger one is a correction to them. The limits are where their
	// minute counters put them: a gap of exactly three hours is too much, a
	// repetition of exactly three hours is not.
	gapLimit  = 3*60*60 - 1
	foldLimit = 3 * 60 * 60

	// offsetLimit bounds how far any zone is from UTC, in seconds, twice over.
	offsetLimit = 30 * 60 * 60

	firstSecond = -62135596800 // 0001-01-01T00:00:00Z
	lastSecond  = 253402300799 // 9999-12-31T23:59:59Z
)

// Next returns the first instant after the given one at which the schedule is
// due, in the given one's location. It is false where no such instant comes
// before the year 10000 or can be known: impossible dates, empty sets,
// [Schedule.Reboot], [Schedule.Random], the zero value.
//
// Around a change of the clock a schedule follows the daemon it was read for.
// Strict, Debian and Cronie do as vixie cron does: with a star in front of the
// minute or hour ([Schedule.Wildcard]) it follows elapsed time; otherwise what
// a gap of less than three hours skips is due at the first instant after the
// gap, once, and what the clock repeats is due the first time only. Busybox and
// [Schedule.Wall] match the wall clock: nothing in a gap, twice in a repetition.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	if s.flags&(never|atReboot|drawn) != 0 || s.second == 0 {
		return time.Time{}, false
	}
	at, ok := s.next(max(after.Unix(), firstSecond), after.Location())
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(at, 0).In(after.Location()), true
}

// next is Next in seconds since 1970. It goes from one stretch of constant
// offset to the next; inside one, the search is on the wall clock.
func (s *Schedule) next(after int64, loc *time.Location) (int64, bool) {
	fixed := s.flags&(minuteStar|hourStar|wallOnly) == 0
	probe, from := after, after+1 // from is the first instant that may be due
	for from <= lastSecond {
		seg := segmentAt(probe, loc)
		if fixed && seg.bounded && probe-seg.start < foldLimit {
			from = max(from, seg.start+seg.repeated(loc))
		}
		local, ok := s.seek(from + seg.offset)
		if !ok {
			return 0, false
		}
		at := local - seg.offset
		if at < seg.end {
			return at, at <= lastSecond
		}
		if fixed && local < seg.end+seg.offset+seg.skipped(loc) {
			return seg.end, seg.end <= lastSecond
		}
		// No stretch can bring the match much nearer, unless this one's end
		// turns the wall clock back to before where the search began.
		probe = seg.end
		if seg.end-from > offsetLimit {
			probe = max(probe, local-offsetLimit)
		}
		from = probe
	}
	return 0, false
}

// segment is a stretch of time in which a zone's offset from UTC is constant.
type segment struct {
	offset  int64
	start   int64 // if bounded
	end     int64 // first instant after it
	bounded bool  // whether it has a start
}

// segmentAt returns the segment around an instant.
func segmentAt(at int64, loc *time.Location) segment {
	t := time.Unix(at, 0).In(loc)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	seg := segment{offset: int64(offset), end: 1<<62 - 1}
	if !start.IsZero() {
		seg.start, seg.bounded = start.Unix(), start.Unix() <= at
	}
	if !end.IsZero() {
		seg.end = end.Unix()
		if seg.end <= at {
			// On the last day of a leap year past the zone's table the
			// standard library gives an end that has been. No zone changes
			// its clock on that day, so look again on the next.
			seg.end = (floorDiv(at, daySeconds) + 1) * daySeconds
			seg.bounded = false
		}
	}
	return seg
}

// offsetAt is a zone's offset from UTC at an instant, in seconds.
func offsetAt(at int64, loc *time.Location) int64 {
	_, offset := time.Unix(at, 0).In(loc).Zone()
	return int64(offset)
}

// repeated is how many seconds at its start the segment's wall clock repeats,
// zero if a daemon would take it for a correction of the clock.
func (seg segment) repeated(loc *time.Location) int64 {
	back := offsetAt(seg.start-1, loc) - seg.offset
	if back < 0 || back > foldLimit {
		return 0
	}
	return back
}

// skipped is how many seconds of wall clock are left out at the segment's end,
// zero if a daemon would take it for a correction of the clock.
func (seg segment) skipped(loc *time.Location) int64 {
	forward := offsetAt(seg.end, loc) - seg.offset
	if forward < 0 || forward > gapLimit {
		return 0
	}
	return forward
}
