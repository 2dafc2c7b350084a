package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxConns is how many connections a server holds. A host with a thousand runs
// that wait for a place in the fleet has so many calls under way.
const maxConns = 2048

// Server answers the calls of other parts. Its verbs are set before it serves.
type Server struct {
	self    hello
	peers   map[Part]Peers
	verbs   map[string]*answerer
	lent    *Lent
	log     *slog.Logger
	ongoing chan struct{} // a token for each connection
}

// Peers says by which users a part may be played; empty: by none.
type Peers []uint32

// NewServer returns a server of a part that those peers may call.
func NewServer(self Part, version string, peers map[Part]Peers, log *slog.Logger) *Server {
	return &Server{
		self: hello{protocol, self, version}, peers: peers, verbs: map[string]*answerer{}, log: log,
		ongoing: make(chan struct{}, maxConns),
	}
}

// answerer answers the calls of one verb.
type answerer struct {
	from   []Part
	most   int64         // bytes of a question
	places chan struct{} // as many as may go on at once
	answer func(ctx context.Context, question []byte) (value any, output io.ReadCloser, err error)
}

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var g errgroup.Group
	defer func() { _ = g.Wait() }()
	for {
		raw, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("the socket of the %s part: %w", s.self.Part, err)
		case err != nil: // no descriptor is left, for example: others' runs end, and this part must not
			s.log.Error("a connection was not accepted", "part", s.self.Part, "error", err)
			pause(ctx, again)
			continue
		}
		select {
		case s.ongoing <- struct{}{}:
		default:
			s.log.Warn("a connection was refused: there are too many", "part", s.self.Part, "most", maxConns)
			raw.Close()
			continue
		}
		g.Go(func() error {
			defer func() { <-s.ongoing }()
			s.receive(ctx, raw)
			return nil
		})
	}
}

// receive speaks with whoever has connected, if he is one of those whom this
// part speaks to.
func (s *Server) receive(ctx context.Context, raw net.Conn) {
	defer raw.Close()
	peer, err := peerOf(raw)
	if err == nil && !s.knows(peer.uid) {
		err = errors.New("no part of the agent runs as this user")
	}
	if err != nil { // before a byte of his is read
		s.log.Warn("connection refused", "event", "peer_denied", "part", s.self.Part, "uid", peer.uid, "pid", peer.pid, "error", err)
		return
	}
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	other, reader, err := greet(raw, s.self, false)
	if err == nil && !slices.Contains(s.peers[other.Part], peer.uid) {
		err = fmt.Errorf("user %d does not play the %s part", peer.uid, other.Part)
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, io.EOF) {
			s.log.Warn("connection refused", "event", "peer_denied", "part", s.self.Part, "uid", peer.uid, "pid", peer.pid, "error", err)
		}
		return
	}
	c := converse(raw, reader)
	defer c.Close()
	s.calls(ctx, c, other.Part, nil)
}

func (s *Server) knows(uid uint32) bool {
	for _, uids := range s.peers {
		if slices.Contains(uids, uid) {
			return true
		}
	}
	return false
}

// calls answers one call after the other until the connection ends, or is lent.
// Called, where it is set, hears of the first.
func (s *Server) calls(ctx context.Context, c *conn, from Part, called func()) {
	for {
		f, err := c.next(ctx)
		if err != nil {
			return
		}
		if called != nil {
			called()
			called = nil
		}
		name := string(f.payload)
		a := s.verbs[name]
		switch {
		case f.kind != kindCall:
			err = fmt.Errorf("a frame of kind %q where a call was due", byte(f.kind))
		case name == lend && s.lent != nil:
			s.lent.hold(ctx, c)
			return
		case a == nil || !slices.Contains(a.from, from):
			err = s.refuse(ctx, c, name, from)
		default:
			err = s.call(ctx, c, a)
		}
		if ctx.Err() != nil { // whoever waits for an answer asks the one who comes after
			return
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.log.Warn("call broken off", "part", s.self.Part, "from", from, "verb", fmt.Sprintf("%.40q", name), "error", err)
			}
			_ = writeFrame(c, kindError, writeFault(err)) // to whoever still listens
			return
		}
	}
}

// refuse answers a call of a verb that is not there for who calls. Its question is
// heard to its end, so that the answer finds a listener.
func (s *Server) refuse(ctx context.Context, c *conn, name string, from Part) error {
	s.log.Warn("a verb was refused", "event", "verb_denied", "part", s.self.Part, "from", from, "verb", fmt.Sprintf("%.40q", name))
	ctx, stop := context.WithTimeout(ctx, textTime)
	defer stop()
	if _, err := c.text(ctx, small); err != nil {
		return err
	}
	return writeFrame(c, kindError, writeFault(fleet.Errorf(fleet.Refused, "the %s part has no verb %.40q for the %s part", s.self.Part, name, from)))
}

// call answers one call. Its error ends the connection; one of the verb does not.
func (s *Server) call(ctx context.Context, c *conn, a *answerer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	select { // before the question is read: who asks too much waits, not we
	case a.places <- struct{}{}:
		defer func() { <-a.places }()
	case <-c.over:
		return io.EOF
	case <-ctx.Done():
		return ctx.Err()
	}
	limited, stop := context.WithTimeoutCause(ctx, textTime, errors.New("the question took too long"))
	question, err := c.text(limited, a.most)
	stop()
	if err != nil {
		return err
	}
	gone := make(chan struct{})
	defer close(gone)
	go func() { // who hangs up does not want the answer any more
		select {
		case <-c.over:
			cancel()
		case <-gone:
		}
	}()
	value, output, err := a.answer(ctx, question)
	if output != nil {
		defer context.AfterFunc(ctx, func() { output.Close() })()
		defer output.Close()
	}
	if ctx.Err() != nil {
		return io.EOF // nobody waits for it any more
	}
	if err != nil {
		return writeFrame(c, kindError, writeFault(err))
	}
	if err := c.sendText(value); err != nil || output == nil {
		return err
	}
	return c.sendOutput(output)
}

// readerPatience is how long whoever asked for output may take for a frame of it:
// a part that does not read must not keep a place for ever.
const readerPatience = 15 * time.Minute

// sendOutput passes on what is read as it comes.
func (c *conn) sendOutput(output io.Reader) error {
	buffer := make([]byte, MaxFrame/2)
	defer func() { _ = c.SetWriteDeadline(time.Time{}) }() // a connection that has none is a test's
	for {
		n, err := output.Read(buffer)
		_ = c.SetWriteDeadline(time.Now().Add(readerPatience))
		if n > 0 {
			if err := writeFrame(c, kindBytes, buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return writeFrame(c, kindEnd, nil)
		case err != nil:
			return writeFrame(c, kindError, writeFault(err))
		}
	}
}
