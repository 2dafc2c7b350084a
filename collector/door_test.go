package collector

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// house is a door with a server behind each plane that says which it is.
type house struct {
	*door
	fleet   *pkitest.Fleet
	address string
	log     *lines
	unwell  sync.Map // serials that are not welcome
	changed chan struct{}
	waits   chan struct{} // a request to /wait is there
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func open(t *testing.T) *house {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{fleet: pkitest.New(t), address: listener.Addr().String(), log: &lines{}, changed: make(chan struct{}), waits: make(chan struct{}, 1)}
	judge := func(id pki.ID, serial string) error {
		if _, is := h.unwell.Load(serial); is {
			return &pki.PeerError{Code: pki.CodeRevoked, Peer: id, Reason: "was revoked"}
		}
		return nil
	}
	planes := []pki.Plane{pki.PlaneAgent, pki.PlanePeer, pki.PlaneEnroll, pki.PlaneOperator}
	h.door = newDoor(listener, h.fleet.Collector("c1"), judge, slog.New(slog.NewTextHandler(h.log, nil)), planes...)
	ctx, cancel := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.Run(ctx) })
	g.Go(func() error { return h.Watch(ctx, func() <-chan struct{} { return h.changed }, func() {}) })
	for _, plane := range planes {
		g.Go(func() error {
			return serveHall(ctx, h.halls[plane], h.answer(plane), nil, slog.New(slog.DiscardHandler))
		})
	}
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		if len(h.inside) > 0 || len(h.from) > 0 || len(h.places) > 0 || h.shaking != 0 || h.nobodies != 0 {
			t.Errorf("%d guests, %v and %v stayed on the table", len(h.inside), h.from, h.places)
		}
	})
	return h
}

func (h *house) answer(plane pki.Plane) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _, _ := pki.PeerOf(*r.TLS)
		if r.URL.Path == "/wait" {
			h.waits <- struct{}{}
			<-r.Context().Done()
			return
		}
		fmt.Fprintf(w, "%s for %s", plane, id)
	})
}

func client(conf *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: conf}, Timeout: 20 * time.Second}
}

func (h *house) get(conf *tls.Config, path string) (string, error) {
	c := client(conf)
	defer c.CloseIdleConnections()
	answer, err := c.Get("https://" + h.address + path)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func TestEachPlaneHasItsOwnServer(t *testing.T) {
	h := open(t)
	host := pkitest.HostID()
	for want, conf := range map[string]*tls.Config{
		"fc-agent/1 for agent " + host: h.fleet.Agent(host).ClientTLS(pki.PlaneAgent, pki.RoleCollector),
		"fc-peer/1 for collector c2":   h.fleet.Collector("c2").ClientTLS(pki.PlanePeer, pki.RoleCollector),
		"fc-enroll/1 for nobody":       pki.PinnedTLS(pki.Pin(h.fleet.Root.Certificate), nil),
		"http/1.1 for nobody":          pki.RootTLS(h.fleet.Root.Certificate, h.fleet.Cluster, pki.PlaneOperator),
	} {
		if got, err := h.get(conf, "/"); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestAttack04_RevokedAgentIsToldAndLogged(t *testing.T) {
	h := open(t)
	agent := h.fleet.Agent(pkitest.HostID())
	h.unwell.Store(agent.Serial(), true)
	for range 3 {
		if got, err := h.get(agent.ClientTLS(pki.PlaneAgent, pki.RoleCollector), "/"); err == nil || !strings.Contains(err.Error(), "bad certificate") {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if log := h.log.String(); strings.Count(log, "code=node_revoked") != 1 || !strings.Contains(log, agent.ID().Name) {
		t.Errorf("log:\n%s", log)
	}
}

func TestAttack06_RevokedWhileALongPollIsOpen(t *testing.T) {
	h := open(t)
	agent, other := h.fleet.Agent(pkitest.HostID()), h.fleet.Agent(pkitest.HostID())
	stays := client(other.ClientTLS(pki.PlaneAgent, pki.RoleCollector))
	defer stays.CloseIdleConnections()
	if _, err := stays.Get("https://" + h.address + "/"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := h.get(agent.ClientTLS(pki.PlaneAgent, pki.RoleCollector), "/wait")
		ended <- err
	}()
	<-h.waits
	h.unwell.Store(agent.Serial(), true)
	began := time.Now()
	close(h.changed)
	if err := <-ended; err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	if _, err := stays.Get("https://" + h.address + "/"); err != nil {
		t.Errorf("somebody else was shown out: %v", err)
	}
}

func TestAttack11_PlainHTTPAtTheDoor(t *testing.T) {
	h := open(t)
	answer, err := http.Get("http://" + h.address + "/v1/tasks")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "TLS required") {
		t.Errorf("%d %q", answer.StatusCode, body)
	}
}

func TestAttack51_ConnectionsWithoutAName(t *testing.T) {
	h := open(t)
	var mute []net.Conn
	defer func() {
		for _, conn := range mute {
			conn.Close()
		}
	}()
	for range nobodiesMax {
		conn, err := net.Dial("tcp", h.address)
		if err != nil {
			t.Fatal(err)
		}
		mute = append(mute, conn)
	}
	// One more is closed at once, and another address is not.
	conn, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := bufio.NewReader(conn).ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one too many: %v", err)
	}
	elsewhere := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	c := &http.Client{Transport: &http.Transport{DialContext: elsewhere.DialContext, TLSClientConfig: pki.RootTLS(h.fleet.Root.Certificate, "", pki.PlaneOperator)}}
	defer c.CloseIdleConnections()
	if _, err := c.Get("https://" + h.address + "/"); err != nil {
		t.Errorf("another address: %v", err)
	}
}

// TestAttack51_OneHostTakesNoRoomOfOthers opens connections with one
// certificate, and without any, until no more are let in.
func TestAttack51_OneHostTakesNoRoomOfOthers(t *testing.T) {
	h := open(t)
	greedy, modest := h.fleet.Agent(pkitest.HostID()), h.fleet.Agent(pkitest.HostID())
	conf := greedy.ClientTLS(pki.PlaneAgent, pki.RoleCollector)
	let := 0
	for range agentMax + 3 {
		conn, err := tls.Dial("tcp", h.address, conf)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := bufio.NewReader(conn).ReadByte(); err == nil {
			let++
		}
	}
	if let != agentMax {
		t.Errorf("%d connections of one host were let in", let)
	}
	if _, err := h.get(modest.ClientTLS(pki.PlaneAgent, pki.RoleCollector), "/"); err != nil {
		t.Errorf("another host: %v", err)
	}
	h.mu.Lock()
	h.nobodies += nobodiesAll
	h.mu.Unlock()
	if _, err := h.get(pki.RootTLS(h.fleet.Root.Certificate, "", pki.PlaneOperator), "/"); err == nil {
		t.Error("one nobody too many was let in")
	}
	if _, err := h.get(modest.ClientTLS(pki.PlaneAgent, pki.RoleCollector), "/"); err != nil {
		t.Errorf("a host, while nobodies fill their room: %v", err)
	}
	h.mu.Lock()
	h.nobodies -= nobodiesAll
	h.mu.Unlock()
}

// TestANetworkIsOneAddressAtTheDoor: of IPv6 everyone has a network.
func TestANetworkIsOneAddressAtTheDoor(t *testing.T) {
	at := func(address string) net.Conn {
		return remote{address: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}
	}
	one, two, other := networkOf(at("[2001:db8::1]:1")), networkOf(at("[2001:db8::ffff:1]:2")), networkOf(at("[2001:db8:0:1::1]:1"))
	if one != two || one == other || networkOf(at("192.0.2.1:1")) == networkOf(at("192.0.2.2:1")) || networkOf(at("192.0.2.1:1")) != networkOf(at("[::ffff:192.0.2.1]:7")) {
		t.Error(one, two, other)
	}
}

// remote is a connection with nothing but the other end's address.
type remote struct {
	net.Conn
	address net.Addr
}

func (r remote) RemoteAddr() net.Addr { return r.address }

func TestDoorEndsWhoseCertificateHasEnded(t *testing.T) {
	h := open(t)
	agent := h.fleet.Agent(pkitest.HostID())
	c := client(agent.ClientTLS(pki.PlaneAgent, pki.RoleCollector))
	defer c.CloseIdleConnections()
	var fresh atomic.Int32
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		fresh.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	for i, at := range []time.Time{time.Now(), agent.NotAfter().Add(time.Second)} {
		answer, err := c.Get("https://" + h.address + "/")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if int(fresh.Load()) != 1 {
			t.Errorf("round %d: %d connections", i, fresh.Load())
		}
		h.sweep(at)
	}
	if answer, err := c.Get("https://" + h.address + "/"); err != nil || fresh.Load() != 2 {
		t.Errorf("%d connections, %v", fresh.Load(), err)
	} else {
		answer.Body.Close()
	}
}

func TestOneIdentityFromTwoAddresses(t *testing.T) {
	h := open(t)
	told := make(chan string, 10)
	h.copied = func(id pki.ID, here, there netip.Addr) { told <- fmt.Sprint(id.Name, " ", here, " ", there) }
	agent := h.fleet.Agent(pkitest.HostID())
	for _, from := range []byte{1, 1, 9} {
		c := client(agent.ClientTLS(pki.PlaneAgent, pki.RoleCollector))
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}
		c.Transport.(*http.Transport).DialContext = dialer.DialContext
		defer c.CloseIdleConnections()
		answer, err := c.Get("https://" + h.address + "/")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	if got, want := <-told, agent.ID().Name+" 127.0.0.9 127.0.0.1"; got != want || len(told) > 0 {
		t.Errorf("told %q and %d more, want %q", got, len(told), want)
	}
}
