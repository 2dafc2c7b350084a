package outside

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/gossip"
)

// TestATakenPortIsTriedAgain and keeps nobody from starting.
func TestATakenPortIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tried := 0
		d := &doorbell{log: slog.New(slog.DiscardHandler), join: func() (*gossip.Mesh, error) {
			tried++
			return nil, errors.New("bind: address already in use")
		}}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- d.Run(ctx) }()
		time.Sleep(time.Hour)
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if tried < 12 || tried > 20 {
			t.Errorf("tried %d times in an hour", tried)
		}
	})
}

func TestNoGossipIsNoError(t *testing.T) {
	d := newDoorbell(Config{}, "", nil, slog.New(slog.DiscardHandler))
	if err := d.Run(t.Context()); err != nil {
		t.Error(err)
	}
}
