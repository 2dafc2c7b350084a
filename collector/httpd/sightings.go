package httpd

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// sightIn is what a host saw its found jobs do.
type sightIn struct {
	host      fleet.HostID
	sightings fleet.Sightings
}

func parseSight() func(*request) (sightIn, error) {
	decoder := newDecoder[fleet.Sightings]()
	return func(r *request) (in sightIn, err error) {
		in.host, in.sightings, err = parseAgent(r, decoder)
		return in, err
	}
}

// sight records what is news; a word that holds none goes no further than here.
func (s *Server) sight(ctx context.Context, in sightIn) (receipt, error) {
	if err := in.sightings.Validate(); err != nil {
		return receipt{}, err
	}
	now := time.Now().UTC()
	news, some, err := s.Ledger.News(in.host, in.sightings, now)
	if err != nil {
		return receipt{}, err
	}
	if !some {
		return s.done(nil)
	}
	_, err = s.Replica.Propose(ctx, &ledger.RecordSightings{Host: in.host, Sightings: news, At: now})
	return s.done(err)
}

// receipt answers a change that has nothing else to say.
type receipt struct {
	Index uint64 `json:"index"`
}

func (s *Server) done(err error) (receipt, error) {
	if err != nil {
		return receipt{}, err
	}
	return receipt{s.ledgerIndex()}, nil
}
