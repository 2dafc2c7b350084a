package runner

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// promptSlice is how long a guardian wants to work at a stretch, in nanoseconds.
const promptSlice = 100_000

// stayPrompt keeps the calling goroutine on its thread, which the kernel lets
// interrupt others as soon as it can go on, because it never works for long: so
// the next start does not wait until a command that was started before has had
// its turn. What it forks is scheduled like everybody else. A negative niceness
// would not be passed on then, so there all stays as it is; kernels before 6.12
// know no such wish.
func stayPrompt() {
	runtime.LockOSThread()
	now, err := unix.SchedGetAttr(0, 0)
	if err != nil || now.Policy != unix.SCHED_NORMAL || now.Nice < 0 {
		return
	}
	now.Flags, now.Runtime = unix.SCHED_FLAG_RESET_ON_FORK, promptSlice
	_ = unix.SchedSetAttr(0, now, 0) // or the kernel does as ever
}
