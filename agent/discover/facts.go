package discover

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Facts describes the host whose tree is at root: its name (which may be
// unknown), system, zone and cron from the tree; kernel, processors and memory from the machine
// this runs on. ID, Labels and AgentVersion are left to the caller, and so are the
// addresses, which only the part of the agent with a network sees.
func Facts(ctx context.Context, root string) (fleet.Host, error) {
	t, err := openTree(root)
	if err != nil {
		return fleet.Host{}, fmt.Errorf("facts: %w", err)
	}
	defer t.release()
	h := readHost(ctx, t)
	facts := fleet.Host{
		Name: hostName(ctx, t, root), OS: h.pretty, Timezone: h.zone, Cron: string(h.cron),
		Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), MemoryBytes: memory(ctx),
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		facts.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	return facts, nil
}

// hostName is the name in the tree's /etc/hostname; of the running system, what
// the kernel says.
func hostName(ctx context.Context, t *tree, root string) string {
	if name, err := os.Hostname(); err == nil && root == "/" {
		return name
	}
	for line := range strings.Lines(string(text(ctx, t, "/etc/hostname"))) {
		if name := strings.TrimSpace(line); name != "" && name[0] != '#' {
			return printable(name)
		}
	}
	return ""
}

// memory is the machine's, in bytes; 0 where it cannot be told.
func memory(ctx context.Context) int64 {
	for line := range strings.Lines(string(machine(ctx, "/proc/meminfo"))) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// machine reads a file of the machine itself, whatever tree is looked at.
func machine(ctx context.Context, name string) []byte {
	t, err := openTree("/")
	if err != nil {
		return nil
	}
	defer t.release()
	return text(ctx, t, name)
}
