package outside

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
)

// doorbell hears of news and of collectors through gossip. Nothing that it
// hears is obeyed: a knock makes the agent ask, and an address is one more to
// ask at.
type doorbell struct {
	join       func() (*gossip.Mesh, error) // nil: no gossip
	knocks     chan struct{}
	collectors *clients
	log        *slog.Logger
}

func newDoorbell(cfg Config, id fleet.HostID, collectors *clients, log *slog.Logger) *doorbell {
	d := &doorbell{knocks: make(chan struct{}, 1), collectors: collectors, log: log}
	if cfg.Gossip.KeyFile == "" {
		log.Info("no gossip: gossip.key_file is not set, asking by HTTP alone")
		return d
	}
	d.join = func() (*gossip.Mesh, error) {
		return gossip.Join(gossip.Config{
			Name: string(id), Bind: cfg.Gossip.Bind, Label: cfg.Gossip.Label, Keyring: cfg.Gossip.KeyFile,
			Tags: map[string]string{"role": "agent"}, Seeds: cfg.Gossip.Seeds,
			Snapshot: filepath.Join(cfg.Dir, "gossip.snapshot"), Logger: log,
		})
	}
	return d
}

// How long it waits before it joins again.
const (
	joinFirst = 5 * time.Second
	joinMost  = 5 * time.Minute
)

// Run listens until ctx ends, and then says goodbye. An agent that cannot join,
// because its port is taken or its keyring cannot be read, does without until it
// can: a doorbell is a convenience.
func (d *doorbell) Run(ctx context.Context) error {
	if d.join == nil {
		return nil
	}
	for pause := joinFirst; ctx.Err() == nil; pause = min(2*pause, joinMost) {
		began := time.Now()
		err := d.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > joinMost {
			pause = joinFirst
		}
		d.log.Warn("no gossip for now, asking by HTTP alone", "error", err, "again_in", pause.String())
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// once joins and listens as long as that goes well.
func (d *doorbell) once(ctx context.Context) error {
	mesh, err := d.join()
	if err != nil {
		return err
	}
	defer mesh.Close()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return mesh.Run(gctx) })
	g.Go(func() error { return d.listen(gctx, mesh) })
	err = g.Wait()
	if ctx.Err() != nil {
		if err := mesh.Leave(); err != nil {
			d.log.Debug("no goodbye to the others", "error", err)
		}
	}
	return err
}

// errSilent says that the mesh tells nothing any more.
var errSilent = errors.New("gossip has ended")

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
