// Package calendar says when a systemd calendar event is due next, in any zone, and writes it down in systemd's own normal form.
//
// An expression is read once by [Parse] into an [Event]; what [Parse] takes and
// refuses, how [Event.String] writes it and when [Event.Next] comes are those
// of systemd 252. An event is a product of sets: a date fits when its year,
// month, day and weekday all fit, and at such a date the hours, minutes and
// seconds that fit are due. So [Event.Next] walks years, months and days that
// fit, never seconds, and ends with systemd's calendar in 2199: a date that
// never comes costs a few microseconds, not an endless search.
//
// [ParseSpan] reads the time spans of unit files, such as "1h 30min".
package calendar
