package link

import (
	"context"
	"encoding/json"
	"io"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Verb is something that one part may ask another: a question Q, answered by A.
type Verb[Q, A any] struct {
	Name   string
	From   []Part // who may ask
	Most   int64  // bytes of the question
	Answer int64  // bytes of the answer, without what is streamed after it
	AtOnce int    // questions that are worked on at the same time; the others wait
}

// Handle lets a server answer a verb.
func Handle[Q, A any](s *Server, v Verb[Q, A], answer func(ctx context.Context, question *Q) (A, error)) {
	handle(s, v, func(ctx context.Context, question *Q) (any, io.ReadCloser, error) {
		value, err := answer(ctx, question)
		return value, nil, err
	})
}

// HandleStream lets a server answer a verb with a value and, after it, output.
func HandleStream[Q, A any](s *Server, v Verb[Q, A], answer func(ctx context.Context, question *Q) (A, io.ReadCloser, error)) {
	handle(s, v, func(ctx context.Context, question *Q) (any, io.ReadCloser, error) {
		value, output, err := answer(ctx, question)
		return value, output, err
	})
}

func handle[Q, A any](s *Server, v Verb[Q, A], answer func(ctx context.Context, question *Q) (any, io.ReadCloser, error)) {
	s.verbs[v.Name] = &answerer{
		from: v.From, most: v.Most, places: make(chan struct{}, v.AtOnce),
		answer: func(ctx context.Context, text []byte) (any, io.ReadCloser, error) {
			question := new(Q)
			if err := weigh(text); err != nil {
				return nil, nil, err
			}
			if err := json.Unmarshal(text, question); err != nil {
				return nil, nil, fleet.Errorf(fleet.Invalid, "the question of %s cannot be read: %v", v.Name, err)
			}
			return answer(ctx, question)
		},
	}
}

// Call asks and waits for the answer.
func (v Verb[Q, A]) Call(ctx context.Context, to Caller, question Q) (answer A, err error) {
	c, err := v.ask(ctx, to, question, &answer)
	if c != nil {
		to.give(c)
	}
	return answer, err
}

// Stream asks, and returns the answer and the output that follows it.
func (v Verb[Q, A]) Stream(ctx context.Context, to Caller, question Q) (answer A, output io.ReadCloser, err error) {
	c, err := v.ask(ctx, to, question, &answer)
	if err != nil {
		if c != nil {
			to.give(c)
		}
		return answer, nil, err
	}
	return answer, &stream{ctx: ctx, to: to, conn: c}, nil
}

// ask returns the connection on which it asked, as long as it is of use.
func (v Verb[Q, A]) ask(ctx context.Context, to Caller, question Q, answer *A) (*conn, error) {
	c, err := to.take(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	err = writeFrame(c, kindCall, []byte(v.Name))
	if err == nil {
		err = c.sendText(question)
	}
	var text []byte
	if err == nil {
		text, err = c.text(ctx, v.Answer)
	} else if why := c.lastWord(ctx); why != nil {
		err = why
	}
	if _, whole := err.(*fleet.Error); err != nil && (!whole || !stop() || fleet.KindOf(err) == fleet.TooLarge) {
		c.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if whole {
			return nil, err
		}
		return nil, to.away(err)
	}
	if err != nil {
		return c, err
	}
	if !stop() {
		c.Close()
		return nil, ctx.Err()
	}
	err = weigh(text)
	if err == nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		c.Close()
		return nil, fleet.Errorf(fleet.Internal, "the answer to %s cannot be read: %v", v.Name, err)
	}
	return c, nil
}

// stream is the output that follows an answer.
type stream struct {
	ctx  context.Context
	to   Caller
	conn *conn // nil: closed
	left []byte
	end  error // it has ended
}

// Read reads output; what follows an error of the other part is that error.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.left) == 0 {
		if s.end != nil {
			return 0, s.end
		}
		f, err := s.conn.next(s.ctx)
		switch {
		case err != nil:
			s.end = s.to.away(err)
			if s.ctx.Err() != nil {
				s.end = s.ctx.Err()
			}
		case f.kind == kindBytes:
			s.left = f.payload
		case f.kind == kindEnd:
			s.end = io.EOF
		case f.kind == kindError:
			s.end = readFault(f.payload)
		default:
			s.end = fleet.Errorf(fleet.Internal, "a frame of kind %q within output", byte(f.kind))
		}
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// Close ends it; what was not read is not sent any more.
func (s *stream) Close() error {
	if s.conn == nil {
		return nil
	}
	if s.end == io.EOF {
		s.to.give(s.conn)
	} else {
		s.conn.Close()
	}
	s.conn = nil
	if s.end == nil {
		s.end = io.ErrClosedPipe
	}
	return nil
}
