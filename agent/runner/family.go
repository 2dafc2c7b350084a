package runner

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// family is everything that a run has started: who is in its session, who
// descends from those, and who escaped from both but still carries the run's
// mark in its environment.
type family struct {
	mark   string // empty: it has none
	leader int
	start  uint64
	others []int  // guardian and agent: never part of it, whoever started them
	group  string // its cgroup; empty: it has none
}

// living lists the members that have not ended.
func (f family) living() []stat {
	all, err := processes(func(s stat) bool { return !s.dead() })
	if err != nil {
		return nil
	}
	return f.among(all, func(s stat) bool { return markOf(s.pid) == f.mark })
}

// among lists the members among all processes; marked says which ones carry
// the run's mark.
func (f family) among(all []stat, marked func(stat) bool) []stat {
	children := map[int][]stat{}
	for _, s := range all {
		children[s.parent] = append(children[s.parent], s)
	}
	in := map[int]stat{}
	var add func(s stat)
	add = func(s stat) {
		if _, known := in[s.pid]; known || s.pid == os.Getpid() || slices.Contains(f.others, s.pid) {
			return
		}
		in[s.pid] = s
		for _, child := range children[s.pid] {
			add(child)
		}
	}
	stranger := slices.ContainsFunc(all, func(s stat) bool { return s.pid == f.leader && s.start != f.start })
	for _, s := range all {
		// The number of a session is not given to anybody else while one
		// process is in it.
		if s.session == f.leader && !stranger {
			add(s)
		}
	}
	grouped := map[int]bool{}
	for _, pid := range groupPids(f.group) {
		grouped[pid] = true
	}
	for _, s := range all {
		if grouped[s.pid] {
			add(s)
		}
	}
	for _, s := range all {
		if _, known := in[s.pid]; !known && f.mark != "" && s.start >= f.start && marked(s) {
			add(s)
		}
	}
	members := make([]stat, 0, len(in))
	for _, s := range in {
		members = append(members, s)
	}
	return members
}

// markVariable marks a process as belonging to a run. Its value is drawn for
// that run alone: ids of runs can be computed, and whoever lays one into his own
// processes' environment must not have them taken for the run's.
const markVariable = "FLEETCRON_MARK="

// markOf returns the mark that a process has in its environment.
func markOf(pid int) string {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	_, mark, found := strings.Cut("\x00"+string(environ), "\x00"+markVariable)
	mark, _, whole := strings.Cut(mark, "\x00")
	if !found || !whole {
		return ""
	}
	return mark
}

// signalAll signals the leader's group at once, so that nothing can fork away
// in between, and then whoever left it.
func (f family) signalAll(signal unix.Signal) {
	members := f.living()
	if slices.ContainsFunc(members, func(s stat) bool { return s.group == f.leader }) {
		_ = unix.Kill(-f.leader, signal) // all are gone meanwhile: which is what is wanted
	}
	for _, member := range members {
		if member.group != f.leader {
			signalOne(member, signal)
		}
	}
}

func signalOne(member stat, signal unix.Signal) {
	fd, err := unix.PidfdOpen(member.pid, 0)
	if errors.Is(err, unix.ENOSYS) { // before 5.3 there is only the number
		if now, err := readStat(member.pid); err == nil && now.start == member.start {
			_ = unix.Kill(member.pid, signal)
		}
		return
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if now, err := readStat(member.pid); err == nil && now.start == member.start {
		_ = unix.PidfdSendSignal(fd, signal, nil, 0) // gone in between: fine
	}
}

// waitAll waits until no member is left or the deadline has passed, and returns
// how many are left. Whoever is forked while all are listed is not among them,
// but the cgroup knows that somebody is.
func (f family) waitAll(deadline time.Time) int {
	for {
		members := f.living()
		left := len(members)
		if left == 0 && populated(f.group) {
			left = 1
		}
		switch {
		case left == 0 || !time.Now().Before(deadline):
			return left
		case len(members) == 0:
			time.Sleep(time.Millisecond) // it may be about to leave
		default:
			waitOne(members[0], deadline)
		}
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
