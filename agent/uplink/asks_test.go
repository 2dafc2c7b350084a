package uplink

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
)

// Whoever follows runs for hours takes nobody else's place.
func TestFollowersDoNotHoldUpTheOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var ends []*io.PipeWriter
		w.config.Output = func(_ context.Context, ask api.Ask) (io.ReadCloser, int64, error) {
			if !ask.Follow {
				return io.NopCloser(strings.NewReader("so far")), 0, nil
			}
			reader, writer := io.Pipe()
			w.c.set(func() { ends = append(ends, writer) })
			return reader, 0, nil
		}
		for n := range follows {
			w.c.asks <- api.Ask{ID: fmt.Sprint("f", n), Run: "r", Follow: true}
		}
		for n := range 2 * answers {
			w.c.asks <- api.Ask{ID: fmt.Sprint(n), Run: "r"}
			if got, want := <-w.c.answers, fmt.Sprint(n, " 0 so far"); got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		}
		w.c.asks <- api.Ask{ID: "late", Run: "r", Follow: true}
		if got, want := <-w.c.answers, "late 0 so far"+notFollowed; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		w.c.set(func() { ends[0].Close() })
		<-w.c.answers
		after(0) // until its place is free
		w.c.asks <- api.Ask{ID: "later", Run: "r", Follow: true}
		after(0)
		w.c.set(func() {
			if len(ends) != follows+1 {
				t.Errorf("%d are followed, want one more in the place of the one that ended", len(ends)-1)
			}
			for _, end := range ends {
				end.Close()
			}
		})
		for range follows {
			<-w.c.answers
		}
	})
}

// Whoever asks for output and does not read it takes nobody's place for ever; who
// waits for a run that says nothing does.
func TestAnswersThatNobodyReadsAreBrokenOff(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var quiet *io.PipeWriter
		w.config.Output = func(_ context.Context, ask api.Ask) (io.ReadCloser, int64, error) {
			if !ask.Follow {
				return io.NopCloser(strings.NewReader("much")), 0, nil
			}
			reader, writer := io.Pipe()
			w.c.set(func() { quiet = writer })
			return reader, 0, nil
		}
		w.c.set(func() { w.c.unread = func(ask string) bool { return strings.HasPrefix(ask, "unread") } })
		w.c.asks <- api.Ask{ID: "quiet", Run: "r", Follow: true}
		for n := range answers {
			w.c.asks <- api.Ask{ID: fmt.Sprint("unread", n), Run: "r"}
		}
		w.c.asks <- api.Ask{ID: "next", Run: "r"}
		began := time.Now()
		for range answers + 1 {
			got := <-w.c.answers
			if waited := time.Since(began); waited != readerPatience || !strings.HasPrefix(got, "unread") && got != "next 0 much" {
				t.Errorf("%q after %v, want that after %v", got, waited, readerPatience)
			}
		}
		after(10 * readerPatience)
		w.c.set(func() {
			fmt.Fprint(quiet, "at last")
			quiet.Close()
		})
		if got := <-w.c.answers; got != "quiet 0 at last" {
			t.Errorf("%q", got)
		}
	})
}
