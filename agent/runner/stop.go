package runner

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// killWait bounds how long a killed process may take to go. One that stands in
// uninterruptible sleep cannot be killed; its run must not wait for it for ever.
const killWait = 5 * time.Second

// stop ends a process and all that it started within its session: TERM, then
// KILL for what is left when the grace is over. It returns how many processes
// it could not end. A child must not have been reaped: as long as it has not,
// its number cannot belong to anybody else.
func (p *process) stop(grace time.Duration) (left int) {
	p.signalAll(unix.SIGTERM)
	p.signalAll(unix.SIGCONT) // a stopped process acts on TERM only then
	if p.waitAll(time.Now().Add(grace)) == 0 {
		return 0
	}
	end := time.Now().Add(killWait)
	for {
		p.signalAll(unix.SIGKILL)
		// A process that was being forked may have been missed: look again.
		left = p.waitAll(time.Now().Add(killWait / 10))
		if left == 0 || time.Now().After(end) {
			return left
		}
	}
}

// signalAll signals the group at once, so that nothing can fork away in
// between, and then whoever left the group but not the session.
func (p *process) signalAll(signal unix.Signal) {
	members := p.members()
	if p.exists() || len(members) > 0 {
		_ = unix.Kill(-p.pid, signal) // no such group: all are gone, which is what is wanted
	}
	for _, member := range members {
		if member.group != p.pid {
			signalOne(member, signal)
		}
	}
}

// exists reports whether the process still holds its number.
func (p *process) exists() bool {
	return p.child || !p.exited() // a child has not been reaped, see stop
}

func signalOne(member stat, signal unix.Signal) {
	fd, err := unix.PidfdOpen(member.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if now, err := readStat(member.pid); err == nil && now.start == member.start {
		_ = unix.PidfdSendSignal(fd, signal, nil, 0) // gone in between: fine
	}
}

// members lists the living processes of the session that p leads. The number
// of a session is not given to anybody else while one process is in it.
func (p *process) members() []stat {
	all, err := processes(func(s stat) bool { return s.session == p.pid && !s.dead() })
	if err != nil {
		return nil
	}
	return all
}

// waitAll waits until the session is empty or the deadline has passed, and
// returns how many processes are left in it.
func (p *process) waitAll(deadline time.Time) int {
	for {
		members := p.members()
		if len(members) == 0 || !time.Now().Before(deadline) {
			return len(members)
		}
		waitOne(members[0], deadline)
	}
}

// waitOne waits until a process has exited or the deadline has passed.
func waitOne(member stat, deadline time.Time) {
	fd, err := unix.PidfdOpen(member.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		time.Sleep(10 * time.Millisecond) // no pidfd: look again soon
		return
	}
	defer unix.Close(fd)
	if now, err := readStat(member.pid); err != nil || now.start != member.start {
		return
	}
	wait := max(1, time.Until(deadline).Milliseconds())
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait)) // interrupted: looked at again
}
