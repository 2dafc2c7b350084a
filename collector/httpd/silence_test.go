package httpd

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
)

// one lets a server take one connection.
type one struct {
	net.Listener
	conns chan net.Conn
}

func (l one) Accept() (net.Conn, error) {
	conn, more := <-l.conns
	if !more {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (one) Close() error   { return nil }
func (one) Addr() net.Addr { return &net.TCPAddr{} }

// TestAFollowerHearsTheEndOfASilentRun: a reader has little time for what is
// there, and all of it for what is to come, also for the end.
func TestAFollowerHearsTheEndOfASilentRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		conns := make(chan net.Conn, 1)
		conns <- theirs
		server := NewHTTPServer("", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			to := &httpSink{ResponseWriter: w}
			defer to.hurry()
			to.begin(api.OutputInfo{Source: "host"})
			if _, err := to.Write([]byte("output")); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * api.ReaderPatience)
		}))
		ended := make(chan struct{})
		go func() { defer close(ended); _ = server.Serve(one{conns: conns}) }()
		go func() { _, _ = io.WriteString(ours, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") }()
		reply, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := io.ReadAll(reply.Body); err != nil || string(all) != "output" {
			t.Errorf("%q, %v", all, err)
		}
		close(conns)
		<-ended
		_ = server.Close()
		ours.Close()
	})
}
