package uplink

import (
	"context"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// standEvery is at least between two messages of how tasks stand: a command that
// ends as soon as it starts changes that many times a second.
const standEvery = time.Second

// stands is what the collectors are to know of how tasks stand here.
type stands struct {
	mu    sync.Mutex
	known bool // that anything was said yet
	words api.Stands
	news  chan struct{} // holds one when the words are to be sent
}

// SetStands says how all tasks stand, and which orders were carried out that
// have no run to show for it. It is sent until a collector has taken it, or until
// it is another.
func (u *Uplink) SetStands(words api.Stands) {
	s := &u.stands
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words, s.known = words, true
	poke(s.news)
}

// forget makes it be sent again.
func (s *stands) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		poke(s.news)
	}
}

func (s *stands) get() api.Stands {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.words
}

func (u *Uplink) sendStands(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.stands.news:
		}
		u.persist(ctx, u.stands.news, func(ctx context.Context) error {
			registered := u.inventory.nextRegistration()
			err := u.config.Collectors.Stand(ctx, u.id, u.stands.get())
			if fleet.KindOf(err) == fleet.NotFound { // not registered yet
				u.wait(ctx, longestWait, nil, registered)
			}
			return err
		})
		u.wait(ctx, standEvery, nil, nil)
	}
}
