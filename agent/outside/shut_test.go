package outside

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// collectorOf answers as a collector until the test ends.
func collectorOf(t *testing.T, credentials *pki.Credentials) (url string) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "here")
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(hidden{tls.NewListener(plain, credentials.ServerTLS(nil, pki.PlaneAgent))})
	}()
	t.Cleanup(func() { server.Close(); <-done })
	return "https://" + plain.Addr().String()
}

// hidden keeps the server from asking which protocol was chosen: it knows none
// of ours.
type hidden struct{ net.Listener }

func (h hidden) Accept() (net.Conn, error) {
	conn, err := h.Listener.Accept()
	return struct{ net.Conn }{conn}, err
}

// TestNobodySpeaksWithACollectorThatIsNone: not over a new connection, and not
// over one that stood before it was revoked.
func TestNobodySpeaksWithACollectorThatIsNone(t *testing.T) {
	known := pkitest.New(t)
	me := known.Agent(pkitest.HostID())
	stolen, good := collectorOf(t, known.Collector("c3")), collectorOf(t, known.Collector("c1"))
	out := new(shut)
	kept := &http.Client{Transport: out.transport(out.guard(me))}
	ask := func(client *http.Client, url string) error {
		response, err := client.Get(url)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		return err
	}
	for _, url := range []string{stolen, good} {
		if err := ask(kept, url); err != nil {
			t.Fatal(err)
		}
	}
	if !out.set([]string{"c3"}) || out.set([]string{"c3"}) {
		t.Error("what is new is not told from what is not")
	}
	for _, c := range []struct {
		how    string
		client *http.Client
	}{{"over the connection that stands", kept}, {"again", kept}, {"over a new one", &http.Client{Transport: out.transport(out.guard(me))}}} {
		if err := ask(c.client, stolen); err == nil || !strings.Contains(err.Error(), "is revoked") {
			t.Errorf("%s: %v", c.how, err)
		}
		if err := ask(c.client, good); err != nil {
			t.Errorf("%s, the other one: %v", c.how, err)
		}
	}
}
