package uplink

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How failures are waited out.
const (
	firstWait   = 250 * time.Millisecond
	longestWait = 30 * time.Second
	// The budget of all loops together: some retries at once, then one every
	// two seconds, however many knocks come in.
	budgetBurst = 12
	budgetEvery = 2 * time.Second
)

// patience is what all loops share of waiting.
type patience struct {
	budget *rate.Limiter

	mu      *sync.Mutex
	knocked chan struct{} // closed and replaced by a knock
}

func newPatience() patience {
	return patience{
		budget: rate.NewLimiter(rate.Every(budgetEvery), budgetBurst),
		mu:     new(sync.Mutex), knocked: make(chan struct{}),
	}
}

// knock ends all waits.
func (p *patience) knock() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.knocked)
	p.knocked = make(chan struct{})
}

func (p *patience) nextKnock() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.knocked
}

// errNothing says that there was nothing to send.
var errNothing = errors.New("nothing to send")

// persist calls try until it succeeds or ctx ends, and returns whether it did.
// After the n-th failure in a row it waits a random time of at most
// 250 ms × 2ⁿ, never more than 30 s; a knock or news ends the wait.
func (u *Uplink) persist(ctx context.Context, news <-chan struct{}, try func(context.Context) error) bool {
	for failures := 0; ctx.Err() == nil; failures++ {
		knocked := u.nextKnock()
		err := try(ctx)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errNothing) { // and nobody was asked
			return true
		}
		u.link.note(err)
		if err == nil {
			return true
		}
		u.wait(ctx, fullJitter(failures), knocked, news)
		if u.budget.Wait(ctx) != nil {
			break
		}
	}
	return false
}

// fullJitter draws a wait. Without a lower bound a fleet that lost its
// collectors at one instant comes back spread evenly.
func fullJitter(failures int) time.Duration {
	bound := min(longestWait, firstWait<<min(failures, 16))
	return rand.N(bound) + time.Millisecond
}

func (u *Uplink) wait(ctx context.Context, d time.Duration, knocked, news <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-knocked:
	case <-news:
	case <-ctx.Done():
	}
}
