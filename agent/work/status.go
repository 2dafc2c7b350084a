package work

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Status is what the state directory says about an agent, running or not.
type Status struct {
	Host         fleet.HostID    `json:"host,omitempty"`
	PID          int             `json:"pid,omitempty"` // of the running agent; zero: none runs
	StateDir     string          `json:"state_dir"`
	Collectors   []string        `json:"collectors"`
	Journal      fleet.JournalID `json:"journal,omitempty"`
	Newest       uint64          `json:"newest"`       // record of a run
	Acknowledged uint64          `json:"acknowledged"` // by the collectors, up to here
	Bytes        int64           `json:"bytes"`        // of the journal
	Torn         int             `json:"torn"`         // damage that the next start will mend
	Damaged      int             `json:"damaged"`
	PlanIndex    uint64          `json:"plan_index,omitempty"`
	Tasks        int             `json:"tasks"`
	Policy       string          `json:"policy"` // what it lets run, or why it counts for nothing
	Running      []fleet.Run     `json:"running"`
}

// ReadStatus looks at the state directory. It takes no lock and changes nothing.
func ReadStatus(cfg Config) (Status, error) {
	status := Status{StateDir: cfg.StateDir, Running: []fleet.Run{}}
	var err error
	status.Host, err = readHostID(filepath.Join(cfg.StateDir, "host-id"))
	if errors.Is(err, fs.ErrNotExist) {
		return status, fleet.Errorf(fleet.NotFound, "no agent has run with state_dir %s", cfg.StateDir).
			WithHint("start it with fleetcron-agent run, or name its configuration with --config")
	}
	if err != nil {
		return status, err
	}
	seen, err := journal.Inspect(cfg.journalDir())
	if err != nil {
		return status, fmt.Errorf("read journal: %w", err)
	}
	status.PID, status.Journal = seen.Holder, seen.ID
	status.Newest, status.Acknowledged, status.Bytes = seen.Newest, seen.Acknowledged, seen.Bytes
	status.Torn, status.Damaged = seen.Torn, seen.Damaged
	if seen.Plan != nil {
		status.PlanIndex, status.Tasks = seen.Plan.Index, len(seen.Plan.Assignments)
		if kept := seen.Plan.Kept; kept != nil {
			status.Tasks += len(kept.Assignments)
		}
	}
	status.Policy = policyLine(cfg.Policy)
	for _, open := range seen.Runs {
		status.Running = append(status.Running, open.Run)
	}
	return status, nil
}

// Write writes the status for people.
func (s *Status) Write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	agent := "not running"
	if s.PID > 0 {
		agent = fmt.Sprintf("running, pid %d", s.PID)
	}
	delivered := "all delivered"
	if s.Newest > s.Acknowledged {
		delivered = fmt.Sprintf("acknowledged to record %d of %d", s.Acknowledged, s.Newest)
	}
	if s.Torn+s.Damaged > 0 {
		delivered += fmt.Sprintf(", %d damaged parts", s.Torn+s.Damaged)
	}
	for _, row := range [][2]string{
		{"agent", agent},
		{"host", string(s.Host)},
		{"state", s.StateDir},
		{"collectors", strings.Join(s.Collectors, " ")},
		{"plan", fmt.Sprintf("%d tasks, index %d", s.Tasks, s.PlanIndex)},
		{"journal", fmt.Sprintf("%s, %s, %d KiB", s.Journal, delivered, s.Bytes>>10)},
		{"policy", s.Policy},
		{"runs going on", fmt.Sprint(len(s.Running))},
	} {
		fmt.Fprintf(table, "%s\t%s\n", row[0], row[1])
	}
	for _, run := range s.Running {
		fmt.Fprintf(table, "  %s\t%s since %s\n", run.Task, run.State, run.Due.UTC().Format("2006-01-02 15:04:05Z"))
	}
	return table.Flush()
}
