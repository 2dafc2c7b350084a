// Package outside provides the part of an agent that the network can reach: it carries between this host and the collectors, and can run nothing.
//
//	work ──► outbox, standings, adoptions, policy ──┐          ┌──► collectors
//	     ◄── plans, asks, leases ◄──────────────────┼─ uplink ─┤
//	read ──► facts, report, sightings ──────────────┘          └─◄─ gossip: knocks
//
// It keeps nothing of its own but who this host is. Whoever takes it over may
// hold plans back, or lie to the collectors about this host; a plan that people
// did not seal he cannot make work take.
package outside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/agent/enroll"
	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/uplink"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// Config is what it is told.
type Config struct {
	Collectors []string // addresses
	Name       string   // of the host, for people; empty: as the reader says
	StateDir   string   // of the agent; who this host is lies there, and what gossip needs
	Version    string   // of the program
	Gossip     Gossip
	Reloads    <-chan Config // Collectors and Name of the next are taken in; nil: none comes

	// Work and Read connect to the parts of these names.
	Work, Read func(ctx context.Context) (net.Conn, error)
}

// Gossip says how this host is seen, and how it hears of news.
type Gossip struct {
	Bind      string // ip:port; empty: no gossip
	Advertise string // ip:port that others reach it at; empty: Bind, or the host's own address
	Seeds     []string
}

// Run carries until ctx ends.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	work := link.NewClient(link.Net, link.Work, cfg.Version, cfg.Work)
	defer work.Close()
	read := link.NewClient(link.Net, link.Read, cfg.Version, cfg.Read)
	defer read.Close()
	home := enroll.Home{StateDir: cfg.StateDir, Owner: Owner()}
	me, err := awaitIdentity(ctx, home, log)
	if me == nil || err != nil {
		return err
	}
	state, err := awaitWork(ctx, work, log)
	if err != nil || ctx.Err() != nil {
		return err
	}
	if err := sameHost(me, state); err != nil {
		return err
	}
	kept, err := home.Collectors()
	if err != nil {
		log.Warn("where enrolment told that the collectors are cannot be read", "error", err)
	}
	out := &shut{revoked: state.Revoked}
	collectors, err := newClients(cfg, kept, me, out)
	if err != nil {
		return err
	}
	defer collectors.Close()
	doorbell := newDoorbell(cfg, me, collectors, log)
	calls := enroll.Calls{Credentials: me, Addresses: collectors.work.Addresses, UserAgent: "fleetcron-agent/" + cfg.Version, TLS: out.guard(me)}
	renewal := enroll.NewRenewal(home, me, calls, log)
	renewal.Renewed, renewal.Gossip, renewal.Addresses = collectors.hangUp, doorbell.admit, collectors.told
	collectors.heard = renewal.Heard
	up := uplink.New(uplink.Config{
		Collectors: collectors.work, Desk: collectors.desk, Outbox: outbox{work}, Proofs: proofs{work}, Host: fleet.Host{ID: state.Host},
		Index: state.Index, Knocks: doorbell.knocks, Logger: log,
		Take: func(plan *fleet.Plan) error {
			_, err := link.Offer.Call(ctx, work, *plan)
			return err
		},
		Output: func(ctx context.Context, ask api.Ask) (io.ReadCloser, int64, error) {
			before, output, err := link.ReadOutput.Stream(ctx, work, ask)
			return output, before.Dropped, err
		},
		Live: func(ctx context.Context) (api.Live, error) { return link.GetLive.Call(ctx, work, link.Nothing{}) },
		Diff: func(ctx context.Context, wish *fleet.Adoption) (string, error) { return rehearse(ctx, work, wish) },
	})
	lender := link.NewServer(link.Net, cfg.Version, nil, log)
	handleLeases(lender, collectors.work)
	host := newHost(cfg, state.Host, up)
	found := &findings{up: up, work: work}

	log.Info("network part started", "component", "net", "host", state.Host, "collectors", cfg.Collectors, "version", cfg.Version)
	lost := func(what string) func(error) {
		return func(err error) { log.Warn(what+" not heard of for now", "error", err) }
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return up.Run(ctx) })
	g.Go(func() error { return doorbell.Run(ctx) })
	g.Go(func() error { return renewal.Run(ctx) })
	g.Go(func() error { return link.Lend(ctx, work, lender) })
	g.Go(func() error { return host.Run(ctx) })
	g.Go(func() error { return found.Run(ctx) })
	g.Go(func() error { return link.Follow(ctx, read, link.Facts, host.setFacts, lost("facts")) })
	g.Go(func() error {
		return link.Follow(ctx, work, link.Revoked, collectors.shutOut, lost("revoked collectors"))
	})
	g.Go(func() error { return link.Follow(ctx, work, link.Labels, host.setLabels, lost("labels")) })
	g.Go(func() error { return link.Follow(ctx, read, link.Report, found.set, lost("scans")) })
	g.Go(func() error { return link.Follow(ctx, read, link.Sightings, up.SetSightings, lost("sightings")) })
	g.Go(func() error { return link.Follow(ctx, work, link.Stands, up.SetStands, lost("standings")) })
	g.Go(func() error { return link.Follow(ctx, work, link.Applied, up.SetApplied, lost("plans applied")) })
	g.Go(func() error { return link.Follow(ctx, work, link.Policy, up.SetPolicy, lost("the policy")) })
	g.Go(func() error {
		return link.Follow(ctx, work, link.Adoptions, func(words []fleet.Adoption) {
			up.SetAdoptions(words)
			found.again()
		}, lost("adoptions"))
	})
	g.Go(func() error { return reload(ctx, cfg, collectors, host, log) })
	g.Go(func() error { return same(ctx, work, state) })
	return g.Wait()
}

// identityEvery is how often is looked whether a person has enrolled this host,
// and sayEvery how often the log says that it is not.
const (
	identityEvery = 2 * time.Second
	sayEvery      = 10 * time.Minute
)

// awaitIdentity waits until this host is enrolled; what needs nobody goes on
// meanwhile. It returns nil when ctx ends before.
func awaitIdentity(ctx context.Context, home enroll.Home, log *slog.Logger) (*pki.Credentials, error) {
	var said time.Time
	for {
		me, err := home.Load()
		if err == nil {
			return me, nil
		}
		if time.Since(said) >= sayEvery {
			said = time.Now()
			hint := ""
			if e, is := errors.AsType[*fleet.Error](err); is {
				hint = e.Hint
			}
			log.Error("collectors cannot be spoken to, this host goes on alone", "component", "net", "error", err, "hint", hint)
		}
		select {
		case <-time.After(identityEvery):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// sameHost refuses to speak for another host than work is.
func sameHost(me *pki.Credentials, state link.State) error {
	if id := me.ID(); id.Name != string(state.Host) || id.Cluster != state.Cluster {
		return fleet.Errorf(fleet.Conflict, "the certificate is of %s, and the work part is host %s of cluster %q", id, state.Host, state.Cluster).
			WithHint("systemctl restart fleetcron-agent; if that does not help, enrol this host again")
	}
	return nil
}

// How long it waits before it asks work again who this host is.
const (
	askFirst = 100 * time.Millisecond
	askMost  = 5 * time.Second
)

// awaitWork waits until work says who this host is, and which plan is in force.
func awaitWork(ctx context.Context, work *link.Client, log *slog.Logger) (state link.State, err error) {
	for wait := askFirst; ctx.Err() == nil; wait = min(2*wait, askMost) {
		if state, err = link.GetState.Call(ctx, work, link.Nothing{}); err == nil {
			return state, nil
		}
		if fleet.KindOf(err) != fleet.Unavailable && ctx.Err() == nil {
			return state, err
		}
		if wait == askFirst {
			log.Info("the network part waits for the work part", "error", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return state, nil
}

// sameEvery is how often is looked whether work is still who it was.
const sameEvery = 10 * time.Second

// same ends this part when work is another host than before: a person has enrolled
// this machine anew.
func same(ctx context.Context, work *link.Client, was link.State) error {
	tick := time.NewTicker(sameEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		is, err := link.GetState.Call(ctx, work, link.Nothing{})
		if err == nil && (is.Host != was.Host || is.Cluster != was.Cluster) { // those who follow it say when it is away
			return fleet.Errorf(fleet.Conflict, "the work part is host %s now, and was host %s: starting anew", is.Host, was.Host)
		}
	}
}

// reload takes in new configurations until ctx ends.
func reload(ctx context.Context, cfg Config, collectors *clients, host *host, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case next := <-cfg.Reloads:
			if err := collectors.configure(next.Collectors); err != nil {
				log.Error("collectors not changed", "error", err)
				continue
			}
			host.setName(next.Name)
			log.Info("configuration taken in", "component", "net", "collectors", next.Collectors, "name", next.Name)
		}
	}
}

// rehearse asks work what an adoption would change.
func rehearse(ctx context.Context, work *link.Client, wish *fleet.Adoption) (string, error) {
	answer, err := link.Rehearse.Call(ctx, work, *wish)
	if err == nil && answer.Why != "" {
		err = fleet.Errorf(fleet.Refused, "%s", answer.Why)
	}
	return answer.Diff, err
}

// handleLeases lets work ask the collectors for places in the fleet.
func handleLeases(s *link.Server, collectors *api.Client) {
	link.Handle(s, link.TakeLease, func(ctx context.Context, q *link.Lease) (fleet.Lease, error) {
		return collectors.Lease(ctx, q.Host, q.Request)
	})
	link.Handle(s, link.ReturnLease, func(ctx context.Context, q *link.Return) (link.Nothing, error) {
		return link.Nothing{}, collectors.ReturnLease(ctx, q.Host, q.Task, q.Run)
	})
}

// proofs are work's.
type proofs struct{ work *link.Client }

// Proofs waits for blocks to be delivered.
func (p proofs) Proofs(ctx context.Context, after uint64, bytes int) ([]proof.Block, uint64, error) {
	batch, err := link.Proofs.Call(ctx, p.work, link.ProofPage{After: after, Bytes: bytes})
	return batch.Blocks, batch.Last, err
}

// Proven says that the collectors have all blocks up to a number.
func (p proofs) Proven(ctx context.Context, last uint64) error {
	if _, err := link.Proven.Call(ctx, p.work, last); err != nil {
		return fmt.Errorf("proven: %w", err)
	}
	return nil
}

// outbox is work's.
type outbox struct{ work *link.Client }

// Outbox waits for records to be delivered.
func (o outbox) Outbox(ctx context.Context, after uint64, limit int) (api.RunBatch, error) {
	return link.Outbox.Call(ctx, o.work, link.Page{After: after, Limit: limit})
}

// Acknowledge says that the collectors have all records up to a sequence.
func (o outbox) Acknowledge(ctx context.Context, sequence uint64) error {
	_, err := link.Acknowledge.Call(ctx, o.work, sequence)
	if err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}
