// Package blackout tells whether an instant lies within one of the windows of a
// calendar, in which tasks that name it are not due.
//
//	a file ──Parse──► fleet.Calendar ──New──► Blackout ──Covers, Next──► an instant
//
// A window is there once, begins at the instants of a cron expression, or comes
// again by a rule of RFC 5545. Nothing is expanded beforehand: a question costs as
// much as looking at each window once, whatever year it asks about. What a file
// asks for beyond that (rules by the hour, by the week's number) is refused with a
// sentence rather than read as something else.
//
// Windows that recur are days and times of the calendar's own zone: 22:00 stays
// 22:00 when the clocks change, and so does an end that is given as an instant.
package blackout
