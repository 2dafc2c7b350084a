package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// peers speaks to the other collectors, as this one.
type peers struct {
	self        fleet.CollectorID
	version     string
	credentials *pki.Credentials
	transport   *http.Transport
	known       func() ([]ledger.Collector, error)
	leader      func() fleet.CollectorID
}

// peerTransport carries requests to other collectors, as far as they are
// welcome: one that was revoked has its certificate still, and could stand in
// for another.
func peerTransport(credentials *pki.Credentials, judge pki.Judge) *http.Transport {
	conf := credentials.ClientTLS(pki.PlanePeer, pki.RoleCollector)
	verify := conf.VerifyConnection
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state); err != nil {
			return err
		}
		id, serial, err := pki.PeerOf(state)
		if err != nil {
			return err
		}
		return judge(id, serial)
	}
	return &http.Transport{
		TLSClientConfig: conf, TLSHandshakeTimeout: knockLimit,
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: 2 * api.MaxWait, MaxResponseHeaderBytes: 64 << 10,
	}
}

// client returns a client that speaks to these addresses.
func (p *peers) client(addresses ...string) (*api.Client, error) {
	return api.NewClient(api.Config{
		Addresses: addresses, Transport: p.transport, Timeout: 10 * time.Second, Rounds: 1, UserAgent: "fleetcron-collector/" + p.version,
	})
}

// leadersAddress returns where the leader's API is; empty: nobody else is known
// to lead, or not where.
func (p *peers) leadersAddress() string {
	leader := p.leader()
	list, err := p.known()
	if err != nil || leader == p.self {
		return ""
	}
	for _, c := range list {
		if c.ID == leader {
			return c.API
		}
	}
	return ""
}

// openRing opens the gossip keys. A collector that was enrolled by hand has
// none yet and asks those it was told of.
func (p *peers) openRing(ctx context.Context, cfg *Config) (*gossip.Ring, error) {
	ring, err := gossip.OpenRing(cfg.keyFile())
	if !errors.Is(err, fs.ErrNotExist) || len(cfg.members()) == 0 {
		return ring, err
	}
	err = p.takeRing(ctx, func(keys []string) error {
		ring, err = gossip.MakeRing(cfg.keyFile(), keys...)
		return err
	}, cfg.members()...)
	return ring, err
}

// ringEvery is how often the leader looks whether a rotation of the gossip key
// takes its next step, and the others whether the leader has another ring.
const ringEvery = 10 * time.Second

// stepRing carries a rotation of the gossip key on, as only the leader does.
func stepRing(ctx context.Context, step func(time.Time) (time.Duration, error), log *slog.Logger) error {
	for {
		wait, err := step(time.Now())
		if err != nil {
			log.Error("gossip key not rotated", "error", err)
		}
		if wait <= 0 || wait > ringEvery {
			wait = ringEvery // a rotation may be asked for meanwhile
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// followRing takes over the ring of whoever leads, where that is another.
func (p *peers) followRing(ctx context.Context, take func([]string) error, log *slog.Logger) error {
	tick := time.NewTicker(ringEvery)
	defer tick.Stop()
	for {
		if leader := p.leadersAddress(); leader != "" {
			if err := p.takeRing(ctx, take, leader); err != nil && ctx.Err() == nil {
				log.Warn("gossip keys of the leader not taken over", "leader", leader, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// takeRing asks one of these collectors for the ring.
func (p *peers) takeRing(ctx context.Context, take func([]string) error, addresses ...string) error {
	client, err := p.client(addresses...)
	if err != nil {
		return err
	}
	ticket, err := client.GossipTicket(ctx)
	if err != nil {
		return err
	}
	if len(ticket.Keys) == 0 {
		return errors.New("no keys in the answer")
	}
	return take(ticket.Keys)
}
