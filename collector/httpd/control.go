package httpd

import (
	"context"
	"slices"

	"github.com/fleetcron/fleetcron/shared/api"
)

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
	host, err := s.Ledger.FindHost(scopeOf(ctx), in.nameOrID)
	if err != nil {
		return api.Live{}, err
	}
	text, err := s.askHost(ctx, host.ID, api.Ask{Live: true}, in.passed, "live", nil)
	if err != nil {
		return api.Live{}, err
	}
	live, err := readAnswer[api.Live](text)
	scope := scopeOf(ctx) // the host knows no scopes, and may serve others as well
	live.Runs = slices.DeleteFunc(append([]api.LiveRun{}, live.Runs...), func(run api.LiveRun) bool { return !scope.Holds(run.Task.Namespace()) })
	live.Waiting = slices.DeleteFunc(append([]api.LiveWaiting{}, live.Waiting...), func(run api.LiveWaiting) bool { return !scope.Holds(run.Task.Namespace()) })
	return live, err
}
