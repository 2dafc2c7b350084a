package runner

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

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
