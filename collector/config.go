package collector

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/logging"
)

// Config is everything a collector can be told. DefaultConfig works for the
// first collector of a cluster on one machine.
type Config struct {
	ID        string         `yaml:"id" help:"name of this collector in the raft group; never changes"`
	Store     string         `yaml:"store" help:"disk, or memory: a trial collector alone in its cluster, whose state is gone when it ends"`
	DataDir   string         `yaml:"data_dir" help:"directory of ledger, raft log and snapshots"`
	Listen    Listen         `yaml:"listen"`
	Join      []string       `yaml:"join" help:"API addresses of members, for a collector that has no state yet"`
	Gossip    Gossip         `yaml:"gossip"`
	Hosts     []string       `yaml:"allowed_hosts" help:"names under which the API and the web page may be called, besides the loopback ones"`
	Retention Retention      `yaml:"retention"`
	Log       logging.Config `yaml:"log"`

	Version string `yaml:"-"` // of the program
}

// Listen holds the address of each listener, as IP:port.
type Listen struct {
	API    string `yaml:"api" help:"address of the HTTP API"`
	Raft   string `yaml:"raft" help:"address for the other collectors"`
	Gossip string `yaml:"gossip" help:"address for gossip, TCP and UDP"`
	Web    string `yaml:"web" help:"address of the read-only web page"`
}

// Gossip configures who is here.
type Gossip struct {
	Seeds   []string `yaml:"seeds" help:"gossip addresses to meet the others at"`
	KeyFile string   `yaml:"key_file" help:"keyring that init made, the same on every collector and agent; empty: gossip.key in the data directory"`
	Label   string   `yaml:"label" help:"members with another label are strangers"`
}

// Retention bounds the history of runs and of found jobs.
type Retention struct {
	Age     fleet.Duration `yaml:"age" help:"how long runs are kept"`
	PerTask int            `yaml:"per_task" help:"how many runs of a task are kept"`
	Changes fleet.Duration `yaml:"changes" help:"how long changes of found jobs are kept, and the jobs as they were"`
}

// DefaultConfig returns the values that stand where nothing else is said.
func DefaultConfig() Config {
	return Config{
		ID:        "c1",
		Store:     StoreDisk,
		DataDir:   "/var/lib/fleetcron-collector",
		Listen:    Listen{API: "127.0.0.1:7770", Raft: "127.0.0.1:7771", Gossip: "127.0.0.1:7772", Web: "127.0.0.1:7780"},
		Gossip:    Gossip{Label: "fleetcron"},
		Retention: Retention{Age: fleet.Duration(90 * 24 * time.Hour), PerTask: 10_000, Changes: fleet.Duration(400 * 24 * time.Hour)},
	}
}

// Validate reports every field that is wrong.
func (c *Config) Validate() error {
	var wrong []fleet.FieldError
	add := func(field, value, reason string) {
		wrong = append(wrong, fleet.FieldError{Field: field, Value: value, Reason: reason})
	}
	if !fleet.ValidName(c.ID) || strings.Contains(c.ID, "_") {
		add("id", c.ID, "want 1–63 of a-z 0-9 . - beginning and ending with a letter or digit")
	}
	switch {
	case c.Store != StoreDisk && c.Store != StoreMemory:
		add("store", c.Store, "want disk or memory")
	case c.Store == StoreMemory && len(c.Join) > 0:
		add("join", c.Join[0], "a collector that keeps its state in memory is alone: it would forget its votes, and with them the promises of the group; use store: disk")
	}
	if !filepath.IsAbs(c.DataDir) {
		add("data_dir", c.DataDir, "want an absolute path")
	}
	for _, listener := range []struct{ field, address string }{
		{"listen.api", c.Listen.API}, {"listen.raft", c.Listen.Raft},
		{"listen.gossip", c.Listen.Gossip}, {"listen.web", c.Listen.Web},
	} {
		if reason := loopbackOnly(listener.address); reason != "" {
			add(listener.field, listener.address, reason)
		}
	}
	for _, address := range c.Join {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			add("join", address, "want an address such as http://127.0.0.1:7770")
		}
	}
	if c.Retention.Age < fleet.Duration(time.Hour) {
		add("retention.age", c.Retention.Age.String(), "want at least 1h")
	}
	if c.Retention.PerTask < 1 {
		add("retention.per_task", "", "want at least 1")
	}
	if c.Retention.Changes < fleet.Duration(24*time.Hour) {
		add("retention.changes", c.Retention.Changes.String(), "want at least 24h")
	}
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Usage, Message: "configuration", Fields: wrong}
	}
	return nil
}

// loopbackOnly returns what is wrong with a listener's address, or nothing.
// Until identities and TLS exist, nobody beyond this machine may ask.
func loopbackOnly(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return "want IP:port such as 127.0.0.1:7770"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "want an IP address and a port, such as 127.0.0.1:7770"
	}
	if !ip.IsLoopback() {
		return "only loopback addresses (127.0.0.0/8, ::1) are accepted: this version has no identities yet, and an open port would be open to everyone"
	}
	return ""
}

// keyFile is where the gossip keyring stands.
func (c *Config) keyFile() string {
	if c.Gossip.KeyFile != "" {
		return c.Gossip.KeyFile
	}
	return filepath.Join(c.DataDir, "gossip.key")
}

// apiURL is the address that other collectors and agents find the API at.
func (c *Config) apiURL() string { return "http://" + c.Listen.API }

// ParseMembers reads "c1=127.0.0.1:7771,c2=…", the explicit list that a new
// cluster begins with.
func ParseMembers(text string) (map[fleet.CollectorID]string, error) {
	members := map[fleet.CollectorID]string{}
	for pair := range strings.SplitSeq(text, ",") {
		id, address, found := strings.Cut(strings.TrimSpace(pair), "=")
		if !found || !fleet.ValidName(id) {
			return nil, &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{Field: "members", Value: pair, Reason: "want ID=IP:port, such as c1=127.0.0.1:7771"}}}
		}
		if reason := loopbackOnly(address); reason != "" {
			return nil, &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{Field: "members", Value: address, Reason: reason}}}
		}
		if _, twice := members[fleet.CollectorID(id)]; twice {
			return nil, &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{Field: "members", Value: id, Reason: "is named twice"}}}
		}
		members[fleet.CollectorID(id)] = address
	}
	return members, nil
}
