package runner

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// settings are what a process inherits from the thread that forks it.
type settings struct {
	Nice       int
	IOClass    int // of ioprio_set(2); zero: as the niceness says
	IOLevel    int
	Umask      string // octal; empty: what the agent has set
	NoNewPrivs bool
	Tmp        string // the directory that is its /tmp; empty: the host's
	VarTmp     string // and its /var/tmp; empty: that is its /tmp, too
}

// none reports whether any thread will do.
func (s settings) none() bool { return s == settings{} }

// settingError says which setting the kernel refused.
type settingError struct {
	what string // such as "limits.nice -5"
	err  error
}

func (e settingError) Error() string { return e.what + ": " + e.err.Error() }

func (e settingError) Unwrap() error { return e.err }

// apply gives the settings to the calling thread, which must be used for
// nothing else afterwards.
func (s settings) apply() error {
	for _, step := range []struct {
		wanted bool
		what   string
		do     func() error
	}{
		{s.Nice != 0, fmt.Sprintf("limits.nice %d", s.Nice), s.setNice},
		{s.IOClass != 0, "limits.ionice", s.setIOPriority},
		{s.Umask != "", "run.umask " + s.Umask, s.setUmask},
		{s.Tmp != "", "run.private_tmp", s.hideTmp},
		{s.NoNewPrivs, "run.no_new_privs", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
	} {
		if !step.wanted {
			continue
		}
		if err := step.do(); err != nil {
			return settingError{step.what, err}
		}
	}
	return nil
}

func (s settings) setNice() error {
	return unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), s.Nice)
}

// setIOPriority is ioprio_set(IOPRIO_WHO_PROCESS, this thread, …).
func (s settings) setIOPriority() error {
	const whoProcess, classShift = 1, 13
	_, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_SET, whoProcess, 0, uintptr(s.IOClass<<classShift|s.IOLevel))
	if errno != 0 {
		return errno
	}
	return nil
}

// setUmask takes the thread out of what the others share first.
func (s settings) setUmask() error {
	mask, err := strconv.ParseUint(s.Umask, 8, 12)
	if err != nil {
		return unix.EINVAL
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	unix.Umask(int(mask))
	return nil
}

// hideTmp puts directories of the run's own over those that all share, in a
// tree of mounts of its own. What is mounted there is seen by nobody else;
// what the host mounts and unmounts is still seen there, so that the run pins
// no disk.
func (s settings) hideTmp() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	if err := unix.Mount(s.Tmp, "/tmp", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if s.VarTmp == "" {
		return nil
	}
	return unix.Mount(s.VarTmp, "/var/tmp", "", unix.MS_BIND, "")
}
