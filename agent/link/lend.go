package link

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// lend is the verb by which a part that cannot be called offers its own
// connection: what it called may call it back, once.
const lend = "lend"

// Lent holds connections that another part lent.
type Lent struct {
	part  Part // who lends them
	conns chan *conn
}

// LentTo lets a part lend its connections to the server's, which calls it over
// them.
func LentTo(s *Server, by Part) *Lent {
	s.lent = &Lent{part: by, conns: make(chan *conn)}
	return s.lent
}

// hold keeps a lent connection until it was used.
func (l *Lent) hold(ctx context.Context, c *conn) {
	select {
	case l.conns <- c:
		select {
		case <-c.closed: // by who has taken it
		case <-ctx.Done():
		}
	case <-c.over:
	case <-ctx.Done():
	}
}

// lentWait is how long a call waits for a connection.
const lentWait = 2 * time.Second

func (l *Lent) take(ctx context.Context) (*conn, error) {
	timer := time.NewTimer(lentWait)
	defer timer.Stop()
	for {
		select {
		case c := <-l.conns:
			if !c.ended() {
				return c, nil
			}
			c.Close()
		case <-timer.C:
			return nil, l.away(errors.New("it is not connected"))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// give ends a connection: it is lent for one call.
func (l *Lent) give(c *conn) { c.Close() }

func (l *Lent) away(err error) error { return away(l.part, err) }

// spareLoans is how many connections are lent and not in use.
const spareLoans = 2

// Lend lends connections to the part that the client calls, and answers what it
// asks over them, until ctx ends.
func Lend(ctx context.Context, client *Client, server *Server) error {
	var g errgroup.Group
	wanted := make(chan struct{}, maxConns)
	for range spareLoans {
		wanted <- struct{}{}
	}
	for {
		select {
		case <-wanted:
		case <-ctx.Done():
			return g.Wait()
		}
		g.Go(func() error {
			loan(ctx, client, server, func() { wanted <- struct{}{} })
			return nil
		})
	}
}

// loan lends one connection. Another is wanted as soon as this one is used, or
// after a while if it cannot be lent.
func loan(ctx context.Context, client *Client, server *Server, another func()) {
	c, err := client.connect(ctx)
	if err == nil {
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		err = writeFrame(c, kindCall, []byte(lend))
	}
	if err != nil {
		pause(ctx, again)
		another()
		return
	}
	used := false
	server.calls(ctx, c, client.to, func() {
		used = true
		another()
	})
	if !used {
		pause(ctx, again)
		another()
	}
}

// again is how long is waited before another attempt to reach a part.
const again = 500 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
