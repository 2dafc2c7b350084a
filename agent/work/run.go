// Package work provides the part of an agent that runs what it was given, whether anybody answers or not, and that the network cannot reach.
//
//	net ──► plans ─► policy: the gate ─► plan on disk
//	                                        │
//	                                        ▼
//	read ◄── look ── adopter ── armed ─► scheduler ◄─────────┐
//	                                     │       │ due       │
//	                               settled       ▼           │ ended
//	                                     │      turn         │ probed
//	net ◄── outbox ── journal ◄──────────┘       │ begins    │ condemned
//	                     ▲                       ▼           │
//	                     └─ waits, begins, ends ─ runner ──► vitals
//	                                             │
//	                                             └──► processes
//
// It is root where the agent is, so it believes nobody: who this host is stands
// in files of its own, what may run in a policy that only root writes, and every
// word of a plan in statements that people sealed. It links no HTTP, no TLS and
// no gossip, and opens no socket of the internet; a test holds the list.
//
// The plan is taken from disk at start, before anybody was asked, and outcomes
// wait in the journal. When it ends its commands go on, and the next one finds
// them. What begins, and who goes along with it, is put together in work.go.
package work

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/agent/filewatch"
	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Config is what it is told.
type Config struct {
	StateDir  string // of journal, plan and output
	PIDFile   string // empty: agent.pid in StateDir
	Root      string // tree whose jobs may be adopted
	Policy    string // file that says what may run here
	Name      string // of the host, for people; empty: its hostname
	Labels    map[string]string
	Slots     int           // runs that go on at once
	StartRate int           // runs that begin within a second
	Drain     time.Duration // how long runs are waited for at the end
	Output    Output
	Version   string        // of the program
	Guardian  []string      // program and argv of the commands' guardian
	Step      []string      // program and argv that begins commands with limits of their own
	Prober    []string      // argv of what asks services for tasks; empty: no service is there
	Ready     func()        // called when it has started; nil: nobody
	Reloads   <-chan Config // Name, Labels, Slots and StartRate of the next are taken in; nil: none comes

	Net  link.Peers                                  // who may bring plans
	Read func(ctx context.Context) (net.Conn, error) // connects to the reader
}

// Output bounds what is kept of the output of past runs.
type Output struct {
	Runs int
	Age  time.Duration
	Size int64
}

// Run works until ctx ends. Commands that run then go on running; what is known
// about them is on disk before Run returns.
func Run(ctx context.Context, cfg Config, listener net.Listener, log *slog.Logger) error {
	defer listener.Close()
	if err := os.MkdirAll(cfg.StateDir, 0o750); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	masker, err := mask.DrawKey(filepath.Join(cfg.StateDir, mask.KeyFile))
	if err != nil {
		return err
	}
	me, err := awaitIdentity(ctx, cfg.StateDir, log)
	if err != nil || me.host == "" {
		return err
	}
	id := me.host
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

	last, err := book.LoadPlan()
	if err != nil {
		return fmt.Errorf("load plan: %w", err)
	}
	var taken *adoptions
	host, err := describe(cfg, id)
	if err != nil {
		return err
	}
	gate, err := newGate(cfg, host, me.cluster, book, last != nil, func(task fleet.TaskID) bool { return taken.adopter.Silent(task) }, log)
	if err != nil {
		return err
	}
	defer gate.Close()
	read := link.NewClient(link.Work, link.Read, cfg.Version, cfg.Read)
	defer read.Close()
	if taken, err = newAdoptions(ctx, cfg, sight(read, id), gate, log); err != nil {
		return err
	}
	had := book.Stats()
	signs, err := newProver(cfg, me, book, had.Newest, had.Acknowledged, log)
	if err != nil {
		return err
	}
	defer signs.keeper.Close()
	counter := newCounter(cfg, gate, signs, log)
	kept := &keeper{gate: gate, id: id, save: book.SavePlan, given: last, tell: counter.tell, log: log}
	var saved *fleet.Plan // as far as it is to be carried out
	if last != nil {
		saved = kept.open(last)
	}
	work, err := newWork(cfg, id, book, saved, masker, taken, counter.places, log)
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
	if saved != nil {
		taken.adopter.Take(saved, true)
		given.Plan(saved, true)
		work.board.Plan(saved)
		counter.tell(saved, gate.Report())
	} else {
		counter.policy.Set(gate.Report())
		counter.labels.Set(gate.Labels())
		counter.revoked.Set(gate.Revoked())
	}
	kept.carry = func(plan *fleet.Plan, stored bool) {
		taken.adopter.Take(plan, stored)
		given.Plan(plan, stored)
		work.take(ctx, plan)
		taken.tell()
	}
	counter.serve(link.State{Host: id, Cluster: me.cluster}, kept, work, outbox{book, masker}, taken)

	steps := log.With("component", "agent", "pid", os.Getpid())
	steps.Info("agent started", "action", "start", "host", id, "name", host.Name, "version", cfg.Version, "open_runs", len(work.left.found), "saved_plan", saved != nil)
	// What begins runs ends with ctx; all else goes on until they are drained.
	whole, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, whole := errgroup.WithContext(whole)
	ending, begins := context.WithCancel(whole)
	defer begins()
	defer context.AfterFunc(ctx, begins)()
	g.Go(func() error { return work.Run(whole, ending, counter.stands.Set) })
	g.Go(func() error { return files.Run(whole) })
	g.Go(func() error { return signs.Run(whole) })
	g.Go(func() error { return given.Run(whole) })
	g.Go(func() error { return gate.Run(whole) })
	g.Go(func() error { return kept.Run(whole) })
	g.Go(func() error { return taken.adopter.Run(whole) })
	g.Go(func() error { return counter.server.Serve(whole, listener) })
	g.Go(func() error { return reload(whole, cfg, id, work.turns.Bound, gate.SetHost, log) })
	g.Go(func() error { return brokenJournal(whole, broken) })
	g.Go(func() error { return remain(whole, cfg.StateDir, me) })
	g.Go(func() error {
		defer end()
		<-ending.Done()
		leave, wished := wishOf(cfg)
		if !wished {
			leave.Drain = cfg.Drain
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

// brokenJournal ends the agent when its journal can no longer be trusted.
func brokenJournal(ctx context.Context, broken <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-broken:
		return fmt.Errorf("journal cannot be written, ending without trying again: %w", err)
	}
}

// nameEvery is how often is looked whether the host has another name.
const nameEvery = time.Minute

// reload takes in new configurations, and the name that the host has, until ctx
// ends.
func reload(ctx context.Context, cfg Config, id fleet.HostID, bound func(slots, rate int), rename func(fleet.Host), log *slog.Logger) error {
	tick := time.NewTicker(nameEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case next := <-cfg.Reloads:
			cfg.Name, cfg.Labels, cfg.Slots, cfg.StartRate = next.Name, next.Labels, next.Slots, next.StartRate
			bound(cfg.Slots, cfg.StartRate)
			log.Info("configuration taken in", "component", "work", "slots", cfg.Slots, "start_rate", cfg.StartRate, "labels", cfg.Labels)
		}
		if host, err := describe(cfg, id); err != nil {
			log.Error("name and labels stay as they were", "component", "work", "error", err)
		} else {
			rename(host)
		}
	}
}

func (c *Config) policyDir() string { return filepath.Join(c.StateDir, "policy") }

func (c *Config) journalDir() string { return filepath.Join(c.StateDir, "journal") }
