package runner

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptors that a guardian is born with, besides the first three.
const (
	agentFD = 3 // a socket to its agent
	bookFD  = 4 // its book
)

// guard is a guardian from the inside: the parent of every command, which
// survives its agent.
type guard struct {
	boot    string
	others  []int // itself and its agent
	notices *notices
	alarm   *alarm
	floor   floor
	born    chan struct{} // holds one when there may be a child again
	calm    chan struct{} // holds one when no orders wait
	busy    atomic.Bool   // some may

	// mu is held across a fork and the noting of it, so that no end is seen
	// before its beginning.
	mu     sync.Mutex
	book   book
	wards  map[int]*ward // by pid
	left   *sync.Cond    // on mu: a ward went
	reaped time.Time     // when it was looked for children that have ended
}

// ward is a run that a guardian has started and that goes on.
type ward struct {
	status
	grace    time.Duration
	mark     string   // that its processes have in their environment
	group    string   // its cgroup
	streams  []string // where it writes to
	quota    int64    // of each
	whole    bool     // it ends with the last of its processes
	waits    bool     // a step stands in its place
	stopping bool     // its time is over, or its main process has ended and it is whole
	stopped  bool     // and all that it started is gone, or cannot be killed
}

// Guard is the life of a guardian: it starts what its agent orders, enforces
// the time limits, and writes down how each run ended. When the agent is gone
// it starts nothing any more and ends after the last of its runs.
func Guard() error {
	_ = unix.CloseRange(agentFD, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	unix.CloseOnExec(agentFD)
	unix.CloseOnExec(bookFD)
	_ = os.WriteFile("/proc/self/comm", []byte("fleetcron-guard"), 0) // what ps shows
	debug.SetGCPercent(50)                                            // it is there for long and does little
	runtime.GOMAXPROCS(1)                                             // it stands still in each fork anyway, and looks for nothing to do in between
	// Whoever ends a host signals everybody; the commands end, and only then
	// is there nothing left to write down. Ignoring would be inherited.
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("guardian: adopt what commands leave behind: %w", err)
	}
	g, conn, err := newGuard()
	if err != nil {
		return fmt.Errorf("guardian: %w", err)
	}
	go g.notices.run()
	go g.reap()
	go g.alarm.run()
	g.notices.tell(notice{Ready: true})
	from, err := newArrivals(conn)
	if err != nil {
		return fmt.Errorf("guardian: %w", err)
	}
	from.idle = g.idle
	stayPrompt()
	served := g.serve(from)
	conn.Close() // an agent that lives takes another guardian
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.book.seal(g.boot); err != nil {
		return fmt.Errorf("guardian: %w", err)
	}
	g.tendAll()
	for len(g.wards) > 0 {
		g.left.Wait()
	}
	return served
}

func newGuard() (*guard, *net.UnixConn, error) {
	boot, err := bootID()
	if err != nil {
		return nil, nil, err
	}
	socket := os.NewFile(agentFD, "agent")
	defer socket.Close()
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, nil, err
	}
	agent, is := conn.(*net.UnixConn)
	if !is {
		return nil, nil, errors.New("descriptor 3 is no socket of an agent")
	}
	notices, err := newNotices(agent)
	if err != nil {
		return nil, nil, err
	}
	g := &guard{
		boot: boot, others: []int{os.Getpid(), os.Getppid()}, notices: notices, born: make(chan struct{}, 1), calm: make(chan struct{}, 1),
		book: newBook(os.NewFile(bookFD, "book")), wards: map[int]*ward{},
	}
	g.left = sync.NewCond(&g.mu)
	g.alarm, err = newAlarm(g.timeOver)
	return g, agent, err
}

// arrivalBytes is how much of its orders a guardian reads at once.
const arrivalBytes = 32 << 10

// serve carries out orders until the agent is gone.
func (g *guard) serve(from *arrivals) error {
	buffered := bufio.NewReaderSize(from, arrivalBytes)
	for {
		var next order
		if err := decodeWire(buffered, next.fields); err != nil {
			return nil
		}
		if next.Forget != "" {
			g.mu.Lock()
			g.book.forget(next.Forget)
			g.mu.Unlock()
		}
		if next.Launch == nil {
			continue
		}
		files, err := from.own()
		if err != nil { // this process has too many files open to take these
			g.notices.tell(notice{Failed: refusalOf(next.Launch.Run, err)})
			continue
		}
		g.launch(next.Launch, files)
	}
}

// launch starts one process and notes it down.
func (g *guard) launch(l *launch, files []int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := sinceBoot()
	pid, waits, err := l.fork(files, nil)
	// The agent lends these files to others again as soon as it hears of an end.
	closeFiles(files)
	if err != nil {
		g.notices.tell(notice{Failed: refusalOf(l.Run, err)})
		return
	}
	if l.Exposed {
		resetOOM(pid)
	}
	start, known := between(before, sinceBoot())
	if !known {
		stat, _ := readStat(pid) // it is not reaped yet, so it is there
		start = stat.start
	}
	now := time.Now()
	w := &ward{
		status: status{Run: l.Run, Boot: g.boot, PID: pid, Start: start, Started: now.UTC()},
		grace:  l.Grace, whole: l.Whole, mark: l.Mark, group: l.Group, waits: waits != nil, streams: l.Streams, quota: l.Quota,
	}
	g.wards[pid] = w
	if l.Timeout > 0 {
		g.alarm.set(pid, l.Timeout)
	}
	g.write(w)
	if waits != nil {
		go g.pass(w, waits, l)
	} else {
		g.tellBegun(w)
	}
	select {
	case g.born <- struct{}{}:
	default:
	}
	if g.busy.Load() && now.Sub(g.reaped) >= reapWithin {
		g.reapAll()
	}
}

// between is the start of a process, as the kernel tells it, that was made between
// two instants since the boot; unknown when a tick of its clock was, too.
func between(before, after time.Duration) (start uint64, known bool) {
	const tick = time.Second / clockTicks
	return uint64(before / tick), before > 0 && before/tick == after/tick
}

// pass lets a step go on, and says what came of it.
func (g *guard) pass(w *ward, waits *gate, l *launch) {
	err := waits.passInTime(w.PID, l.Rlimits, cmp.Or(l.Birth, birthMost), func(do func()) {
		g.mu.Lock() // against reaping
		defer g.mu.Unlock()
		if !w.over() {
			do()
		}
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	w.waits = false
	if err != nil {
		// The step ends by itself, or perhaps never where it was too late.
		w.Refused = refusalOf(w.Run, err)
		if errors.Is(err, unix.ETIMEDOUT) && !w.over() {
			w.Wait, w.Ended = syscall.WaitStatus(unix.SIGKILL), time.Now().UTC()
		}
	} else {
		g.tellBegun(w)
	}
	g.settle(w)
}

// write puts a status into the book.
func (g *guard) write(w *ward) {
	if err := g.book.write(&w.status); err != nil {
		fmt.Fprintf(os.Stderr, "guardian: run %s not noted: %v\n", w.Run, err) // the agent hears of it nevertheless
	}
}

// tellBegun tells the agent that a run was started; it may have ended already.
func (g *guard) tellBegun(w *ward) {
	told := w.status
	told.Ended = time.Time{}
	g.notices.tell(notice{Status: &told})
}

// idle is told whether orders wait.
func (g *guard) idle(is bool) {
	g.busy.Store(!is)
	g.notices.hold(!is)
	if is {
		select {
		case g.calm <- struct{}{}:
		default:
		}
	}
}

const (
	// reapWithin is how long an end waits for others while commands are started.
	reapWithin = 5 * time.Millisecond
	// reapLate is how long it waits when none comes as far as its program.
	reapLate = 50 * time.Millisecond
)

// reap waits for children: commands, and what they left behind. While orders wait
// it leaves them to the thread that carries those out: to wake another one for
// each end costs as much as every second start.
func (g *guard) reap() {
	for {
		switch err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil); {
		case err == nil:
			if g.busy.Load() {
				select {
				case <-g.calm:
				case <-time.After(reapLate):
				}
			}
			g.mu.Lock()
			g.reapAll()
			g.mu.Unlock()
		case errors.Is(err, unix.ECHILD):
			<-g.born
		}
	}
}

// reapAll needs mu.
func (g *guard) reapAll() {
	g.reaped = time.Now()
	for {
		var wait syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &wait, syscall.WNOHANG, &usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if w, known := g.wards[pid]; known {
			w.Wait, w.Ended, w.Used = wait, time.Now().UTC(), usedOf(&usage, g.floor.now())
			if w.whole && !w.stopping {
				g.stop(w)
			}
			g.settle(w)
		}
	}
}

// settle lets a ward go that has ended, and all that it started with it where
// it was stopped.
func (g *guard) settle(w *ward) {
	if !w.over() || w.waits || w.stopping && !w.stopped {
		return
	}
	g.alarm.unset(w.PID)
	delete(g.wards, w.PID)
	g.write(w)
	if w.Refused != nil {
		g.notices.tell(notice{Failed: w.Refused})
	} else {
		told := w.status
		g.notices.tell(notice{Status: &told})
	}
	g.left.Broadcast()
}

// timeOver stops a run that is at its time limit.
func (g *guard) timeOver(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w, known := g.wards[pid]
	if !known || w.over() {
		return
	}
	w.TimedOut = true
	g.stop(w)
}

// stop ends everything that a ward has started, and then lets it go.
func (g *guard) stop(w *ward) {
	w.stopping = true
	all := family{mark: w.mark, leader: w.PID, start: w.Start, others: g.others, group: w.group}
	go func() {
		var left int
		if w.whole {
			left = all.vanish(w.grace, nil, func(left int) {
				fmt.Fprintf(os.Stderr, "guardian: run %s does not end: %d of its processes cannot be killed, they wait for a device\n", w.Run, left)
			})
		} else {
			left = all.stop(w.grace)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		w.stopped, w.Left = true, left
		if left > 0 && !w.over() { // its end may never come
			w.Wait, w.Ended = syscall.WaitStatus(unix.SIGKILL), time.Now().UTC()
		}
		if w.over() { // else it ends in this very moment
			g.settle(w)
		}
	}()
}
