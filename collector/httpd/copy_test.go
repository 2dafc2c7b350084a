package httpd

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
)

// endless is output without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Breaking an answer off touches the agent's connection, which is somebody
// else's, or nobody's, as soon as the answer is taken.
func TestAnAnswerIsBrokenOffBeforeItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		hold, taken := make(chan struct{}), false
		go func() {
			_ = copyOutput(ctx, io.Discard, answered{output: endless{}, alive: func() {}, stop: func() { <-hold }})
			taken = true
		}()
		synctest.Wait()
		if taken {
			t.Error("the answer was taken while it was still being broken off")
		}
		close(hold)
		synctest.Wait()
		if !taken {
			t.Error("the answer is not taken")
		}
	})
}
