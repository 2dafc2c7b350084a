package outside

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/agent/enroll"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

// TestATakenPortIsTriedAgain and keeps nobody from starting; another ticket is
// tried at once.
func TestATakenPortIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tried []string
		d := newDoorbell(Config{Gossip: Gossip{Bind: "127.0.0.1:1"}}, nil, nil, slog.New(slog.DiscardHandler))
		d.join = func(key enroll.Gossip) (*gossip.Mesh, error) {
			tried = append(tried, key.Ticket)
			return nil, errors.New("bind: address already in use")
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- d.Run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(tried) != 0 {
			t.Errorf("without a ticket it tried %d times", len(tried))
		}
		d.admit(enroll.Gossip{Ticket: "first"})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(tried); n < 12 || n > 20 {
			t.Errorf("tried %d times in an hour", n)
		}
		d.admit(enroll.Gossip{Ticket: "second"})
		synctest.Wait()
		if last := tried[len(tried)-1]; last != "second" {
			t.Errorf("it goes on with the %s ticket", last)
		}
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

func TestNoGossipIsNoError(t *testing.T) {
	d := newDoorbell(Config{}, nil, nil, slog.New(slog.DiscardHandler))
	if err := d.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAttack106_WhoIsLetIn: nobody without a ticket for the very name and role that he wears.
func TestAttack106_WhoIsLetIn(t *testing.T) {
	fleet := pkitest.New(t)
	host := pkitest.HostID()
	me := fleet.Agent(host)
	d := newDoorbell(Config{}, me, nil, slog.New(slog.DiscardHandler))
	for _, c := range []struct{ name, role, ticket string }{
		{host, "agent", ""}, {host, "collector", "x"}, {"c1", string(pki.RoleCollector), "AAAA"},
	} {
		if d.judge(c.name, c.role, c.ticket) == nil {
			t.Errorf("%s, %s came in with %q", c.name, c.role, c.ticket)
		}
	}
}
