package runner

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// ownFiles is how many files a process gets: its three streams, and the notes
// that it writes about itself.
const ownFiles = 4

// NotifyFD is the descriptor of the notes.
const NotifyFD = 3

// launch is a process to start.
type launch struct {
	Run        fleet.RunID
	Program    string // the file to execute; empty: the first of Argv
	Argv       []string
	Env        []string
	Dir        string
	Credential *syscall.Credential
	Mark       string // that it has in its environment
	Group      string // the cgroup that it begins in; empty: that of its parent
	Settings   settings
	Step       []string // the program that waits in its place for the limits
	Apart      bool     // that program goes into its directory, too: nobody waits in the fork for what may not answer
	Rlimits    []rlimit
	Timeout    time.Duration // zero: none
	Grace      time.Duration
	Birth      time.Duration // it may take from its fork to its program; zero: birthMost
	Begin      time.Duration // since the boot: after that it does not begin; zero: none
	Whole      bool          // it ends when all that it has started is gone
	Exposed    bool          // takes the agent's protection from the killer for memory off
	Streams    []string      // the files of its output
	Quota      int64         // of each

	user string // for people
}

func (l *launch) program() string {
	if l.Program != "" {
		return l.Program
	}
	return l.Argv[0]
}

// errLate says that a run may not begin any more.
var errLate = errors.New("too late to begin")

// fork starts the process in a session of its own, with the files as its first
// descriptors. Where it returns a gate, a step waits there in the command's
// place.
func (l *launch) fork(files []int, pidfd *int) (pid int, waits *gate, err error) {
	if l.Begin > 0 && sinceBoot() > l.Begin {
		return 0, nil, errLate
	}
	program, argv, dir := l.program(), l.Argv, l.Dir
	if len(l.Rlimits) > 0 || l.Apart {
		var step []*os.File
		if waits, step, err = newGate(); err != nil {
			return 0, nil, err
		}
		defer closeAll(step...)
		program, argv, files = l.Step[0], l.stepWords(), append(files[:len(files):len(files)], fdsOf(step...)...)
		if l.Apart {
			dir = "/"
		}
	}
	attr := &syscall.ProcAttr{
		Dir: dir, Env: l.Env, Files: make([]uintptr, len(files)),
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: l.Credential, PidFD: pidfd},
	}
	for i, fd := range files {
		attr.Files[i] = uintptr(fd)
	}
	if l.Group != "" {
		group, err := unix.Open(l.Group, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			if waits != nil {
				waits.close()
			}
			return 0, nil, settingError{"the cgroup " + l.Group, err}
		}
		defer unix.Close(group)
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, group
	}
	if l.Settings.none() {
		pid, err = syscall.ForkExec(program, argv, attr)
	} else {
		pid, err = forkWith(l.Settings, func() (int, error) { return syscall.ForkExec(program, argv, attr) })
	}
	if err != nil && waits != nil {
		waits.close()
	}
	return pid, waits, err
}

// fdsOf lists the descriptors of files; they hold as long as the files are used.
func fdsOf(files ...*os.File) []int {
	fds := make([]int, len(files))
	for i, file := range files {
		fds[i] = int(file.Fd())
	}
	return fds
}

// forkWith forks on a thread that has the settings. A process inherits them
// from the thread that makes it, and a thread cannot lay them off again, so
// one is spent on it.
func forkWith(s settings, fork func() (int, error)) (pid int, err error) {
	onThread(func() {
		if err = s.apply(); err == nil {
			pid, err = fork()
		}
	})
	return pid, err
}

// onThread calls do on a thread that ends afterwards, and waits for it.
func onThread(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and not unlocked: the thread ends with this goroutine
		if unix.Gettid() == unix.Getpid() {
			onThread(do) // the first thread never ends, and this one keeps it busy
			runtime.UnlockOSThread()
			return
		}
		do()
	}()
	<-done
}
