package httpd

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// control returns the service that orders a task to be started, stopped,
// restarted or reset on its hosts.
func (s *Server) control(kind fleet.OrderKind) func(context.Context, runIn) (api.Ordered, error) {
	return func(ctx context.Context, in runIn) (api.Ordered, error) {
		if result, found, err := s.remembered(in.change); found || err != nil {
			return s.ordered(result, err)
		}
		record, err := s.Ledger.Task(everywhere, in.id)
		if err != nil {
			return api.Ordered{}, err
		}
		hosts, err := s.targets(&record.Task, in.request, string(kind))
		if err != nil {
			return api.Ordered{}, err
		}
		orders, err := runOrders(record.Task.ID(), hosts, in)
		if err != nil {
			return api.Ordered{}, err
		}
		for i := range orders {
			orders[i].Kind, orders[i].Run = kind, ""
		}
		return s.ordered(s.propose(ctx, in.change, &ledger.PutOrders{Orders: orders, At: time.Now().UTC()}))
	}
}

// liveIn asks what goes on on a host.
type liveIn struct {
	nameOrID string
	passed   bool // by another collector
}

func parseLive(r *request) (in liveIn, err error) {
	if in.nameOrID, err = r.path("host", hostParameter); err != nil {
		return in, err
	}
	in.passed = r.Header.Get(api.HeaderForwarded) != ""
	return in, r.query(&struct{}{})
}

// Live asks the agent of a host, by name or id, what goes on there.
func (s *Server) Live(ctx context.Context, nameOrID string) (api.Live, error) {
	return s.live(ctx, liveIn{nameOrID: nameOrID})
}

func (s *Server) live(ctx context.Context, in liveIn) (api.Live, error) {
	host, err := s.Ledger.FindHost(everywhere, in.nameOrID)
	if err != nil {
		return api.Live{}, err
	}
	text, err := s.askHost(ctx, host.ID, api.Ask{Live: true}, in.passed, "live", nil)
	if err != nil {
		return api.Live{}, err
	}
	live, err := readAnswer[api.Live](text)
	if live.Runs == nil {
		live.Runs = []api.LiveRun{}
	}
	if live.Waiting == nil {
		live.Waiting = []api.LiveWaiting{}
	}
	return live, err
}
