package runner

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
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
	order, failed := r.prepare(&spec, c)
	if failed != nil {
		return failed
	}
	belongs := r.ownerOf(order.Credential)
	input, err := r.input(spec.Execute.Stdin)
	if err != nil {
		return notMade("what it reads", err)
	}
	if input != r.null {
		defer input.Close()
	}
	if err := r.keeps.set(taskDir(r.config.Dir, spec.Run.Task), spec.Limits.Keep); err != nil {
		r.log.Warn("the task's own bounds for its output are not kept", "task", spec.Run.Task, "error", err)
	}
	captures, files, err := r.createCaptures(&spec.Run, c.handle.Quota, belongs)
	if err != nil {
		return notMade("a file for its output", err)
	}
	notes, own, err := r.createNotes(&spec.Run, belongs)
	if err != nil {
		closeAll(files[0], files[1])
		r.done(captures.out, captures.err)
		return notMade("a file for its notes", err)
	}
	started, err := r.launch(c, order, input, files[0], files[1], own)
	if notExecutable(err) && c.direct {
		order.Argv = shellWords(&spec.Execute)
		started, err = r.launch(c, order, input, files[0], files[1], own)
	}
	closeAll(files[0], files[1], own) // nobody but the process has them now
	if errors.Is(err, errGuardian) {  // the files stay: it may have been started
		captures.close()
		notes.file.Close()
		return &failure{fleet.UnknownAgentDied, "the guardian of the commands died while it started this one"}
	}
	if err != nil {
		r.done(captures.out, captures.err)
		r.doneNotes(notes)
		return explain(err, order)
	}
	c.captures, c.notes = captures, notes
	c.handle.PID, c.handle.Start = c.process.pid, c.process.start
	c.run.PID, c.run.Started = c.process.pid, &started
	return nil
}

func closeAll(files ...*os.File) {
	for _, file := range files {
		file.Close()
	}
}

// launch starts the process by the guardian, or by the agent itself.
func (r *Runner) launch(c *companion, order *launch, files ...*os.File) (time.Time, error) {
	if c.guard != nil {
		return r.startGuarded(c, order, files...)
	}
	return r.startChild(c, order, files...)
}

// startGuarded lets the guardian start the process.
func (r *Runner) startGuarded(c *companion, order *launch, files ...*os.File) (time.Time, error) {
	how, ended := c.guard.launch(order, c, files...)
	if how.err != nil {
		c.guard.leave(order.Run)
		if !errors.Is(how.err, errGuardian) {
			return time.Time{}, how.err
		}
		s, noted := findStatus(c.guard.path, order.Run, &c.handle)
		if !noted {
			s, noted = startedNow(order)
		}
		if !noted {
			return time.Time{}, how.err
		}
		if s.Refused != nil {
			return time.Time{}, s.Refused.err()
		}
		how.status = s
	}
	c.process = accompanyGuarded(&how.status, ended, c.guard, c.lookUp(c.guard.path))
	return how.status.Started, nil
}

// startedNow finds the process of a run that nobody had time to note.
func startedNow(order *launch) (status, bool) {
	s, found := processOf(order.Mark)
	return status{Run: order.Run, PID: s.pid, Start: s.start, Started: time.Now().UTC()}, found
}

// startChild makes the process a child of the agent.
func (r *Runner) startChild(c *companion, order *launch, files ...*os.File) (time.Time, error) {
	pidfd := -1
	order.Apart = len(order.Step) > 0
	pid, waits, err := order.fork(fdsOf(files...), &pidfd)
	if order.Apart && len(order.Rlimits) == 0 && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOENT)) { // the step is not there for this user
		order.Apart = false
		pid, waits, err = order.fork(fdsOf(files...), &pidfd)
	}
	started := time.Now().UTC()
	if err != nil {
		return started, err
	}
	if waits != nil {
		if err := waits.passInTime(pid, order.Rlimits, cmp.Or(order.Birth, birthMost), func(do func()) { do() }); err != nil {
			if errors.Is(err, unix.ETIMEDOUT) {
				go syscall.Wait4(pid, nil, 0, nil) // when what it waits for has answered, perhaps
			} else {
				_, _ = syscall.Wait4(pid, nil, 0, nil) // it ends by itself
			}
			unix.Close(pidfd)
			return started, err
		}
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
