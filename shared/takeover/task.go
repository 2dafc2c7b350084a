package takeover

import (
	"path"
	"regexp"
	"strings"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// SilentDir is where a run-parts script lies while its task runs it: in the
// directory it was in, where run-parts passes over it.
const SilentDir = ".fleetcron"

// CommentStart is how the comment begins that an adopted line becomes.
const CommentStart = "# fleetcron adopted "

// Comment returns what goes before a line that is adopted. Whoever takes it
// away has the line back.
func Comment(task fleet.TaskID) string { return CommentStart + string(task) + ": " }

// CommentOf returns the task that a comment of a table says it was adopted for.
func CommentOf(line string) (fleet.TaskID, bool) {
	rest, is := strings.CutPrefix(line, CommentStart)
	name, _, told := strings.Cut(rest, ": ")
	if !is || !told {
		return "", false
	}
	id, err := fleet.ParseTaskID(name)
	return id, err == nil && string(id) == name
}

// together is how many runs of a line that cron would let overlap may go on at
// once. Cron itself has no bound.
const together = 100

// Task returns the task that does what the job does, whether it could be
// silenced on its host or not; a script still lies where it was found. The
// host is as it reported itself: its Cron says whose rules the job is read by.
// Its Name is a proposal, Namespace and Where are empty. The error is Refused,
// with a sentence that says why no task does the same.
func Task(job *fleet.Job, host *fleet.Host) (fleet.Task, error) { return build(job, host, "") }

// Adopt returns the task that takes the job's place on its host, and on no
// other. An empty id takes the proposed name. A schedule that is given takes
// the place of the job's own. The error is Refused, with a sentence that says
// why not.
func Adopt(job *fleet.Job, host *fleet.Host, id fleet.TaskID, schedule string) (fleet.Task, error) {
	if err := silenceable(job); err != nil {
		return fleet.Task{}, err
	}
	task, err := build(job, host, schedule)
	if err != nil {
		return fleet.Task{}, err
	}
	if id != "" {
		task.Name, task.Namespace = id.Name(), id.Namespace()
	}
	task.Where = fleet.Where{Hosts: []string{string(host.ID)}}
	if job.Kind == fleet.KindRunParts {
		task.Run.Command.Argv = []string{SilentPath(job.Source)}
	}
	return task, task.Validate()
}

// SilentPath returns where the script with that path lies while it is adopted.
func SilentPath(script string) string {
	dir, name := path.Split(script)
	return dir + SilentDir + "/" + name
}

func refuse(format string, args ...any) error {
	return fleet.Errorf(fleet.Refused, format, args...).WithCode("not_adoptable")
}

func build(job *fleet.Job, host *fleet.Host, schedule string) (fleet.Task, error) {
	switch {
	case job.Container != "":
		return fleet.Task{}, refuse("it runs inside container %s, where tasks do not reach", job.Container)
	case job.Latin1:
		return fleet.Task{}, refuse("it holds bytes that are no UTF-8, which a task cannot say: write them in UTF-8, or into a script")
	}
	task := fleet.Task{Name: Name(job)}
	var err error
	if task.On, err = trigger(job, host, schedule); err != nil {
		return fleet.Task{}, err
	}
	switch job.Kind {
	case fleet.KindTimer:
		task.Run, err = service(job)
	case fleet.KindRunParts:
		task.Run, err = surroundings(job, host)
		task.Run.Command, task.Run.Dir = fleet.Command{Argv: []string{job.Source}}, "/"
	default:
		task.Run, err = line(job, host)
		if host.Cron != cron.Busybox.String() { // which starts nothing again that still runs
			task.Limits = fleet.Limits{Overlap: fleet.OverlapAllow, PerHost: together}
		}
	}
	if err != nil {
		return fleet.Task{}, err
	}
	task.Where.Pick = fleet.PickNone // stands in while the rest is checked
	if err := task.Validate(); schedule != "" && err != nil {
		return fleet.Task{}, err
	} else if err != nil {
		return fleet.Task{}, refuse("no task can say it: %v", err)
	}
	task.Where = fleet.Where{}
	return task, nil
}

// silenceable refuses jobs that cannot be silenced, or need not be.
func silenceable(job *fleet.Job) error {
	switch {
	case job.Stale != nil:
		return refuse("its source could not be read since %s", job.Stale.UTC().Format("2006-01-02 15:04 UTC"))
	case !job.Enabled:
		return refuse("the job is switched off, so there is nothing to take over")
	case !job.Verdict.Runs:
		return refuse("the host does not run it, because %s: correct that first", job.Verdict.Why)
	}
	return nil
}

// line is what a line of a crontab runs.
func line(job *fleet.Job, host *fleet.Host) (fleet.Execute, error) {
	run, err := surroundings(job, host)
	if err != nil {
		return run, err
	}
	dialect := dialectOf(host)
	command := dialect.Shell(job.Command)
	if strings.TrimSpace(command) == "" {
		return run, refuse("the line has no command")
	}
	run.Command, run.Stdin = fleet.Command{Shell: command}, dialect.Stdin(job.Command)
	if shell := run.Env["SHELL"]; shell != "" && shell != "/bin/sh" {
		if !path.IsAbs(shell) {
			return run, refuse("SHELL=%s is no absolute path", shell)
		}
		run.Command = fleet.Command{Argv: []string{shell, "-c", command}}
	}
	return run, nil
}

// service starts the unit that a timer starts: user, environment, directory and
// sandbox stay systemd's, whole.
func service(job *fleet.Job) (fleet.Execute, error) {
	name, isTimer := strings.CutSuffix(path.Base(job.Source), ".timer")
	lasting := strings.HasPrefix(job.Source, "/etc/systemd/system/") || strings.Contains(job.Source, "/lib/systemd/system/")
	if !isTimer || !lasting {
		return fleet.Execute{}, refuse("%s is no lasting unit of the host's systemd: what a user's or a passing one starts, a task does not reach", job.Source)
	}
	unit := job.Unit
	if unit == "" {
		unit = name + ".service"
	}
	return fleet.Execute{Command: fleet.Command{Argv: []string{"/usr/bin/systemctl", "start", "--wait", unit}}, User: "root"}, nil
}

// searchPath is PATH as the daemons set it where the file does not.
func searchPath(host *fleet.Host, user string) string {
	switch {
	case host.Cron == cron.Cronie.String():
		return "/usr/bin:/bin:/usr/sbin:/sbin"
	case host.Cron == cron.Busybox.String() && user == "root":
		return "/sbin:/usr/sbin:/bin:/usr/bin"
	case host.Cron == cron.Busybox.String():
		return "/bin:/usr/bin"
	}
	return "/usr/bin:/bin"
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// surroundings are user, environment and directory, as cron gives them.
func surroundings(job *fleet.Job, host *fleet.Host) (fleet.Execute, error) {
	run := fleet.Execute{User: job.User, Env: map[string]string{"PATH": searchPath(host, job.User)}}
	for name, value := range job.Env {
		switch {
		case name == "LOGNAME" || name == "USER": // cron sets them itself, whatever the file says
			continue
		case name == "RANDOM_DELAY" && value != "0" && host.Cron == cron.Cronie.String():
			return run, refuse("RANDOM_DELAY lets cronie start it at an instant that nobody knows")
		case !variable.MatchString(name) || strings.HasPrefix(name, "FLEETCRON_"):
			return run, refuse("its file sets %q, which is no name that a task may set", name)
		case name == "HOME" && !path.IsAbs(value):
			return run, refuse("HOME=%s is no absolute path", value)
		case name == "HOME":
			run.Dir = value
		}
		run.Env[name] = value
	}
	return run, nil
}

var unnameable = regexp.MustCompile(`[^a-z0-9]+`)

// Name proposes a name for the task of a job: that of the program it runs.
func Name(job *fleet.Job) string {
	text := job.Command
	if job.Kind == fleet.KindTimer || job.Kind == fleet.KindRunParts {
		text = strings.TrimSuffix(job.Source, ".timer")
	}
	for word := range strings.FieldsSeq(text) {
		base := unnameable.ReplaceAllString(strings.ToLower(path.Base(strings.Trim(word, `"'();&|[]{}`))), "-")
		if len(base) > 50 {
			base = base[:50]
		}
		base = strings.Trim(base, "-")
		if base != "" && !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") && !prefixes[base] {
			return base
		}
	}
	return "job-" + string(job.ID)
}

// prefixes are words that come before the program that matters.
var prefixes = map[string]bool{
	"cd": true, "test": true, "nice": true, "ionice": true, "sudo": true, "env": true, "exec": true, "flock": true,
	"if": true, "chronic": true, "timeout": true, "bash": true, "sh": true, "command": true, "time": true,
}
