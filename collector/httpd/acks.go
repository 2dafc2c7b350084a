package httpd

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// ackIn says that a finding may stand, or no longer.
type ackIn struct {
	change
	finding string
	request api.AckRequest
}

func parseAck() func(*request) (ackIn, error) {
	decoder := newDecoder[api.AckRequest]()
	return func(r *request) (in ackIn, err error) {
		if in, err = parseDropAck(r); err != nil {
			return in, err
		}
		in.request, err = decoder.decode(r.body)
		return in, err
	}
}

func parseDropAck(r *request) (in ackIn, err error) {
	if in.finding, err = r.path("finding", shortHexParameter); err != nil {
		return in, err
	}
	if err = r.query(&struct{}{}); err != nil {
		return in, err
	}
	in.change, err = r.plainChange()
	return in, err
}

func (s *Server) ack(ctx context.Context, in ackIn) (fleet.Ack, error) {
	ack := fleet.Ack{Finding: in.finding, By: in.Actor, Reason: strings.TrimSpace(in.request.Reason), At: time.Now().UTC(), Expires: in.request.Expires.UTC()}
	if err := ack.Validate(); err != nil {
		return ack, err
	}
	if s.HasFinding != nil {
		if stands, err := s.HasFinding(ctx, ack.Finding); err != nil {
			return ack, err
		} else if !stands {
			return ack, fleet.Errorf(fleet.NotFound, "no finding %s", ack.Finding).WithHint("fleetctl findings")
		}
	}
	result, err := s.propose(ctx, in.change, act{"ack.put", "finding " + in.finding, ack.Reason}, &ledger.PutAck{Ack: ack})
	if err != nil {
		return ack, err
	}
	recorded, ok := result.(fleet.Ack)
	if !ok {
		return ack, fleet.Errorf(fleet.Internal, "the ledger answered %T", result)
	}
	return recorded, nil
}

func (s *Server) dropAck(ctx context.Context, in ackIn) (receipt, error) {
	if stands, err := s.HasFinding(ctx, in.finding); err != nil || !stands && !scopeOf(ctx).All() {
		return receipt{}, errors.Join(err, fleet.Errorf(fleet.NotFound, "finding %s is not acknowledged", in.finding).WithHint("fleetctl findings --acked only"))
	}
	_, err := s.propose(ctx, in.change, act{"ack.drop", "finding " + in.finding, ""}, &ledger.DropAck{Finding: in.finding})
	return s.done(err)
}
