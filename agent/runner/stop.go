package runner

import (
	"time"

	"golang.org/x/sys/unix"
)

// killWait bounds how long a killed process may take to go. One that stands in
// uninterruptible sleep cannot be killed; its run must not wait for it for ever.
const killWait = 5 * time.Second

// stop ends a family: TERM, then KILL for what is left when the grace is over,
// again and again until nobody is. It returns how many it could not end.
func (f family) stop(grace time.Duration) (left int) {
	if len(f.living()) == 0 && !populated(f.group) {
		return 0
	}
	f.signalAll(unix.SIGTERM)
	f.signalAll(unix.SIGCONT) // a stopped process acts on TERM only then
	if f.waitAll(time.Now().Add(grace)) == 0 {
		return 0
	}
	return f.kill()
}

// kill ends a family at once. It returns how many it could not end.
func (f family) kill() (left int) {
	end := time.Now().Add(killWait)
	for {
		killGroup(f.group)
		f.signalAll(unix.SIGKILL)
		// A process that was being forked may have been missed: look again.
		left = f.waitAll(time.Now().Add(killWait / 50))
		if left == 0 || time.Now().After(end) {
			return left
		}
	}
}

// stuckLook is between two tries to end who cannot be killed.
const stuckLook = time.Second

// vanish is stop for a run after which nothing may be left: it does not give up
// before that, unless it is to end. Stuck hears once that it takes long.
func (f family) vanish(grace time.Duration, end <-chan struct{}, stuck func(left int)) (left int) {
	left = f.stop(grace)
	if left > 0 {
		stuck(left)
	}
	for left > 0 {
		select {
		case <-end:
			return left
		case <-time.After(stuckLook):
			left = f.kill()
		}
	}
	return 0
}
