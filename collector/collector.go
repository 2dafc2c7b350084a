// Package collector provides a collector: one member of the group that keeps
// the inventory of a fleet and answers for it.
//
//	agents, fleetctl ──► httpd ──► replica ──► raft log, a majority's disks
//	       browsers ──► web ─┐        │
//	                         │        ▼
//	                         └──► ledger ──► search
//	     the others ◄──► gossip (who is here; the doorbell)
//
// What is written goes down the left column and is answered when a majority
// has it; what is read comes from the ledger of whoever is asked.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/collector/search"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/taskfile"
	"github.com/fleetcron/fleetcron/web"
)

// Run runs a collector until ctx ends. Closing happens in the reverse order of
// opening: nobody new is let in, then leadership is handed over, then the
// files are closed.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	if cfg.Store == StoreMemory {
		memory, err := takeMemory(&cfg, memoryDir)
		if err != nil {
			return err
		}
		defer memory.Close()
		if err := Init(cfg, map[fleet.CollectorID]string{fleet.CollectorID(cfg.ID): cfg.Listen.Raft}); err != nil {
			return err
		}
		log.Warn("state is kept in memory and is gone when this collector ends", "store", cfg.Store)
	}
	book, err := openLedger(cfg)
	if err != nil {
		return err
	}
	defer book.Close()
	index := search.New(book)

	apiListener, err := net.Listen("tcp", cfg.Listen.API)
	if err != nil {
		return fmt.Errorf("listen.api: %w", err)
	}
	defer apiListener.Close()
	webListener, err := net.Listen("tcp", cfg.Listen.Web)
	if err != nil {
		return fmt.Errorf("listen.web: %w", err)
	}
	defer webListener.Close()

	mesh, err := gossip.Join(gossip.Config{
		Name: cfg.ID, Bind: cfg.Listen.Gossip, Label: cfg.Gossip.Label, Keyring: cfg.keyFile(),
		Tags: map[string]string{"role": "collector", "api": cfg.apiURL()}, Seeds: cfg.Gossip.Seeds, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("join gossip: %w", err)
	}
	defer mesh.Close()
	defer mesh.Leave() // the others need not wait to see that this was no failure
	hosts := newPresence(mesh.Members)

	raft, err := replica.Open(replica.Config{ID: fleet.CollectorID(cfg.ID), Dir: cfg.raftDir(), Bind: cfg.Listen.Raft, Ledger: book, Logger: log})
	if err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	defer raft.Close()

	server, err := httpd.New(httpd.Deps{
		Ledger: book, Search: index, Replica: group{raft}, ParseTask: taskfile.ParseOne, FormatTask: taskfile.Format,
		Authenticator: &httpd.Gate{Register: strangers{}}, Presence: hosts, Checks: checks(mesh.Members), AllowedHosts: cfg.Hosts, Logger: log, Version: cfg.Version,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	index.OverdueBy(server.IsOverdue)
	pages := web.Handler(server, web.Options{AllowedHosts: cfg.Hosts, Version: cfg.Version, Logger: log})

	leader := &lead{retention: cfg.Retention, propose: raft.Propose, watch: book.Watch, ring: func() { mesh.Knock() }, log: log}
	log.Info("collector started", "id", cfg.ID, "api", cfg.apiURL(), "web", "http://"+cfg.Listen.Web, "version", cfg.Version)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return index.Run(ctx) })
	g.Go(func() error { return server.Follow(ctx) })
	g.Go(func() error { return mesh.Run(ctx) })
	g.Go(func() error { return hosts.Run(ctx, mesh.Events()) })
	g.Go(func() error { return raft.WhileLeading(ctx, leader.Run) })
	g.Go(func() error { return announce(ctx, cfg, raft, book, log) })
	g.Go(func() error { return serve(ctx, httpd.NewHTTPServer(cfg.Listen.API, server.Handler(pki.PlaneOperator)), apiListener, server.Close) })
	g.Go(func() error { return serve(ctx, httpd.NewHTTPServer(cfg.Listen.Web, pages), webListener, nil) })
	return g.Wait()
}

// Init makes a new cluster with these members, once. The ledger, the raft log
// and the gossip keyring of this collector are made; the other members need
// the keyring and nothing else.
func Init(cfg Config, members map[fleet.CollectorID]string) error {
	if members[fleet.CollectorID(cfg.ID)] != cfg.Listen.Raft {
		return &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{
			Field: "members", Value: cfg.ID + "=" + members[fleet.CollectorID(cfg.ID)],
			Reason: "must name this collector with its own raft address, " + cfg.ID + "=" + cfg.Listen.Raft,
		}}}
	}
	book, err := openLedger(cfg)
	if err != nil {
		return err
	}
	defer book.Close()
	raft, err := replica.Open(replica.Config{ID: fleet.CollectorID(cfg.ID), Dir: cfg.raftDir(), Bind: cfg.Listen.Raft, Ledger: book, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	defer raft.Close()
	var list []replica.Member
	for id, address := range members {
		list = append(list, replica.Member{ID: id, Address: address, Voter: true})
	}
	if err := raft.Bootstrap(list); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	_, err = gossip.MakeRing(cfg.keyFile())
	if errors.Is(err, os.ErrExist) {
		return nil // the keyring of an earlier cluster, or one that was brought along
	}
	return err
}

// openLedger opens the ledger and makes the data directory where it is missing.
func openLedger(cfg Config) (*ledger.Ledger, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	book, err := ledger.Open(filepath.Join(cfg.DataDir, "ledger.db"))
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return book, nil
}

func (c *Config) raftDir() string { return filepath.Join(c.DataDir, "raft") }

// stopIn is how long requests under way may take when the collector stops.
const stopIn = 5 * time.Second

// serveHall answers on one plane of a door.
func serveHall(ctx context.Context, h *hall, handler http.Handler, release func() error) error {
	server := httpd.NewHTTPServer(h.Addr().String(), handler)
	introduceTLS(server)
	return serve(ctx, server, h, release)
}

// serve answers on the listener until ctx ends, and lets requests under way end.
func serve(ctx context.Context, server *http.Server, listener net.Listener, release func() error) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	if release != nil {
		release() // those who wait are answered now
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopIn)
	defer cancel()
	if server.Shutdown(patience) != nil {
		server.Close()
	}
	<-failed
	return nil
}
