package agent

import (
	"io"

	"github.com/fleetcron/fleetcron/agent/work"
)

// ReadProofs says how far this host has signed what became of its runs, whether
// an agent runs or not.
func ReadProofs(cfg Config) (work.ProofStatus, error) {
	return work.ReadProofs(cfg.work(nil, nil, nil))
}

// ExportProofs writes what this host still has of it.
func ExportProofs(cfg Config, w io.Writer) error {
	return work.ExportProofs(cfg.work(nil, nil, nil), w)
}
