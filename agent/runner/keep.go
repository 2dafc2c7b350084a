package runner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// keepName is the file in which a task's directory says how much of its output
// is kept; none where the agent's own settings hold.
const keepName = ".keep"

// keeps knows how much output the tasks keep. It is written down beside the
// output, because that outlives the plan.
type keeps struct {
	mu    sync.Mutex
	known map[string]fleet.Keep // by directory
}

// set takes a task's own bounds in, when one of its runs begins.
func (k *keeps) set(dir string, keep fleet.Keep) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, is := k.known[dir]; is && known == keep {
		return nil
	}
	path := filepath.Join(dir, keepName)
	if keep == (fleet.Keep{}) {
		if err := ignoreMissing(os.Remove(path)); err != nil {
			return err
		}
		k.known[dir] = keep
		return nil
	}
	text, err := json.Marshal(keep)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	k.known[dir] = keep
	return nil
}

// of returns the bounds of a task: its own, and otherwise those of the host.
func (k *keeps) of(dir string, host fleet.Keep) fleet.Keep {
	k.mu.Lock()
	defer k.mu.Unlock()
	own, known := k.known[dir]
	if !known {
		text, err := os.ReadFile(filepath.Join(dir, keepName))
		if err == nil {
			_ = json.Unmarshal(text, &own) // torn: until the next run the host's bounds hold
		}
		k.known[dir] = own
	}
	if own.Runs > 0 {
		host.Runs = own.Runs
	}
	if own.Age > 0 {
		host.Age = own.Age
	}
	if own.Size > 0 {
		host.Size = own.Size
	}
	return host
}
