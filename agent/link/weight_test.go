package link

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAttack90_TextThatSwells: three bytes on the way are thirteen hundred in
// memory, where they are an assignment.
func TestAttack90_TextThatSwells(t *testing.T) {
	whole, err := json.Marshal(fleet.Plan{Assignments: make([]fleet.Assignment, 10_000), Orders: make([]fleet.Order, 10_000)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		light      bool
	}{
		{"nothing", "", true},
		{"no JSON", `"\`, true},
		{"a large plan", string(whole), true},
		{"commas that are text", `{"a":"` + strings.Repeat(`,\"`, maxValues) + `"}`, true},
		{"many assignments", `{"assignments":[` + strings.Repeat("{},", maxEntries) + `{}]}`, false},
		{"many windows", `{"calendars":[{"windows":[` + strings.Repeat("{},", maxValues) + `{}]}]}`, false},
		{"many after a text", `{"a":"\\","assignments":[` + strings.Repeat("{},", maxEntries) + `{}]}`, false},
	} {
		if err := weigh([]byte(c.text)); (err == nil) != c.light || err != nil && fleet.KindOf(err) != fleet.TooLarge {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	s := NewServer(Work, "1", nil, slog.New(slog.DiscardHandler))
	Handle(s, Offer, func(context.Context, *fleet.Plan) (Nothing, error) { t.Error("answered"); return Nothing{}, nil })
	if _, _, err := s.verbs[Offer.Name].answer(t.Context(), []byte(`{"assignments":[`+strings.Repeat("{},", maxEntries)+`{}]}`)); fleet.KindOf(err) != fleet.TooLarge {
		t.Errorf("offered: %v", err)
	}
}

// short has no descriptor for a while.
type short struct {
	net.Listener
	fails int
}

func (l *short) Accept() (net.Conn, error) {
	if l.fails--; l.fails >= 0 {
		return nil, errors.New("accept4: too many open files")
	}
	return l.Listener.Accept()
}

// TestAPartOutlivesAWantOfDescriptors, which may be those of the runs.
func TestAPartOutlivesAWantOfDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inside := NewInside()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		listener := &short{inside, 3}
		s := NewServer(Work, "1", nil, slog.New(slog.DiscardHandler))
		go func() { done <- s.Serve(ctx, listener) }()
		conn, err := inside.Dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		stop()
		if err := <-done; err != nil || listener.fails >= 0 {
			t.Errorf("it ended with %v, %d failures to come", err, listener.fails)
		}
	})
}
