package collector

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/replica"
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
	Advertise string         `yaml:"advertise" help:"IP address that the others reach this collector at; empty: where it listens, by default on this machine alone"`
	Join      []string       `yaml:"join" help:"API addresses of members, for a collector that has no state yet; empty: those that enroll was told"`
	Gossip    Gossip         `yaml:"gossip"`
	Hosts     []string       `yaml:"allowed_hosts" help:"names under which the API and the web page may be called, besides the loopback ones"`
	AgentLife fleet.Duration `yaml:"agent_life" help:"how long an agent's certificate counts; it is renewed at two thirds, and a host that sleeps longer is readmitted by a person"`
	Retention Retention      `yaml:"retention"`
	Log       logging.Config `yaml:"log"`

	Version string `yaml:"-"` // of the program

	timing replica.Timing // tests shorten the first election with it
}

// Listen holds the address of each listener, as IP:port.
type Listen struct {
	API    string `yaml:"api" help:"address of the HTTP API; empty: port 7770 of advertise, or of loopback"`
	Raft   string `yaml:"raft" help:"address for the other collectors; empty: port 7771 of the same"`
	Gossip string `yaml:"gossip" help:"address for gossip, TCP and UDP; empty: port 7772 of the same"`
	Web    string `yaml:"web" help:"address of the read-only web page"`
}

// Gossip configures who is here.
type Gossip struct {
	Seeds   []string `yaml:"seeds" help:"gossip addresses to meet the others at"`
	KeyFile string   `yaml:"key_file" help:"keyring that init or enroll made; empty: gossip.key in the data directory"`
}

// Retention bounds the history of runs and of found jobs.
type Retention struct {
	Age     fleet.Duration `yaml:"age" help:"how long runs are kept"`
	PerTask int            `yaml:"per_task" help:"how many runs of a task are kept"`
	Changes fleet.Duration `yaml:"changes" help:"how long changes of found jobs are kept, and the jobs as they were"`
	Proofs  fleet.Duration `yaml:"proofs" help:"how long what hosts signed of their runs is kept"`
	Signed  fleet.Bytes    `yaml:"proof_size" help:"how much of that is kept in all; beyond it the oldest of the hosts go that have the most"`
}

// maxAgentLife is how long a stolen certificate of a host may count at most
// while nobody notices.
const maxAgentLife = 90 * 24 * time.Hour

// DefaultConfig returns the values that stand where nothing else is said.
func DefaultConfig() Config {
	return Config{
		ID:        "c1",
		Store:     StoreDisk,
		DataDir:   "/var/lib/fleetcron-collector",
		Listen:    Listen{Web: "127.0.0.1:7780"},
		AgentLife: fleet.Duration(identity.AgentLife),
		Retention: Retention{Age: fleet.Duration(90 * 24 * time.Hour), PerTask: 10_000, Changes: fleet.Duration(400 * 24 * time.Hour), Proofs: fleet.Duration(400 * 24 * time.Hour), Signed: 1 << 30},
	}
}

// Validate fills in the addresses that nobody set, and reports every field that
// is wrong.
func (c *Config) Validate() error {
	c.Listen.follow(c.Advertise)
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
	for _, listener := range c.Listen.table() {
		if reason := c.wrongListener(listener.address); reason != "" {
			add(listener.field, listener.address, reason)
		}
	}
	if c.Advertise != "" {
		if at, err := netip.ParseAddr(c.Advertise); err != nil || at.IsUnspecified() || at.IsMulticast() {
			add("advertise", c.Advertise, "want one IP address that others reach, such as 10.0.0.1")
		}
	}
	for _, address := range c.Join {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			add("join", address, "want an address such as https://10.0.0.1:7770")
		}
	}
	if c.AgentLife < fleet.Duration(time.Minute) || c.AgentLife > fleet.Duration(maxAgentLife) {
		add("agent_life", c.AgentLife.String(), "want 1m to 90d")
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
	if c.Retention.Proofs < fleet.Duration(24*time.Hour) {
		add("retention.proofs", c.Retention.Proofs.String(), "want at least 24h")
	}
	if c.Retention.Signed < 1<<20 {
		add("retention.proof_size", c.Retention.Signed.String(), "want at least 1MiB")
	}
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Usage, Message: "configuration", Fields: wrong}
	}
	return nil
}

// follow lets the listeners that have no address listen on this one; on loopback
// where it is none.
func (l *Listen) follow(ip string) {
	if at, err := netip.ParseAddr(ip); err != nil || at.IsUnspecified() {
		ip = "127.0.0.1"
	}
	for port, address := range map[string]*string{"7770": &l.API, "7771": &l.Raft, "7772": &l.Gossip} {
		if *address == "" {
			*address = net.JoinHostPort(ip, port)
		}
	}
}

// table is every listener with the name of its setting.
func (l *Listen) table() []struct{ field, address string } {
	return []struct{ field, address string }{
		{"listen.api", l.API}, {"listen.raft", l.Raft}, {"listen.gossip", l.Gossip}, {"listen.web", l.Web},
	}
}

// wrongListener returns what is wrong with a listener's address, or nothing.
// Every address will do: nobody is let in who is not known, on loopback either.
func (c *Config) wrongListener(address string) string {
	at, err := netip.ParseAddrPort(address)
	switch {
	case err != nil:
		return "want IP:port such as 127.0.0.1:7770 or 0.0.0.0:7770"
	case at.Addr().IsUnspecified() && c.Advertise == "" && address != c.Listen.Web:
		return "set advertise to the IP address that the others reach this collector at"
	}
	return ""
}

// reached returns the address that others use for a listener.
func (c *Config) reached(listener string) string {
	at, err := netip.ParseAddrPort(listener)
	if err != nil || !at.Addr().IsUnspecified() {
		return listener
	}
	return net.JoinHostPort(c.Advertise, strconv.Itoa(int(at.Port())))
}

// keyFile is where the gossip keyring stands.
func (c *Config) keyFile() string {
	if c.Gossip.KeyFile != "" {
		return c.Gossip.KeyFile
	}
	return filepath.Join(c.DataDir, "gossip.key")
}

// apiURL is the address that other collectors and agents find the API at.
func (c *Config) apiURL() string { return "https://" + c.reached(c.Listen.API) }

// webURL is the address of the web page; beyond loopback it speaks TLS alone.
func (c *Config) webURL() string {
	if c.plainWeb() {
		return "http://" + c.Listen.Web
	}
	return "https://" + c.reached(c.Listen.Web)
}

// plainWeb reports whether the web page does without TLS: on loopback, where a
// browser would ask about a certificate that nobody else can see.
func (c *Config) plainWeb() bool {
	at, err := netip.ParseAddrPort(c.Listen.Web)
	return err == nil && at.Addr().IsLoopback()
}
