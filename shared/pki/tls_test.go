package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// met is how a connection went, seen from both sides.
type met struct {
	state  tls.ConnectionState // of the client
	client error               // of the handshake, or of the read after it
	server error
	got    string // what the client read: "hello" when it got in
}

// meet lets a client speak to a server over loopback. The server says hello to
// whom it lets in, and closes.
func meet(t *testing.T, server, client *tls.Config) met {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	answered := make(chan error, 1)
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			answered <- err
			return
		}
		conn := tls.Server(raw, server)
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if err := conn.Handshake(); err != nil {
			answered <- err
			return
		}
		_, err = io.WriteString(conn, "hello")
		answered <- err
	}()
	var m met
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err != nil {
		m.client = err
	} else {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		var got []byte
		got, m.client = io.ReadAll(conn)
		m.got, m.state = string(got), conn.ConnectionState()
	}
	m.server = <-answered
	return m
}

func code(err error) string {
	if explained := pki.Explain(err); explained != nil {
		return explained.Code
	}
	return ""
}

var planes = []pki.Plane{pki.PlaneAgent, pki.PlanePeer, pki.PlaneEnroll, pki.PlaneOperator}

func TestEachPlaneLetsItsRoleIn(t *testing.T) {
	f := pkitest.New(t)
	server, agent, peer := f.Collector("c1"), f.Agent(pkitest.HostID()), f.Collector("c2")
	root := f.Root.Certificate
	for name, client := range map[string]*tls.Config{
		"agent":    agent.ClientTLS(pki.PlaneAgent, pki.RoleCollector),
		"peer":     peer.ClientTLS(pki.PlanePeer, pki.RoleCollector),
		"operator": pki.RootTLS(root, f.Cluster, pki.PlaneOperator),
		"enroll":   pki.RootTLS(root, "", pki.PlaneEnroll),
		"pinned":   pki.PinnedTLS(pki.Pin(root), nil),
	} {
		m := meet(t, server.ServerTLS(nil, planes...), client)
		if m.client != nil || m.server != nil || m.got != "hello" {
			t.Errorf("%s: client %v, server %v, got %q", name, m.client, m.server, m.got)
		}
		if m.state.Version != tls.VersionTLS13 || string(pki.PlaneOf(m.state.NegotiatedProtocol)) != client.NextProtos[0] {
			t.Errorf("%s: version %x, plane %q", name, m.state.Version, m.state.NegotiatedProtocol)
		}
		if id, _, err := pki.PeerOf(m.state); err != nil || id != server.ID() {
			t.Errorf("%s: the server is %v, %v", name, id, err)
		}
	}
}

func TestWhoNamesNoPlaneIsAnOperator(t *testing.T) {
	f := pkitest.New(t)
	client := pki.RootTLS(f.Root.Certificate, f.Cluster, pki.PlaneOperator)
	client.NextProtos = nil
	if m := meet(t, f.Collector("c1").ServerTLS(nil, planes...), client); m.got != "hello" {
		t.Errorf("client %v, server %v", m.client, m.server)
	}
}

func TestAttack01_NoClientCertificate(t *testing.T) {
	f := pkitest.New(t)
	for _, plane := range []pki.Plane{pki.PlaneAgent, pki.PlanePeer, pki.PlaneRaft} {
		m := meet(t, f.Collector("c1").ServerTLS(nil, plane), pki.RootTLS(f.Root.Certificate, "", plane))
		if m.got != "" || m.client == nil || !strings.Contains(m.client.Error(), "certificate required") {
			t.Errorf("%s: got %q, client %v", plane, m.got, m.client)
		}
		if code(m.server) != pki.CodeMissing || code(m.client) != pki.CodeMissing {
			t.Errorf("%s: server %v, client %v", plane, m.server, m.client)
		}
	}
}

func TestAttack02_ForeignCA(t *testing.T) {
	ours, theirs := pkitest.New(t), pkitest.New(t)
	for name, c := range map[string]struct{ server, client *tls.Config }{
		"agent of another fleet": {
			ours.Collector("c1").ServerTLS(nil, planes...),
			blind(theirs.Agent(pkitest.HostID()).ClientTLS(pki.PlaneAgent, pki.RoleCollector)),
		},
		"collector of another fleet": {
			ours.Collector("c1").ServerTLS(nil, pki.PlaneRaft),
			blind(theirs.Collector("c1").ClientTLS(pki.PlaneRaft, pki.RoleCollector)),
		},
	} {
		m := meet(t, c.server, c.client)
		if m.got != "" || m.client == nil || !strings.Contains(m.client.Error(), "unknown certificate authority") {
			t.Errorf("%s: got %q, client %v", name, m.got, m.client)
		}
		if code(m.server) != pki.CodeForeignCA || code(m.client) != pki.CodeForeignCA {
			t.Errorf("%s: server %v, client %v", name, m.server, m.client)
		}
	}
	m := meet(t, theirs.Collector("c1").ServerTLS(nil, planes...), ours.Agent(pkitest.HostID()).ClientTLS(pki.PlaneAgent, pki.RoleCollector))
	if m.got != "" || code(m.client) != pki.CodeForeignCA {
		t.Errorf("a client takes a server of another fleet: got %q, %v", m.got, m.client)
	}
}

// blind takes every server, as an attacker does.
func blind(conf *tls.Config) *tls.Config {
	conf.VerifyConnection = nil
	return conf
}

func TestAttack03_ExpiredCertificate(t *testing.T) {
	f := pkitest.New(t)
	host := pkitest.HostID()
	id := pki.ID{Cluster: f.Cluster, Role: pki.RoleAgent, Name: host}
	old := f.Make(f.Issuer, id, pki.SpanOf(time.Now(), -time.Minute))
	server := f.Collector("c1")

	m := meet(t, server.ServerTLS(nil, planes...), old.ClientTLS(pki.PlaneAgent, pki.RoleCollector))
	said, is := errors.AsType[*fleet.Error](m.client)
	if !is || said.Code != pki.CodeExpired || !strings.Contains(said.Message, "certificate expired "+old.NotAfter().Format(time.RFC3339)) || !strings.Contains(said.Hint, "fleetctl agent readmit "+host) {
		t.Errorf("the agent says %#v", m.client)
	}

	careless := old.ClientTLS(pki.PlaneAgent, pki.RoleCollector)
	shown := &tls.Certificate{PrivateKey: old.Key(), Certificate: [][]byte{old.Chain()[0].Raw, old.Chain()[1].Raw}}
	careless.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
	m = meet(t, server.ServerTLS(nil, planes...), careless)
	if m.got != "" || code(m.server) != pki.CodeExpired || code(m.client) != pki.CodeExpired {
		t.Errorf("got %q, server %v, client %v", m.got, m.server, m.client)
	}

	stale := f.Make(f.Root, pki.ID{Cluster: f.Cluster, Role: pki.RoleCollector, Name: "c1"}, pki.SpanOf(time.Now(), -time.Minute))
	m = meet(t, stale.ServerTLS(nil, planes...), f.Agent(host).ClientTLS(pki.PlaneAgent, pki.RoleCollector))
	if m.got != "" || code(m.client) != pki.CodeExpired {
		t.Errorf("a collector whose certificate expired: got %q, %v", m.got, m.client)
	}
	early := f.Make(f.Root, stale.ID(), pki.Span{From: time.Now().Add(time.Hour), Until: time.Now().Add(2 * time.Hour)})
	m = meet(t, early.ServerTLS(nil, planes...), f.Agent(host).ClientTLS(pki.PlaneAgent, pki.RoleCollector))
	if m.got != "" || code(m.client) != pki.CodeNotYet {
		t.Errorf("a collector whose certificate is of tomorrow: got %q, %v", m.got, m.client)
	}
}

func TestAttack04_RevokedAgentOpensAConnection(t *testing.T) {
	f := pkitest.New(t)
	agent := f.Agent(pkitest.HostID())
	judge := func(id pki.ID, serial string) error {
		if id == agent.ID() && serial == agent.Serial() {
			return fleet.Errorf(fleet.Refused, "host %s was revoked", id.Name)
		}
		return nil
	}
	m := meet(t, f.Collector("c1").ServerTLS(judge, planes...), agent.ClientTLS(pki.PlaneAgent, pki.RoleCollector))
	if m.got != "" || m.client == nil || !strings.Contains(m.client.Error(), "bad certificate") || code(m.server) != pki.CodeRevoked {
		t.Errorf("got %q, client %v, server %v", m.got, m.client, m.server)
	}
	other := f.Agent(pkitest.HostID())
	if m := meet(t, f.Collector("c1").ServerTLS(judge, planes...), other.ClientTLS(pki.PlaneAgent, pki.RoleCollector)); m.got != "hello" {
		t.Errorf("another agent: %v, %v", m.client, m.server)
	}
}

func TestAttack05_RevokedAgentResumesASession(t *testing.T) {
	f := pkitest.New(t)
	agent, revoked := f.Agent(pkitest.HostID()), false
	server := f.Collector("c1").ServerTLS(func(pki.ID, string) error {
		if revoked {
			return errors.New("revoked")
		}
		return nil
	}, planes...)
	client := agent.ClientTLS(pki.PlaneAgent, pki.RoleCollector)
	client.SessionTicketsDisabled = false
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 2 {
		if m := meet(t, server, client); m.got != "hello" || m.state.DidResume {
			t.Fatalf("got %q, resumed %v, %v", m.got, m.state.DidResume, m.client)
		}
	}
	revoked = true
	if m := meet(t, server, client); m.got != "" || m.state.DidResume {
		t.Errorf("got %q, resumed %v", m.got, m.state.DidResume)
	}
}

func TestAttack07_AgentAtTheRaftPort(t *testing.T) {
	f := pkitest.New(t)
	agent := f.Agent(pkitest.HostID())
	m := meet(t, f.Collector("c1").ServerTLS(nil, pki.PlaneRaft), agent.ClientTLS(pki.PlaneRaft, pki.RoleCollector))
	if m.got != "" || code(m.server) != pki.CodeRaftPeer {
		t.Errorf("got %q, server %v", m.got, m.server)
	}
	for name, c := range map[string]struct {
		client *tls.Config
		want   string
	}{
		"agent as peer":      {agent.ClientTLS(pki.PlanePeer, pki.RoleCollector), pki.CodeNotCollector},
		"collector as agent": {f.Collector("c2").ClientTLS(pki.PlaneAgent, pki.RoleCollector), pki.CodeNotAgent},
		"raft at the API":    {f.Collector("c2").ClientTLS(pki.PlaneRaft, pki.RoleCollector), ""},
	} {
		m := meet(t, f.Collector("c1").ServerTLS(nil, planes...), c.client)
		if m.got != "" || m.server == nil || code(m.server) != c.want {
			t.Errorf("%s: got %q, server %v", name, m.got, m.server)
		}
	}
}

// A listener that does not serve the first plane of a list must not fall back
// to a later one without asking for its certificate.
func TestAttack07_ListOfPlanesOpensNone(t *testing.T) {
	f := pkitest.New(t)
	for _, offer := range [][]string{
		{"fc-raft/1", "fc-agent/1"}, {"fc-raft/1", "http/1.1"}, {"fc-raft/1", "fc-none"}, {"fc-raft/1"},
	} {
		client := blind(pki.RootTLS(f.Root.Certificate, "", pki.PlaneRaft))
		client.NextProtos = offer
		if m := meet(t, f.Collector("c1").ServerTLS(nil, planes...), client); m.got != "" || m.server == nil {
			t.Errorf("%q: got %q, server %v, plane %q", offer, m.got, m.server, m.state.NegotiatedProtocol)
		}
	}
}

func TestAttack09_AgentPosesAsCollector(t *testing.T) {
	f := pkitest.New(t)
	fake, victim := f.Agent(pkitest.HostID()), f.Agent(pkitest.HostID())
	for name, client := range map[string]*tls.Config{
		"agent":    victim.ClientTLS(pki.PlaneAgent, pki.RoleCollector),
		"operator": pki.RootTLS(f.Root.Certificate, f.Cluster, pki.PlaneOperator),
	} {
		m := meet(t, fake.ServerTLS(nil, planes...), client)
		if m.got != "" || code(m.client) != pki.CodeNotCollector || !strings.Contains(m.client.Error(), "peer is not a collector (role agent)") {
			t.Errorf("%s: got %q, client %v", name, m.got, m.client)
		}
	}
}

func TestAttack10_BadIdentities(t *testing.T) {
	f, other := pkitest.New(t), pkitest.New(t)
	host := pkitest.HostID()
	mine := pki.ID{Cluster: f.Cluster, Role: pki.RoleAgent, Name: host}
	boss := pki.ID{Cluster: f.Cluster, Role: pki.RoleCollector, Name: "c9"}
	foreign := pki.ID{Cluster: other.Cluster, Role: pki.RoleAgent, Name: host}
	for name, forged := range map[string]*tls.Certificate{
		"no URI":                               forge(t, f.Issuer),
		"two URIs":                             forge(t, f.Issuer, mine.URI(), boss.URI()),
		"another cluster":                      forge(t, f.Issuer, foreign.URI()),
		"a collector that an issuer made":      forge(t, f.Issuer, boss.URI()),
		"an operator that an issuer made":      forge(t, f.Issuer, pki.ID{Cluster: f.Cluster, Role: pki.RoleOperator, Name: "anna"}.URI()),
		"a path that is longer":                forge(t, f.Issuer, mine.URI().JoinPath("more")),
		"a name that is none":                  forge(t, f.Issuer, pki.ID{Cluster: f.Cluster, Role: pki.RoleAgent, Name: "web-1"}.URI()),
		"an issuer that shows its certificate": {PrivateKey: f.Issuer.Key, Certificate: [][]byte{f.Issuer.Certificate.Raw}},
	} {
		client := blind(f.Agent(host).ClientTLS(pki.PlaneAgent, pki.RoleCollector))
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return forged, nil }
		m := meet(t, f.Collector("c1").ServerTLS(nil, planes...), client)
		if m.got != "" || code(m.server) != pki.CodeIdentity {
			t.Errorf("%s: as a client: got %q, server %v", name, m.got, m.server)
		}
		server := &tls.Config{Certificates: []tls.Certificate{*forged}, NextProtos: []string{string(pki.PlaneAgent)}}
		m = meet(t, server, f.Agent(host).ClientTLS(pki.PlaneAgent, pki.RoleCollector))
		if m.got != "" || code(m.client) != pki.CodeIdentity && code(m.client) != pki.CodeNotCollector {
			t.Errorf("%s: as a server: got %q, client %v", name, m.got, m.client)
		}
	}
}

func TestAttack11_OldTLSAndNoTLS(t *testing.T) {
	f := pkitest.New(t)
	server := f.Collector("c1").ServerTLS(nil, planes...)
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
		client := blind(pki.RootTLS(f.Root.Certificate, "", pki.PlaneOperator))
		client.MinVersion, client.MaxVersion = tls.VersionTLS10, version
		if m := meet(t, server, client); m.got != "" || m.client == nil || !strings.Contains(m.client.Error(), "protocol version") {
			t.Errorf("version %x: got %q, %v", version, m.got, m.client)
		}
	}
	here, there := net.Pipe()
	defer here.Close()
	go io.WriteString(here, "GET / HTTP/1.1\r\n\r\n")
	if err := tls.Server(there, server).Handshake(); pki.PlainHTTP(err) != there {
		t.Errorf("plain HTTP is not known again: %v", err)
	}
}

func TestAttack15_AnotherRootThanThePin(t *testing.T) {
	ours, between := pkitest.New(t), pkitest.New(t)
	var seen *x509.Certificate
	pinned := func() *tls.Config {
		return pki.PinnedTLS(pki.Pin(ours.Root.Certificate), func(root *x509.Certificate) { seen = root })
	}
	m := meet(t, between.Collector("c1").ServerTLS(nil, planes...), pinned())
	if m.got != "" || seen != nil || code(m.client) != pki.CodePin || !strings.Contains(m.client.Error(), "CA fingerprint mismatch") {
		t.Errorf("got %q, seen %v, %v", m.got, seen, m.client)
	}
	liar := between.Collector("c1")
	shown := tls.Certificate{PrivateKey: liar.Key(), Certificate: [][]byte{liar.Chain()[0].Raw, ours.Root.Certificate.Raw}}
	m = meet(t, &tls.Config{Certificates: []tls.Certificate{shown}, NextProtos: []string{string(pki.PlaneEnroll)}}, pinned())
	if m.got != "" || seen != nil || code(m.client) != pki.CodeForeignCA {
		t.Errorf("with our root beside its own certificate: got %q, seen %v, %v", m.got, seen, m.client)
	}
	if m := meet(t, ours.Collector("c1").ServerTLS(nil, planes...), pinned()); m.got != "hello" || !seen.Equal(ours.Root.Certificate) {
		t.Errorf("the right one: %v, %v", m.client, m.server)
	}
}
