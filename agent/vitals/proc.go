package vitals

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// use is what the processes of one run use at an instant.
type use struct {
	at        time.Time
	processes map[process]times
	memory    fleet.Bytes
	files     int
}

// process is a process that cannot be mistaken for another one.
type process struct {
	pid   int
	start uint64 // clock ticks between boot and its start
}

// times is the processor time of a process, in clock ticks.
type times struct {
	parent   int
	own      uint64
	children uint64 // of those that it waited for
}

// clockTicks a second is what Linux counts in for programs, on every processor
// that Go compiles for.
const clockTicks = 100

// measure reads what the processes use. Where their resident memory together is
// beyond bound, what they share is counted once; zero: no bound. Those that
// ended meanwhile use nothing.
func measure(pids []int, bound fleet.Bytes) use {
	u := use{at: time.Now(), processes: make(map[process]times, len(pids))}
	for _, pid := range pids {
		text, err := os.ReadFile(statPath(pid))
		if err != nil {
			continue
		}
		if p, of, pages, err := parseStat(string(text)); err == nil {
			u.processes[p] = of
			u.memory += fleet.Bytes(pages * os.Getpagesize())
			u.files += openFiles(pid)
		}
	}
	if bound > 0 && u.memory > bound && len(u.processes) > 1 {
		u.memory = proportional(u.processes, u.memory)
	}
	return u
}

func statPath(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/stat" }

// sinceBoot is how long the host is up, on the clock that processes' starts are
// told by.
func sinceBoot() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // every kernel that Go runs on has it
	return time.Duration(now.Nano())
}

var errStat = errors.New("unreadable process entry")

// parseStat reads "pid (name) state ppid …". The name may hold anything, so the
// fields count from its last parenthesis.
func parseStat(text string) (process, times, int, error) {
	end := strings.LastIndex(text, ") ")
	if end < 0 {
		return process{}, times{}, 0, errStat
	}
	number, _, _ := strings.Cut(text, " ")
	fields := strings.Fields(text[end+2:])
	if len(fields) < 22 {
		return process{}, times{}, 0, errStat
	}
	wrong := error(nil)
	read := func(text string) uint64 {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			wrong = errStat
		}
		return n
	}
	// By proc_pid_stat(5): ppid is field 4, utime 14 to cstime 17, starttime 22, rss 24.
	field := func(n int) uint64 { return read(fields[n-3]) }
	p := process{pid: int(read(number)), start: field(22)}
	of := times{parent: int(field(4)), own: field(14) + field(15), children: field(16) + field(17)}
	return p, of, int(read(fields[24-3])), wrong
}

// openFiles counts the descriptors of a process. The kernel says so since 6.2;
// before they are counted one by one.
func openFiles(pid int) int {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	if info, err := os.Stat(dir); err != nil || info.Size() > 0 {
		if err != nil {
			return 0
		}
		return int(info.Size())
	}
	opened, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer opened.Close()
	names, _ := opened.Readdirnames(-1) // some are better than none
	return len(names)
}

// proportional is how much memory the processes have resident, where each counts
// its part of what several share. It is costly to find out: the kernel walks
// over all of it.
func proportional(processes map[process]times, resident fleet.Bytes) fleet.Bytes {
	var total fleet.Bytes
	for p := range processes {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/smaps_rollup")
		if errors.Is(err, os.ErrNotExist) || len(text) == 0 && err == nil { // it ended
			continue
		}
		kilobytes, found := fieldOf(string(text), "Pss:")
		if err != nil || !found {
			return resident
		}
		total += fleet.Bytes(kilobytes) << 10
	}
	return min(total, resident)
}

// fieldOf reads the number of a line such as "Pss:   42 kB".
func fieldOf(text, name string) (int64, bool) {
	for line := range strings.Lines(text) {
		if rest, is := strings.CutPrefix(line, name); is {
			number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			n, err := strconv.ParseInt(number, 10, 53)
			return n, err == nil
		}
	}
	return 0, false
}

// spent is how many clock ticks of processor time a run used between two looks.
// A process that ended in between lives on in the times of whoever waited for
// it; what it had used before the first look is known and taken off again.
func spent(before, now *use) uint64 {
	inherited := before.left(now)
	var total uint64
	for p, of := range now.processes {
		was := before.processes[p] // zero of a new one
		total += of.own - min(of.own, was.own)
		children := of.children - min(of.children, was.children)
		total += children - min(children, inherited[p])
	}
	return total
}

// left is what those that are gone by now had used before, by who took it over:
// the nearest ancestor that is still there.
func (u *use) left(now *use) map[process]uint64 {
	parents := make(map[int]int, len(u.processes))
	alive := map[int]process{}
	for p, of := range u.processes {
		parents[p.pid] = of.parent
		if _, is := now.processes[p]; is {
			alive[p.pid] = p
		}
	}
	left := map[process]uint64{}
	for p, of := range u.processes {
		if _, is := alive[p.pid]; is {
			continue
		}
		for pid, steps := of.parent, 0; steps < len(parents); pid, steps = parents[pid], steps+1 {
			if heir, is := alive[pid]; is {
				left[heir] += of.own + of.children
				break
			}
		}
	}
	return left
}
