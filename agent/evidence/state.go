package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// state is what outlives the agent: how far every witness has been read, and
// what was seen until there.
type state struct {
	Version int                    `json:"version"`
	Logs    map[string]*cursor     `json:"logs,omitempty"`
	Journal place                  `json:"journal,omitzero"`
	Since   map[string]coverage    `json:"since,omitempty"` // by witness
	Jobs    map[fleet.JobID]*track `json:"jobs,omitempty"`
	Stamps  coverage               `json:"stamps,omitempty"` // of what scans find without a log
}

// coverage is from when on a witness would have shown a start of each kind.
type coverage map[fleet.JobKind]time.Time

const (
	stateVersion = 1
	maxState     = 64 << 20
)

func newState() *state {
	return &state{Version: stateVersion, Logs: map[string]*cursor{}, Since: map[string]coverage{}, Jobs: map[fleet.JobID]*track{}, Stamps: coverage{}}
}

// loadState reads a state file. What cannot be read or understood is begun
// anew: all of it can be found again, as far as the logs reach.
func loadState(name string) (*state, error) {
	if name == "" {
		return newState(), nil
	}
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(), nil
	}
	if err != nil {
		return newState(), fmt.Errorf("evidence state: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxState))
	if err != nil {
		return newState(), fmt.Errorf("evidence state: %w", err)
	}
	s := newState()
	if err := json.Unmarshal(text, s); err != nil {
		return newState(), fmt.Errorf("evidence state %s, begun anew: %w", name, err)
	}
	if !s.sound() {
		return newState(), fmt.Errorf("evidence state %s, begun anew: it is not what this version writes", name)
	}
	return s, nil
}

// sound reports whether a state can have been written by us.
func (s *state) sound() bool {
	if s.Version != stateVersion || s.Logs == nil || s.Since == nil || s.Jobs == nil || s.Stamps == nil {
		return false
	}
	for _, c := range s.Logs {
		if c == nil || c.Offset < 0 || c.Length < 0 || c.Length > headLength {
			return false
		}
	}
	for _, t := range s.Jobs {
		if t == nil || len(t.Open) > maxOpen {
			return false
		}
	}
	for _, since := range s.Since {
		if since == nil {
			return false
		}
	}
	return true
}

// replace puts a text in the place of a file. It need not survive a power cut:
// then the state is begun anew.
func replace(name string, text []byte) error {
	beside := name + ".new"
	if err := os.WriteFile(beside, text, 0o600); err != nil {
		return err
	}
	return os.Rename(beside, name)
}
