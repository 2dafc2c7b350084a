package outside

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/agent/enroll"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// doorbell hears of news and of collectors through gossip. Nothing that it
// hears is obeyed: a knock makes the agent ask, and an address is one more to
// ask at.
type doorbell struct {
	cfg        Config
	me         *pki.Credentials
	join       func(key enroll.Gossip) (*gossip.Mesh, error)
	keys       chan enroll.Gossip // holds the newest
	knocks     chan struct{}
	judge      func(name, role, ticket string) error
	collectors *clients
	log        *slog.Logger
}

func newDoorbell(cfg Config, me *pki.Credentials, collectors *clients, log *slog.Logger) *doorbell {
	d := &doorbell{cfg: cfg, me: me, keys: make(chan enroll.Gossip, 1), knocks: make(chan struct{}, 1), collectors: collectors, log: log}
	d.join = d.enter
	if me != nil {
		d.judge = gossip.NewTickets(me.ID().Cluster, me.Root()).Admit
	}
	return d
}

// enter joins with a ring and a ticket.
func (d *doorbell) enter(key enroll.Gossip) (*gossip.Mesh, error) {
	id, dir := d.me.ID(), filepath.Join(d.cfg.StateDir, "net")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return gossip.Join(gossip.Config{
		Name: id.Name, Role: string(id.Role), Ticket: key.Ticket, Ring: key.Ring, Label: "fc-" + id.Cluster,
		Bind: d.cfg.Gossip.Bind, Advertise: d.cfg.Gossip.Advertise, Seeds: slices.Concat(d.cfg.Gossip.Seeds, key.Seeds),
		Snapshot: filepath.Join(dir, "gossip.snapshot"), Admit: d.judge, Logger: d.log,
	})
}

// admit takes in another ring or ticket.
func (d *doorbell) admit(key enroll.Gossip) {
	select {
	case <-d.keys: // older
	default:
	}
	d.keys <- key // only one goroutine admits: there is room
}

// How long it waits before it joins again.
const (
	joinFirst = 5 * time.Second
	joinMost  = 5 * time.Minute
)

// Run listens until ctx ends, and then says goodbye. An agent that cannot join,
// because its port is taken or it has no ticket, does without until it can: a
// doorbell is a convenience.
func (d *doorbell) Run(ctx context.Context) error {
	if d.cfg.Gossip.Bind == "" {
		d.log.Info("no gossip: gossip.bind is empty, asking by HTTPS alone")
		return nil
	}
	var key enroll.Gossip
	select {
	case key = <-d.keys:
	case <-ctx.Done():
		return nil
	}
	for pause := joinFirst; ctx.Err() == nil; pause = min(2*pause, joinMost) {
		began := time.Now()
		next, err := d.once(ctx, key)
		if ctx.Err() != nil {
			return nil
		}
		if next != nil {
			key, pause = *next, joinFirst
			continue
		}
		if time.Since(began) > joinMost {
			pause = joinFirst
		}
		d.log.Warn("no gossip for now, asking by HTTPS alone", "error", err, "again_in", pause.String())
		select {
		case <-ctx.Done():
		case key = <-d.keys:
		case <-time.After(pause):
		}
	}
	return nil
}

// once joins and listens as long as that goes well, or until there is another
// ring. Another ticket is worn at once, and nobody sees this host leave for it.
func (d *doorbell) once(ctx context.Context, key enroll.Gossip) (next *enroll.Gossip, err error) {
	mesh, err := d.join(key)
	if err != nil {
		return nil, err
	}
	defer mesh.Close()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return mesh.Run(gctx) })
	g.Go(func() error { return d.listen(gctx, mesh) })
	g.Go(func() error {
		for {
			select {
			case newer := <-d.keys:
				if newer.Ring != key.Ring {
					next = &newer
					return errRing
				}
				if err := mesh.SetTicket(newer.Ticket); err != nil {
					d.log.Warn("the new gossip ticket is not worn", "error", err)
				}
			case <-gctx.Done():
				return nil
			}
		}
	})
	err = g.Wait()
	if ctx.Err() != nil {
		if err := mesh.Leave(); err != nil {
			d.log.Debug("no goodbye to the others", "error", err)
		}
	}
	return next, err
}

var (
	// errSilent says that the mesh tells nothing any more.
	errSilent = errors.New("gossip has ended")
	// errRing says that there is another ring.
	errRing = errors.New("there is another ring")
)

func (d *doorbell) listen(ctx context.Context, mesh *gossip.Mesh) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-mesh.Events():
			if !open {
				return errSilent
			}
			d.hear(mesh, event)
		}
	}
}

func (d *doorbell) hear(mesh *gossip.Mesh, event gossip.Event) {
	if event.Kind == gossip.Knock {
		select {
		case d.knocks <- struct{}{}:
		default:
		}
		return
	}
	if event.Member.Tags["role"] != "collector" {
		return
	}
	var found []string
	for _, member := range mesh.Members() {
		if member.Tags["role"] == "collector" && member.Status == gossip.StatusAlive {
			found = append(found, member.Tags["api"])
		}
	}
	if err := d.collectors.discovered(found); err != nil {
		d.log.Warn("collectors heard of are not usable", "error", err)
	}
}
