package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Reload lets the running agent read its configuration anew. It returns the
// agent's pid when it has been told.
func Reload(cfg Config) (pid int, err error) {
	running, fd, err := find(cfg)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGHUP, nil, 0); err != nil {
		return 0, fmt.Errorf("signal process %d: %w", running.pid, err)
	}
	return running.pid, nil
}

// find looks for the running agent.
func find(cfg Config) (process, int, error) {
	running, err := readPIDFile(cfg.pidPath())
	fd := -1
	if err == nil {
		fd, err = running.open()
	}
	if errors.Is(err, errNoProcess) {
		err = fleet.Errorf(fleet.NotFound, "no agent runs with state_dir %s", cfg.StateDir).
			WithHint("fleetcron-agent status, with the --config or --state-dir of that agent")
	}
	return running, fd, err
}

// Leave says how an agent ends.
type Leave struct {
	Drain time.Duration `json:"drain"` // how long it waits for runs to end, daemons aside
	Kill  bool          `json:"kill"`  // then it stops what still runs, all that it started with it
}

// stopWish is what Stop leaves for one certain process to find.
type stopWish struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	Boot  string `json:"boot"`
	Leave
}

// endGrace is how long an agent may take to end beside what it waits for, and
// killGrace what it may take to stop everything.
const (
	endGrace  = 30 * time.Second
	killGrace = 15 * time.Minute // a task may have a long grace
)

// Stop ends the running agent and returns its pid when it is gone. What it runs
// goes on, unless leave says otherwise.
func Stop(ctx context.Context, cfg Config, leave Leave) (pid int, err error) {
	running, fd, err := find(cfg)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	text, err := json.Marshal(stopWish{running.pid, running.start, running.boot, leave})
	if err == nil {
		err = durable.Replace(cfg.wishPath(), text)
	}
	if err != nil {
		return 0, fmt.Errorf("tell the agent how to end: %w", err)
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil {
		return 0, fmt.Errorf("signal process %d: %w", running.pid, err)
	}
	patience := leave.Drain + endGrace
	if leave.Kill {
		patience += killGrace
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !gonePIDFD(ctx, fd) {
		return 0, fleet.Errorf(fleet.Unavailable, "the agent, process %d, still runs %s after it was told to end", running.pid, patience).
			WithHint("the same again ends it at once; the commands that it runs go on")
	}
	return running.pid, nil
}

// gonePIDFD waits until a process has ended, or ctx has.
func gonePIDFD(ctx context.Context, fd int) bool {
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
	return false
}

// wishOf returns how this process is to end, if somebody said so, and takes the
// wish away.
func wishOf(cfg Config) (Leave, bool) {
	text, err := os.ReadFile(cfg.wishPath())
	if err != nil {
		return Leave{}, false
	}
	_ = os.Remove(cfg.wishPath()) // one that stays is another process's, which is not there any more
	var wish stopWish
	self, err := processOf(os.Getpid())
	if err != nil || json.Unmarshal(text, &wish) != nil || (process{wish.PID, wish.Start, wish.Boot}) != self {
		return Leave{}, false
	}
	return wish.Leave, true
}

// Restarts names who would start the running agent again; empty: nobody known.
func Restarts(cfg Config) string {
	running, err := readPIDFile(cfg.pidPath())
	if err != nil {
		return ""
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", running.pid))
	if err != nil || !strings.Contains(string(text), ".service") {
		return ""
	}
	for part := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '/' || r == '\n' }) {
		if strings.HasPrefix(part, "fleetcron") && strings.HasSuffix(part, ".service") {
			return part
		}
	}
	return ""
}

func (c *Config) pidPath() string {
	if c.PIDFile != "" {
		return c.PIDFile
	}
	return filepath.Join(c.StateDir, "agent.pid")
}

func (c *Config) wishPath() string { return filepath.Join(c.StateDir, "stop.json") }
