package vitals

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAServerThatSaysNothing is left when the time is over.
func TestAServerThatSaysNothing(t *testing.T) {
	v := New(Config{Runs: &host{}, Ask: func(ctx context.Context, _ fleet.Execute, _, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	a := ask{health: fleet.Health{HTTP: "http://127.0.0.1:80/x", Timeout: fleet.Duration(50 * time.Millisecond)}}
	ctx, cancel := context.WithTimeout(t.Context(), timeout(&a.health))
	defer cancel()
	if got := problemOf(ctx, a, v.asks(ctx, a)); got != "GET "+a.health.HTTP+": no answer within 50ms" {
		t.Error(got)
	}
}

func TestWhatAProgramSaysIsShownInOneLine(t *testing.T) {
	h := &host{check: func(context.Context) (string, error) {
		return strings.Repeat("\x1b[1mno\nway ", 200), errors.New("/bin/check: exit code 3")
	}}
	v := New(Config{Runs: h})
	a := ask{health: fleet.Health{Exec: []string{"/bin/check", "-x"}}}
	got := problemOf(t.Context(), a, v.asks(t.Context(), a))
	if !strings.HasPrefix(got, "/bin/check: exit code 3: [1mno way [1mno way") || len(got) > detailMost || strings.ContainsAny(got, "\n\x1b") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestWhatIsAskedOfWhom(t *testing.T) {
	var asked []string
	v := New(Config{Runs: &host{}, Ask: func(_ context.Context, execute fleet.Execute, kind, address string) error {
		asked = append(asked, execute.User+" "+kind+" "+address)
		return nil
	}})
	for _, health := range []fleet.Health{{HTTP: "http://a/"}, {TCP: "a:1"}} {
		if err := v.asks(t.Context(), ask{health: health, execute: fleet.Execute{User: "ann"}}); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(asked, ", "); got != "ann http http://a/, ann tcp a:1" {
		t.Error(got)
	}
}
