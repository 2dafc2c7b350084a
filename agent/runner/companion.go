package runner

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// companion is what goes along with one run. Only its own goroutine uses it,
// but for going and the two channels.
type companion struct {
	run      fleet.Run
	handle   handle
	process  *process
	guard    *guardian // that started it for this agent; nil: another one, or none
	captures captures
	notes    notes
	tmp      privateTmp
	direct   bool        // its command is a text that no shell was started for
	settled  bool        // has an outcome
	peak     fleet.Bytes // the most memory that its process was seen to have

	going atomic.Pointer[going] // nil: its process does not run

	calm <-chan struct{} // when it is to be recorded that it runs; nil: it is
	halt chan halt       // why somebody wants it stopped
	// doomed is set when somebody wanted it stopped before its command was known
	// to be executed.
	doomed *halt
	over   chan struct{} // closed after its outcome
}

// ending is how a run came to its end.
type ending struct {
	timedOut  bool
	cancelled bool
	reason    fleet.Reason // for which it was stopped
	why       string
	at        time.Time // when the main process ended; zero: nobody looked at the clock
	left      int       // processes that could not be ended
}

// family is everything that the run has started.
func (c *companion) family() family {
	all := family{mark: c.handle.Mark, leader: c.process.pid, start: c.process.start, group: c.handle.Group}
	if c.handle.Guard != nil {
		all.others = []int{c.handle.Guard.PID}
	}
	return all
}

// accompany waits for a run's end, enforces its limits and settles it. When
// the runner closes it just returns.
func (r *Runner) accompany(c *companion) {
	c.going.Store(&going{run: c.run, family: c.family()})
	end, ended := r.await(c)
	c.going.Store(nil)
	if !ended {
		c.captures.close()
		if c.notes.file != nil {
			c.notes.file.Close()
		}
		c.process.release()
		return
	}
	if end.at.IsZero() {
		end.at = time.Now().UTC()
	}
	if c.guard != nil { // else nobody knows of the end but this process
		r.rush.wait(r.closing)
	}
	r.config.Over(c.run.ID)
	c.run.Ended = &end.at
	before := c.run.Detail
	c.run.TimedOut, c.run.Cancelled, c.run.Detail = end.timedOut, end.cancelled, end.why
	c.noteStatus(r, end)
	c.noteGroup()
	if c.handle.Whole && before != "" { // how long nothing ran before it stays said
		addDetail(&c.run, before)
	}
	c.noteOutput(r)
	r.keepState(c)
	durable := r.settle(c)
	r.doneNotes(c.notes)
	r.unguard(c, durable)
	if durable {
		r.done(c.captures.out, c.captures.err)
	} else { // the files stay until the outcome is on disk: no files means not started
		c.captures.close()
	}
}

func (r *Runner) await(c *companion) (ending, bool) {
	timer := time.NewTimer(time.Hour)
	timer.Stop() // a guardian enforces the limit, until there is none
	defer timer.Stop()
	lost := c.process.lost
	if lost == nil {
		lost = closed
	}
	timeout := timer.C
	look := time.NewTimer(firstLook)
	defer look.Stop()
	pace := newPace()
	var end ending
	var stopped chan int
	gone := c.process.gone
	stopping := false
	stop := func() {
		stopping = true
		stopped = make(chan int, 1)
		gone, timeout = nil, nil // from here on the end is when all are gone
		go func() { stopped <- c.stop(r) }()
	}
	if c.doomed != nil {
		end.cancelled, end.reason, end.why = c.doomed.reason == "", c.doomed.reason, c.doomed.detail
		stop()
	}
	for {
		select {
		case <-gone:
			if c.handle.Whole && c.process.end == nil && !stopping { // no guardian has stopped the rest
				end.at = time.Now().UTC()
				stop()
				continue
			}
			return end, true
		case end.left = <-stopped:
			if end.left > 0 { // of a whole run only where this agent is ending
				return end, !c.handle.Whole
			}
			gone, stopped = c.process.gone, nil // what is said about its end is on its way
		case <-lost:
			lost = nil
			if c.handle.Timeout > 0 && !stopping {
				timer.Reset(time.Until(c.run.Started.Add(c.handle.Timeout)))
			}
		case <-timeout:
			if stopping || c.process.exited() {
				continue
			}
			end.timedOut = true
			end.why = fmt.Sprintf("still running %s after its start, stopped", time.Since(*c.run.Started).Round(time.Millisecond))
			stop()
		case why := <-c.halt:
			if !stopping && !c.process.exited() {
				end.cancelled, end.reason, end.why = why.reason == "", why.reason, why.detail
				stop()
			}
		case <-look.C:
			look.Reset(pace.next(c.captures.trim()))
			c.peak = max(c.peak, peakOf(strconv.Itoa(c.process.pid)))
		case <-c.calm:
			r.recordRunning(c)
		case <-r.closing:
			return end, false
		}
	}
}

// stop ends all that a run has started, and returns how many it could not end.
// Of a whole run none is left: the next one would begin beside it.
func (c *companion) stop(r *Runner) (left int) {
	if !c.handle.Whole {
		return c.family().stop(c.handle.Grace)
	}
	return c.family().vanish(c.handle.Grace, r.closing, func(left int) {
		r.log.Warn("run does not end: its processes cannot be killed, they wait for a device", "run", c.run.ID, "task", c.run.Task, "processes", left)
	})
}

// unguard tells the guardian that it may forget the run, whose outcome is on
// disk; what another guardian wrote about one that is not is kept.
func (r *Runner) unguard(c *companion, durable bool) {
	switch {
	case c.guard != nil:
		c.guard.leave(c.run.ID)
		if durable {
			c.guard.forget(c.run.ID)
		}
	case c.handle.Guard != nil && !durable:
		r.mu.Lock()
		r.books[c.handle.Guard.Book] = true
		r.mu.Unlock()
	}
}

// noteStatus writes down how the process ended, and reaps a child.
func (c *companion) noteStatus(r *Runner, end ending) {
	c.run.State = fleet.RunRan
	if c.process.exited() && c.process.end != nil {
		c.noteEnd(c.process.end, &end)
	} else if !c.process.child {
		c.noteUnwatched(end)
	} else {
		c.noteChild(end, &r.floor)
	}
	if c.run.State == fleet.RunRan {
		c.run.Reason = end.reason
	}
	if end.left > 0 {
		c.run.Detail += fmt.Sprintf("; %d of its processes cannot be killed, they wait for a device", end.left)
	}
}

// noteEnd settles a run whose end a guardian saw.
func (c *companion) noteEnd(s *status, end *ending) {
	c.process.release()
	ended := s.Ended
	c.run.Ended = &ended
	c.noteWait(s.Wait)
	c.noteUsed(s.Used)
	end.left = max(end.left, s.Left)
	if s.TimedOut && !end.cancelled && end.reason == "" {
		c.run.TimedOut = true
		c.run.Detail = fmt.Sprintf("still running %s after its start, stopped", c.handle.Timeout)
	}
}

// hostMemory says why the kernel killed what had no limit of its own.
const hostMemory = "killed by the kernel: no memory was left, on the host or in the cgroup that the agent is in"

// noteGroup adds what the run's cgroup knows.
func (c *companion) noteGroup() {
	group := c.handle.Group
	if c.handle.Limited || c.handle.Whole { // what all of it together used, for the price of asking
		usedBy(group, &c.run.Used)
	}
	if c.run.Reason != "" || c.run.TimedOut || c.run.Cancelled || c.run.State != fleet.RunRan || !c.run.Failed() {
		return
	}
	why := ""
	switch {
	case groupNumber(group, "memory.events", "oom_kill") == 0:
		if c.run.Signal == "SIGKILL" && killedForMemory(kernelLog, c.run.PID, time.Since(*c.run.Started)) {
			why = hostMemory
		}
	case groupNumber(group, "memory.events", "oom") > 0:
		why = "killed by the kernel: it needed more than its limits.memory"
	default:
		why = hostMemory
	}
	if why != "" {
		c.run.Reason = fleet.RanMemory
		addDetail(&c.run, why)
	}
}

func (c *companion) noteChild(end ending, floor *floor) {
	if end.left > 0 && !c.process.exited() { // its end may never come
		c.run.Signal = "SIGKILL"
		go func() { <-c.process.gone; _, _, _ = c.process.reap() }()
		return
	}
	<-c.process.gone
	status, usage, err := c.process.reap()
	if err != nil {
		c.run.State, c.run.Reason = fleet.RunUnknown, fleet.UnknownAgentDied
		c.run.Detail = "its exit status was taken by another: " + err.Error()
		return
	}
	c.noteWait(status)
	c.noteUsed(usedOf(&usage, floor.now()))
}

// noteUsed writes down what the run has used. A peak that the kernel cannot
// tell from that of the parent is the highest that was seen.
func (c *companion) noteUsed(used fleet.Used) {
	if used.Memory == 0 {
		used.Memory = c.peak
	}
	c.run.Used = used
}

func (c *companion) noteWait(status syscall.WaitStatus) {
	if status.Signaled() {
		c.run.Signal = signalName(status.Signal())
		return
	}
	code := status.ExitStatus()
	c.run.Exit = &code
}

// noteUnwatched settles a run whose end nobody saw who could tell how it was.
func (c *companion) noteUnwatched(end ending) {
	c.process.release()
	if end.timedOut || end.cancelled || end.reason != "" {
		return
	}
	c.run.State, c.run.Reason = fleet.RunUnknown, fleet.UnknownAgentDied
	c.run.Detail = "it ended while neither an agent nor a guardian was watching, its exit status is not known"
}

// signalNumber reads what signalName wrote.
func signalNumber(name string) int {
	if signal := unix.SignalNum(name); signal != 0 {
		return int(signal)
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(name, "SIG"))
	return n
}

func signalName(signal syscall.Signal) string {
	if name := unix.SignalName(signal); name != "" {
		return name
	}
	return fmt.Sprintf("SIG%d", int(signal))
}
