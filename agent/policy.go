package agent

import (
	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/agent/work"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PolicyDir is where the gate of the policy keeps what it remembers.
func (c *Config) PolicyDir() string {
	cfg := c.work(nil, nil, nil)
	return cfg.PolicyDir()
}

// ExplainPolicy says rule by rule what a task of the saved plan meets on this
// host. It changes nothing, whether an agent runs or not.
func ExplainPolicy(cfg Config, task fleet.TaskID) ([]policy.Step, error) {
	return work.Explain(cfg.work(nil, nil, nil), task)
}
