package discover

import (
	"context"
	"encoding/hex"
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

// Facts describes the host whose tree is at root: its name (which may be
// unknown), system, zone and cron from the tree; kernel, processors, memory and addresses from the machine
// this runs on. ID, Labels and AgentVersion are left to the caller.
func Facts(ctx context.Context, root string) (fleet.Host, error) {
	t, err := openTree(root)
	if err != nil {
		return fleet.Host{}, fmt.Errorf("facts: %w", err)
	}
	defer t.release()
	h := readHost(ctx, t)
	facts := fleet.Host{
		Name: hostName(ctx, t, root), OS: h.pretty, Timezone: h.zone, Cron: string(h.cron),
		Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), MemoryBytes: memory(ctx), Addresses: addresses(ctx),
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

// maxAddresses is what a fleet.Host may have.
const maxAddresses = 256

// addresses are the machine's own, in order, without those that mean only
// itself or one link and those that change by themselves.
func addresses(ctx context.Context) []netip.Addr {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	passing := temporary(ctx)
	var list []netip.Addr
	for _, address := range interfaces {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil {
			continue
		}
		if a := prefix.Addr().Unmap(); !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !passing[a] {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	list = slices.Compact(list)
	return list[:min(len(list), maxAddresses)]
}

// temporary are the IPv6 addresses the kernel replaces every day for privacy.
func temporary(ctx context.Context) map[netip.Addr]bool {
	const flagTemporary = 0x01
	list := make(map[netip.Addr]bool)
	for line := range strings.Lines(string(machine(ctx, "/proc/net/if_inet6"))) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		digits, err := hex.DecodeString(fields[0])
		flags, err2 := strconv.ParseUint(fields[4], 16, 32)
		if a, ok := netip.AddrFromSlice(digits); ok && err == nil && err2 == nil && flags&flagTemporary != 0 {
			list[a] = true
		}
	}
	return list
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
