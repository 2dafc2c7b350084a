package gossip

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Config says who joins and where. Name, Bind, Label, Admit and one of Ring
// and Keyring are required.
type Config struct {
	Name      string            // this member's id, unique in the fleet: a host id or a collector id
	Role      string            // "agent" or "collector"; worn as a tag
	Ticket    string            // a collector's word that Name may wear Role; worn as a tag
	Bind      string            // "10.0.0.1:7772"; port 0 picks a free one
	Advertise string            // ip:port the others reach this member at; empty: Bind, or where that is every address the one on the way to the seeds
	Label     string            // names the fleet; members of another label are not heard
	Ring      *Ring             // its keys encrypt everything; changes of it are followed while Run runs
	Keyring   string            // instead of Ring: the file of one
	Tags      map[string]string // pointers for the others, with role and ticket at most 512 bytes encoded
	Seeds     []string          // host:port of members to begin with; tried again until reached
	Snapshot  string            // file that remembers members across restarts; empty: none
	Logger    *slog.Logger      // nil: slog.Default

	// Admit says why the member of this name, with this role and ticket, is
	// nobody; nil lets it in. It is asked about everyone but this member itself,
	// often and from many goroutines, so it must be quick.
	Admit func(name, role, ticket string) error

	tune func(*serf.Config) // tests shorten the failure detection with it
}

// reconnectTimeout is how long a failed member is remembered and called again.
const reconnectTimeout = 72 * time.Hour

// leaveDelay is how long a leaving member answers probes, so that its goodbye
// is heard before its silence.
const leaveDelay = 500 * time.Millisecond

var memberName = regexp.MustCompile(`^[A-Za-z0-9.-]{1,128}$`)

// Validate reports every field that is wrong.
func (c *Config) Validate() error {
	var wrong []fleet.FieldError
	fail := func(field, value, reason string) {
		wrong = append(wrong, fleet.FieldError{Field: field, Value: value, Reason: reason})
	}
	if !memberName.MatchString(c.Name) {
		fail("gossip.name", c.Name, "want 1–128 of A-Z a-z 0-9 . -")
	}
	if c.Label == "" || len(c.Label) > memberlist.LabelMaxSize {
		fail("gossip.label", c.Label, "want the name of the fleet, 1–255 bytes")
	}
	if (c.Ring == nil) == (c.Keyring == "") {
		fail("gossip.keyring", c.Keyring, "want a keyring file or a ring, one of the two: gossip is never in the clear")
	}
	if c.Admit == nil {
		fail("gossip.admit", "", "is missing: who has the key alone is not a member")
	}
	bind, err := netip.ParseAddrPort(c.Bind)
	switch {
	case err != nil:
		fail("gossip.bind", c.Bind, "want ip:port such as 10.0.0.1:7772")
	case bind.Addr().IsUnspecified() && c.Advertise == "" && len(c.Seeds) == 0:
		fail("gossip.advertise", "", "is needed with bind "+c.Bind+" and no seeds: the others must know one address")
	}
	if c.Advertise != "" {
		advertise, err := netip.ParseAddrPort(c.Advertise)
		if err != nil || advertise.Addr().IsUnspecified() || advertise.Port() == 0 {
			fail("gossip.advertise", c.Advertise, "want ip:port that others reach, such as 10.0.0.1:7772")
		}
	}
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Invalid, Fields: wrong}
	}
	return nil
}

// portTries is how often a free port is looked for that neither TCP nor UDP uses.
const portTries = 10

// listen opens the sockets. The library would do so too, and leak goroutines
// when it cannot.
func (c *Config) listen(lines *logLines) (*memberlist.NetTransport, error) {
	bind := netip.MustParseAddrPort(c.Bind)
	sockets := &memberlist.NetTransportConfig{
		BindAddrs: []string{bind.Addr().String()}, BindPort: int(bind.Port()), Logger: lines.logger(),
	}
	tries := 1
	if bind.Port() == 0 {
		tries = portTries
	}
	var err error
	for range tries {
		var transport *memberlist.NetTransport
		if transport, err = memberlist.NewNetTransport(sockets); err == nil {
			return transport, nil
		}
	}
	return nil, &fleet.Error{
		Kind: fleet.Unavailable, Message: "gossip on " + c.Bind, Err: err,
		Hint: "see who listens there: ss -lntup",
	}
}

// shown returns the address that is told to the others; zero: that of Bind. Its
// port is zero where that of Bind is meant. A host that listens on every address
// is reached at the one that it reaches the others from.
func (c *Config) shown() (netip.AddrPort, error) {
	if c.Advertise != "" {
		return netip.MustParseAddrPort(c.Advertise), nil
	}
	if !netip.MustParseAddrPort(c.Bind).Addr().IsUnspecified() {
		return netip.AddrPort{}, nil
	}
	var last error
	for _, seed := range c.Seeds {
		towards, err := net.DialTimeout("udp", seed, lookupLimit) // sends nothing
		if err != nil {
			last = err
			continue
		}
		from, err := netip.ParseAddrPort(towards.LocalAddr().String())
		if err = errors.Join(err, towards.Close()); err == nil {
			return netip.AddrPortFrom(from.Addr().Unmap(), 0), nil
		}
		last = err
	}
	return netip.AddrPort{}, &fleet.Error{
		Kind: fleet.Unavailable, Message: "no way to the seeds, so the address of this host is not known", Err: last,
		Hint: "set gossip.advertise to the ip:port that others reach it at",
	}
}

// lookupLimit is how long the name of a seed is looked up.
const lookupLimit = 2 * time.Second

// serf translates c, which is valid, for the library.
func (c *Config) serf(m *Mesh, transport *transport, shown netip.AddrPort, events chan<- serf.Event) *serf.Config {
	list := memberlist.DefaultLANConfig()
	list.Transport = transport
	list.BindAddr, list.BindPort = netip.MustParseAddrPort(c.Bind).Addr().String(), transport.GetAutoBindPort()
	list.AdvertisePort = list.BindPort
	if shown.IsValid() {
		list.AdvertiseAddr = shown.Addr().String()
		list.AdvertisePort = cmp.Or(int(shown.Port()), list.BindPort)
	}
	list.Keyring = m.keys
	list.GossipVerifyIncoming, list.GossipVerifyOutgoing = true, true
	list.Label = c.Label
	list.EnableCompression = false
	list.LogOutput = nil
	list.Logger = m.lines.logger()
	transport.begin = func() { list.Delegate = sieve{list.Delegate} }

	conf := serf.DefaultConfig()
	conf.NodeName = c.Name
	conf.Tags = wear(c.Tags, c.Role, c.Ticket)
	conf.EventCh = events
	conf.ProtocolVersion = serf.ProtocolVersionMax
	conf.MemberlistConfig = list
	conf.Merge = m.door
	conf.Logger = list.Logger
	conf.LogOutput = nil
	conf.DisableCoordinates = true
	conf.EnableNameConflictResolution = false
	conf.ValidateNodeNames = true
	conf.ReconnectTimeout = reconnectTimeout
	conf.LeavePropagateDelay = leaveDelay
	conf.SnapshotPath = c.Snapshot
	conf.RejoinAfterLeave = true
	if c.tune != nil {
		c.tune(conf)
	}
	return conf
}

// ring returns the ring of c.
func (c *Config) ring() (*Ring, error) {
	if c.Ring != nil {
		return c.Ring, nil
	}
	return OpenRing(c.Keyring)
}
