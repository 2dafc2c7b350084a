package work

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/agent/durable"
)

// sighting is when an agent first started in a boot; zero: nobody knows any more.
type sighting struct {
	Boot string    `json:"boot_id"`
	At   time.Time `json:"at,omitzero"`
}

// bootSeen returns when an agent first started since the host booted: the instant
// at which its startup tasks are due. It is kept in the state directory, so that
// neither a restart of the agent nor a clock that is set moves it. Zero when that
// cannot be kept: nothing is due then, rather than twice.
func bootSeen(stateDir, boot string, now time.Time, log *slog.Logger) time.Time {
	path := filepath.Join(stateDir, "boot.json")
	last, err := readSighting(path)
	switch {
	case boot == "":
		log.Warn("startup tasks are not due: the kernel does not tell one boot from another")
		return time.Time{}
	case err == nil && last.Boot == boot:
		return last.At
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		// Whether an agent ran since the boot is not known, nor what it began.
		log.Error("startup tasks are not due before the next boot: the first start since this one is not known", "file", path, "error", err)
		now = time.Time{}
	}
	next := sighting{boot, now.Round(0).UTC()}
	text, err := json.Marshal(next)
	if err == nil {
		err = durable.Replace(path, append(text, '\n'))
	}
	if err != nil {
		log.Error("startup tasks are not due: the start of the agent cannot be kept", "error", err)
		return time.Time{}
	}
	return next.At
}

func readSighting(path string) (sighting, error) {
	var s sighting
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, err
	}
	if s.Boot == "" {
		return s, errors.New("no boot_id in it")
	}
	return s, nil
}

// bootID returns what tells this boot from all others; empty: the kernel does
// not say.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
