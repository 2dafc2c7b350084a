package runner

import (
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// notices is a guardian's way to its agent. Telling never waits: an agent that
// is frozen must not freeze its guardian.
type notices struct {
	raw syscall.RawConn

	mu      sync.Mutex
	text    []byte // packed and not sent
	waiting int    // how many
	busy    bool   // more will be told at once
	first   time.Time
	armed   bool // late is running
	jammed  bool // the socket is full: run goes on when it is not
	deaf    bool // the agent no longer listens
	late    *time.Timer
	jams    chan struct{} // holds one when jammed
}

const (
	// together is how many notices a busy guardian sends at once: each time that
	// its agent is woken costs the start of another command.
	together = 16
	// toldWithin is how long the first of them waits for the next.
	toldWithin = 5 * time.Millisecond
	// toldLate is how long it waits at most, when there is no next because a
	// command does not come as far as its program.
	toldLate = 50 * time.Millisecond
)

func newNotices(conn *net.UnixConn) (*notices, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	n := &notices{raw: raw, jams: make(chan struct{}, 1)}
	n.late = time.AfterFunc(time.Hour, n.sendLate)
	n.late.Stop()
	return n, nil
}

// tell sends a notice at once, by the thread that tells, or together with others.
func (n *notices) tell(what notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.deaf { // it is in the book, where the next agent looks
		return
	}
	n.text = encodeWire(n.text, what.fields)
	if n.waiting++; n.waiting == 1 {
		n.first = time.Now()
	}
	if !n.busy || n.waiting >= together || time.Since(n.first) >= toldWithin {
		n.send()
	} else if !n.armed {
		n.armed = true
		n.late.Reset(toldLate)
	}
}

// hold says whether more will be told at once.
func (n *notices) hold(busy bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy = busy; !busy {
		n.send()
	}
}

func (n *notices) sendLate() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.armed = false
	n.send()
}

// send sends what waits, unless the socket is full; it needs mu.
func (n *notices) send() {
	if len(n.text) == 0 || n.jammed || n.deaf {
		return
	}
	if n.raw.Control(n.put) != nil { // it was closed
		n.text, n.deaf = nil, true
	}
	if n.jammed = len(n.text) > 0; n.jammed {
		n.jams <- struct{}{}
	}
}

// put gives the socket what it takes; it needs mu.
func (n *notices) put(fd uintptr) {
	for len(n.text) > 0 {
		sent, err := unix.SendmsgN(int(fd), n.text, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			n.text = n.text[:copy(n.text, n.text[sent:])]
		case unix.EINTR:
		case unix.EAGAIN:
			return
		default:
			n.text, n.deaf = nil, true
		}
	}
	n.waiting = 0
}

// run goes on with what a full socket did not take.
func (n *notices) run() {
	for range n.jams {
		closed := n.raw.Write(func(fd uintptr) bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.put(fd)
			n.jammed = len(n.text) > 0
			return !n.jammed
		})
		if closed != nil {
			n.mu.Lock()
			n.text, n.deaf = nil, true
			n.mu.Unlock()
		}
	}
}
