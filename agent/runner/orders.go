package runner

import (
	"bufio"
	"encoding/gob"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

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
	conn  *net.UnixConn
	files [][]*os.File // of the orders that have begun to arrive, each for itself
	oob   []byte
}

func newArrivals(conn *net.UnixConn) *arrivals {
	return &arrivals{conn: conn, oob: make([]byte, syscall.CmsgSpace(ownFiles*4))}
}

// Read is one read. Files that come along are closed on exec from the start.
// It may end one order and begin the next, but the kernel gives the files of
// one order to each read at most.
func (a *arrivals) Read(into []byte) (int, error) {
	n, oobn, flags, _, err := a.conn.ReadMsgUnix(into, a.oob)
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

func filesOf(oob []byte) (files []*os.File, err error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	for i := range messages {
		fds, bad := syscall.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "stream"))
		}
		err = errors.Join(err, bad)
	}
	return files, err
}

// own returns the files that belong to the order just read. All of them came
// with it, or those for which there was no descriptor are missing.
func (a *arrivals) own() ([]*os.File, error) {
	if len(a.files) == 0 {
		return nil, syscall.EMFILE
	}
	files := a.files[0]
	a.files = a.files[1:]
	if len(files) != ownFiles {
		closeAll(files...)
		return nil, syscall.EMFILE
	}
	return files, nil
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
func (o *orders) send(what order, files ...*os.File) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	*o.buffer = (*o.buffer)[:0]
	if err := o.encode.Encode(&what); err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, file := range files {
			fds[i] = int(file.Fd())
		}
		rights = syscall.UnixRights(fds...)
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
	wake    chan struct{} // holds one while something waits
}

func newNotices(conn *net.UnixConn) *notices {
	return &notices{conn: conn, wake: make(chan struct{}, 1)}
}

func (n *notices) tell(what notice) {
	n.mu.Lock()
	n.waiting = append(n.waiting, what)
	n.mu.Unlock()
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
