package work

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Explain says rule by rule what a task of the saved plan meets on this host. It
// changes nothing, whether an agent runs or not.
func Explain(cfg Config, task fleet.TaskID) ([]policy.Step, error) {
	id, err := readHostID(filepath.Join(cfg.StateDir, "host-id"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fleet.Errorf(fleet.NotFound, "no agent has run with state_dir %s", cfg.StateDir).
			WithHint("start it with fleetcron-agent run, or name its configuration with --config")
	}
	if err != nil {
		return nil, err
	}
	cluster, err := clusterID(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	seen, err := journal.Inspect(cfg.journalDir())
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	if seen.Plan == nil {
		return nil, fleet.Errorf(fleet.NotFound, "this host has no plan yet").WithHint("fleetcron-agent status")
	}
	host, err := describe(cfg, id)
	if err != nil {
		return nil, err
	}
	return policy.Explain(policy.Config{
		Path: cfg.Policy, Dir: cfg.policyDir(), Host: host, Cluster: cluster, Journal: seen.ID, Log: slog.New(slog.DiscardHandler),
	}, seen.Plan, task)
}

// PolicyDir is where the gate of the policy keeps what it remembers.
func (c *Config) PolicyDir() string { return c.policyDir() }

// policyLine says in a line what the policy of the host lets run.
func policyLine(path string) string {
	p, err := policy.Load(path)
	switch {
	case err != nil:
		return "ignored, this host only reports: " + strings.Join(strings.Fields(err.Error()), " ")
	case !p.Execute:
		return path + ", lets nothing run (execute: off)"
	}
	return fmt.Sprintf("%s, %d of %d keys must have signed what runs", path, p.Threshold, len(p.Keys))
}
