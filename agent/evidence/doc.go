// Package evidence says when each found job was last seen to start, and how it ended, from what the host itself writes down.
//
// A [Reader] follows three kinds of witnesses, and each instant it tells names
// the one it is from:
//
//	the journal   lines that systemd's journal keeps of cron, anacron,
//	              run-parts and of the services that timers start
//	log files     the table logs: what a syslog daemon writes into /var/log,
//	              rotated files included
//	stamps        what a scan has found already: anacron's and systemd's own
//
// A line is understood by the table programs, one row for each program that
// logs, and belongs to a job when the job's user and command, as its daemon
// would log them, are those of the line. Jobs that share both are told apart
// by the minute. Nothing of a line is kept but instants and exit codes.
//
// Everything is read once: a cursor in the state file says how far, and finds
// its place again after a rotation, a truncation and a restart. A round has a
// limit in bytes and in time; memory is bounded by the number of jobs.
//
// What a log file says can be forged: every local user may write to syslog
// under any program's name. The journal knows who wrote, and only what root's
// processes wrote is taken from it; from when on it tells of a kind of jobs,
// log files are no longer asked about that kind.
package evidence
