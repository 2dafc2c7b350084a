package agent

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
)

// doorbell hears of news and of collectors through gossip. Nothing that it
// hears is obeyed: a knock makes the agent ask, and an address is one more to
// ask at.
type doorbell struct {
	mesh       *gossip.Mesh // nil: no gossip
	knocks     chan struct{}
	collectors *clients
	log        *slog.Logger
}

func joinMesh(cfg Config, id fleet.HostID, collectors *clients, log *slog.Logger) (*doorbell, error) {
	d := &doorbell{knocks: make(chan struct{}, 1), collectors: collectors, log: log}
	if cfg.Gossip.KeyFile == "" {
		log.Info("no gossip: gossip.key_file is not set, asking by HTTP alone")
		return d, nil
	}
	var err error
	d.mesh, err = gossip.Join(gossip.Config{
		Name: string(id), Bind: cfg.Gossip.Bind, Label: cfg.Gossip.Label, Keyring: cfg.Gossip.KeyFile,
		Tags: map[string]string{"role": "agent"}, Seeds: cfg.Gossip.Seeds,
		Snapshot: filepath.Join(cfg.StateDir, "gossip.snapshot"), Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("join gossip: %w", err)
	}
	return d, nil
}

// Run listens until ctx ends, and then says goodbye.
func (d *doorbell) Run(ctx context.Context) error {
	if d.mesh == nil {
		return nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.mesh.Run(gctx) })
	g.Go(func() error {
		d.listen(gctx)
		return nil
	})
	err := g.Wait()
	if ctx.Err() != nil {
		if err := d.mesh.Leave(); err != nil {
			d.log.Debug("no goodbye to the others", "error", err)
		}
	}
	return err
}

func (d *doorbell) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case event, open := <-d.mesh.Events():
			if !open {
				return
			}
			d.hear(event)
		}
	}
}

func (d *doorbell) hear(event gossip.Event) {
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
	for _, member := range d.mesh.Members() {
		if member.Tags["role"] == "collector" && member.Status == gossip.StatusAlive {
			found = append(found, member.Tags["api"])
		}
	}
	if err := d.collectors.discovered(found); err != nil {
		d.log.Warn("collectors heard of are not usable", "error", err)
	}
}

// Close leaves the mesh.
func (d *doorbell) Close() error {
	if d.mesh == nil {
		return nil
	}
	return d.mesh.Close()
}

// addresses are where collectors may be: as configured, and as heard.
type addresses struct {
	mu         sync.Mutex
	configured []string
	heard      []string
}

func (c *clients) configure(configured []string) error {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	c.known.configured = configured
	return c.apply()
}

// discovered adds the addresses that other members tell of, as far as they
// could also stand in the configuration.
func (c *clients) discovered(heard []string) error {
	heard = slices.DeleteFunc(heard, func(address string) bool { return wrongCollector(address) != "" })
	slices.Sort(heard)
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	if len(heard) == 0 || slices.Equal(heard, c.known.heard) {
		return nil // those heard of before are kept: they may come back
	}
	c.known.heard = heard
	return c.apply()
}

// apply tells the clients; the caller holds the lock.
func (c *clients) apply() error {
	all := slices.Concat(c.known.configured, c.known.heard)
	if err := c.work.SetAddresses(all); err != nil {
		return err
	}
	return c.desk.SetAddresses(all)
}
