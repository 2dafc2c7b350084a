package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// collector is the one of these tests: it signs whatever it is asked to, over
// real TLS.
type collector struct {
	t     *testing.T
	fleet *pkitest.Fleet
	shows *pki.Credentials // as a server
	url   string
	ring  *gossip.Ring
	life  time.Duration

	mu       sync.Mutex // guards what follows
	asked    []string   // method and path of each request
	node     string     // id that the next enrolment gets
	pending  bool       // a person must approve
	requests map[string]string
	refusal  *fleet.Error
	renews   string // serial that the connection of a renewal must show
}

func newCollector(t *testing.T) *collector {
	f := pkitest.New(t)
	c := &collector{
		t: t, fleet: f, shows: f.Collector("c1"), ring: gossip.NewRing(gossip.NewKey()), life: time.Hour,
		node: pkitest.HostID(), requests: map[string]string{},
	}
	c.listen()
	return c
}

func (c *collector) listen() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.url = "https://" + inner.Addr().String()
	server := &http.Server{ConnContext: remember, Handler: http.HandlerFunc(c.serve), ReadHeaderTimeout: time.Minute, ErrorLog: quiet()}
	outer := &door{tls.NewListener(inner, c.shows.ServerTLS(nil, pki.PlaneEnroll, pki.PlaneAgent))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(outer)
	}()
	c.t.Cleanup(func() {
		server.Close()
		<-done
	})
}

// door hides TLS from the server, which knows no plane of ours.
type door struct{ net.Listener }

func (d *door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{conn}, nil
}

// connection is the TLS connection of a request, in its context.
type connection struct{}

func remember(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connection{}, conn.(struct{ net.Conn }).Conn)
}

func serialOf(ctx context.Context) string {
	_, serial, err := pki.PeerOf(ctx.Value(connection{}).(*tls.Conn).ConnectionState())
	if err != nil {
		return err.Error()
	}
	return serial
}

func (c *collector) heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.asked...)
}

func (c *collector) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r.Method+" "+r.URL.Path)
	if c.refusal != nil {
		w.Header().Set("Content-Type", api.MediaProblem)
		w.WriteHeader(c.refusal.Kind.Status())
		json.NewEncoder(w).Encode(map[string]any{"title": "x", "status": c.refusal.Kind.Status(), "code": c.refusal.Code, "detail": c.refusal.Message})
		return
	}
	var answer any
	switch {
	case r.URL.Path == api.PathEnroll:
		var request api.Enroll
		json.NewDecoder(r.Body).Decode(&request)
		if _, err := pki.ParseJoinSecret(request.Token); err != nil {
			c.t.Errorf("the token arrived as %q", request.Token)
		}
		c.requests[c.node] = request.Request
		answer = c.enrolled(c.node, !c.pending)
	case r.URL.Path == api.PathGossipKey:
		answer = api.GossipTicket{Keys: c.ring.Texts(), Ticket: c.fleet.Ticket(pki.RoleAgent, c.node), Seeds: []string{"192.0.2.7:7772"}}
	case strings.HasSuffix(r.URL.Path, "/certificate"):
		var request api.Renew
		json.NewDecoder(r.Body).Decode(&request)
		if shown := serialOf(r.Context()); request.Serial != c.renews || shown != c.renews {
			c.t.Errorf("renews %s over a connection of %s, want %s", request.Serial, shown, c.renews)
		}
		c.requests[c.node] = request.Request
		answer = c.enrolled(c.node, true)
	default:
		answer = c.enrolled(filepath.Base(r.URL.Path), !c.pending)
	}
	json.NewEncoder(w).Encode(answer)
}

// enrolled is the answer about a node.
func (c *collector) enrolled(node string, active bool) api.Enrolled {
	public := publicKey(c.t, c.requests[node])
	answer := api.Enrolled{Node: node, Cluster: c.fleet.Cluster, State: fleet.NodePending, Fingerprint: pki.Fingerprint(public), Labels: map[string]string{"role": "db"}}
	if !active {
		return answer
	}
	answer.State, answer.CA = fleet.NodeActive, string(pki.EncodeCertificates(c.fleet.Root.Certificate))
	answer.Chain = chainFor(c.t, c.fleet, public, node, pki.SpanOf(time.Now(), c.life))
	answer.Collectors = []string{c.url}
	return answer
}

func publicKey(t *testing.T, request string) *ecdsa.PublicKey {
	der, err := pki.RequestDER([]byte(request))
	if err != nil {
		t.Error(err)
		return nil
	}
	parsed, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Error(err)
		return nil
	}
	return parsed.PublicKey.(*ecdsa.PublicKey)
}

func chainFor(t *testing.T, f *pkitest.Fleet, public *ecdsa.PublicKey, host string, span pki.Span) string {
	leaf, err := f.Issuer.Leaf(public, pki.ID{Cluster: f.Cluster, Role: pki.RoleAgent, Name: host}, span)
	if err != nil {
		t.Error(err)
		return ""
	}
	return string(pki.EncodeCertificates(leaf, f.Issuer.Certificate))
}

func (c *collector) token() string {
	return pki.NewJoinSecret(pki.Pin(c.fleet.Root.Certificate)).Text()
}

func (c *collector) request(home Home) *Request {
	return &Request{Home: home, Token: c.token(), Addresses: []string{c.url}, Name: "db-1", ask: time.Millisecond}
}

func (c *collector) enroll(home Home) *pki.Credentials {
	c.t.Helper()
	credentials, err := c.request(home).Run(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	return credentials
}
