// Package gossip tells who of the fleet is here, where the collectors are, and
// that there is news; it tells nothing else.
//
// It is the doorbell and not the door. Whoever holds the key can forge every
// tag and event, and every one may be lost, so nothing that it says is obeyed:
// a member that is knocked for asks a collector over the API, and a member
// that failed here may be well.
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
	serf  *serf.Serf

	events  chan Event
	closing chan struct{} // closed by Close
	pumped  chan struct{} // closed when the pump has ended
	close   sync.Once

	tagging sync.Mutex // one change of tags at a time

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
	logger := cmp.Or(cfg.Logger, slog.Default())
	from := make(chan serf.Event, eventBuffer)
	m := &Mesh{
		name: cfg.Name, seeds: cfg.Seeds, log: logger,
		events: make(chan Event), closing: make(chan struct{}), pumped: make(chan struct{}),
		knockNames: make(map[string]struct{}), knocks: make(chan struct{}, 1),
	}
	transport, err := cfg.listen(logger)
	if err != nil {
		return nil, err
	}
	m.serf, err = serf.Create(cfg.serf(ring, transport, from, logger))
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

// Run joins the seeds and sends knocks until ctx ends, and then returns nil.
// Seeds that cannot be reached are tried again and are no error.
func (m *Mesh) Run(ctx context.Context) error {
	var parts sync.WaitGroup
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

// Members returns everyone who is known, this member too, by name.
func (m *Mesh) Members() []Member {
	known := m.serf.Members()
	members := make([]Member, len(known))
	for i, member := range known {
		members[i] = asMember(member)
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return members
}

// SetTags replaces this member's tags and tells the others.
func (m *Mesh) SetTags(tags map[string]string) error {
	m.tagging.Lock()
	defer m.tagging.Unlock()
	if err := m.serf.SetTags(tags); err != nil {
		return fmt.Errorf("set gossip tags: %w", err)
	}
	return nil
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
		Name: member.Name,
		Addr: netip.AddrPortFrom(addr.Unmap(), member.Port),
		Tags: member.Tags, Status: statuses[member.Status],
	}
}
