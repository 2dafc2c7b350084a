package outside

import (
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// host is who this host is, put together from what all parts know of it: the
// reader its facts, work the labels that its policy gives it, and this part its
// addresses.
type host struct {
	id      fleet.HostID
	version string
	tell    func(fleet.Host)

	mu      sync.Mutex
	name    string // as configured
	facts   fleet.Host
	labels  map[string]string
	known   [2]bool // facts, labels
	told    fleet.Host
	address func() ([]netip.Addr, error)
}

func newHost(cfg Config, id fleet.HostID, up interface{ SetHost(fleet.Host) }) *host {
	return &host{id: id, version: cfg.Version, name: cfg.Name, tell: up.SetHost, address: addressesNow}
}

func (h *host) setFacts(facts fleet.Host) { h.change(func() { h.facts, h.known[0] = facts, true }) }

func (h *host) setLabels(labels map[string]string) {
	h.change(func() { h.labels, h.known[1] = labels, true })
}

func (h *host) setName(name string) { h.change(func() { h.name = name }) }

// change tells the collectors who this host is, once all is known and when it is
// another.
func (h *host) change(how func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	how()
	if h.known != [2]bool{true, true} {
		return
	}
	now := h.facts
	now.ID, now.Labels, now.AgentVersion = h.id, h.labels, h.version
	if h.name != "" {
		now.Name = h.name
	}
	if now.Name == "" {
		now.Name = string(h.id)
	}
	addresses, err := h.address()
	if now.Addresses = addresses; err != nil {
		now.Addresses = h.told.Addresses
	}
	if !reflect.DeepEqual(now, h.told) {
		h.told = now
		h.tell(now)
	}
}

// addressEvery is how often is looked for other addresses.
const addressEvery = 20 * time.Second

// Run looks for other addresses until ctx ends.
func (h *host) Run(ctx context.Context) error {
	tick := time.NewTicker(addressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			h.change(func() {})
		}
	}
}

// maxAddresses is what a fleet.Host may have.
const maxAddresses = 256

// addressesNow are the machine's own, in order, without those that mean only
// itself or one link and those that change by themselves.
func addressesNow() ([]netip.Addr, error) {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	passing := temporary()
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
	return list[:min(len(list), maxAddresses)], nil
}

// temporary are the IPv6 addresses the kernel replaces every day for privacy.
func temporary() map[netip.Addr]bool {
	const flagTemporary = 0x01
	list := make(map[netip.Addr]bool)
	text, err := os.ReadFile("/proc/net/if_inet6")
	if err != nil {
		return list // no IPv6
	}
	for line := range strings.Lines(string(text)) {
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
