package httpd

import (
	"context"
	"errors"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// stranger reports whether a refusal says that a caller is not known, which one
// who has not heard of everything cannot tell.
func stranger(err error) bool {
	refusal, is := errors.AsType[*fleet.Error](err)
	return is && (refusal.Code == api.CodeToken || refusal.Code == "node_unknown")
}

// current waits for a moment until this collector has applied what any member
// had applied as it was asked. The error is Unavailable: whoever is not known
// here may be known elsewhere, and asks there.
func (s *Server) current(ctx context.Context) error {
	own := s.Replica.Status()
	if own.Leading {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpIn)
	defer cancel()
	newest, heard := own.Applied, false
	for _, peer := range s.Replica.Peers(ctx) {
		if peer.ID != own.ID && peer.Reachable {
			newest, heard = max(newest, peer.Applied), true
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for heard && s.Replica.Status().Applied < newest {
		select {
		case <-ctx.Done():
			heard = false
		case <-s.life.Done():
			heard = false
		case <-tick.C:
		}
	}
	if !heard {
		return fleet.Errorf(fleet.Unavailable, "collector %s has not heard from the others yet who may ask", own.ID).
			WithCode("behind").WithHint("try again, or another collector")
	}
	return nil
}
