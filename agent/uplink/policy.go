package uplink

import (
	"bytes"
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// policyEvery is at least between two messages of what the policy says: its
// audit chain grows with each decision.
const policyEvery = 5 * time.Second

// policy is what the collectors are to know of this host's policy.
type policy struct {
	mu     sync.Mutex
	report fleet.PolicyReport
	known  bool          // that anything was said yet
	news   chan struct{} // holds one when the report is to be sent
}

// SetPolicy says what this host's policy says and refuses. It is sent until a
// collector has taken it, or until it is another.
func (u *Uplink) SetPolicy(report fleet.PolicyReport) {
	p := &u.policy
	p.mu.Lock()
	defer p.mu.Unlock()
	before, now := p.report, report
	before.At, now.At = time.Time{}, time.Time{}
	if p.known && reflect.DeepEqual(before, now) {
		return
	}
	p.report, p.known = report, true
	poke(p.news)
}

// forget makes it be sent again.
func (p *policy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known {
		poke(p.news)
	}
}

func (p *policy) get() fleet.PolicyReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.report
	r.AuditHead = bytes.Clone(r.AuditHead)
	return r
}

func (u *Uplink) sendPolicy(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.policy.news:
		}
		u.persist(ctx, u.policy.news, func(ctx context.Context) error {
			registered := u.inventory.nextRegistration()
			report := u.policy.get()
			err := u.config.Collectors.Policy(ctx, u.id, &report)
			if fleet.KindOf(err) == fleet.NotFound { // not registered yet
				u.wait(ctx, longestWait, nil, registered)
			}
			return err
		})
		u.wait(ctx, policyEvery, nil, nil)
	}
}
