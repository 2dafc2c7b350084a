// Package gossip tells who of the fleet is here, where the collectors are, and
// that there is news; it tells nothing else.
//
// It is the doorbell and not the door. Who has no key hears and says nothing;
// who has a key and no ticket is nobody; and who has both may still lie about
// others or ring without need. So nothing that it says is obeyed: a member that
// is knocked for asks a collector over the API, an address is where to ask and
// proves nothing, and a member that failed here may be well.
package gossip

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// Status is what the others think of a member.
type Status string

// The statuses.
const (
	StatusAlive  Status = "alive"
	StatusLeft   Status = "left"
	StatusFailed Status = "failed"
)

// Member is one member as this one sees it.
type Member struct {
	Name   string
	Role   string // "agent" or "collector", as its ticket says
	Addr   netip.AddrPort
	Tags   map[string]string
	Status Status
}

// Mesh is this member among the others. Its methods may be called from many
// goroutines.
type Mesh struct {
	name  string
	seeds []string
	log   *slog.Logger
	lines *logLines
	door  *door
	ring  *Ring
	keys  *memberlist.Keyring // as the library has the ring
	serf  *serf.Serf

	events  chan Event
	closing chan struct{} // closed by Close
	pumped  chan struct{} // closed when the pump has ended
	close   sync.Once

	tagging sync.Mutex // guards the three below: one change at a time
	tags    map[string]string
	role    string
	ticket  string

	knocking   sync.Mutex // guards the two below
	knockNames map[string]struct{}
	knockAll   bool
	knocks     chan struct{} // there are some
}

// eventBuffer is how many events the library may be ahead of the pump.
const eventBuffer = 1024

// Join opens the sockets and makes this member one of the mesh. It reaches out
// to nobody yet: Run does.
func Join(cfg Config) (*Mesh, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ring, err := cfg.ring()
	if err != nil {
		return nil, err
	}
	if err := prepareSnapshot(cfg.Snapshot); err != nil {
		return nil, err
	}
	log := cmp.Or(cfg.Logger, slog.Default())
	from := make(chan serf.Event, eventBuffer)
	m := &Mesh{
		name: cfg.Name, seeds: cfg.Seeds, log: log, lines: newLogLines(log), door: newDoor(cfg.Name, cfg.Admit, log),
		ring: ring, tags: cfg.Tags, role: cfg.Role, ticket: cfg.Ticket,
		events: make(chan Event), closing: make(chan struct{}), pumped: make(chan struct{}),
		knockNames: make(map[string]struct{}), knocks: make(chan struct{}, 1),
	}
	if m.keys, err = libraryRing(ring); err != nil {
		return nil, err
	}
	shown, err := cfg.shown()
	if err != nil {
		return nil, err
	}
	sockets, err := cfg.listen(m.lines)
	if err != nil {
		return nil, err
	}
	transport := bounded(sockets)
	m.serf, err = serf.Create(cfg.serf(m, transport, shown, from))
	if err != nil {
		transport.Shutdown()
		return nil, fmt.Errorf("join gossip: %w", err)
	}
	go func() {
		defer close(m.pumped)
		m.pump(from)
	}()
	return m, nil
}

// prepareSnapshot makes the file and its directory for their owner alone; the
// library would let everyone read them.
func prepareSnapshot(path string) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("gossip snapshot: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("gossip snapshot: %w", err)
	}
	return file.Close()
}

// Run joins the seeds, sends knocks and follows the ring until ctx ends, and
// then returns nil. Seeds that cannot be reached are tried again and are no
// error.
func (m *Mesh) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { m.followRing(ctx) })
	parts.Go(func() { m.sendKnocks(ctx) })
	if len(m.seeds) > 0 {
		parts.Go(func() { m.joinSeeds(ctx) })
	}
	parts.Wait()
	return nil
}

// Events tells of the others and of knocks. Who reads slowly gets the latest
// event of each member and misses those in between. The channel is closed by
// Close; it is meant for one reader.
func (m *Mesh) Events() <-chan Event { return m.events }

// Addr returns the address that the others reach this member at.
func (m *Mesh) Addr() netip.AddrPort { return asMember(m.serf.LocalMember()).Addr }

// Members returns everyone who is known and has a ticket that is valid now, by
// name; this member too.
func (m *Mesh) Members() []Member {
	var members []Member
	for _, member := range m.serf.Members() {
		if m.door.check(member.Name, member.Tags) == nil {
			members = append(members, asMember(member))
		}
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return members
}

// SetTags replaces this member's tags, but role and ticket, and tells the
// others.
func (m *Mesh) SetTags(tags map[string]string) error {
	m.tagging.Lock()
	defer m.tagging.Unlock()
	m.tags = tags
	return m.retag()
}

// SetTicket wears another ticket and tells the others.
func (m *Mesh) SetTicket(ticket string) error {
	m.tagging.Lock()
	defer m.tagging.Unlock()
	if ticket == m.ticket {
		return nil
	}
	m.ticket = ticket
	return m.retag()
}

func (m *Mesh) retag() error {
	if err := m.serf.SetTags(wear(m.tags, m.role, m.ticket)); err != nil {
		return fmt.Errorf("set gossip tags: %w", err)
	}
	return nil
}

// Counts say how much of what others sent was worth nothing.
type Counts struct {
	Unreadable uint64 // packets and streams without our key or label
	Refused    uint64 // words of members without a valid ticket
}

// Counts returns what was counted since Join.
func (m *Mesh) Counts() Counts {
	return Counts{Unreadable: m.lines.unreadable.Load(), Refused: m.door.refusals()}
}

// Leave says goodbye, so that the others see this member as left and not as
// failed. It takes about a second; Close must follow.
func (m *Mesh) Leave() error {
	if err := m.serf.Leave(); err != nil {
		return fmt.Errorf("leave gossip: %w", err)
	}
	return nil
}

// Close ends the membership and closes the sockets. Without Leave before it
// the others see this member fail.
func (m *Mesh) Close() error {
	var err error
	m.close.Do(func() {
		err = m.serf.Shutdown()
		close(m.closing)
		<-m.pumped
	})
	return err
}

// statuses maps the library's states; one that is leaving is still here.
var statuses = map[serf.MemberStatus]Status{
	serf.StatusAlive:   StatusAlive,
	serf.StatusLeaving: StatusAlive,
	serf.StatusLeft:    StatusLeft,
	serf.StatusFailed:  StatusFailed,
}

func asMember(member serf.Member) Member {
	addr, _ := netip.AddrFromSlice(member.Addr)
	return Member{
		Name: member.Name, Role: member.Tags[tagRole],
		Addr: netip.AddrPortFrom(addr.Unmap(), member.Port),
		Tags: member.Tags, Status: statuses[member.Status],
	}
}
