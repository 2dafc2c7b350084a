package work

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// hostID returns this host's identity, drawn at the first start and kept in
// the state directory.
func hostID(stateDir string) (fleet.HostID, error) {
	if err := os.MkdirAll(stateDir, 0o750); err != nil {
		return "", fmt.Errorf("state_dir: %w", err)
	}
	path := filepath.Join(stateDir, "host-id")
	id, err := readHostID(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	raw := make([]byte, 16)
	rand.Read(raw) // never fails
	if err := durable.Once(path, []byte(hex.EncodeToString(raw)+"\n")); err != nil {
		return "", fmt.Errorf("host id: %w", err)
	}
	return readHostID(path)
}

func readHostID(path string) (fleet.HostID, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	id := fleet.HostID(bytes.TrimSpace(text))
	if !id.Valid() {
		return "", fleet.Errorf(fleet.Invalid, "%s does not hold a host id of 32 hex digits", path).
			WithHint("restore it; removing it makes this a new host that knows nothing of its old runs")
	}
	return id, nil
}

// passable lets the commands of all users pass through the state directory, to
// the state of their own tasks. What else is in it is readable for the agent
// alone, file by file.
func passable(stateDir string) error {
	const pass = 0o011
	info, err := os.Stat(stateDir)
	if err == nil && os.Geteuid() == 0 && info.Mode().Perm()&pass != pass {
		err = os.Chmod(stateDir, info.Mode().Perm()|pass)
	}
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	return nil
}

// hostName returns the name of the host whose tree is at root. It is what people
// name it by in what they seal, so no other part is asked for it.
func hostName(root string) string {
	if root == "/" {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "etc/hostname"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name := strings.TrimSpace(line); name != "" && name[0] != '#' {
			return name
		}
	}
	return ""
}

// describe says who this host is to the policy.
func describe(cfg Config, id fleet.HostID) fleet.Host {
	host := fleet.Host{ID: id, Name: cfg.Name, Labels: cfg.Labels, AgentVersion: cfg.Version}
	if host.Name == "" {
		host.Name = hostName(cfg.Root)
	}
	if host.Name == "" {
		host.Name = string(id)
	}
	return host
}

// bootTime returns when the host booted; zero when the kernel does not say.
func bootTime() time.Time {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}
	}
	for line := range strings.Lines(string(text)) {
		if number, is := strings.CutPrefix(line, "btime "); is {
			if seconds, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64); err == nil {
				return time.Unix(seconds, 0)
			}
		}
	}
	return time.Time{}
}
