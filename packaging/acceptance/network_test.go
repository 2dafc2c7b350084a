//go:build acceptance

package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// network is a switch and machines on it, each a network namespace with a real
// address: what listens there can be reached by the others, as on a company's
// network, and by nobody else.
type network struct {
	t      testing.TB
	name   string
	subnet string // the first three numbers of its addresses
	count  int
}

// machine is one namespace.
type machine struct {
	of      *network
	name    string // of the namespace
	address string
}

// newNetwork makes the switch. It needs root, as fleetcron's agents do.
func newNetwork(t testing.TB) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n := &network{t: t, name: fmt.Sprintf("fc%d", os.Getpid()%100000), subnet: "10.77." + fmt.Sprint(networks.Add(1))}
	n.namespace(n.name)
	n.ip("-n", n.name, "link", "add", "switch", "type", "bridge")
	n.ip("-n", n.name, "link", "set", "switch", "up")
	return n
}

// machine adds a machine to the network.
func (n *network) machine(name string) *machine {
	n.t.Helper()
	n.count++
	m := &machine{of: n, name: n.name + name, address: fmt.Sprintf("%s.%d", n.subnet, n.count)}
	port := fmt.Sprintf("p%d", n.count)
	n.namespace(m.name)
	n.ip("-n", m.name, "link", "set", "lo", "up")
	n.ip("-n", m.name, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", n.name)
	n.ip("-n", n.name, "link", "set", port, "master", "switch", "up")
	n.ip("-n", m.name, "addr", "add", m.address+"/24", "dev", "eth0")
	n.ip("-n", m.name, "link", "set", "eth0", "up")
	return m
}

// namespace makes a namespace that is gone after the test.
func (n *network) namespace(name string) {
	n.t.Helper()
	n.ip("netns", "add", name)
	n.t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			n.t.Errorf("ip netns del %s: %v: %s", name, err, out)
		}
	})
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.CommandContext(n.t.Context(), "ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// command is a program's command line on the machine.
func (m *machine) command(name string, args ...string) []string {
	return append([]string{"ip", "netns", "exec", m.name, name}, args...)
}
