package runner

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// birthMost is how long a process may take from its fork to its program. As
// long as it does, its guardian stands still as a whole, for the thread that
// forks cannot be stopped and so neither can the others be for a collection of
// garbage. That a directory or a program does not answer can be any user's
// doing, with a file system of his own; so it is for the agent to end it.
const birthMost = 10 * time.Second

// clockTicks a second is what the kernel tells the start of a process in.
const clockTicks = 100

// hurry waits for what becomes of a start, and kills what does not come as far
// as its program in time.
func (g *guardian) hurry(w *awaited, within time.Duration) begun {
	timer := time.NewTimer(within)
	defer timer.Stop()
	killed := map[int]bool{}
	for {
		select {
		case how := <-w.begun:
			return g.unlessKilled(how, killed, w)
		case <-g.dead:
			select { // both may have been true
			case how := <-w.begun:
				return g.unlessKilled(how, killed, w)
			default:
				return begun{err: errGuardian}
			}
		case <-timer.C:
			for _, pid := range killUnborn(g.PID, within) {
				killed[pid] = true
			}
			timer.Reset(max(within/2, time.Millisecond))
		}
	}
}

// unlessKilled makes a failure of a start that was ended before there was a
// program: to the guardian it looks like one that has ended by itself.
func (g *guardian) unlessKilled(how begun, killed map[int]bool, w *awaited) begun {
	if how.err != nil || !killed[how.status.PID] {
		return how
	}
	select {
	case <-w.ended:
	case <-g.dead:
	}
	g.forget(how.status.Run)
	return begun{err: unix.ETIMEDOUT}
}

// killUnborn kills the child of a guardian that has not executed a program for
// so long; there is one at most.
func killUnborn(parent int, after time.Duration) (killed []int) {
	children, _ := processes(func(s stat) bool { // of none that can be read none is killed
		age := sinceBoot() - time.Duration(s.start)*(time.Second/clockTicks)
		return s.parent == parent && !s.dead() && age >= after && unborn(s.pid, parent)
	})
	for _, child := range children {
		signalOne(child, unix.SIGKILL)
		killed = append(killed, child.pid)
	}
	return killed
}

// unborn reports whether a child has the memory of its parent still, by the
// words that the parent was started with.
func unborn(pid, parent int) bool {
	words, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/cmdline")
	same, err2 := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && err2 == nil && bytes.Equal(words, same)
}
