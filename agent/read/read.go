// Package read provides the part of an agent that sees everything that is scheduled on its host, and can do nothing else.
//
//	/etc/cron* … ──► discover ──► report, masked ──┐
//	logs, journal ─► evidence ──► sightings ───────┤
//	/etc, /proc ───► facts ────────────────────────┴──► socket ──► net, work
//
// It calls nobody and knows nobody's address: it answers on one socket. net
// hears what may leave the host; work alone may look at what stands there, so
// that an adopted job runs with the secrets that its line holds.
package read

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/agent/discover"
	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Config is what a reader needs.
type Config struct {
	Root     string // tree that is scanned
	Name     string // of the host, for people; empty: its hostname
	StateDir string // of the agent; the key of masks is there
	Dir      string // the reader's own; made when missing
	Version  string // of the program
	Net      link.Peers
	Work     link.Peers
	Names    <-chan string // other names, while it runs; nil: none
}

// reader is what it knows.
type reader struct {
	cfg       Config
	masker    *mask.Masker
	facts     *link.Told[fleet.Host]
	report    *link.Told[*fleet.Report]
	sightings *link.Told[fleet.Sightings]
	log       *slog.Logger
}

// Run reads, and answers on the listener, until ctx ends.
func Run(ctx context.Context, cfg Config, listener net.Listener, log *slog.Logger) error {
	defer listener.Close()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("the reader's directory: %w", err)
	}
	masker, err := awaitMasker(ctx, cfg.StateDir, log)
	if masker == nil || err != nil {
		return err
	}
	r := &reader{
		cfg: cfg, masker: masker, log: log,
		facts: link.NewTold[fleet.Host](), report: link.NewTold[*fleet.Report](), sightings: link.NewTold[fleet.Sightings](),
	}
	host, err := r.describe(ctx)
	if err != nil {
		return err
	}
	seen := newWitness(r)
	found := &inventory{reader: r, host: host, seen: seen}
	server := link.NewServer(link.Read, cfg.Version, map[link.Part]link.Peers{link.Net: cfg.Net, link.Work: cfg.Work}, log)
	link.HandleTold(server, link.Facts, r.facts)
	link.HandleTold(server, link.Report, r.report)
	link.HandleTold(server, link.Sightings, r.sightings)
	link.Handle(server, link.Look, func(ctx context.Context, _ *link.Nothing) (link.Sight, error) { return r.look(ctx) })

	log.Info("reader started", "component", "read", "root", cfg.Root, "uid", os.Geteuid())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Serve(ctx, listener) })
	g.Go(func() error { return found.Run(ctx) })
	g.Go(func() error { return seen.Run(ctx) })
	return g.Wait()
}

// How often is looked for the key of masks, which work draws.
const (
	keyFirst = 20 * time.Millisecond
	keyMost  = 2 * time.Second
)

// awaitMasker waits until there is a key: nothing is told that is not masked. It
// returns nil when ctx ends before.
func awaitMasker(ctx context.Context, stateDir string, log *slog.Logger) (*mask.Masker, error) {
	said := false
	for wait := keyFirst; ; wait = min(2*wait, keyMost) {
		masker, err := mask.OpenKey(filepath.Join(stateDir, mask.KeyFile))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return masker, err
		}
		if !said && wait == keyMost {
			said = true
			log.Info("the reader waits for the key of masks, which the work part draws when it first starts", "dir", stateDir)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// Masker returns the masker of a host on which an agent has run. Where none has,
// its key is one that nobody keeps.
func Masker(stateDir string) (*mask.Masker, error) {
	masker, err := mask.OpenKey(filepath.Join(stateDir, mask.KeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return mask.Passing(), nil
	}
	return masker, err
}

// describe says what this machine is, and tells it.
func (r *reader) describe(ctx context.Context) (fleet.Host, error) {
	host, err := discover.Facts(ctx, r.cfg.Root)
	if err != nil {
		return host, fmt.Errorf("describe this host: %w", err)
	}
	if r.cfg.Name != "" {
		host.Name = r.cfg.Name
	}
	host.AgentVersion = r.cfg.Version
	return host, nil
}

// look scans the host now, apart from the scans for reports.
func (r *reader) look(ctx context.Context) (link.Sight, error) {
	host, err := r.describe(ctx)
	if err != nil {
		return link.Sight{}, err
	}
	report, err := discover.Scan(ctx, r.cfg.Root, discover.Options{Host: host.Name})
	if err != nil {
		return link.Sight{}, err
	}
	return link.Sight{Host: host, Found: report, Masked: *r.masker.Report(&report)}, nil
}
