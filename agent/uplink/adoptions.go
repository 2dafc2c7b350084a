package uplink

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// settled is what the collectors are to hear of adoptions.
type settled struct {
	mu    sync.Mutex
	words []fleet.Adoption
	news  chan struct{} // holds one when there are other words
}

// SetAdoptions says where this host is further with its adoptions than the
// plan says. It is sent until a collector has taken it, or until it is another.
func (u *Uplink) SetAdoptions(words []fleet.Adoption) {
	s := &u.settled
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = words
	poke(s.news)
}

func (s *settled) get() []fleet.Adoption {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.words
}

func (u *Uplink) sendSettled(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.settled.news:
		}
		u.persist(ctx, u.settled.news, func(ctx context.Context) error {
			words := u.settled.get()
			if len(words) == 0 {
				return errNothing
			}
			return u.config.Collectors.Settle(ctx, u.id, words)
		})
	}
}

// rehearse answers what an adoption would change.
func (u *Uplink) rehearse(ctx context.Context, wish *fleet.Adoption) io.ReadCloser {
	answer := api.JobDiff{Why: "this agent cannot adopt jobs"}
	if u.config.Diff != nil {
		diff, err := u.config.Diff(ctx, wish)
		if answer = (api.JobDiff{Diff: diff}); err != nil {
			answer = api.JobDiff{Why: err.Error()}
		}
	}
	text, _ := json.Marshal(answer) // two strings: cannot fail
	return io.NopCloser(strings.NewReader(string(text)))
}
