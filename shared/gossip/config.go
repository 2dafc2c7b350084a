package gossip

import (
	"log/slog"
	"net/netip"
	"regexp"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Config says who joins and where. Name, Bind, Label and one of Key and
// Keyring are required.
type Config struct {
	Name      string            // this member's id, unique in the fleet: a host id or a collector id
	Bind      string            // "127.0.0.1:7772"; port 0 picks a free one
	Advertise string            // ip:port the others reach this member at; empty: Bind
	Label     string            // names the fleet; members of another label are not heard
	Key       []byte            // KeySize bytes; encrypts everything
	Keyring   string            // instead of Key: a file written by WriteKeyring
	Tags      map[string]string // pointers for the others, at most 512 bytes encoded
	Seeds     []string          // host:port of members to begin with; tried again until reached
	Snapshot  string            // file that remembers members across restarts; empty: none
	Logger    *slog.Logger      // nil: slog.Default

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
	if (len(c.Key) == 0) == (c.Keyring == "") {
		fail("gossip.keyring", c.Keyring, "want a keyring file or a key, one of the two: gossip is never in the clear")
	}
	checkAddress(fail, "gossip.bind", c.Bind)
	if c.Advertise != "" {
		checkAddress(fail, "gossip.advertise", c.Advertise)
	}
	if len(wrong) > 0 {
		return &fleet.Error{Kind: fleet.Invalid, Fields: wrong}
	}
	return nil
}

func checkAddress(fail func(field, value, reason string), field, value string) {
	address, err := netip.ParseAddrPort(value)
	switch {
	case err != nil:
		fail(field, value, "want ip:port such as 127.0.0.1:7772")
	case !address.Addr().IsLoopback():
		fail(field, value, "only a loopback address is allowed while members carry no certificate; use 127.0.0.1:7772")
	}
}

// portTries is how often a free port is looked for that neither TCP nor UDP uses.
const portTries = 10

// listen opens the sockets. The library would do so too, and leak goroutines
// when it cannot.
func (c *Config) listen(logger *slog.Logger) (*memberlist.NetTransport, error) {
	bind := netip.MustParseAddrPort(c.Bind)
	sockets := &memberlist.NetTransportConfig{
		BindAddrs: []string{bind.Addr().String()}, BindPort: int(bind.Port()), Logger: libraryLogger(logger),
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

// serf translates c, which is valid, for the library.
func (c *Config) serf(ring *memberlist.Keyring, transport *memberlist.NetTransport, events chan<- serf.Event, logger *slog.Logger) *serf.Config {
	list := memberlist.DefaultLANConfig()
	list.Transport = transport
	list.BindAddr, list.BindPort = netip.MustParseAddrPort(c.Bind).Addr().String(), transport.GetAutoBindPort()
	list.AdvertisePort = list.BindPort
	if c.Advertise != "" {
		advertise := netip.MustParseAddrPort(c.Advertise)
		list.AdvertiseAddr, list.AdvertisePort = advertise.Addr().String(), int(advertise.Port())
	}
	list.Keyring = ring
	list.Label = c.Label
	list.EnableCompression = false
	list.LogOutput = nil
	list.Logger = libraryLogger(logger)

	conf := serf.DefaultConfig()
	conf.NodeName = c.Name
	conf.Tags = c.Tags
	conf.EventCh = events
	conf.ProtocolVersion = serf.ProtocolVersionMax
	conf.MemberlistConfig = list
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
