package runner

import (
	"cmp"
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

// receive is one recvmsg(2). It waits in the kernel and not in Go's poller, where
// another thread would have to be woken first, and that one wake this.
func (a *arrivals) receive(into []byte) (n, oobn, flags int, err error) {
	held := a.raw.Control(func(fd uintptr) {
		for {
			n, oobn, flags, _, err = syscall.Recvmsg(int(fd), into, a.oob, unix.MSG_CMSG_CLOEXEC)
			switch {
			case err == syscall.EINTR:
				continue
			case a.idle != nil:
				a.idle(err == syscall.EAGAIN)
			}
			if err != syscall.EAGAIN {
				return
			}
			if _, failed := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); failed != nil && failed != unix.EINTR {
				err = failed
				return
			}
		}
	})
	return n, oobn, flags, cmp.Or(held, err)
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

	mu      sync.Mutex
	text    []byte // packed and not sent: what may wait
	waiting int    // how many
	late    *time.Timer
}

const (
	// forgotten is how many orders to forget wait at most for one that a guardian
	// is to be woken for.
	forgottenMost = 64
	// forgottenWithin is how long the first of them waits.
	forgottenWithin = 50 * time.Millisecond
)

func newOrders(conn *net.UnixConn) *orders {
	o := &orders{conn: conn}
	o.late = time.AfterFunc(time.Hour, func() { _ = o.flush() }) // a dead one remembers nothing
	o.late.Stop()
	return o
}

// send sends an order, and files with its first bytes. One that only says what
// need not be remembered waits for others: a place in a book is not dear.
func (o *orders) send(what order, files ...int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if what.Launch == nil {
		o.text = encodeWire(o.text, what.fields)
		if o.waiting++; o.waiting == 1 {
			o.late.Reset(forgottenWithin)
		}
		if o.waiting < forgottenMost {
			return nil
		}
		return o.write()
	}
	if len(o.text) > 0 { // the files must come with the order's own bytes
		if err := o.write(); err != nil {
			return err
		}
	}
	o.text = encodeWire(o.text, what.fields)
	return o.write(files...)
}

func (o *orders) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.text) == 0 {
		return nil
	}
	return o.write()
}

// write sends what is packed; it needs mu.
func (o *orders) write(files ...int) error {
	text := o.text
	o.text, o.waiting = o.text[:0], 0
	var rights []byte
	if len(files) > 0 {
		rights = syscall.UnixRights(files...)
	}
	n, _, err := o.conn.WriteMsgUnix(text, rights, nil)
	if err == nil && n < len(text) { // more than the socket holds at once
		_, err = o.conn.Write(text[n:])
	}
	return err
}
