package uplink

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

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
