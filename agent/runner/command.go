package runner

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The shells that a command which is one text is given to.
const (
	shell       = "/bin/sh"
	strictShell = "/bin/bash"
)

// words returns what is executed. Direct is true when that is a text which a
// shell would have taken apart to the same.
func words(e *fleet.Execute) (argv []string, direct bool) {
	if e.Command.Shell == "" {
		return e.Command.Argv, false
	}
	if argv, plain := plainWords(e.Command.Shell); plain {
		return argv, true
	}
	return shellWords(e), false
}

// shellWords returns how a shell is given the text.
func shellWords(e *fleet.Execute) []string {
	if e.Shell == fleet.ShellStrict {
		return []string{strictShell, "-euo", "pipefail", "-c", e.Command.Shell}
	}
	return []string{shell, "-c", e.Command.Shell}
}

// plainWords takes a text apart that means the same to every shell: words of
// letters, digits and _ . / : = @ % + , - with blanks and tabs between them,
// the first of them an absolute path. Nothing in it is expanded, redirected,
// assigned, quoted or built in.
func plainWords(text string) ([]string, bool) {
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("_./:=@%+,- \t", c) >= 0:
		default:
			return nil, false
		}
	}
	argv := strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == '\t' })
	if len(argv) == 0 || argv[0][0] != '/' || strings.Contains(argv[0], "=") {
		return nil, false
	}
	return argv, true
}

// readers are the shells that read a profile when their name begins with a
// dash, and execute what follows -c.
var readers = []string{"sh", "ash", "bash", "dash", "ksh", "ksh93", "mksh", "rbash", "zsh"}

// loginWords lets the user's login shell read its profile and then execute the
// words in its own place.
func loginWords(user *account, argv []string) (program string, login []string, err error) {
	program = user.shell
	if program == "" {
		program = shell
	}
	name := filepath.Base(program)
	if !slices.Contains(readers, name) {
		return "", nil, fmt.Errorf("run.login: %s of user %s is no shell that reads a profile: leave run.login out, or give the user another shell", program, user.name)
	}
	return program, append([]string{"-" + name, "-c", `exec "$@"`, "-" + name}, argv...), nil
}

// environment builds what a command sees from nothing: the agent's own
// variables are not passed on. The later of two settings of a name counts.
func environment(e *fleet.Execute, user *account, facts []Fact) []string {
	env := []string{
		"HOME=" + user.home,
		"LANG=C.UTF-8",
		"LOGNAME=" + user.name,
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"SHELL=" + shell,
		"USER=" + user.name,
	}
	if e.Login && user.shell != "" {
		env[4] = "SHELL=" + user.shell
	}
	names := make([]string, 0, len(e.Env))
	for name := range e.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := name + "=" + e.Env[name]
		if at := slices.IndexFunc(env, func(set string) bool { return strings.HasPrefix(set, name+"=") }); at >= 0 {
			env[at] = value
		} else {
			env = append(env, value)
		}
	}
	for _, fact := range facts {
		env = append(env, "FLEETCRON_"+fact.Name+"="+fact.Value)
	}
	return env
}

// factsOf is what every command is told about its run.
func factsOf(run *fleet.Run) []Fact {
	facts := []Fact{
		{"TASK", string(run.Task)},
		{"RUN", string(run.ID)},
		{"OCCURRENCE", run.Occurrence().String()},
		{"ATTEMPT", strconv.Itoa(max(1, run.Attempt))},
		{"DUE", run.Due.UTC().Format(timeFormat)},
		{"HOST", string(run.Host)},
		{"NOTIFY_FD", strconv.Itoa(NotifyFD)},
	}
	if run.Parent != "" {
		facts = append(facts, Fact{"PARENT", string(run.Parent)})
	}
	return facts
}

const timeFormat = "2006-01-02T15:04:05.999999999Z"

// settingsOf returns what the task wants the process to inherit.
func settingsOf(spec *Spec) settings {
	s := settings{Nice: spec.Limits.Nice, Umask: spec.Execute.Umask, NoNewPrivs: spec.Execute.NoNewPrivs}
	const bestEffort, idle = 2, 3 // of ioprio_set(2)
	switch class, level, _ := strings.Cut(spec.Limits.IONice, ":"); class {
	case "idle":
		s.IOClass = idle
	case "best-effort":
		s.IOClass = bestEffort
		s.IOLevel, _ = strconv.Atoi(level) // 0–7, as Validate saw to
	}
	return s
}

// notExecutable reports whether a start failed because the file is no program,
// where a shell would have read it as a script of its own.
func notExecutable(err error) bool { return errors.Is(err, unix.ENOEXEC) }
