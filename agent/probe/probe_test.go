package probe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
		err := answersHTTP(t.Context(), test.url)
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
	if err := acceptsTCP(t.Context(), listener.Addr().String()); err != nil {
		t.Error(err)
	}
	if err := acceptsTCP(t.Context(), "127.0.0.1:1"); errorText(err) != "connect to 127.0.0.1:1: connect: connection refused" {
		t.Error(err)
	}
}

func TestWhatTheEnvironmentAsks(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, test := range []struct{ asks, want string }{
		{"tcp " + listener.Addr().String(), ""},
		{"tcp 127.0.0.1:1", "connect to 127.0.0.1:1: connect: connection refused"},
		{"http http://127.0.0.1:1/", "GET http://127.0.0.1:1/: connect: connection refused"},
		{"", "FLEETCRON_PROBE is not set: only an agent calls this"},
		{"exec /bin/sh", "FLEETCRON_PROBE is not set: only an agent calls this"},
	} {
		t.Setenv(Variable, test.asks)
		if got := errorText(Main(t.Context())); got != test.want {
			t.Errorf("%q: %q, want %q", test.asks, got, test.want)
		}
	}
}
