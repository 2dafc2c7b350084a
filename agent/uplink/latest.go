package uplink

import (
	"bytes"
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// standEvery is at least between two messages of how tasks stand: a command
	// that ends as soon as it starts changes that many times a second.
	standEvery = time.Second
	// policyEvery is at least between two messages of what the policy says: its
	// audit chain grows with each decision.
	policyEvery = 5 * time.Second
)

// latest is a message to the collectors of which the newest is all that counts.
type latest[T any] struct {
	mu      sync.Mutex
	message T
	known   bool          // that there is one yet
	news    chan struct{} // holds one when the message is to be sent
}

// set makes it the message, unless it is the same as the one before.
func (l *latest[T]) set(message T, same func(before, now T) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known && same(l.message, message) {
		return
	}
	l.message, l.known = message, true
	poke(l.news)
}

// forget makes it be sent again.
func (l *latest[T]) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known {
		poke(l.news)
	}
}

func (l *latest[T]) get() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.message
}

// sendLatest sends the message whenever there is a new one, with so much time
// between two at least.
func sendLatest[T any](ctx context.Context, u *Uplink, l *latest[T], every time.Duration, send func(context.Context, T) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.news:
		}
		u.persist(ctx, l.news, func(ctx context.Context) error {
			registered := u.inventory.nextRegistration()
			err := send(ctx, l.get())
			if fleet.KindOf(err) == fleet.NotFound { // not registered yet
				u.wait(ctx, longestWait, nil, registered)
			}
			return err
		})
		u.wait(ctx, every, nil, nil)
	}
}

// SetStands says how all tasks stand, and which orders were carried out that
// have no run to show for it. It is sent until a collector has taken it, or until
// it is another.
func (u *Uplink) SetStands(words api.Stands) {
	u.stands.set(words, func(_, _ api.Stands) bool { return false })
}

func (u *Uplink) sendStands(ctx context.Context) {
	sendLatest(ctx, u, &u.stands, standEvery, func(ctx context.Context, words api.Stands) error {
		return u.config.Collectors.Stand(ctx, u.id, words)
	})
}

// SetPolicy says what this host's policy says and refuses. It is sent until a
// collector has taken it, or until it is another.
func (u *Uplink) SetPolicy(report fleet.PolicyReport) {
	report.AuditHead = bytes.Clone(report.AuditHead)
	u.policy.set(report, func(before, now fleet.PolicyReport) bool {
		before.At, now.At = time.Time{}, time.Time{}
		return reflect.DeepEqual(before, now)
	})
}

func (u *Uplink) sendPolicy(ctx context.Context) {
	sendLatest(ctx, u, &u.policy, policyEvery, func(ctx context.Context, report fleet.PolicyReport) error {
		return u.config.Collectors.Policy(ctx, u.id, &report)
	})
}
