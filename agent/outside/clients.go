package outside

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// clients speak to the collectors. The desk has a client of its own, because
// an answer must go to the very collector that asked.
type clients struct {
	work, desk *api.Client
	known      addresses
	shut       *shut
	heard      func(digest string) // of the gossip ring that a collector has; set before the first call
}

// addresses are where collectors may be: as configured, and as heard.
type addresses struct {
	mu         sync.Mutex
	configured []string
	heard      []string
}

// newClients returns clients of the collectors that are configured, and of those
// that were heard of before.
func newClients(cfg Config, heard []string, me *pki.Credentials, out *shut) (*clients, error) {
	c := &clients{known: addresses{configured: cfg.Collectors, heard: usable(heard)}, shut: out}
	all := slices.Concat(c.known.configured, c.known.heard)
	if len(all) == 0 {
		return nil, fleet.Errorf(fleet.Usage, "no collector is known: enrolment told of none, and the setting collectors names none").
			WithHint("collectors: [https://192.0.2.7:7770] in /etc/fleetcron/agent.yaml")
	}
	// One round a call: how failures are waited out is the uplink's business.
	config := api.Config{
		Addresses: all, UserAgent: "fleetcron-agent/" + cfg.Version, Rounds: 1,
		TLS: out.guard(me), Ring: func(digest string) { c.heard(digest) },
	}
	var err error
	config.Transport = out.transport(config.TLS)
	if c.work, err = api.NewClient(config); err != nil {
		return nil, fmt.Errorf("collectors: %w", err)
	}
	config.Transport = out.transport(config.TLS)
	if c.desk, err = api.NewClient(config); err != nil {
		return nil, fmt.Errorf("collectors: %w", err)
	}
	return c, nil
}

// shutOut takes in which collectors are none any more.
func (c *clients) shutOut(revoked []string) {
	if c.shut.set(revoked) {
		c.hangUp()
	}
}

// hangUp ends the connections that wait for the next call: they show the
// certificate before.
func (c *clients) hangUp() {
	c.work.Close()
	c.desk.Close()
}

// Close ends the connections.
func (c *clients) Close() error {
	c.hangUp()
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
	heard = usable(heard)
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	if len(heard) == 0 || slices.Equal(heard, c.known.heard) {
		return nil // those heard of before are kept: they may come back
	}
	c.known.heard = heard
	return c.apply()
}

// usable leaves of what was heard what could also stand in the configuration.
func usable(heard []string) []string {
	heard = slices.DeleteFunc(slices.Clone(heard), func(address string) bool { return WrongCollector(address) != "" })
	slices.Sort(heard)
	return slices.Compact(heard)
}

// told takes in where the collectors are, as one of them says.
func (c *clients) told(addresses []string) { _ = c.discovered(addresses) }

// apply tells the clients; the caller holds the lock.
func (c *clients) apply() error {
	all := slices.Concat(c.known.configured, c.known.heard)
	if err := c.work.SetAddresses(all); err != nil {
		return err
	}
	return c.desk.SetAddresses(all)
}

// WrongCollector returns what is wrong with a collector's address, or nothing.
func WrongCollector(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "":
		return "want an address such as https://192.0.2.7:7770"
	case u.Scheme != "https":
		return "collectors speak TLS only: want https://"
	}
	return ""
}
