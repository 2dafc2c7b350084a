// Package cron says when a cron expression is due next, in any zone and across every change of the clock, exactly as the daemon it was written for would.
//
// An expression is read once by a [Dialect] into a [Schedule], a small
// comparable value of bit sets. [Schedule.Next] then walks the calendar, not
// the minutes: one step a month, one step a change of the clock, nothing
// allocated. What a daemon does by accident (junk that Debian cron swallows,
// reversed ranges that never match, the bits busybox sets before it complains)
// is part of the reading; what it does around a change of the clock is part of
// the schedule.
//
// Strict, the zero Dialect, is what fleetcron accepts for its own tasks: what
// Debian cron and cronie both read the same way, and six fields with the
// seconds first.
package cron
