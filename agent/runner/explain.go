package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const tooManyFiles = "too many open files: raise LimitNOFILE of the agent or run fewer tasks at once"

// notMade says why what a run needs could not be made.
func notMade(what string, err error) *failure {
	where := "the agent's directory"
	if at, is := errors.AsType[*os.PathError](err); is {
		where = filepath.Dir(at.Path)
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return forkFailed("not started: no space for %s: the disk of %s is full, free some space or inodes there", what, where)
	case errors.Is(err, unix.EROFS):
		return forkFailed("not started: without %s: the disk of %s is read-only; the kernel's log says why", what, where)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return forkFailed("not started: without %s: %s", what, tooManyFiles)
	}
	return forkFailed("not started: without %s: %v", what, err)
}

// explain turns the bare error number of a start into a sentence. The kernel
// does not say which step it stands for, so what could be wrong is looked at.
func explain(err error, l *launch) *failure {
	program, dir, user := l.program(), l.Dir, l.user
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
		return forkFailed("%s", tooManyFiles)
	case errors.Is(err, unix.E2BIG):
		return forkFailed("command and environment together are too long for this host")
	case errors.Is(err, unix.ETIMEDOUT):
		return forkFailed("%s or the directory %s does not answer: the file system hangs, or somebody has stopped the start; given up so that others can begin", program, dir)
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
