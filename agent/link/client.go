package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Caller is a way to another part: a Client, or connections that it lent.
type Caller interface {
	take(ctx context.Context) (*conn, error)
	give(c *conn)
	away(err error) error // what to tell when a call was cut off
}

// maxIdle is how many connections wait for the next call.
const maxIdle = 8

// Client calls another part; its zero value calls nobody.
type Client struct {
	self hello
	to   Part
	dial func(ctx context.Context) (net.Conn, error)

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

// NewClient returns a client by which one part calls another.
func NewClient(self, to Part, version string, dial func(ctx context.Context) (net.Conn, error)) *Client {
	return &Client{self: hello{protocol, self, version}, to: to, dial: dial}
}

// Close ends the connections that are not in use.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, idle := range c.idle {
		idle.Close()
	}
	c.idle, c.closed = nil, true
	return nil
}

func (c *Client) take(ctx context.Context) (*conn, error) {
	c.mu.Lock()
	for len(c.idle) > 0 {
		last := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if !last.ended() {
			c.mu.Unlock()
			return last, nil
		}
		last.Close()
	}
	c.mu.Unlock()
	return c.connect(ctx)
}

// connect makes a new connection.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	raw, err := c.dial(ctx)
	if err != nil {
		return nil, c.away(err)
	}
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })()
	other, reader, err := greet(raw, c.self, true)
	if err == nil && other.Part != c.to {
		err = fleet.Errorf(fleet.Conflict, "the %s part answers where the %s part should", other.Part, c.to)
	}
	if err != nil {
		raw.Close()
		if _, told := err.(*fleet.Error); told {
			return nil, err
		}
		return nil, c.away(err)
	}
	return converse(raw, reader), nil
}

func (c *Client) give(back *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= maxIdle || back.ended() {
		back.Close()
		return
	}
	c.idle = append(c.idle, back)
}

func (c *Client) away(err error) error { return away(c.to, err) }

// away says that a part cannot be reached, or was lost in the middle.
func away(part Part, err error) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("it hung up")
	}
	return fleet.Errorf(fleet.Unavailable, "the %s part of this agent does not answer: %v", part, err).
		WithHint("systemctl status 'fleetcron-agent*'")
}
