package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// failure is why a run could not be started.
type failure struct {
	reason fleet.Reason
	detail string
}

func forkFailed(format string, args ...any) *failure {
	return &failure{fleet.MissedForkFailed, fmt.Sprintf(format, args...)}
}

// start makes the process of a run and notes it in the companion.
func (r *Runner) start(spec Spec, c *companion) *failure {
	user, credential, err := r.accounts.become(spec.Execute.User, os.Geteuid())
	if err != nil {
		return &failure{fleet.MissedNoUser, err.Error()}
	}
	belongs := r.spares.agent
	if credential != nil {
		belongs = owner{int(credential.Uid), int(credential.Gid)}
	}
	input, err := r.input(spec.Execute.Stdin)
	if err != nil {
		return forkFailed("not started: run.stdin: %v", err)
	}
	if input != r.null {
		defer input.Close()
	}
	if err := r.keeps.set(taskDir(r.config.Dir, spec.Run.Task), spec.Limits.Keep); err != nil {
		r.log.Warn("the task's own bounds for its output are not kept", "task", spec.Run.Task, "error", err)
	}
	captures, files, err := r.createCaptures(&spec.Run, c.handle.Quota, belongs)
	if err != nil {
		return forkFailed("not started: %v", err)
	}
	notes, own, err := r.createNotes(&spec.Run, belongs)
	if err != nil {
		files[0].Close()
		files[1].Close()
		r.done(captures.out, captures.err)
		return forkFailed("not started: %v", err)
	}
	argv := words(spec.Execute.Command)
	dir := workingDir(spec.Execute.Dir, user.home)
	order := &launch{
		Run: spec.Run.ID, Argv: argv, Env: environment(&spec, user), Dir: dir, Credential: credential,
		Settings: settings{Nice: spec.Limits.Nice}, Timeout: c.handle.Timeout, Grace: c.handle.Grace,
		Begin: spec.Begin, Whole: spec.Whole, Exposed: r.protected,
	}
	var started time.Time
	if c.guard != nil {
		started, err = r.startGuarded(c, order, input, files[0], files[1], own)
	} else {
		started, err = r.startChild(c, order, input, files[0], files[1], own)
	}
	files[0].Close()
	files[1].Close()
	own.Close()
	if errors.Is(err, errGuardian) { // the files stay: it may have been started
		captures.close()
		notes.file.Close()
		return &failure{fleet.UnknownAgentDied, "the guardian of the commands died while it started this one"}
	}
	if err != nil {
		r.done(captures.out, captures.err)
		r.doneNotes(notes)
		return explain(err, argv[0], dir, user.name)
	}
	c.captures, c.notes = captures, notes
	c.handle.PID, c.handle.Start = c.process.pid, c.process.start
	c.run.PID, c.run.Started = c.process.pid, &started
	return nil
}

// startGuarded lets the guardian start the process.
func (r *Runner) startGuarded(c *companion, order *launch, files ...*os.File) (time.Time, error) {
	how, ended := c.guard.launch(order, files...)
	if how.err != nil {
		c.guard.leave(order.Run)
		if !errors.Is(how.err, errGuardian) {
			return time.Time{}, how.err
		}
		s, noted := findStatus(c.guard.path, order.Run, &c.handle)
		if !noted {
			s, noted = startedNow(order.Run)
		}
		if !noted {
			return time.Time{}, how.err
		}
		how.status = s
	}
	c.process = accompanyGuarded(&how.status, ended, c.guard, c.lookUp(c.guard.path))
	return how.status.Started, nil
}

// startedNow finds the process of a run that nobody had time to note.
func startedNow(run fleet.RunID) (status, bool) {
	s, found := processOf(string(run))
	return status{Run: run, PID: s.pid, Start: s.start, Started: time.Now().UTC()}, found
}

// startChild makes the process a child of the agent.
func (r *Runner) startChild(c *companion, order *launch, files ...*os.File) (time.Time, error) {
	pidfd := -1
	pid, err := order.fork(files, &pidfd)
	started := time.Now().UTC()
	if err != nil {
		return started, err
	}
	if order.Exposed {
		resetOOM(pid)
	}
	stat, err := readStat(pid)
	if err != nil {
		r.log.Error("process entry not readable, the run cannot be found again after a restart", "run", order.Run, "error", err)
	}
	c.process = accompany(pid, stat.start, pidfd, true)
	return started, nil
}

// input is what a command reads: a pipe that holds all of the text already, so
// that nobody need stay alive to write it, or nothing.
func (r *Runner) input(text string) (*os.File, error) {
	if text == "" {
		return r.null, nil
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	defer unix.Close(ends[1])
	reader := os.NewFile(uintptr(ends[0]), "stdin")
	err := unix.SetNonblock(ends[1], true) // a pipe may hold one page only, where a user has many
	if err == nil && len(text) > os.Getpagesize() {
		_, err = unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, fleet.MaxCommandSize)
	}
	if err == nil {
		_, err = unix.Write(ends[1], []byte(text))
	}
	if err != nil {
		reader.Close()
		return nil, fmt.Errorf("%d bytes do not fit into a pipe: %w", len(text), err)
	}
	return reader, nil
}

// resetOOM takes the agent's own protection from being killed for memory off
// the command again.
func resetOOM(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("0"), 0) // it has ended already: fine
}

// workingDir is what the task says, or the user's home, or the root where the
// home does not exist.
func workingDir(dir, home string) string {
	if dir != "" {
		return dir
	}
	if info, err := os.Stat(home); err == nil && info.IsDir() && filepath.IsAbs(home) {
		return home
	}
	return "/"
}

// explain turns the bare error number of a start into a sentence. The kernel
// does not say which step it stands for, so what could be wrong is looked at.
func explain(err error, program, dir, user string) *failure {
	if setting, is := errors.AsType[settingError](err); is {
		return &failure{fleet.MissedLimits, setting.Error() + ": this agent may not give that to a command, run it as root"}
	}
	switch {
	case errors.Is(err, errLate):
		return &failure{fleet.MissedNoLease, "its lease was granted too long ago to begin under it"}
	case errors.Is(err, unix.EAGAIN):
		return forkFailed("the process limit of user %s or of the host is reached: raise it or run fewer tasks at once", user)
	case errors.Is(err, unix.ENOMEM):
		return forkFailed("the host has no memory left for another process")
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return forkFailed("too many open files: raise LimitNOFILE of the agent or run fewer tasks at once")
	case errors.Is(err, unix.E2BIG):
		return forkFailed("command and environment together are too long for this host")
	case errors.Is(err, unix.ENOEXEC):
		return forkFailed("%s is not a program: a script needs a first line such as #!/bin/sh", program)
	}
	for _, reason := range []string{wrongDir(dir), wrongProgram(program)} {
		if reason != "" {
			return forkFailed("%s", reason)
		}
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return forkFailed("the interpreter that %s names in its first line does not exist", program)
	case errors.Is(err, unix.EACCES):
		return forkFailed("user %s may not execute %s or may not enter %s", user, program, dir)
	}
	return forkFailed("%s: %v", program, err)
}

func wrongDir(dir string) string {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Sprintf("run.dir %s does not exist: create it, or name another", dir)
	case err == nil && !info.IsDir():
		return fmt.Sprintf("run.dir %s is not a directory", dir)
	}
	return ""
}

func wrongProgram(program string) string {
	info, err := os.Stat(program)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Sprintf("%s does not exist on this host", program)
	case err != nil:
		return fmt.Sprintf("%s: %v", program, err)
	case info.IsDir():
		return fmt.Sprintf("%s is a directory, not a program", program)
	case !info.Mode().IsRegular():
		return fmt.Sprintf("%s is not a file that can be executed", program)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Sprintf("%s is not executable: chmod +x it", program)
	}
	return ""
}
