package crontab

import (
	"slices"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// Options say whose text it is and who reads it.
type Options struct {
	// Dialect is the daemon: cron.Debian, cron.Cronie or cron.Busybox.
	// Anything else reads as Debian's.
	Dialect cron.Dialect
	// System: every job names its user, as in /etc/crontab and /etc/cron.d.
	System bool
	// Owner is the user of a user's table, and becomes User of its jobs.
	Owner string
	// Root: the owner's uid is 0, so cronie lets it use a leading "-".
	Root bool
	// Known tells the users the host knows. Debian's cron refuses a system
	// table that names another one. Nil: every name that can be one is known.
	Known func(user string) bool
}

// File is a crontab as its daemon reads it.
type File struct {
	// Lines cover the text: each begins where the one before it ends.
	Lines []Line
	// Jobs are in the order of their lines, also where the daemon refuses the
	// file and runs none of them.
	Jobs []Job
	// Problems are what the daemon complains about or passes over, in order.
	Problems []Problem
	// Accepted is false where the daemon refuses the file as a whole; Refusal
	// then says why, in a sentence without its final stop.
	Accepted bool
	Refusal  string
	// Term is the daemon's own term for that.
	Term string
}

// Kind says what a line is.
type Kind uint8

// The kinds of lines. A run of comments and blank lines is one Rest.
const (
	Rest   Kind = iota // comments and blank lines
	Env                // a setting
	Entry              // a job
	Bad                // neither; there is a Problem for it
	Unread             // what follows a line at which the daemon, or we, stop reading
)

// String returns the kind in lower case.
func (k Kind) String() string {
	return [...]string{"rest", "env", "entry", "bad", "unread"}[k]
}

// Line is a stretch of the text: [Start, End) with its line break. Two of them
// share a number where a NUL byte splits a line, as the daemons let it.
type Line struct {
	Kind       Kind
	First      int // number of the line it begins on, from 1
	Last       int // number of the line it ends on
	Start, End int // bytes
}

// Job is a line that runs a command.
type Job struct {
	Line     int    // as the daemon counts: busybox names the last of joined lines
	Index    int    // of its Line in File.Lines
	Fields   string // the time fields as written, one blank between them
	Schedule cron.Schedule
	User     string
	// Command is the command as the daemon keeps it, "%" included, without the
	// blanks before it.
	Command string
	// Blanks counts the blanks Debian's cron keeps before the command of a
	// system table, and shows in its log.
	Blanks int
	// Quiet is cronie's leading "-": the start is not logged. MailOnError is
	// its "-n": mail only when the command fails.
	Quiet, MailOnError bool

	dialect  cron.Dialect
	settings []setting
}

// Problem is what the daemon complains about, or passes over without a word.
type Problem struct {
	Line   int    // 1-based
	Text   string // the line, clipped to 200 bytes
	Term   string // the daemon's own term, "bad minute"; empty where it says nothing
	Reason string // a sentence for a person, without its final stop
}

// Env returns the settings of the file in force at the job, or nil. Only what
// the file sets is in it, values as the daemon stores them.
func (j *Job) Env() map[string]string {
	if len(j.settings) == 0 {
		return nil
	}
	env := make(map[string]string, len(j.settings))
	for _, s := range j.settings {
		if s.unset {
			delete(env, s.name)
		} else {
			env[s.name] = s.value
		}
	}
	return env
}

// Settings returns how many settings stand before the job in its file. Jobs of
// one file with the same number have the same environment.
func (j *Job) Settings() int { return len(j.settings) }

// SameSettings reports whether the settings before two jobs, perhaps of two
// files, are the same ones.
func (j *Job) SameSettings(other *Job) bool { return slices.Equal(j.settings, other.settings) }

// EnvSize returns how many bytes the settings before the job have, names and
// values, without building the map.
func (j *Job) EnvSize() int {
	size := 0
	for _, s := range j.settings {
		size += len(s.name) + len(s.value)
	}
	return size
}

// Setting returns the value of a setting in force at the job.
func (j *Job) Setting(name string) (string, bool) {
	for i := len(j.settings) - 1; i >= 0; i-- {
		if j.settings[i].name == name {
			return j.settings[i].value, !j.settings[i].unset
		}
	}
	return "", false
}

// setting is one environment line.
type setting struct {
	name, value string
	unset       bool // takes back what the file set before
}
