package runner

import (
	"bufio"
	"cmp"
	"encoding/gob"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// order is what an agent tells its guardian: to start a run, whose files come
// along as descriptors, or that the outcome of one is on disk.
type order struct {
	Launch *launch
	Forget fleet.RunID
}

// notice is what a guardian tells its agent: that it is there, that a run was
// started or was not, or that one has ended.
type notice struct {
	Ready  bool
	Failed *refusal
	Status *status
}

// refusal is a start that did not come about.
type refusal struct {
	Run   fleet.RunID   `json:"-"`
	Errno syscall.Errno `json:"errno"`
	What  string        `json:"what,omitempty"` // the setting that was refused; empty: the start itself
	Late  bool          `json:"-"`              // it could have begun, but not in time
}

// err gives back the error that the start ended with.
func (r *refusal) err() error {
	switch {
	case r.Late:
		return errLate
	case r.What != "":
		return settingError{r.What, r.Errno}
	}
	return r.Errno
}

func refusalOf(run fleet.RunID, err error) *refusal {
	r := &refusal{Run: run, Errno: syscall.EIO, Late: errors.Is(err, errLate)}
	errors.As(err, &r.Errno)
	if setting, is := errors.AsType[settingError](err); is {
		r.What = setting.what
	}
	return r
}

// arrivals reads what comes over a connection, and keeps the files that come
// along until they are asked for.
type arrivals struct {
	raw   syscall.RawConn
	idle  func(is bool) // told whether nothing has come yet; nil: nobody is
	files [][]int       // of the orders that have begun to arrive, each for itself
	oob   []byte
}

func newArrivals(conn *net.UnixConn) (*arrivals, error) {
	raw, err := conn.SyscallConn()
	return &arrivals{raw: raw, oob: make([]byte, syscall.CmsgSpace(ownFiles*4))}, err
}

// Read is one read. Files that come along are closed on exec from the start.
// It may end one order and begin the next, but the kernel gives the files of
// one order to each read at most. Where nothing has come yet, it says so before
// it waits.
func (a *arrivals) Read(into []byte) (int, error) {
	n, oobn, flags, err := a.receive(into)
	if oobn > 0 || flags&unix.MSG_CTRUNC != 0 {
		files, parsed := filesOf(a.oob[:oobn])
		a.files = append(a.files, files)
		err = errors.Join(err, parsed)
	}
	if n <= 0 && err == nil {
		err = net.ErrClosed // the other side has ended
	}
	return max(0, n), err
}

// receive is one recvmsg(2).
func (a *arrivals) receive(into []byte) (n, oobn, flags int, err error) {
	waited := a.raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, err = syscall.Recvmsg(int(fd), into, a.oob, unix.MSG_CMSG_CLOEXEC)
			if err != syscall.EINTR {
				break
			}
		}
		if a.idle != nil {
			a.idle(err == syscall.EAGAIN)
		}
		return err != syscall.EAGAIN
	})
	return n, oobn, flags, cmp.Or(waited, err)
}

func filesOf(oob []byte) (files []int, err error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	for i := range messages {
		fds, bad := syscall.ParseUnixRights(&messages[i])
		files = append(files, fds...)
		err = errors.Join(err, bad)
	}
	return files, err
}

// own returns the files that belong to the order just read. All of them came
// with it, or those for which there was no descriptor are missing.
func (a *arrivals) own() ([]int, error) {
	if len(a.files) == 0 {
		return nil, syscall.EMFILE
	}
	files := a.files[0]
	a.files = a.files[1:]
	if len(files) != ownFiles {
		closeFiles(files)
		return nil, syscall.EMFILE
	}
	return files, nil
}

// closeFiles closes descriptors that nothing else stands for.
func closeFiles(files []int) {
	for _, fd := range files {
		unix.Close(fd)
	}
}

// orders is the agent's way to its guardian; methods may be called from any
// goroutine.
type orders struct {
	conn *net.UnixConn

	mu     sync.Mutex
	encode *gob.Encoder
	buffer *[]byte
}

// sink collects what a gob encoder writes.
type sink struct{ to *[]byte }

func (s sink) Write(text []byte) (int, error) {
	*s.to = append(*s.to, text...)
	return len(text), nil
}

func newOrders(conn *net.UnixConn) *orders {
	o := &orders{conn: conn, buffer: new([]byte)}
	o.encode = gob.NewEncoder(sink{o.buffer})
	return o
}

// send sends an order, and files with its first bytes.
func (o *orders) send(what order, files ...int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	*o.buffer = (*o.buffer)[:0]
	if err := o.encode.Encode(&what); err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		rights = syscall.UnixRights(files...)
	}
	n, _, err := o.conn.WriteMsgUnix(*o.buffer, rights, nil)
	if err == nil && n < len(*o.buffer) { // more than the socket holds at once
		_, err = o.conn.Write((*o.buffer)[n:])
	}
	return err
}

// notices is a guardian's way to its agent. Telling never waits: an agent that
// is frozen must not freeze its guardian.
type notices struct {
	conn *net.UnixConn

	mu      sync.Mutex
	waiting []notice
	busy    bool          // more will be told at once
	late    *time.Timer   // for what was told meanwhile
	wake    chan struct{} // holds one while something waits
}

const (
	// together is how many notices a busy guardian sends at once: each time that
	// its agent is woken costs the start of another command.
	together = 16
	// toldWithin is how long the first of them waits at most.
	toldWithin = 5 * time.Millisecond
)

func newNotices(conn *net.UnixConn) *notices {
	n := &notices{conn: conn, wake: make(chan struct{}, 1)}
	n.late = time.AfterFunc(time.Hour, n.rouse)
	n.late.Stop()
	return n
}

func (n *notices) tell(what notice) {
	n.mu.Lock()
	n.waiting = append(n.waiting, what)
	first, send := len(n.waiting) == 1, !n.busy || len(n.waiting) >= together
	n.mu.Unlock()
	switch {
	case send:
		n.rouse()
	case first:
		n.late.Reset(toldWithin)
	}
}

// hold says whether more will be told at once.
func (n *notices) hold(busy bool) {
	n.mu.Lock()
	n.busy = busy
	send := !busy && len(n.waiting) > 0
	n.mu.Unlock()
	if send {
		n.rouse()
	}
}

func (n *notices) rouse() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run sends until the agent no longer listens. What is told then is in the
// book, where the next agent looks.
func (n *notices) run() {
	buffered := bufio.NewWriter(n.conn)
	encode := gob.NewEncoder(buffered)
	for range n.wake {
		n.mu.Lock()
		news := n.waiting
		n.waiting = nil
		n.mu.Unlock()
		for i := range news {
			if encode.Encode(&news[i]) != nil {
				return
			}
		}
		if buffered.Flush() != nil {
			return
		}
	}
}
