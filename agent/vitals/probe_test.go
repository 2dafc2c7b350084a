package vitals

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestHTTP(t *testing.T) {
	if transport := asker().Transport.(*http.Transport); transport.Proxy != nil {
		t.Error("proxies are asked")
	}
	elsewhere := 0
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			w.Write(make([]byte, 1<<20)) // which nobody reads
		case "/moved":
			http.Redirect(w, r, server.URL+"/elsewhere", http.StatusFound)
		case "/elsewhere":
			elsewhere++
		case "/broken":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/cut":
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	for _, test := range []struct{ url, want string }{
		{server.URL + "/ok", ""},
		{server.URL + "/moved", ""},
		{server.URL + "/broken", "GET " + server.URL + "/broken: answered 503 Service Unavailable"},
		{"http://ann:hunter2@" + address + "/broken", "GET http://ann:xxxxx@" + address + "/broken: answered 503 Service Unavailable"},
		{server.URL + "/cut", "GET " + server.URL + "/cut: EOF"},
		{"http://127.0.0.1:1/", "GET http://127.0.0.1:1/: connect: connection refused"},
		{"https://" + address + "/", "GET https://" + address + "/: http: server gave HTTP response to HTTPS client"},
	} {
		err := AnswersHTTP(t.Context(), test.url)
		if got := errorText(err); got != test.want {
			t.Errorf("%s: %q, want %q", test.url, got, test.want)
		}
	}
	if elsewhere != 0 {
		t.Error("a redirection was followed")
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := AcceptsTCP(t.Context(), listener.Addr().String()); err != nil {
		t.Error(err)
	}
	if err := AcceptsTCP(t.Context(), "127.0.0.1:1"); errorText(err) != "connect to 127.0.0.1:1: connect: connection refused" {
		t.Error(err)
	}
}

// TestAServerThatSaysNothing is left when the time is over.
func TestAServerThatSaysNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	v := New(Config{Runs: &host{}})
	a := ask{health: fleet.Health{HTTP: "http://" + listener.Addr().String() + "/x", Timeout: fleet.Duration(50 * time.Millisecond)}}
	ctx, cancel := context.WithTimeout(t.Context(), timeout(&a.health))
	defer cancel()
	if got := problemOf(ctx, a, v.asks(ctx, a)); got != "GET "+a.health.HTTP+": no answer within 50ms" {
		t.Error(got)
	}
}

func TestWhatAProgramSaysIsShownInOneLine(t *testing.T) {
	h := &host{check: func(context.Context) (string, error) {
		return strings.Repeat("\x1b[1mno\nway ", 200), errors.New("/bin/check: exit code 3")
	}}
	v := New(Config{Runs: h})
	a := ask{health: fleet.Health{Exec: []string{"/bin/check", "-x"}}}
	got := problemOf(t.Context(), a, v.asks(t.Context(), a))
	if !strings.HasPrefix(got, "/bin/check: exit code 3: [1mno way [1mno way") || len(got) > detailMost || strings.ContainsAny(got, "\n\x1b") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
