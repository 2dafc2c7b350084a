package collector

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/fleetcron/fleetcron/shared/pki"
)

// guest is a connection whose handshake is done. net/http takes it for one
// without TLS, since it closes those whose plane it does not know.
type guest struct {
	*tls.Conn
	state  tls.ConnectionState
	id     pki.ID // zero: showed no certificate
	serial string
	door   *door
	once   sync.Once
}

// Close closes the connection and takes it off the table.
func (g *guest) Close() error {
	g.once.Do(func() {
		g.door.leave(g)
		if g.id.Role == "" {
			g.door.forget(g.Conn)
		}
	})
	return g.Conn.Close()
}

// hall is the listener of one plane's server.
type hall struct {
	addr   net.Addr
	guests chan net.Conn
	once   sync.Once
	done   chan struct{}
}

// lead hands a guest over; false: the hall is closed.
func (h *hall) lead(g *guest) bool {
	if h == nil {
		return false
	}
	select {
	case h.guests <- g:
		return true
	case <-h.done:
		return false
	}
}

// Accept returns the next connection of the plane.
func (h *hall) Accept() (net.Conn, error) {
	select {
	case conn := <-h.guests:
		return conn, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close lets nobody in any longer.
func (h *hall) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr returns the address of the door.
func (h *hall) Addr() net.Addr { return h.addr }

// whole is the key of a guest in a request's context.
type whole struct{}

// introduceTLS gives each request the state of its connection, as net/http does
// for connections that it shook hands on itself.
func introduceTLS(server *http.Server) {
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context { return context.WithValue(ctx, whole{}, conn) }
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.TLS = &r.Context().Value(whole{}).(*guest).state
		handler.ServeHTTP(w, r)
	})
}

// addressOf returns the other end's address.
func addressOf(conn net.Conn) netip.Addr {
	at, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return at.Addr().Unmap()
}
