// Package agent provides an agent: it tells the collectors what is scheduled on
// its host, and runs on it what it was given, whether they answer or not.
//
//	collectors ◄─ HTTPS ─► outside ◄── link ──► work ──► processes
//	gossip ──── knocks ──►    ▲                   │
//	                          │ link              │ link
//	                          └────── read ◄──────┘
//	/etc/cron*, logs, journal ─────────►
//
// It has three parts. What talks to the network (outside; the command calls it
// net) cannot run anything, what runs things (work) cannot be reached from the
// network, and what reads the host (read) can do neither. Each is a process of
// its own, as a user of its own, or all three are one process: they say the same
// to each other then, over the same links.
package agent

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/outside"
	"github.com/fleetcron/fleetcron/agent/probe"
	"github.com/fleetcron/fleetcron/agent/read"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/work"
)

// Run plays all parts until ctx ends. Commands that run then go on running; what
// is known about them is on disk before Run returns.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	me := link.Peers{uint32(os.Geteuid())}
	toWork, toRead := link.NewInside(), link.NewInside()
	// The others go on until work has ended: it has words for them yet.
	whole, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, whole := errgroup.WithContext(whole)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(whole, stop)()
	news := news{make(chan work.Config), make(chan outside.Config), make(chan string)}
	g.Go(func() error { return reload(whole, cfg, news, log) })
	g.Go(func() error {
		defer end()
		return work.Run(ctx, cfg.work(toRead.Dial, me, news.work), toWork, log)
	})
	g.Go(func() error { return outside.Run(whole, cfg.outside(toWork.Dial, toRead.Dial, news.outside), log) })
	g.Go(func() error { return read.Run(whole, cfg.read(me, me, news.names), toRead, log) })
	return g.Wait()
}

// Guard is the life of a guardian, which an agent starts to be the parent of
// its commands: it survives the agent and knows how each of them ended.
func Guard() error { return runner.Guard() }

// Step is the life of a step, which a guardian starts to set limits that only a
// process itself can set, and which becomes the command. It returns only where
// it was not called by an agent.
func Step(words []string) error { return runner.Step(words) }

// Probe is the life of a process that asks a service for a task: what it asks
// stands in its environment, and the error is its answer.
func Probe(ctx context.Context) error { return probe.Main(ctx) }

// news are the configurations that the parts are to take in; nil: of one that is
// not played here.
type news struct {
	work    chan work.Config
	outside chan outside.Config
	names   chan string
}

// reload passes on what changes while the agent runs, until ctx ends.
func reload(ctx context.Context, cfg Config, to news, log *slog.Logger) error {
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
		cfg.Slots, cfg.StartRate = next.Slots, next.StartRate
		cfg.Collectors, cfg.Name, cfg.Labels = next.Collectors, next.Name, next.Labels
		pass(ctx, to.work, cfg.work(nil, nil, nil))
		pass(ctx, to.outside, cfg.outside(nil, nil, nil))
		pass(ctx, to.names, cfg.Name)
	}
}

// passTime is how long a part may take to hear of a new configuration: one that
// waits for another part is not there yet.
const passTime = 5 * time.Second

func pass[T any](ctx context.Context, to chan<- T, value T) {
	if to == nil { // it is not played here
		return
	}
	select {
	case to <- value:
	case <-time.After(passTime):
	case <-ctx.Done():
	}
}

// work is the configuration of the part that runs things.
func (c *Config) work(read func(context.Context) (net.Conn, error), net link.Peers, reloads <-chan work.Config) work.Config {
	return work.Config{
		StateDir: c.StateDir, PIDFile: c.PIDFile, Root: c.Root, Policy: c.Policy, Name: c.Name, Labels: c.Labels,
		Slots: c.Slots, StartRate: c.StartRate, Drain: time.Duration(c.Drain),
		Output:  work.Output{Runs: c.Output.Runs, Age: time.Duration(c.Output.Age), Size: int64(c.Output.Size)},
		Version: c.Version, Guardian: c.Guardian, Step: c.Step, Prober: c.Prober, Ready: c.Ready, Reloads: reloads, Net: net, Read: read,
	}
}

// outside is the configuration of the part that talks to the network.
func (c *Config) outside(work, read func(context.Context) (net.Conn, error), reloads <-chan outside.Config) outside.Config {
	return outside.Config{
		Collectors: c.Collectors, Name: c.Name, StateDir: c.StateDir, Version: c.Version,
		Gossip:  outside.Gossip{Bind: c.Gossip.Bind, Advertise: c.Gossip.Advertise, Seeds: c.Gossip.Seeds},
		Reloads: reloads, Work: work, Read: read,
	}
}

// read is the configuration of the part that reads the host.
func (c *Config) read(net, work link.Peers, names <-chan string) read.Config {
	return read.Config{
		Root: c.Root, Name: c.Name, StateDir: c.StateDir, Dir: filepath.Join(c.StateDir, "read"), Version: c.Version,
		Net: net, Work: work, Names: names,
	}
}

// Leave says how an agent ends.
type Leave = work.Leave

// Reload lets the running agent read its configuration anew. It returns the
// agent's pid when it has been told.
func Reload(cfg Config) (pid int, err error) { return work.Reload(cfg.work(nil, nil, nil)) }

// Stop ends the running agent and returns its pid when it is gone. What it runs
// goes on, unless leave says otherwise.
func Stop(ctx context.Context, cfg Config, leave Leave) (pid int, err error) {
	return work.Stop(ctx, cfg.work(nil, nil, nil), leave)
}

// Restarts names who would start the running agent again; empty: nobody known.
func Restarts(cfg Config) string { return work.Restarts(cfg.work(nil, nil, nil)) }

// Status is what the state directory says about an agent, running or not.
type Status = work.Status

// ReadStatus looks at the state directory. It takes no lock and changes nothing.
func ReadStatus(cfg Config) (Status, error) {
	status, err := work.ReadStatus(cfg.work(nil, nil, nil))
	status.Collectors = cfg.Collectors
	return status, err
}
