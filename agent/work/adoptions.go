package work

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/agent/adopt"
	"github.com/fleetcron/fleetcron/agent/link"
	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// adoptions connects the adopter with those it works with. The fields below the
// adopter are set before it runs.
type adoptions struct {
	adopter *adopt.Adopter
	gate    *policy.Gate
	given   *planner
	plans   *scheduler.Scheduler
	told    *link.Told[[]fleet.Adoption]
}

func newAdoptions(ctx context.Context, cfg Config, look func(context.Context) (adopt.Sight, error), gate *policy.Gate, log *slog.Logger) (*adoptions, error) {
	a := &adoptions{gate: gate, told: link.NewTold[[]fleet.Adoption]()}
	config := adopt.Config{
		Dir: filepath.Join(cfg.StateDir, "adopt"), Root: cfg.Root, Allow: gate.MayAdopt, Would: gate.WouldAdopt,
		Look: look, Arm: a.arm, Tell: a.tell, Busy: runPartsIn, Logger: log,
	}
	if manager, runs := systemdOf(cfg.Root); runs {
		config.Systemd = manager
	}
	var err error
	a.adopter, err = adopt.Open(ctx, config)
	return a, err
}

// armTime is how long the scheduler may take to take a plan over.
const armTime = 5 * time.Second

// arm lets the scheduler begin what may begin now, and nothing else.
func (a *adoptions) arm(ctx context.Context) error {
	a.given.Again()
	ctx, cancel := context.WithTimeout(ctx, armTime)
	defer cancel()
	return a.plans.CaughtUp(ctx)
}

// tell lets the collectors know where this host is further than their plan.
func (a *adoptions) tell() {
	words := a.adopter.Unsettled()
	a.gate.Settled(words)
	a.told.Set(words)
}

// sight looks at the host now, through the part that may.
func sight(read *link.Client, id fleet.HostID) func(ctx context.Context) (adopt.Sight, error) {
	return func(ctx context.Context) (adopt.Sight, error) {
		seen, err := link.Look.Call(ctx, read, link.Nothing{})
		seen.Host.ID = id
		return adopt.Sight{Host: seen.Host, Found: seen.Found, Masked: seen.Masked}, err
	}
}

// filler puts masked secrets back into what begins.
type filler struct {
	adopter  *adopt.Adopter
	gate     *policy.Gate
	tasks    *going
	start    func(ctx context.Context, spec runner.Spec) error
	recorder recorder
	ended    func(run *fleet.Run)
}

// Start begins a run, if the host's policy lets what is really executed run. One
// that it does not, and one whose secrets nobody knows, is missed.
func (f filler) Start(ctx context.Context, spec runner.Spec) error {
	run := spec.Run
	execute, err := f.adopter.Fill(run.Task, spec.Execute)
	reason := fleet.MissedForkFailed
	if err == nil {
		err, reason = f.may(run.ID, execute), fleet.MissedRefused
	}
	if err == nil {
		if spec.Execute = execute; run.Order != "" {
			f.gate.Note("begun", "order "+string(run.Order), begunAs(&run))
		}
		return f.start(ctx, spec)
	}
	run.State, run.Reason, run.Detail = fleet.RunMissed, reason, "not started: "+err.Error()
	if err := f.recorder.Settle(ctx, run); err != nil {
		return err
	}
	f.ended(&run)
	return nil
}

// begunAs is what the host's audit chain says of what began by order.
func begunAs(run *fleet.Run) string {
	if len(run.Params) == 0 {
		return string(run.Task)
	}
	return string(run.Task) + " with " + run.Params.String()
}

// may asks the host's policy about the words that are really executed.
func (f filler) may(run fleet.RunID, execute fleet.Execute) error {
	task := f.tasks.task(run)
	if task == nil {
		return fleet.Errorf(fleet.Refused, "nobody knows of which task it is a run")
	}
	filled := *task
	filled.Run = execute
	return f.gate.May(&filled)
}

// runPartsIn reports whether a run-parts, or another program that runs the
// scripts of a directory, is at work in it.
func runPartsIn(dir string) bool {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return false
	}
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		for word := range bytes.SplitSeq(line, []byte{0}) {
			if strings.TrimRight(string(word), "/") == dir {
				return true
			}
		}
	}
	return false
}

// systemctl asks the systemd of this host.
type systemctl struct{}

// systemdOf returns the systemd that reads the units below the root, and
// whether there is one that runs.
func systemdOf(root string) (systemctl, bool) {
	if filepath.Clean(root) != "/" {
		return systemctl{}, false
	}
	info, err := os.Stat("/run/systemd/system") // there as long as systemd runs
	return systemctl{}, err == nil && info.IsDir()
}

const systemctlTime = 30 * time.Second

func (systemctl) ask(ctx context.Context, words ...string) error {
	ctx, cancel := context.WithTimeout(ctx, systemctlTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/bin/systemctl", words...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(words, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Reload reads all units anew.
func (s systemctl) Reload(ctx context.Context) error { return s.ask(ctx, "daemon-reload") }

// Active reports whether a unit is active.
func (s systemctl) Active(ctx context.Context, unit string) (bool, error) {
	err := s.ask(ctx, "is-active", "--quiet", "--", unit)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == notActive {
		return false, nil
	}
	return err == nil, err
}

// notActive is the exit code by which systemctl says so.
const notActive = 3

// Stop stops a unit.
func (s systemctl) Stop(ctx context.Context, unit string) error {
	return s.ask(ctx, "stop", "--", unit)
}

// Start starts a unit.
func (s systemctl) Start(ctx context.Context, unit string) error {
	return s.ask(ctx, "start", "--", unit)
}
