// Package agent provides an agent: it tells the collectors what is scheduled on
// its host, and runs on it what it was given, whether they answer or not.
//
//	/etc/cron* …  ──► discover ─┐ reports, masked     ┌─► plan on disk
//	logs, journal ──► evidence ─┤ sightings           │      │
//	                            ▼                     │      ▼
//	collectors ◄── HTTPS ──► uplink ──── plan ────────┘  scheduler ◄─────────┐
//	                          ▲  ▲  policy: the gate ────┤       │ due       │
//	      knock ─► gossip ────┘  │ outbox          settled       ▼           │ ended
//	                             │                       │      turn         │ probed
//	                          journal ◄──────────────────┘       │ begins    │ condemned
//	                             ▲                               ▼           │
//	                             └─── waits, begins, ends ──── runner ──► vitals
//	                                                             │
//	                                                             └──► processes
//
// What is found goes up the left side; what is given comes down the right one.
// Only the line to the left of uplink needs anybody else: the plan is taken
// from disk at start, before any collector was asked, and outcomes wait in the
// journal. When the agent ends, its commands go on, and the next agent finds
// them. What begins, and who goes along with it, is put together in work.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/agent/filewatch"
	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/uplink"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Run runs an agent until ctx ends. Commands that run then go on running; what
// is known about them is on disk before Run returns.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	id, err := hostID(cfg.StateDir)
	if err != nil {
		return err
	}
	masker, err := newMasker(cfg.StateDir)
	if err != nil {
		return err
	}
	host, err := describe(ctx, cfg, id)
	if err != nil {
		return err
	}
	broken := make(chan error, 1)
	book, err := journal.Open(cfg.journalDir(), journal.Options{Logger: log, Fatal: func(err error) { broken <- err }})
	if err != nil {
		return err
	}
	defer book.Close()
	pid, err := takePIDFile(cfg.pidPath())
	if err != nil {
		return err
	}
	defer pid.Close()

	collectors, err := newClients(cfg.Collectors, cfg.Version)
	if err != nil {
		return err
	}
	defer collectors.Close()
	last, err := book.LoadPlan()
	if err != nil {
		return fmt.Errorf("load plan: %w", err)
	}
	var taken *adoptions
	gate, err := newGate(cfg, host, book, last != nil, func(task fleet.TaskID) bool { return taken.adopter.Silent(task) }, log)
	if err != nil {
		return err
	}
	defer gate.Close()
	host.Labels = gate.Labels()
	if taken, err = newAdoptions(ctx, cfg, id, masker, gate, log); err != nil {
		return err
	}
	kept := &keeper{gate: gate, id: id, save: book.SavePlan, given: last, log: log}
	var saved *fleet.Plan // as far as it is to be carried out
	if last != nil {
		saved = kept.open(last)
	}
	work, err := newWork(cfg, id, book, saved, masker, taken, collectors.work, log)
	if err != nil {
		return err
	}
	defer work.runs.Close()
	defer work.turns.Close()
	files, err := filewatch.Open(filepath.Join(cfg.StateDir, "files.json"), id, log)
	if err != nil {
		return err
	}
	given := &planner{files: files, decided: book.OrderDecided, armed: taken.adopter.Armed, give: work.plans.Plan}
	taken.given, taken.plans = given, work.plans
	work.takeUp()
	var index uint64
	if saved != nil {
		taken.adopter.Take(saved, true)
		given.Plan(saved, true)
		work.board.Plan(saved)
		index = saved.Index
	}

	doorbell := newDoorbell(cfg, id, collectors, log)
	up := uplink.New(uplink.Config{
		Collectors: collectors.work, Desk: collectors.desk, Outbox: outbox{book, masker}, Output: logs{work.runs}.Output, Live: func(context.Context) (api.Live, error) { return work.watch.Live(), nil },
		Index: index, Host: host, Knocks: doorbell.knocks, Diff: taken.adopter.Diff, Logger: log,
		Take: kept.Take,
	})
	taken.up = up
	kept.carry = func(plan *fleet.Plan, stored bool) {
		taken.adopter.Take(plan, stored)
		given.Plan(plan, stored)
		work.take(ctx, plan)
		taken.tell()
	}
	kept.tell = func(plan *fleet.Plan, report fleet.PolicyReport) {
		up.SetPlan(plan)
		up.SetPolicy(report)
	}
	up.SetPolicy(gate.Report())
	seen := newWitness(cfg, up, masker, log)
	found := &inventory{cfg: cfg, host: host, up: up, seen: seen, masker: masker, holds: taken.adopter.Holds, gate: gate, log: log, changed: make(chan Config)}

	steps := log.With("component", "agent", "pid", os.Getpid())
	steps.Info("agent started", "action", "start", "host", id, "name", host.Name, "version", cfg.Version, "open_runs", len(work.left.found), "saved_plan", saved != nil)
	// What begins runs ends with ctx; all else goes on until they are drained.
	whole, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, whole := errgroup.WithContext(whole)
	ending, begins := context.WithCancel(whole)
	defer begins()
	defer context.AfterFunc(ctx, begins)()
	g.Go(func() error { return work.Run(whole, ending, up.SetStands) })
	g.Go(func() error { return files.Run(whole) })
	g.Go(func() error { return given.Run(whole) })
	g.Go(func() error { return gate.Run(whole) })
	g.Go(func() error { return kept.Run(whole) })
	g.Go(func() error { return taken.adopter.Run(whole) })
	g.Go(func() error { return up.Run(whole) })
	g.Go(func() error { return found.Run(whole) })
	g.Go(func() error { return seen.Run(whole) })
	g.Go(func() error { return doorbell.Run(whole) })
	g.Go(func() error { return reload(whole, cfg, collectors, work.turns.Bound, found.changed, log) })
	g.Go(func() error { return brokenJournal(whole, broken) })
	g.Go(func() error {
		defer end()
		<-ending.Done()
		leave, wished := wishOf(cfg)
		if !wished {
			leave.Drain = time.Duration(cfg.Drain)
		}
		steps.Info("nothing begins any more", "action", "stop", "drain", leave.Drain.String(), "kill", leave.Kill, "running", len(work.runs.Running()))
		steps.Info("agent ending", "action", "stop", "running", work.drain(whole, leave))
		return nil
	})
	if cfg.Ready != nil {
		cfg.Ready()
	}
	return g.Wait()
}

// Guard is the life of a guardian, which an agent starts to be the parent of
// its commands: it survives the agent and knows how each of them ended.
func Guard() error { return runner.Guard() }

// Step is the life of a step, which a guardian starts to set limits that only a
// process itself can set, and which becomes the command. It returns only where
// it was not called by an agent.
func Step(words []string) error { return runner.Step(words) }

// brokenJournal ends the agent when its journal can no longer be trusted.
func brokenJournal(ctx context.Context, broken <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-broken:
		return fmt.Errorf("journal cannot be written, ending without trying again: %w", err)
	}
}

// reload takes in new configurations until ctx ends.
func reload(ctx context.Context, cfg Config, collectors *clients, bound func(slots, rate int), changed chan<- Config, log *slog.Logger) error {
	for {
		var next Config
		select {
		case <-ctx.Done():
			return nil
		case next = <-cfg.Reloads:
		}
		if cold := cfg.coldChanges(&next); len(cold) > 0 {
			log.Warn("some changes need a restart of the agent", "keys", cold)
		}
		if err := collectors.configure(next.Collectors); err != nil {
			log.Error("collectors not changed", "error", err)
			continue
		}
		bound(next.Slots, next.StartRate)
		cfg.Slots, cfg.StartRate = next.Slots, next.StartRate
		cfg.Collectors, cfg.Name, cfg.Labels = next.Collectors, next.Name, next.Labels
		select {
		case changed <- cfg:
		case <-ctx.Done():
			return nil
		}
		log.Info("configuration taken in", "collectors", cfg.Collectors, "labels", cfg.Labels)
	}
}

// clients speak to the collectors. The desk has a client of its own, because
// an answer must go to the very collector that asked.
type clients struct {
	work, desk *api.Client
	known      addresses
}

func newClients(configured []string, version string) (*clients, error) {
	c := &clients{known: addresses{configured: configured}}
	// One round a call: how failures are waited out is the uplink's business.
	config := api.Config{Addresses: configured, UserAgent: "fleetcron-agent/" + version, Rounds: 1}
	var err error
	if c.work, err = api.NewClient(config); err != nil {
		return nil, fmt.Errorf("collectors: %w", err)
	}
	if c.desk, err = api.NewClient(config); err != nil {
		return nil, fmt.Errorf("collectors: %w", err)
	}
	return c, nil
}

// Close ends the connections.
func (c *clients) Close() error {
	c.work.Close()
	c.desk.Close()
	return nil
}
