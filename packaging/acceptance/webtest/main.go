// Command webtest serves the web pages over an invented fleet, for the browser tests and for looking at.
//
// It prints the address it listens on, on loopback, and serves until it is
// told to stop. The fleet is the same every time, but for the clock: it lives
// around the present instant.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fleetcron/fleetcron/web"
)

// fleets is every invented fleet there is.
var fleets = map[string]func(now time.Time) web.Source{
	"rich":    richFleet,                                                   // what a busy installation looks like
	"empty":   func(time.Time) web.Source { return &invented{} },           // before the first agent
	"hostile": hostileFleet,                                                // names and commands written by an attacker
	"down":    func(time.Time) web.Source { return &invented{down: true} }, // no leader anywhere
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "webtest:", err)
		os.Exit(1)
	}
}

func run() error {
	address := flag.String("listen", "127.0.0.1:0", "loopback `address` to serve on")
	name := flag.String("fleet", "rich", "the `fleet` to show: rich, empty, hostile or down")
	flag.Parse()
	fleet, known := fleets[*name]
	if !known {
		return fmt.Errorf("there is no fleet %q: want rich, empty, hostile or down", *name)
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	if !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		listener.Close()
		return fmt.Errorf("%s is not an address of loopback", *address)
	}
	fmt.Printf("http://%s\n", listener.Addr())

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{
		Handler:           web.Handler(fleet(time.Now().UTC()), web.Options{Login: everybody{}, Version: "preview", Logger: slog.Default()}),
		ReadHeaderTimeout: 5 * time.Second,
	}
	done := context.AfterFunc(ctx, func() { server.Close() })
	defer done()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// everybody is logged in: what is shown here was made up.
type everybody struct{}

// LogIn lets in whoever asks.
func (everybody) LogIn(string, netip.Addr) (string, time.Time, error) {
	return "preview", time.Now().Add(time.Hour), nil
}

// LogOut does nothing.
func (everybody) LogOut(string) {}

// Visit says who everybody is.
func (everybody) Visit(ctx context.Context, _ string, _ netip.Addr) (context.Context, string) {
	return ctx, "anna"
}
