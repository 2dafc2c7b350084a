package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// records is a log that a test reads.
type records struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *records) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(line)
}

func (r *records) has(part string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.text.String(), part)
}

// until waits until something is so, which another goroutine brings about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for late := time.After(testLimit); !is(); {
		select {
		case <-late:
			t.Fatalf("in vain: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// dial opens a connection with a member's raft port, with any credentials.
func dial(t *testing.T, n *node, conf *tls.Config) *tls.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testLimit))
	return tls.Client(conn, conf)
}

// answerOf shakes hands as a member would and returns what came back.
func answerOf(conn *tls.Conn, mine hello) error {
	if err := conn.HandshakeContext(context.Background()); err != nil {
		return err
	}
	_, err := call(conn, mine, conn.ConnectionState().PeerCertificates[0].URIs[0].Path[len("/collector/"):])
	return err
}

func listened(t *testing.T) (*node, *records) {
	t.Helper()
	var lines records
	n := clusterWith(t, 1, func(n *node) { n.log = slog.New(slog.NewTextHandler(&lines, nil)) })[0]
	leader(t, n).mustPut("a")
	return n, &lines
}

func TestAttack7_AgentAtTheRaftPort(t *testing.T) {
	t.Parallel()
	n, lines := listened(t)
	agent := n.fleet.Agent(pkitest.HostID())
	if err := answerOf(dial(t, n, agent.ClientTLS(pki.PlaneRaft, pki.RoleCollector)), hello{Version: streamVersion, From: "c1"}); err == nil {
		t.Error("an agent was let in")
	}
	until(t, "it is logged", func() bool { return lines.has(pki.CodeRaftPeer) })
}

func TestStrangersAtTheRaftPort(t *testing.T) {
	t.Parallel()
	n, lines := listened(t)
	other := pkitest.New(t)
	for name, test := range map[string]struct {
		conf *tls.Config
		code string
	}{
		"no certificate":  {pki.RootTLS(n.fleet.Root.Certificate, n.fleet.Cluster, pki.PlaneRaft), pki.CodeMissing},
		"another fleet's": {blind(other.Collector("c2").ClientTLS(pki.PlaneRaft, pki.RoleCollector)), pki.CodeForeignCA},
		"another plane":   {n.fleet.Collector("c2").ClientTLS(pki.PlanePeer, pki.RoleCollector), ""},
	} {
		if err := answerOf(dial(t, n, test.conf), hello{Version: streamVersion, From: "c2", Lineage: n.identity.hello().Lineage}); err == nil {
			t.Errorf("%s: let in", name)
		}
		if test.code != "" {
			until(t, name+" is logged", func() bool { return lines.has(test.code) })
		}
	}
	plain, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if err := answerPlain(plain); err == nil {
		t.Error("let in without TLS")
	}
}

// blind makes a client that takes any server.
func blind(conf *tls.Config) *tls.Config {
	conf.VerifyConnection = nil
	return conf
}

func answerPlain(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(testLimit))
	_, err := call(conn, hello{Version: streamVersion, From: "c2"}, "")
	return err
}

func TestAttack8_CollectorThatIsNoMember(t *testing.T) {
	t.Parallel()
	n, lines := listened(t)
	mine := hello{Version: streamVersion, From: "c7", To: "c1", Lineage: n.identity.hello().Lineage}
	creds := n.fleet.Collector("c7")
	for _, asks := range []bool{false, true} {
		mine.Asks = asks
		err := answerOf(dial(t, n, creds.ClientTLS(pki.PlaneRaft, pki.RoleCollector)), mine)
		if codeOf(err) != codePeerUnknown {
			t.Errorf("asks %v: %v", asks, err)
		}
	}
	until(t, "it is logged", func() bool { return lines.has("code=" + codePeerUnknown) })

	t.Run("in another's name", func(t *testing.T) {
		mine.From = "c1"
		if err := answerOf(dial(t, n, creds.ClientTLS(pki.PlaneRaft, pki.RoleCollector)), mine); err == nil {
			t.Error("let in")
		}
	})
	t.Run("one that was taken out", func(t *testing.T) {
		second := newNode(n.t, "c2").start()
		if err := n.Join(t.Context(), second.self(), ""); err != nil {
			t.Fatal(err)
		}
		second.mustPutVia(n, "x")
		if err := n.Leave(t.Context(), "c2"); err != nil {
			t.Fatal(err)
		}
		err := answerOf(dial(t, n, second.creds.ClientTLS(pki.PlaneRaft, pki.RoleCollector)), second.identity.hello())
		if codeOf(err) != codePeerUnknown {
			t.Errorf("got %v", err)
		}
	})
}

func (n *node) mustPutVia(other *node, name string) {
	n.t.Helper()
	other.mustPut(name)
	n.await(name)
}

// TestLaggingMemberLearnsWhoLeads: the group has changed while it was away, and
// the one that leads now is a stranger to it, for whom another member vouches.
func TestLaggingMemberLearnsWhoLeads(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	lead := leader(t, nodes...)
	lead.mustPut("a")
	away := nodes[0]
	if away == lead {
		away = nodes[1]
	}
	away.await("a")
	away.stop()
	fourth := newNode(t, "c4").start()
	if err := lead.Join(t.Context(), fourth.self(), ""); err != nil {
		t.Fatal(err)
	}
	lead.mustPut("b")
	until(t, "c4 leads", func() bool {
		leading := leader(t, fourth, lead, third(nodes, lead, away))
		if leading == fourth {
			return true
		}
		leading.raft.LeadershipTransferToServer("c4", raft.ServerAddress(fourth.address)).Error()
		return false
	})
	away.start()
	away.await("b")
}

func third(nodes []*node, not ...*node) *node {
	for _, n := range nodes {
		if n != not[0] && n != not[1] {
			return n
		}
	}
	return nil
}

// TestRevokedMemberIsCutOff: live connections are closed, and no new ones made.
func TestRevokedMemberIsCutOff(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	nodes := clusterWith(t, 3, func(n *node) {
		n.judge = func(id pki.ID, serial string) error {
			if id.Name == "c3" && revoked.Load() {
				return &pki.PeerError{Code: pki.CodeRevoked, Peer: id, Reason: "was revoked"}
			}
			return nil
		}
	})
	equal(t, nodes...)
	revoked.Store(true)
	for _, n := range nodes[:2] {
		n.Rejudge()
	}
	leader(t, nodes[:2]...).mustPut("after")
	for _, n := range nodes[:2] {
		n.await("after")
		n.stream.mu.Lock()
		for conn := range n.stream.open {
			if conn.shown.peer.Name == "c3" {
				t.Errorf("%s still speaks with c3", n.id)
			}
		}
		n.stream.mu.Unlock()
	}
	if nodes[2].names()["after"] {
		t.Error("c3 still hears of everything")
	}
}

// TestAttack110_GarbageFromAMember closes that connection and nothing else.
func TestAttack110_GarbageFromAMember(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3, LogLimits{})
	lead := leader(t, nodes...)
	lead.mustPut("a")
	victim, liar := nodes[0], nodes[1]
	for name, garbage := range map[string]string{
		"no such request": "\xff\xff\xff\xff", "bad msgpack": "\x00\xc1\xc1\xc1", "huge field": "\x00\x81\xa4Term\xc6\xff\xff\xff\xff", "endless": "",
	} {
		conn := dial(t, victim, liar.creds.ClientTLS(pki.PlaneRaft, pki.RoleCollector))
		if err := answerOf(conn, liar.identity.hello()); err != nil {
			t.Fatalf("%s: a member is refused: %v", name, err)
		}
		if garbage == "" { // a snapshot without an end, which is not of this term
			conn.Write([]byte("\x02"))
			for range 64 {
				if _, err := conn.Write(make([]byte, 64<<10)); err != nil {
					break
				}
			}
		} else {
			conn.Write([]byte(garbage))
		}
		conn.CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %v", name, err)
		}
	}
	equal(t, nodes...)
}

func TestCertificateOfAnotherIsNotTaken(t *testing.T) {
	n := newNode(t, "c1")
	n.creds = n.fleet.Collector("c1")
	cfg := n.stopped()
	defer n.ledger.Close()
	cfg.ID = "c2"
	if _, err := Open(cfg); fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), "the certificate is of collector c1") {
		t.Errorf("got %v", err)
	}
}

func TestLedgerOfAnotherClusterIsRefused(t *testing.T) {
	n := cluster(t, 1, LogLimits{})[0]
	leader(t, n).mustPut("a")
	n.stop()
	n.fleet = pkitest.New(t)
	wantCode(t, n.tryStart(), fleet.Conflict, "other_cluster")
}

// TestStrangersCannotHoldTheDoor: who opens connections and says nothing keeps
// only a few of the places for handshakes.
func TestStrangersCannotHoldTheDoor(t *testing.T) {
	t.Parallel()
	n, _ := listened(t)
	closed := make(chan struct{}, 2*handshakesEach)
	for range 2 * handshakesEach {
		conn, err := net.Dial("tcp", n.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go func() {
			conn.SetReadDeadline(time.Now().Add(testLimit))
			conn.Read(make([]byte, 1))
			closed <- struct{}{}
		}()
	}
	for range handshakesEach { // at once; the others after handshakeLimit
		<-closed
	}
	n.stream.mu.Lock()
	under := n.stream.greeting[netip.MustParseAddr("127.0.0.1")]
	n.stream.mu.Unlock()
	if under > handshakesEach {
		t.Errorf("%d handshakes under way", under)
	}
}

// TestStrangersTakeNoRoomOfMembers, however many addresses they have.
func TestStrangersTakeNoRoomOfMembers(t *testing.T) {
	t.Parallel()
	n, _ := listened(t)
	s := n.stream
	let := 0
	at := netip.MustParseAddr("192.0.2.1")
	for range 2 * handshakesMax {
		if s.reserve(at, false) {
			let++
		}
		at = at.Next()
	}
	if let != handshakesMax {
		t.Errorf("%d strangers are greeted at once", let)
	}
	member := netip.MustParseAddr("198.51.100.1")
	if !s.reserve(member, true) {
		t.Error("a member is not")
	}
	s.free(member, true)
	at = netip.MustParseAddr("192.0.2.1")
	for range let {
		s.free(at, false)
		at = at.Next()
	}
	if len(s.greeting) != 0 || s.strangers != 0 {
		t.Errorf("%v and %d strangers stayed", s.greeting, s.strangers)
	}
	here := netip.MustParseAddr("2001:db8::1")
	for range handshakesEach {
		if !s.reserve(here, false) {
			t.Fatal("too few of a network")
		}
		here = here.Next()
	}
	if s.reserve(here, false) {
		t.Error("a network of IPv6 is many addresses")
	}
}
