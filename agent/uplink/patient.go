package uplink

import (
	"context"
	"errors"
	"io"
	"time"
)

// readerPatience is how long whoever reads an answer may take for a piece of it
// that is there. A collector gives its own reader less.
const readerPatience = 10 * time.Minute

// errReader says why an answer was broken off.
var errReader = errors.New("nobody reads what is sent")

// patient is output that gives up when nobody comes to read what follows. How
// long the output itself takes to come does not matter.
type patient struct {
	io.ReadCloser
	impatient *time.Timer // runs while nobody reads
	enough    context.CancelCauseFunc
}

// patiently lets the context of an answer end when its output is not read any
// more, so that the place is free for others.
func patiently(ctx context.Context, output io.ReadCloser) (context.Context, io.ReadCloser) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &patient{output, time.AfterFunc(readerPatience, func() { cancel(errReader) }), cancel}
}

// Read waits for what follows.
func (p *patient) Read(into []byte) (int, error) {
	p.impatient.Stop()
	n, err := p.ReadCloser.Read(into)
	if err == nil {
		p.impatient.Reset(readerPatience)
	}
	return n, err
}

// Close ends the output, and the answer.
func (p *patient) Close() error {
	p.impatient.Stop()
	p.enough(nil)
	return p.ReadCloser.Close()
}
