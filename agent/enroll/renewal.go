package enroll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// Collectors are what a host asks to stay one; *api.Client is it.
type Collectors interface {
	Renew(ctx context.Context, host fleet.HostID, request api.Renew) (api.Enrolled, error)
	GossipTicket(ctx context.Context) (api.GossipTicket, error)
}

// Renewal keeps a host's certificate, gossip ticket and ring fresh. Home,
// Credentials, Collectors and Log must be set.
type Renewal struct {
	Home        Home
	Credentials *pki.Credentials // replaced by each renewal
	Collectors  Collectors
	Log         *slog.Logger

	// Renewed is called when the credentials are others: connections that wait
	// for reuse show the old ones. Gossip is called with what there is at the
	// start, and when the ticket is another; the ring tells of its changes itself.
	// Addresses is called with where the collectors are, as a renewal says. Each
	// may be nil.
	Renewed   func()
	Gossip    func(Gossip)
	Addresses func([]string)

	rings chan string // digests that were heard
}

// NewRenewal returns one that hears of rings before it runs.
func NewRenewal(home Home, credentials *pki.Credentials, collectors Collectors, log *slog.Logger) *Renewal {
	return &Renewal{Home: home, Credentials: credentials, Collectors: collectors, Log: log, rings: make(chan string, 1)}
}

// A certificate is renewed when about two thirds of its life are over. A fleet
// that was enrolled in one hour does not renew in one.
const (
	renewFrom = 0.61 // of its life
	renewTo   = 0.72
	lookEvery = 5 * time.Minute  // a machine may sleep, and its timers with it
	diskEvery = 10 * time.Second // a person may have enrolled it again
	tryFirst  = 30 * time.Second
	tryMost   = 30 * time.Minute
)

// Run renews until ctx ends. Its one error says that this machine was made
// another host meanwhile.
func (r *Renewal) Run(ctx context.Context) error {
	if err := r.settle(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.watch(ctx) })
	g.Go(func() error { return r.renewEach(ctx) })
	g.Go(func() error { return r.keepTicket(ctx) })
	return g.Wait()
}

// settle removes the key of a renewal that has come to its end.
func (r *Renewal) settle() error {
	text, err := pki.ReadPrivateOf(r.Home.keyOf(forRenewal), r.Home.Owner)
	if err != nil {
		return nil // there is none; one that cannot be read is reported when it is needed
	}
	if key, err := pki.ParseKey(text); err == nil && key.Equal(r.Credentials.Key()) {
		return r.Home.forget(r.Home.keyOf(forRenewal))
	}
	return nil
}

// renewEach renews one certificate after the other.
func (r *Renewal) renewEach(ctx context.Context) error {
	for ctx.Err() == nil {
		due := dueAt(r.Credentials, rand.Float64())
		serial := r.Credentials.Serial()
		if !r.sleepUntil(ctx, due, serial) {
			continue
		}
		r.renewOne(ctx, serial)
	}
	return nil
}

// dueAt returns when a certificate is renewed; chance, from 0 to 1, spreads it.
func dueAt(c *pki.Credentials, chance float64) time.Time {
	life := c.NotAfter().Sub(c.NotBefore())
	return c.NotBefore().Add(time.Duration(float64(life) * (renewFrom + (renewTo-renewFrom)*chance)))
}

// sleepUntil waits for an instant of the wall clock. It returns false when the
// certificate is another meanwhile, or ctx ended.
func (r *Renewal) sleepUntil(ctx context.Context, at time.Time, serial string) bool {
	for {
		left := time.Until(at)
		if r.Credentials.Serial() != serial {
			return false
		}
		if left <= 0 {
			return true
		}
		if !pause(ctx, min(left, lookEvery)) {
			return false
		}
	}
}

// renewOne tries until the certificate of that serial is another, or has
// expired: then only a person can help.
func (r *Renewal) renewOne(ctx context.Context, serial string) {
	for wait := tryFirst; ctx.Err() == nil && r.Credentials.Serial() == serial; wait = min(2*wait, tryMost) {
		if end := r.Credentials.NotAfter(); !time.Now().Before(end) {
			r.Log.Error("certificate expired "+end.UTC().Format(time.RFC3339)+"; run fleetctl agent readmit "+r.Credentials.ID().Name,
				"host", r.Credentials.ID().Name, "expired", end, "hint", "and here: fleetcron-agent enroll --readmit --token-file FILE --address https://COLLECTOR:7770")
			for r.Credentials.Serial() == serial && pause(ctx, lookEvery) {
			}
			return
		}
		err := r.once(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		level := slog.LevelWarn
		if kind := fleet.KindOf(err); kind == fleet.Refused || kind == fleet.Conflict {
			level, wait = slog.LevelError, tryMost // it is suspended or revoked: a person decides
		}
		r.Log.Log(ctx, level, "certificate not renewed", "error", err, "expires", r.Credentials.NotAfter(), "again_in", wait.String())
		pause(ctx, wait)
	}
}

// once asks for the next certificate, with the key that was made for it before.
func (r *Renewal) once(ctx context.Context) error {
	key, err := r.Home.key(forRenewal)
	if err != nil {
		return fmt.Errorf("make the next key: %w", err)
	}
	request, err := pki.Request(key)
	if err != nil {
		return err
	}
	answer, err := r.Collectors.Renew(ctx, fleet.HostID(r.Credentials.ID().Name), api.Renew{Request: string(request), Serial: r.Credentials.Serial()})
	if err != nil {
		return err
	}
	next, err := credentialsOf(answer, key, r.Credentials.Root())
	if err != nil {
		return err
	}
	if next.ID() != r.Credentials.ID() {
		return fleet.Errorf(fleet.Invalid, "the next certificate is of %s, this is %s", next.ID(), r.Credentials.ID())
	}
	if err := r.Home.save(next); err != nil {
		return err
	}
	r.replace(next)
	r.Log.Info("certificate renewed", "host", next.ID().Name, "serial", next.Serial(), "expires", next.NotAfter())
	r.learn(answer)
	return r.Home.forget(r.Home.keyOf(forRenewal))
}

func (r *Renewal) replace(next *pki.Credentials) {
	r.Credentials.Replace(next)
	if r.Renewed != nil {
		r.Renewed()
	}
}

// learn takes what else a renewal brings. The ticket is fetched on its own, so
// that one that is refused says so.
func (r *Renewal) learn(answer api.Enrolled) {
	if err := r.Home.saveCollectors(answer.Collectors); err != nil {
		r.Log.Warn("addresses of collectors not kept", "error", err)
	}
	if r.Addresses != nil && len(answer.Collectors) > 0 {
		r.Addresses(answer.Collectors)
	}
}

// watch takes up an identity that a person has brought by enrolling again.
func (r *Renewal) watch(ctx context.Context) error {
	var seen os.FileInfo
	for pause(ctx, diskEvery) {
		now, err := os.Stat(filepath.Join(r.Home.Identity(), "chain.pem"))
		if err != nil || seen != nil && os.SameFile(seen, now) && seen.ModTime().Equal(now.ModTime()) {
			continue
		}
		found, err := r.Home.Load()
		if err != nil {
			continue // what cannot be read is none of our making, and what we have still counts
		}
		if seen = now; found.Serial() == r.Credentials.Serial() {
			continue
		}
		if found.ID() != r.Credentials.ID() {
			return fleet.Errorf(fleet.Conflict, "this machine was enrolled as %s and was %s", found.ID(), r.Credentials.ID()).WithCode("another_host").
				WithHint("the agent must start again")
		}
		if found.NotAfter().After(r.Credentials.NotAfter()) {
			r.Log.Info("identity taken up from disk", "serial", found.Serial(), "expires", found.NotAfter())
			r.replace(found)
		}
	}
	return nil
}

// pause waits; it returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// errNoTicket says that a collector answered without what was asked for.
var errNoTicket = errors.New("the collector's answer holds no ticket")
