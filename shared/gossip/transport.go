package gossip

import (
	"io"
	"net"
	"sync"

	"github.com/hashicorp/memberlist"
)

// A stream is read before it is known whether its sender has the key, so what
// strangers may hold open and send is bounded. A fleet of 10,000 members tells
// its state in 6 MiB.
const (
	streamsMax  = 64       // open at once; more are closed
	streamBytes = 12 << 20 // of one stream
)

// transport is the library's, with bounds on what strangers may do.
type transport struct {
	*memberlist.NetTransport
	begin   func() // called before the library starts to listen
	begun   sync.Once
	slots   chan struct{}
	streams chan net.Conn
	closing chan struct{} // closed when nobody takes streams any more
	closed  chan struct{} // closed when no more come
	passed  chan struct{} // closed when pass has ended
	close   sync.Once
}

func bounded(inner *memberlist.NetTransport) *transport {
	t := &transport{
		NetTransport: inner, slots: make(chan struct{}, streamsMax), streams: make(chan net.Conn),
		closing: make(chan struct{}), closed: make(chan struct{}), passed: make(chan struct{}),
	}
	go t.pass()
	return t
}

// FinalAdvertiseAddr is asked by the library once it has its configuration and
// before anything runs: the moment to put a sieve into it.
func (t *transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	t.begun.Do(t.begin)
	return t.NetTransport.FinalAdvertiseAddr(ip, port)
}

// StreamCh returns the streams of others.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// pass hands streams on as long as there are slots, and closes the others.
func (t *transport) pass() {
	defer close(t.passed)
	for {
		select {
		case conn := <-t.NetTransport.StreamCh():
			select {
			case t.slots <- struct{}{}:
				t.hand(&boundedStream{Conn: conn, left: streamBytes, free: func() { <-t.slots }})
			default:
				conn.Close()
			}
		case <-t.closed:
			return
		}
	}
}

func (t *transport) hand(conn net.Conn) {
	select {
	case t.streams <- conn:
	case <-t.closing:
		conn.Close()
	}
}

// Shutdown closes the sockets.
func (t *transport) Shutdown() (err error) {
	t.close.Do(func() {
		close(t.closing)
		err = t.NetTransport.Shutdown()
		close(t.closed)
		<-t.passed
	})
	return err
}

// boundedStream is a stream that ends after so many bytes.
type boundedStream struct {
	net.Conn
	left int // bytes that may still be read
	free func()
	once sync.Once
}

func (s *boundedStream) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.Conn.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

func (s *boundedStream) Close() error {
	s.once.Do(s.free)
	return s.Conn.Close()
}
