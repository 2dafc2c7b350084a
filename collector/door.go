package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
)

// door is the API's listener: it finishes each handshake, hands the connection
// to its plane's hall, and keeps a table of who is inside, so that one who is
// not welcome any longer is shown out.
type door struct {
	listener net.Listener
	conf     *tls.Config
	judge    pki.Judge
	refused  func(*pki.PeerError, netip.Addr)        // hears of each handshake that failed for a reason; nil: nobody
	copied   func(id pki.ID, here, there netip.Addr) // hears that one identity comes from two addresses at once; nil: nobody
	halls    map[pki.Plane]*hall
	log      *slog.Logger

	knocking sync.WaitGroup

	mu       sync.Mutex // guards what follows
	inside   map[*guest]struct{}
	shaking  int                  // handshakes under way
	nobodies int                  // inside without a certificate
	from     map[netip.Prefix]int // both, from one network
	places   map[pki.ID]map[netip.Addr]int
	told     map[string]time.Time
}

// What one listener bears. An address that many share, such as a gateway's,
// holds fewer people than fit, and agents show certificates.
const (
	knockLimit  = 5 * time.Second // for a handshake
	guestsMax   = 40960           // 10,000 hosts have two or three connections each, below LimitNOFILE of the unit
	shakingMax  = 8192
	nobodiesAll = 4096 // without a certificate: those who have one find room
	nobodiesMax = 256  // of one network without a certificate, or not yet
	agentMax    = 64   // of one host, which needs a few
	tellEvery   = time.Minute
	toldMax     = 256
	sweepEvery  = time.Minute
	sweepPause  = 200 * time.Millisecond
)

// newDoor returns a door to these planes.
func newDoor(listener net.Listener, credentials *pki.Credentials, judge pki.Judge, log *slog.Logger, planes ...pki.Plane) *door {
	d := &door{
		listener: listener, conf: credentials.ServerTLS(judge, planes...), judge: judge, log: log,
		halls: map[pki.Plane]*hall{}, inside: map[*guest]struct{}{}, from: map[netip.Prefix]int{}, places: map[pki.ID]map[netip.Addr]int{}, told: map[string]time.Time{},
	}
	for _, plane := range planes {
		d.halls[plane] = &hall{addr: listener.Addr(), guests: make(chan net.Conn), done: make(chan struct{})}
	}
	return d
}

// Run lets people in until ctx ends. Who is inside then stays: the planes'
// servers end that in their own way.
func (d *door) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { d.listener.Close() })
	defer stop()
	defer d.knocking.Wait()
	for {
		conn, err := d.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			d.log.Warn("caller not accepted", "error", err)
			time.Sleep(50 * time.Millisecond) // such as for a want of file descriptors
		case !d.admit(conn):
			conn.Close()
		default:
			d.knocking.Go(func() { d.greet(ctx, conn) })
		}
	}
}

// admit counts a caller in, or does not where there are too many.
func (d *door) admit(conn net.Conn) bool {
	network := networkOf(conn)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.inside) >= guestsMax || d.shaking >= shakingMax || d.from[network] >= nobodiesMax {
		return false
	}
	d.shaking++
	d.from[network]++
	return true
}

// shaken counts a handshake out.
func (d *door) shaken() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shaking--
}

// forget counts one without a certificate out.
func (d *door) forget(conn net.Conn) {
	network := networkOf(conn)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from[network]--; d.from[network] <= 0 {
		delete(d.from, network)
	}
}

// networkOf returns what counts as one address: of IPv6 the 64 bits that one
// network has.
func networkOf(conn net.Conn) netip.Prefix {
	address := addressOf(conn)
	bits := 32
	if address.Is6() {
		bits = 64
	}
	network, _ := address.Prefix(bits) // of no address: none
	return network
}

// greet finishes the handshake and shows the guest to its hall.
func (d *door) greet(ctx context.Context, plain net.Conn) {
	plain.SetDeadline(time.Now().Add(knockLimit))
	conn := tls.Server(plain, d.conf)
	err := conn.HandshakeContext(ctx)
	d.shaken()
	if err != nil {
		d.refuse(plain, err)
		plain.Close()
		d.forget(plain)
		return
	}
	plain.SetDeadline(time.Time{})
	g := &guest{Conn: conn, state: conn.ConnectionState(), door: d}
	g.id, g.serial, _ = pki.PeerOf(g.state)
	if g.id.Role != "" {
		d.forget(plain) // somebody, so no longer one of the nobodies
	}
	if !d.enter(g) {
		plain.Close()
		if g.id.Role == "" {
			d.forget(plain)
		}
		return
	}
	if !d.halls[pki.PlaneOf(g.state.NegotiatedProtocol)].lead(g) {
		g.Close()
	}
}

// enter puts a guest on the table. One identity from two addresses at once is a
// copied key, or a host with two addresses: a person should know. One of too many
// is not put on it.
func (d *door) enter(g *guest) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, has := d.places[g.id], 0
	for _, n := range known {
		has += n
	}
	if g.id.Role == pki.RoleAgent && has >= agentMax || g.id.Role == "" && d.nobodies >= nobodiesAll {
		return false
	}
	d.inside[g] = struct{}{}
	if g.id.Role == "" {
		d.nobodies++
		return true
	}
	here := addressOf(g.Conn)
	if known == nil {
		known = map[netip.Addr]int{}
		d.places[g.id] = known
	}
	if known[here]++; known[here] > 1 || d.copied == nil {
		return true
	}
	for there := range known {
		if there != here {
			d.copied(g.id, here, there)
			break
		}
	}
	return true
}

// leave takes a guest off the table.
func (d *door) leave(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inside, g)
	if g.id.Role == "" {
		d.nobodies--
	}
	here, known := addressOf(g.Conn), d.places[g.id]
	if known == nil {
		return
	}
	if known[here]--; known[here] <= 0 {
		delete(known, here)
	}
	if len(known) == 0 {
		delete(d.places, g.id)
	}
}

// refuse says why somebody was not let in, once a minute for one address and reason.
func (d *door) refuse(plain net.Conn, err error) {
	if raw := pki.PlainHTTP(err); raw != nil {
		io.WriteString(raw, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nTLS required: use https\n")
	}
	why := pki.Explain(err)
	if why == nil {
		d.log.Debug("handshake not finished", "address", plain.RemoteAddr().String(), "error", err)
		return
	}
	address := addressOf(plain)
	if d.refused != nil {
		d.refused(why, address)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key := why.Code + " " + address.String()
	if now := time.Now(); now.Sub(d.told[key]) >= tellEvery {
		if len(d.told) >= toldMax {
			clear(d.told)
		}
		d.told[key] = now
		d.log.Warn("caller refused", "code", why.Code, "address", address.String(), "peer", why.Peer.String(), "reason", why.Reason)
	}
}

// sweep shows out whoever the judge does not welcome any longer, and whose
// certificate has ended.
func (d *door) sweep(now time.Time) {
	d.mu.Lock()
	var out []*guest
	for g := range d.inside {
		if g.id.Role != "" && (d.judge(g.id, g.serial) != nil || now.After(g.state.PeerCertificates[0].NotAfter)) {
			out = append(out, g)
		}
	}
	d.mu.Unlock()
	for _, g := range out {
		d.log.Warn("connection closed: its holder is not welcome any longer", "peer", g.id.String(), "address", g.RemoteAddr().String())
		g.NetConn().Close() // whoever reads or writes there hears of it at once
	}
}

// Watch sweeps, and has also do the same elsewhere, at each change that watch
// tells of and now and then.
func (d *door) Watch(ctx context.Context, watch func() <-chan struct{}, also func()) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		changed := watch()
		d.sweep(time.Now())
		also()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			time.Sleep(sweepPause) // of many changes, such as enrolments, one sweep sees all
		case <-tick.C:
		}
	}
}
