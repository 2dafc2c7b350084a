package replica

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// stream is raft's network: TLS on a plane of its own, where both sides are
// collectors of this cluster, and a handshake (see hello), so that one who is
// no member of the group, or another than the one that was meant, is refused
// before raft reads a byte.
type stream struct {
	listener    net.Listener
	shown       net.Addr // what the others are told to dial
	log         *slog.Logger
	credentials *pki.Credentials
	judge       pki.Judge

	local local         // set by begin
	begun chan struct{} // closed by begin; nobody is called or answered before

	accepted chan net.Conn // shaken hands with, for raft
	ctx      context.Context
	stop     context.CancelFunc
	serving  sync.WaitGroup

	mu      sync.Mutex            // guards what follows
	open    map[*tracked]struct{} // raft leaves connections to be closed by the other side
	refused map[string]string     // the last reason by peer, so that a log says it once

	greeting  map[netip.Addr]int // handshakes under way by address; of IPv6 by network
	strangers int                // of them from where no member is
}

// tracked is a connection that Close of the stream closes.
type tracked struct {
	net.Conn
	of    *stream
	shown certificate // by the other side; zero before; guarded by of.mu
}

func (c *tracked) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	conn := c.Conn
	c.of.mu.Unlock()
	return conn.Close()
}

func (s *stream) track(conn net.Conn) *tracked {
	c := &tracked{Conn: conn, of: s}
	s.mu.Lock()
	s.open[c] = struct{}{}
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		conn.Close() // Close may have missed it
	}
	return c
}

// local is the member that a stream belongs to.
type local interface {
	hello() hello                    // who it is now
	called(caller, self hello) error // judges a caller; nil: go on
	nameOf(address string) string    // the id of the member at an address; empty: unknown
	isAt(address netip.Addr) bool    // says whether some member is there
	admits(caller hello) error       // says whether a caller is a member
	report(about string) report      // answers an ask
}

const (
	handshakeLimit = 5 * time.Second
	handshakesMax  = 64 // at once from where no member is; more are closed
	handshakesEach = 8  // at once from one address; more are closed
	refusedMax     = 256
	acceptPause    = 50 * time.Millisecond
)

func newStream(listener net.Listener, shown net.Addr, log *slog.Logger, credentials *pki.Credentials, judge pki.Judge) *stream {
	s := &stream{
		listener: listener, shown: shown, log: log, credentials: credentials, judge: judge,
		begun: make(chan struct{}), accepted: make(chan net.Conn),
		open: make(map[*tracked]struct{}), refused: make(map[string]string), greeting: make(map[netip.Addr]int),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// begin lets callers in, and raft out.
func (s *stream) begin(local local) {
	s.local = local
	close(s.begun)
	s.serving.Go(s.serve)
}

// serve accepts callers until Close.
func (s *stream) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			s.log.Warn("raft caller not accepted", "error", err)
			time.Sleep(acceptPause) // such as for a want of file descriptors
			continue
		}
		member := s.local.isAt(addrOf(conn))
		if !s.reserve(addrOf(conn), member) {
			conn.Close()
			continue
		}
		s.serving.Go(func() { s.greet(conn, member) })
	}
}

// greet shakes hands with a caller and hands the connection to raft, or
// answers what it asks.
func (s *stream) greet(plain net.Conn, member bool) {
	from := addrOf(plain)
	conn := s.track(plain)
	theirs, err := s.welcome(conn)
	s.free(from, member)
	if err != nil {
		s.note(from.String(), theirs.From, err)
	}
	if err != nil || theirs.Asks {
		conn.Close()
		return
	}
	select {
	case s.accepted <- conn:
		s.note("", theirs.From, nil)
	case <-s.ctx.Done():
		conn.Close()
	}
}

// Accept returns the next connection of a peer.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.accepted:
		return conn, nil
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial calls the member at an address.
func (s *stream) Dial(address raft.ServerAddress, limit time.Duration) (net.Conn, error) {
	select {
	case <-s.begun:
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
	mine := s.local.hello()
	if mine.To = s.local.nameOf(string(address)); mine.To == "" {
		return nil, fleet.Errorf(fleet.Refused, "no collector of the raft group is at %s", address).WithCode(codePeerUnknown)
	}
	conn, _, err := s.call(string(address), mine, limit)
	return conn, err
}

// ask calls a member for its report, and for its word about another.
func (s *stream) ask(ctx context.Context, member Member, about string) (report, error) {
	mine := s.local.hello()
	mine.To, mine.Asks, mine.About = string(member.ID), true, about
	limit := handshakeLimit
	if deadline, set := ctx.Deadline(); set {
		limit = min(limit, time.Until(deadline))
	}
	conn, answered, err := s.call(member.Address, mine, limit)
	if err != nil {
		return report{}, err
	}
	return answered, conn.Close()
}

func (s *stream) call(address string, mine hello, limit time.Duration) (net.Conn, report, error) {
	if limit <= 0 {
		return nil, report{}, context.DeadlineExceeded
	}
	dialer := net.Dialer{Timeout: limit}
	plain, err := dialer.DialContext(s.ctx, "tcp", address)
	if err != nil {
		return nil, report{}, err
	}
	conn := s.track(plain)
	answered, err := s.introduce(conn, mine, limit)
	if err != nil {
		conn.Close()
		s.note(address, mine.To, err)
		return nil, report{}, err
	}
	s.note("", mine.To, nil)
	return conn, answered, nil
}

// note logs why a peer was refused, once until the reason changes; nil forgets.
func (s *stream) note(address, peer string, err error) {
	key := cmp.Or(peer, address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.refused, key)
		return
	}
	if s.refused[key] == err.Error() || s.ctx.Err() != nil {
		return
	}
	if len(s.refused) >= refusedMax {
		clear(s.refused)
	}
	s.refused[key] = err.Error()
	s.log.Warn("raft peer refused", "code", codeOr(err, codePeerRefused), "peer", peer, "address", address, "error", err)
}

// Close stops listening and closes every connection.
func (s *stream) Close() error {
	if s.ctx.Err() != nil {
		return nil
	}
	s.stop()
	err := s.listener.Close()
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
	s.serving.Wait()
	return err
}

// Addr returns the address that the others dial.
func (s *stream) Addr() net.Addr { return s.shown }
