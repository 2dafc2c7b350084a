package uplink

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// renewEvery is about how often the inventory is sent although nothing
// changed, in case the collectors were restored from an old backup.
const renewEvery = 6 * time.Hour

// inventory is what the collectors are to know about this host.
type inventory struct {
	mu         sync.Mutex
	host       fleet.Host
	version    int // of host, from 1
	sent       int // the version that the collectors have; zero: none
	report     *fleet.Report
	hash       string // of report
	hashSent   string
	news       chan struct{} // holds one when something is to be sent
	registered chan struct{} // closed and replaced when the host was registered
}

// SetHost says who this host is from now on.
func (u *Uplink) SetHost(host fleet.Host) {
	v := &u.inventory
	v.mu.Lock()
	defer v.mu.Unlock()
	v.host = host
	v.version++
	poke(v.news)
}

// SetReport says what a scan found. It is sent when it differs from the last.
func (u *Uplink) SetReport(report *fleet.Report) {
	hash := report.ContentHash()
	v := &u.inventory
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report, v.hash = report, hash
	if hash != v.hashSent {
		poke(v.news)
	}
}

// forget makes everything be sent again: a collector does not know this host.
func (v *inventory) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sent, v.hashSent = 0, ""
	poke(v.news)
}

// forget makes all that is known of this host be sent again.
func (u *Uplink) forget() {
	u.inventory.forget()
	u.sightings.forget()
	u.stands.forget()
	u.policy.forget()
}

// reported reports whether the collectors have the report as it is now.
func (v *inventory) reported() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.report != nil && v.hash == v.hashSent
}

func (v *inventory) nextRegistration() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.registered
}

func (u *Uplink) sendInventory(ctx context.Context) {
	v := &u.inventory
	for {
		renew := time.NewTimer(renewEvery + rand.N(renewEvery/4))
		select {
		case <-ctx.Done():
			renew.Stop()
			return
		case <-v.news:
		case <-renew.C:
			u.forget()
		}
		renew.Stop()
		u.persist(ctx, v.news, u.sendNews)
	}
}

// sendNews sends what the collectors do not have yet. It looks anew at each
// attempt: in the meantime there may be something newer.
func (u *Uplink) sendNews(ctx context.Context) error {
	v := &u.inventory
	v.mu.Lock()
	host, version, sent := v.host, v.version, v.sent
	report, hash, hashSent := v.report, v.hash, v.hashSent
	v.mu.Unlock()
	if version == 0 { // nobody said yet who this host is
		return errNothing
	}
	if version != sent {
		if err := u.config.Collectors.Register(ctx, host); err != nil {
			return err
		}
		v.mu.Lock()
		v.sent = version
		close(v.registered)
		v.registered = make(chan struct{})
		v.mu.Unlock()
	}
	if report == nil || hash == hashSent {
		if version == sent {
			return errNothing
		}
		return nil
	}
	if _, err := u.config.Collectors.Report(ctx, u.id, report); err != nil {
		return err
	}
	v.mu.Lock()
	v.hashSent = hash
	v.mu.Unlock()
	u.sightings.reported(report)
	u.log.Info("inventory reported", "jobs", len(report.Jobs), "problems", len(report.Problems))
	return nil
}
