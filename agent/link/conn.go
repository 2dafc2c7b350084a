package link

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Part is a part of an agent.
type Part string

// The parts.
const (
	Net  Part = "net"
	Work Part = "work"
	Read Part = "read"
)

// protocol is what both sides of a connection must speak.
const protocol = 1

// hello is what each side says first.
type hello struct {
	Protocol int    `json:"protocol"`
	Part     Part   `json:"part"`
	Version  string `json:"version,omitempty"` // of the program, for people
}

// How long another part may take for what it does without thinking.
const (
	helloTime = 5 * time.Second
	textTime  = 30 * time.Second // to send a question that it began
)

// conn is a connection on which both sides have said hello. One goroutine reads
// it, so that its end is heard of at any time.
type conn struct {
	net.Conn
	frames chan frame    // what the other side says
	over   chan struct{} // closed when it says nothing any more
	failed error         // why; to be read after over
	closed chan struct{}
	close  func() error
}

// converse begins to read.
func converse(raw net.Conn, reader io.Reader) *conn {
	c := &conn{Conn: raw, frames: make(chan frame), over: make(chan struct{}), closed: make(chan struct{})}
	c.close = sync.OnceValue(func() error {
		close(c.closed)
		return raw.Close()
	})
	go func() {
		defer close(c.over)
		for {
			f, err := readFrame(reader)
			if err != nil {
				c.failed = err
				return
			}
			select {
			case c.frames <- f:
			case <-c.closed:
				return
			}
		}
	}()
	return c
}

// Close ends the connection.
func (c *conn) Close() error { return c.close() }

// ended reports whether the other side has gone, as far as is known.
func (c *conn) ended() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// next returns the next frame.
func (c *conn) next(ctx context.Context) (frame, error) {
	select {
	case f := <-c.frames:
		return f, nil
	case <-c.over:
		return frame{}, hungUp(c.failed)
	case <-ctx.Done():
		return frame{}, ctx.Err()
	}
}

// hungUp says by io.EOF that a connection was ended, by whomever.
func hungUp(err error) error {
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return io.EOF
	}
	return err
}

// text reads a text of at most so many bytes.
func (c *conn) text(ctx context.Context, most int64) ([]byte, error) {
	var whole bytes.Buffer
	for {
		f, err := c.next(ctx)
		if err != nil {
			return nil, err
		}
		switch f.kind {
		case kindError:
			return nil, readFault(f.payload)
		case kindPart, kindText:
		default:
			return nil, fmt.Errorf("a frame of kind %q where a text was due", byte(f.kind))
		}
		if int64(whole.Len()+len(f.payload)) > most {
			return nil, fleet.Errorf(fleet.TooLarge, "a text of more than %d bytes", most)
		}
		if whole.Write(f.payload); f.kind == kindText {
			return whole.Bytes(), nil
		}
	}
}

// lastWord is why the other side hung up, if it said so.
func (c *conn) lastWord(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lastWordTime)
	defer cancel()
	if f, err := c.next(ctx); err == nil && f.kind == kindError {
		return readFault(f.payload)
	}
	return nil
}

// lastWordTime is how long a last word may take that was said already.
const lastWordTime = time.Second

// sendText writes a value as a text, in as many frames as it takes.
func (c *conn) sendText(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("tell another part: %w", err)
	}
	for len(text) > MaxFrame {
		if err := writeFrame(c, kindPart, text[:MaxFrame]); err != nil {
			return err
		}
		text = text[MaxFrame:]
	}
	return writeFrame(c, kindText, text)
}

// greet exchanges hellos: who connected speaks first.
func greet(raw net.Conn, own hello, first bool) (hello, *bufio.Reader, error) {
	_ = raw.SetDeadline(time.Now().Add(helloTime)) // where it cannot be set, the other end closes
	reader := bufio.NewReader(raw)
	say := func() error {
		text, err := json.Marshal(own)
		if err == nil {
			err = writeFrame(raw, kindHello, text)
		}
		return err
	}
	if first {
		if err := say(); err != nil {
			return hello{}, nil, err
		}
	}
	other, err := readHello(reader)
	if err == nil && other.Protocol != own.Protocol {
		err = fleet.Errorf(fleet.Conflict, "the %s part speaks version %d of the link and this one, %s, version %d", other.Part, other.Protocol, own.Part, own.Protocol).
			WithHint("they are of two releases: systemctl restart fleetcron-agent")
	}
	if err != nil {
		if !first {
			_ = writeFrame(raw, kindError, writeFault(err)) // who does not listen need not know
		}
		return hello{}, nil, err
	}
	if !first {
		if err := say(); err != nil {
			return hello{}, nil, err
		}
	}
	return other, reader, raw.SetDeadline(time.Time{})
}

func readHello(reader io.Reader) (hello, error) {
	var other hello
	f, err := readFrame(reader)
	switch {
	case err != nil:
		return other, fmt.Errorf("no hello: %w", err)
	case f.kind == kindError:
		return other, readFault(f.payload)
	case f.kind != kindHello:
		return other, fmt.Errorf("no hello: a frame of kind %q", byte(f.kind))
	}
	if err := json.Unmarshal(f.payload, &other); err != nil {
		return other, fmt.Errorf("hello: %w", err)
	}
	return other, nil
}
