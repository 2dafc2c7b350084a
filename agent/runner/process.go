package runner

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a process that cannot be mistaken for another one.
type process struct {
	pid   int
	start uint64 // clock ticks between boot and its start
	child bool   // ours to reap
	// pidfd is pollable, so that a waiting goroutine holds no thread. It is
	// nil on kernels before 5.4, where a child is waited for in a thread and
	// any other process is looked at once a second.
	pidfd *os.File
	gone  chan struct{} // closed when it has exited; a child is then not reaped yet

	// lost is closed when no guardian enforces its time limit any more, nil
	// where there is none.
	lost     <-chan struct{}
	end      *status       // what a guardian wrote down about its end, before gone; nil: nothing
	released chan struct{} // closed when nobody waits any more
}

func newProcess(pid int, start uint64) *process {
	return &process{pid: pid, start: start, gone: make(chan struct{}), released: make(chan struct{})}
}

// accompany begins to wait for a process whose pidfd is fd, or -1.
func accompany(pid int, start uint64, fd int, child bool) *process {
	p := newProcess(pid, start)
	p.child = child
	if fd >= 0 {
		_ = unix.SetNonblock(fd, true) // makes os.NewFile poll it; cannot fail on an open descriptor
		p.pidfd = os.NewFile(uintptr(fd), "pidfd")
	}
	go p.watch()
	return p
}

// watch closes gone when the process has exited, and just ends when the
// process was released before.
func (p *process) watch() {
	var exited bool
	switch {
	case p.pidfd != nil:
		exited = readable(p.pidfd)
	case p.child:
		exited = waitInThread(p.pid)
	default:
		exited = p.lookUntilGone()
	}
	if exited {
		close(p.gone)
	}
}

// readable waits until a pidfd can be read, which is when its process exits.
func readable(pidfd *os.File) bool {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return false
	}
	exited := false
	err = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		exited = err == nil && n == 1
		return exited
	})
	return err == nil && exited
}

func waitInThread(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}

func (p *process) lookUntilGone() bool {
	for range time.Tick(time.Second) {
		if stat, err := readStat(p.pid); err != nil || stat.start != p.start || stat.dead() {
			return true
		}
	}
	return false
}

// exited reports whether the process has exited.
func (p *process) exited() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// release stops waiting. The process goes on.
func (p *process) release() {
	close(p.released)
	if p.pidfd != nil {
		p.pidfd.Close()
	}
}

// reap returns how a child ended and what it used; call it after gone, once.
func (p *process) reap() (syscall.WaitStatus, syscall.Rusage, error) {
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		_, err := syscall.Wait4(p.pid, &status, 0, &usage)
		if err == syscall.EINTR {
			continue
		}
		p.release()
		return status, usage, err
	}
}

// attach finds a process again. It is nil when the process is gone, or when
// its number belongs to another one by now.
func attach(pid int, start uint64) *process {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) {
		return nil
	}
	if err != nil {
		fd = -1
	}
	// The pidfd pins the process; only now does its start time prove anything.
	stat, err := readStat(pid)
	if err != nil || stat.start != start || stat.dead() {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil
	}
	return accompany(pid, start, fd, false)
}

// stat is what /proc says about a process.
type stat struct {
	pid     int
	state   byte
	parent  int
	group   int
	session int
	start   uint64
}

func (s stat) dead() bool { return s.state == 'Z' || s.state == 'X' }

// readStat is called for each start, so it asks the kernel for no more than the
// text: it is far shorter than what there is room for here.
func readStat(pid int) (stat, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	fd, err := openPlain(path)
	if err != nil {
		return stat{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var text [1024]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return stat{}, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return parseStat(text[:n])
}

// openPlain opens a file that never lets a reader wait.
func openPlain(path string) (fd int, err error) {
	for {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// errNoStat says that a text is no entry of a process.
var errNoStat = errors.New("unreadable process entry")

// parseStat reads "pid (name) state ppid pgrp session … starttime(22) …". The
// name may hold anything, so the fields count from its last parenthesis.
func parseStat(text []byte) (s stat, err error) {
	number, _, _ := bytes.Cut(text, []byte(" "))
	last := bytes.LastIndex(text, []byte(") "))
	if s.pid, err = strconv.Atoi(string(number)); err != nil || last < 0 {
		return stat{}, errNoStat
	}
	nth, whole := 0, false
	for field := range bytes.FieldsSeq(text[last+1:]) {
		switch nth {
		case 0:
			if s.state = field[0]; len(field) != 1 {
				err = errNoStat
			}
		case 1:
			s.parent, err = strconv.Atoi(string(field))
		case 2:
			s.group, err = strconv.Atoi(string(field))
		case 3:
			s.session, err = strconv.Atoi(string(field))
		case 19:
			s.start, err = strconv.ParseUint(string(field), 10, 64)
			whole = true
		}
		if err != nil || whole {
			break
		}
		nth++
	}
	if err != nil || !whole {
		return stat{}, errNoStat
	}
	return s, nil
}

// processes lists every process that wanted accepts.
func processes(wanted func(stat) bool) ([]stat, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var all []stat
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil && wanted(s) {
			all = append(all, s)
		}
	}
	return all, nil
}

// processOf finds the leader of a run that was begun but whose process was not
// recorded, by the mark that only its processes have in their environment. It is
// the first of those that lead a session: the others it has started itself.
func processOf(mark string) (stat, bool) {
	all, err := processes(func(s stat) bool { return s.pid == s.session && !s.dead() && mark != "" && markOf(s.pid) == mark })
	if err != nil || len(all) == 0 {
		return stat{}, false
	}
	return slices.MinFunc(all, func(a, b stat) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.pid, b.pid)) }), true
}

// bootID names this boot of the host.
func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text)), err
}
