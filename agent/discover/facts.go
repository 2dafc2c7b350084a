package discover

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Facts describes the host whose tree is at root: its name, system, zone and
// cron from the tree; kernel, processors, memory and addresses from the machine
// this runs on. ID, Labels and AgentVersion are left to the caller.
func Facts(ctx context.Context, root string) (fleet.Host, error) {
	t, err := openTree(root)
	if err != nil {
		return fleet.Host{}, fmt.Errorf("facts: %w", err)
	}
	defer t.release()
	h := readHost(ctx, t)
	facts := fleet.Host{
		Name: hostName(ctx, t), OS: h.pretty, Timezone: h.zone, Cron: string(h.cron),
		Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), MemoryBytes: memory(ctx), Addresses: addresses(),
	}
	if name, err := os.Hostname(); err == nil && (root == "/" || facts.Name == "") {
		facts.Name = name
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		facts.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	return facts, nil
}

// hostName is the name in the tree's /etc/hostname.
func hostName(ctx context.Context, t *tree) string {
	for line := range strings.Lines(string(text(ctx, t, "/etc/hostname"))) {
		if name := strings.TrimSpace(line); name != "" && name[0] != '#' {
			return printable(name)
		}
	}
	return ""
}

// memory is the machine's, in bytes; 0 where it cannot be told.
func memory(ctx context.Context) int64 {
	t, err := openTree("/")
	if err != nil {
		return 0
	}
	defer t.release()
	for line := range strings.Lines(string(text(ctx, t, "/proc/meminfo"))) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// addresses are the machine's own, without those that mean only itself or one
// link, in order.
func addresses() []netip.Addr {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var list []netip.Addr
	for _, address := range interfaces {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil {
			continue
		}
		if a := prefix.Addr().Unmap(); !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}
