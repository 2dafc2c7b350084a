// Package collector provides a collector: one member of the group that keeps
// the inventory of a fleet and answers for it.
//
//	agents, collectors, ┐  TLS: who is it?
//	newcomers, people   ├──► door ──► httpd ──► replica ──► raft log, a majority's disks
//	                    ┘              │          │
//	       browsers ──► web ───────────┘          ▼
//	                                    search ◄── ledger
//	     the others ◄──► gossip (who is here; the doorbell)
//
// Nobody is let in who is not known: the door asks for a certificate of the
// plane's role, httpd for what a caller may do, raft and gossip for membership
// and a ticket. What is written goes through raft and is answered when a
// majority has it; what is read comes from the ledger of whoever is asked.
package collector

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/identity"
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
		kit, err := Init(ctx, cfg)
		if err != nil {
			return err
		}
		log.Warn("state is kept in memory and is gone when this collector ends", "store", cfg.Store, "admin", kit.Dir)
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	me, err := loadSelf(&cfg)
	if err != nil {
		return err
	}
	if me, err = me.freshen(&cfg, time.Now(), log); err != nil {
		return err
	}
	me.authority.SetAgentLife(time.Duration(cfg.AgentLife))
	book, err := openLedger(cfg)
	if err != nil {
		return err
	}
	defer book.Close()
	index := search.New(book)
	judge := welcome(book.AdmitNode)

	apiListener, err := net.Listen("tcp", cfg.Listen.API)
	if err != nil {
		return fmt.Errorf("listen.api: %w", err)
	}
	defer apiListener.Close()
	door := newDoor(apiListener, me.credentials, judge, log, planes...)
	webListener, err := net.Listen("tcp", cfg.Listen.Web)
	if err != nil {
		return fmt.Errorf("listen.web: %w", err)
	}
	defer webListener.Close()

	raft, err := replica.Open(cfg.replica(me, book, log))
	if err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	defer raft.Close()
	others := &peers{
		self: fleet.CollectorID(cfg.ID), version: cfg.Version, credentials: me.credentials, transport: peerTransport(me.credentials, judge),
		known: book.Collectors, leader: group{raft}.Leader,
	}
	defer others.transport.CloseIdleConnections()

	ring, err := others.openRing(ctx, &cfg)
	if err != nil {
		return err
	}
	mesh, err := joinMesh(&cfg, me, ring, book.AdmitNode, log)
	if err != nil {
		return fmt.Errorf("join gossip: %w", err)
	}
	defer mesh.Close()
	defer mesh.Leave() // the others need not wait to see that this was no failure
	hosts := newPresence(mesh.Members)

	server, err := httpd.New(httpd.Deps{
		Ledger: book, Search: index, Replica: group{raft}, ParseTask: taskfile.ParseOne, FormatTask: taskfile.Format,
		Authenticator: &httpd.Gate{Register: book}, Peers: others.transport, Authority: me.authority, Ring: ring, Seeds: seeds(mesh.Members), Sessions: identity.NewSessions(), Web: cfg.webURL(),
		Vouch:    func(sum []byte) ([]byte, error) { return me.credentials.Vouch(aBackup, sum) },
		Presence: hosts, Checks: checks(mesh.Members), AllowedHosts: cfg.hosts(), Logger: log, Version: cfg.Version,
	})
	if err != nil {
		return err
	}
	release := sync.OnceValue(server.Close)
	defer release()
	index.OverdueBy(server.IsOverdue)
	door.refused, door.copied = server.NoteHandshake, server.NoteCopied
	pages := web.Handler(server, web.Options{Login: server, AllowedHosts: cfg.hosts(), Version: cfg.Version, Logger: log})

	leader := &lead{retention: cfg.Retention, propose: raft.Propose, watch: book.Watch, ring: func() { mesh.Knock() }, step: ring.Step, log: log}
	owner := &local{dir: cfg.DataDir, give: tokenGiver(fleet.CollectorID(cfg.ID), raft), log: log}
	log.Info("collector started", "id", cfg.ID, "cluster", me.authority.Cluster(), "api", cfg.apiURL(), "web", cfg.webURL(), "version", cfg.Version)
	if at, err := netip.ParseAddrPort(cfg.Listen.API); err == nil && at.Addr().IsLoopback() {
		log.Info("only this machine reaches this collector; set advertise to its IP address to let others in", "api", cfg.apiURL())
	}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return index.Run(ctx) })
	g.Go(func() error { return server.Follow(ctx) })
	g.Go(func() error { return mesh.Run(ctx) })
	g.Go(func() error { return hosts.Run(ctx, mesh.Events()) })
	g.Go(func() error { return raft.WhileLeading(ctx, leader.Run) })
	g.Go(func() error { return announce(ctx, cfg, raft, book, others, log) })
	g.Go(func() error { return others.followRing(ctx, ring.Take, log) })
	g.Go(func() error { return me.mind(ctx, log) })
	g.Go(func() error { return owner.Run(ctx) })
	g.Go(func() error { return door.Run(ctx) })
	g.Go(func() error {
		return door.Watch(ctx, nodesOf(book), func() { raft.Rejudge(); hosts.learn(); others.transport.CloseIdleConnections() })
	})
	for _, plane := range planes {
		g.Go(func() error { return serveHall(ctx, door.halls[plane], server.Handler(plane), release, log) })
	}
	g.Go(func() error { return serveWeb(ctx, &cfg, me, webListener, pages, log) })
	return g.Wait()
}

// seeds returns where the collectors can be met in gossip.
func seeds(members func() []gossip.Member) func() []string {
	return func() (addresses []string) {
		for _, member := range members() {
			if member.Role == string(pki.RoleCollector) && member.Status == gossip.StatusAlive {
				addresses = append(addresses, member.Addr.String())
			}
		}
		return addresses
	}
}

// planes are those of the API's port.
var planes = []pki.Plane{pki.PlaneAgent, pki.PlanePeer, pki.PlaneEnroll, pki.PlaneOperator}

// nodesOf returns what is closed at the next change of a node.
func nodesOf(book *ledger.Ledger) func() <-chan struct{} {
	return func() <-chan struct{} {
		_, changed := book.Watch(ledger.Nodes)
		return changed
	}
}

// serveWeb answers browsers: with TLS, but on loopback.
func serveWeb(ctx context.Context, cfg *Config, me self, listener net.Listener, pages http.Handler, log *slog.Logger) error {
	if cfg.plainWeb() {
		return serve(ctx, httpd.NewHTTPServer(cfg.Listen.Web, pages), listener, nil, log)
	}
	entrance := newDoor(listener, me.credentials, nil, log, pki.PlaneOperator)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return entrance.Run(ctx) })
	g.Go(func() error { return serveHall(ctx, entrance.halls[pki.PlaneOperator], pages, nil, log) })
	return g.Wait()
}

// joinMesh joins gossip as this collector. A member needs a ticket, and that
// its node is not suspended or revoked.
func joinMesh(cfg *Config, me self, ring *gossip.Ring, admit func(kind fleet.PrincipalKind, id, serial string) error, log *slog.Logger) (*gossip.Mesh, error) {
	cluster := me.authority.Cluster()
	ticket, err := me.authority.Ticket(me.credentials.ID(), me.authority.Expires())
	if err != nil {
		return nil, err
	}
	tickets := gossip.NewTickets(cluster, me.credentials.Root())
	join := gossip.Config{
		Name: cfg.ID, Role: string(pki.RoleCollector), Ticket: ticket, Bind: cfg.Listen.Gossip, Label: "fc-" + cluster, Ring: ring,
		Tags: map[string]string{"api": cfg.apiURL()}, Seeds: cfg.Gossip.Seeds, Logger: log,
		Admit: func(name, role, ticket string) error {
			if err := tickets.Admit(name, role, ticket); err != nil {
				return err
			}
			return inForce(admit(kinds[pki.Role(role)], name, ""))
		},
	}
	if cfg.Advertise != "" {
		join.Advertise = cfg.reached(cfg.Listen.Gossip)
	}
	return gossip.Join(join)
}

// replica returns what the raft group needs to know.
func (c *Config) replica(me self, book *ledger.Ledger, log *slog.Logger) replica.Config {
	return replica.Config{
		ID: fleet.CollectorID(c.ID), Dir: filepath.Join(c.DataDir, "raft"), Bind: c.Listen.Raft, Advertise: c.reached(c.Listen.Raft),
		Ledger: book, Logger: log, Credentials: me.credentials, Judge: welcome(book.AdmitNode), Timing: c.timing,
	}
}

// openLedger opens the ledger in a data directory that is locked.
func openLedger(cfg Config) (*ledger.Ledger, error) {
	book, err := ledger.Open(filepath.Join(cfg.DataDir, "ledger.db"))
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return book, nil
}

// stopIn is how long requests under way may take when the collector stops.
const stopIn = 5 * time.Second

// serveHall answers on one plane of a door.
func serveHall(ctx context.Context, h *hall, handler http.Handler, release func() error, log *slog.Logger) error {
	server := httpd.NewHTTPServer(h.Addr().String(), handler)
	introduceTLS(server)
	return serve(ctx, server, h, release, log)
}

// serve answers on the listener until ctx ends, and lets requests under way end.
func serve(ctx context.Context, server *http.Server, listener net.Listener, release func() error, log *slog.Logger) error {
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug) // such as of browsers that speak no TLS
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
