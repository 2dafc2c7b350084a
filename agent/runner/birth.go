package runner

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
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
// as its program in time. Whoever wants the run stopped does not wait so long.
func (g *guardian) hurry(w *awaited, within time.Duration, c *companion) begun {
	timer := time.NewTimer(within)
	defer timer.Stop()
	halts := c.halt
	const tries = 4
	for try := 1; ; try++ {
		select {
		case why := <-halts:
			c.doomed, halts = &why, nil
			done, stopped := make(chan struct{}), make(chan struct{})
			go func() { defer close(stopped); g.stopStep(c.run.ID, c.handle, done) }()
			defer func() { close(done); <-stopped }()
			try--
		case how := <-w.begun:
			return g.unlessKilled(how, w)
		case <-g.dead:
			select { // both may have been true
			case how := <-w.begun:
				return g.unlessKilled(how, w)
			default:
				return begun{err: errGuardian}
			}
		case <-timer.C:
			if killed := g.killUnborn(within); killed && try >= tries {
				// It cannot be killed: what it waits for has taken the question in
				// and does not answer. Its guardian would start nothing any more.
				signalOne(stat{pid: g.PID, start: g.Start}, unix.SIGKILL)
			}
			timer.Reset(max(within/2, time.Millisecond))
		}
	}
}

// stepLook is between two looks whether the guardian has noted a start.
const stepLook = 20 * time.Millisecond

// stopStep ends a run whose command is not known to be executed yet: a step may
// stand in its place, and not go on. Before the guardian has noted it there is
// none; from done on it is for others to end it.
func (g *guardian) stopStep(run fleet.RunID, h handle, done <-chan struct{}) {
	tick := time.NewTicker(stepLook)
	defer tick.Stop()
	for {
		s, noted := findStatus(g.path, run, &h)
		if noted {
			if !s.over() {
				family{mark: h.Mark, leader: s.PID, start: s.Start, others: []int{g.PID}, group: h.Group}.stop(h.Grace)
			}
			return
		}
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// unlessKilled makes a failure of a start that was ended before there was a
// program: to the guardian it looks like one that has ended by itself.
func (g *guardian) unlessKilled(how begun, w *awaited) begun {
	child := sight{how.status.PID, how.status.Start}
	g.mu.Lock()
	killed := how.err == nil && g.unborn[child]
	delete(g.unborn, child)
	g.mu.Unlock()
	if !killed {
		return how
	}
	select {
	case <-w.ended:
	case <-g.dead:
	}
	g.forget(how.status.Run)
	return begun{err: unix.ETIMEDOUT}
}

// killUnborn kills the child of the guardian that has not executed a program for
// so long, and reports whether there was one; there is one at most. Everybody who
// waits in the queue looks for it.
func (g *guardian) killUnborn(after time.Duration) bool {
	children, _ := processes(func(s stat) bool { // of none that can be read none is killed
		age := sinceBoot() - time.Duration(s.start)*(time.Second/clockTicks)
		return s.parent == g.PID && !s.dead() && age >= after && unborn(s.pid, g.PID)
	})
	for _, child := range children {
		g.mu.Lock()
		g.unborn[sight{child.pid, child.start}] = true
		g.mu.Unlock()
		signalOne(child, unix.SIGKILL)
	}
	return len(children) > 0
}

// unborn reports whether a child has the memory of its parent still, by the
// words that the parent was started with.
func unborn(pid, parent int) bool {
	words, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/cmdline")
	same, err2 := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && err2 == nil && bytes.Equal(words, same)
}
