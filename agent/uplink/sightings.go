package uplink

import (
	"context"
	"maps"
	"reflect"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// sightEvery is for how long what jobs did is gathered before it is sent: a
	// host has jobs that start every minute, and a fleet has many hosts.
	sightEvery = 5 * time.Minute
	// maxSightings keeps a message well below api.MaxReportBody.
	maxSightings = 5000
)

// sightings is what the collectors are to know about the last runs of jobs.
type sightings struct {
	mu    sync.Mutex
	known bool            // that anything was said yet
	seen  fleet.Sightings // all of it
	sent  fleet.Sightings // what the collectors have
	told  bool            // they have sent.Since, were it empty
	news  chan struct{}   // holds one when something may be to be sent
	anew  chan struct{}   // holds one when that should not wait
}

// SetSightings says what the host saw its jobs do: all that is known, of which
// what is new is sent, at once the first time and every five minutes after.
func (u *Uplink) SetSightings(seen fleet.Sightings) {
	s := &u.sightings
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.known = seen, true
	poke(s.news)
}

// forget makes everything be sent again.
func (s *sightings) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent, s.told = fleet.Sightings{}, false
	poke(s.news)
	poke(s.anew)
}

// reported forgets what was sent of jobs that the report does not name: when
// they come back, the collectors know nothing of their runs.
func (s *sightings) reported(report *fleet.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := make(map[fleet.JobID]bool, len(report.Jobs))
	for i := range report.Jobs {
		named[report.Jobs[i].ID] = true
	}
	maps.DeleteFunc(s.sent.Jobs, func(id fleet.JobID, _ fleet.Evidence) bool { return !named[id] })
	poke(s.news)
}

// unsent returns what is to be sent, whether that is anything, and whether
// more is left for another message.
func (s *sightings) unsent() (message fleet.Sightings, any, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	message = fleet.Sightings{Since: s.seen.Since, Jobs: make(map[fleet.JobID]fleet.Evidence)}
	for id, e := range s.seen.Jobs {
		if was, sent := s.sent.Jobs[id]; sent && reflect.DeepEqual(was, e) {
			continue
		}
		if len(message.Jobs) == maxSightings {
			return message, true, true
		}
		message.Jobs[id] = e
	}
	silent := s.told && maps.EqualFunc(s.sent.Since, s.seen.Since, time.Time.Equal)
	return message, s.known && (len(message.Jobs) > 0 || !silent), false
}

// delivered notes that the collectors have a message.
func (s *sightings) delivered(message fleet.Sightings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent.Jobs == nil {
		s.sent.Jobs = make(map[fleet.JobID]fleet.Evidence)
	}
	maps.Copy(s.sent.Jobs, message.Jobs)
	s.sent.Since, s.told = message.Since, true
}

// sendSightings tells what jobs did, never before the report that names them.
func (u *Uplink) sendSightings(ctx context.Context) {
	s := &u.sightings
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.news:
		}
		sent, more := false, false
		u.persist(ctx, s.news, func(ctx context.Context) (err error) {
			sent, more, err = u.sight(ctx)
			return err
		})
		if more {
			poke(s.news)
		} else if sent {
			u.wait(ctx, sightEvery, nil, s.anew)
		}
	}
}

// sight sends one message, if there is any and its report has arrived.
func (u *Uplink) sight(ctx context.Context) (sent, more bool, err error) {
	s := &u.sightings
	message, any, more := s.unsent()
	if !any || !u.inventory.reported() {
		return false, false, errNothing // who sends the report tells
	}
	select { // all of it is about to be sent
	case <-s.anew:
	default:
	}
	registered := u.inventory.nextRegistration()
	err = u.config.Collectors.Sight(ctx, u.id, &message)
	if err != nil && fleet.KindOf(err) == fleet.NotFound {
		u.wait(ctx, longestWait, nil, registered)
	}
	if err == nil {
		s.delivered(message)
	}
	return err == nil, more, err
}
