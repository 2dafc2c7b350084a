package enroll

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
)

// How long it waits before it asks for a ticket again.
const (
	ticketFirst = 5 * time.Second
	ticketMost  = 10 * time.Minute
	ticketLeast = 10 * time.Second // between two that are asked for, whatever is heard
)

// Heard tells of the digest of the ring that a collector has: where it is
// another than ours, the ring is fetched. It returns at once.
func (r *Renewal) Heard(digest string) {
	select {
	case r.rings <- digest:
	default: // one is looked at already, and the next answer brings another
	}
}

// keepTicket fetches ring and ticket when there are none, when the ring is
// another, and before the ticket runs out.
func (r *Renewal) keepTicket(ctx context.Context) error {
	have, complete, err := r.Home.LoadGossip()
	if err != nil {
		r.Log.Warn("gossip ring not read", "error", err)
	}
	if complete && r.Gossip != nil {
		r.Gossip(have)
	}
	digest := "" // of the ring that we have
	if complete {
		digest = have.Ring.Digest()
	}
	for {
		due := time.Now()
		if complete {
			due = r.ticketDue(have.Ticket, rand.Float64())
		}
		if !r.awaitRing(ctx, due, digest) {
			return nil
		}
		if have, digest = r.fetchUntil(ctx, have); !pause(ctx, ticketLeast) {
			return nil
		}
		complete = true
	}
}

// ticketDue returns when another ticket is asked for: at about two thirds of
// what is left of it, and at once where it does not count any more.
func (r *Renewal) ticketDue(ticket string, chance float64) time.Time {
	now := time.Now()
	verified, err := pki.VerifyTicket(ticket, r.Credentials.ID(), r.Credentials.Root(), now)
	if err != nil {
		return now
	}
	return now.Add(time.Duration(float64(verified.Expires.Sub(now)) * (renewFrom + (renewTo-renewFrom)*chance)))
}

// awaitRing waits until an instant of the wall clock, or until another ring was
// heard of. It returns false when ctx ended.
func (r *Renewal) awaitRing(ctx context.Context, at time.Time, digest string) bool {
	for {
		left := time.Until(at)
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(min(left, lookEvery))
		select {
		case <-timer.C:
		case heard := <-r.rings:
			timer.Stop()
			if heard != digest {
				return true
			}
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// fetchUntil fetches ring and ticket until it has them.
func (r *Renewal) fetchUntil(ctx context.Context, had Gossip) (Gossip, string) {
	for wait := ticketFirst; ; wait = min(2*wait, ticketMost) {
		got, err := r.fetch(ctx, had)
		if err == nil {
			return got, got.Ring.Digest()
		}
		if ctx.Err() == nil {
			r.Log.Warn("gossip ticket not fetched", "error", err, "again_in", wait.String())
		}
		if !pause(ctx, wait/2+rand.N(wait)) {
			return had, ""
		}
	}
}

func (r *Renewal) fetch(ctx context.Context, had Gossip) (Gossip, error) {
	answer, err := r.Collectors.GossipTicket(ctx)
	if err != nil {
		return had, err
	}
	if answer.Ticket == "" || len(answer.Keys) == 0 {
		return had, errNoTicket
	}
	if _, err := pki.VerifyTicket(answer.Ticket, r.Credentials.ID(), r.Credentials.Root(), time.Now()); err != nil {
		return had, fmt.Errorf("the collector's answer: %w", err)
	}
	got, err := r.Home.saveGossip(&answer)
	if err != nil {
		return had, err
	}
	if had.Ring != nil { // its members follow this one
		if err := had.Ring.Take(answer.Keys); err != nil {
			return had, err
		}
		got.Ring = had.Ring
	}
	if r.Gossip != nil && (had.Ring == nil || had.Ticket != got.Ticket) {
		r.Gossip(got)
	}
	return got, nil
}
