// Package crontab reads a crontab as the daemon it was written for reads it, and keeps every byte of it.
//
// [Parse] never fails: what the daemon would refuse becomes a [Problem] with
// the daemon's own term, what it would read becomes a [Job] or a setting, and
// every byte of the text belongs to exactly one [Line], so that one line can
// later be changed and all others left as they are.
//
// There is one parser. What Debian's cron, cronie and busybox crond do
// differently is a row of parameters in the table dialects; the two ways of
// telling words apart (vixie's and busybox's) are two functions over it.
package crontab
