package outside

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/fleetcron/fleetcron/shared/api"
)

// clients speak to the collectors. The desk has a client of its own, because
// an answer must go to the very collector that asked.
type clients struct {
	work, desk *api.Client
	known      addresses
}

// addresses are where collectors may be: as configured, and as heard.
type addresses struct {
	mu         sync.Mutex
	configured []string
	heard      []string
}

func newClients(configured []string, version string) (*clients, error) {
	c := &clients{known: addresses{configured: configured}}
	// One round a call: how failures are waited out is the uplink's business.
	config := api.Config{Addresses: configured, UserAgent: "fleetcron-agent/" + version, Rounds: 1}
	var err error
	if c.work, err = api.NewClient(config); err != nil {
		return nil, fmt.Errorf("collectors: %w", err)
	}
	if c.desk, err = api.NewClient(config); err != nil {
		return nil, fmt.Errorf("collectors: %w", err)
	}
	return c, nil
}

// Close ends the connections.
func (c *clients) Close() error {
	c.work.Close()
	c.desk.Close()
	return nil
}

func (c *clients) configure(configured []string) error {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	c.known.configured = configured
	return c.apply()
}

// discovered adds the addresses that other members tell of, as far as they
// could also stand in the configuration.
func (c *clients) discovered(heard []string) error {
	heard = slices.DeleteFunc(heard, func(address string) bool { return WrongCollector(address) != "" })
	slices.Sort(heard)
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	if len(heard) == 0 || slices.Equal(heard, c.known.heard) {
		return nil // those heard of before are kept: they may come back
	}
	c.known.heard = heard
	return c.apply()
}

// apply tells the clients; the caller holds the lock.
func (c *clients) apply() error {
	all := slices.Concat(c.known.configured, c.known.heard)
	if err := c.work.SetAddresses(all); err != nil {
		return err
	}
	return c.desk.SetAddresses(all)
}

// WrongCollector returns what is wrong with a collector's address, or nothing.
// What it says is run, so until collectors can prove who they are, only this
// machine is believed.
func WrongCollector(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
		return "want an address such as http://127.0.0.1:7770"
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
		return "only loopback addresses (127.0.0.0/8, ::1) are accepted: this version cannot tell a collector from an impostor yet"
	}
	return ""
}
