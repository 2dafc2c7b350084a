package gossip

import (
	"log/slog"
	"maps"
	"sync"

	"github.com/hashicorp/serf/serf"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The tags that every member wears. The ticket is a collector's word that this
// name may wear this role.
const (
	tagRole   = "role"
	tagTicket = "t"
)

// door lets members in whose ticket is good, and keeps count of the others.
// The library asks it about whoever is said to be alive, and every reader asks
// again: a ticket runs out while its member is in.
type door struct {
	self  string
	admit func(name, role, ticket string) error
	log   *slog.Logger

	mu      sync.Mutex        // guards what follows
	refused map[string]string // the last reason by name, so that a log says it once
	count   uint64
}

const refusedMax = 1024

func newDoor(self string, admit func(name, role, ticket string) error, log *slog.Logger) *door {
	return &door{self: self, admit: admit, log: log, refused: make(map[string]string)}
}

// NotifyMerge refuses the one member that it is asked about. A whole list, as
// another sends it to one who joins, is let through: its members come back one
// by one, and a single stale one among them must not keep two meshes apart.
func (d *door) NotifyMerge(members []*serf.Member) error {
	if len(members) != 1 {
		return nil
	}
	return d.check(members[0].Name, members[0].Tags)
}

// check says why a member is nobody, or nil. This member itself is always let
// in: what others say of it in its name, the library refutes.
func (d *door) check(name string, tags map[string]string) error {
	if name == d.self {
		return nil
	}
	err := d.admit(name, tags[tagRole], tags[tagTicket])
	d.note(name, tags, err)
	if err != nil {
		return fleet.Errorf(fleet.Refused, "no valid ticket").WithCode("gossip_ticket")
	}
	return nil
}

// note logs why a member is refused, once until the reason changes.
func (d *door) note(name string, tags map[string]string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		delete(d.refused, name)
		return
	}
	d.count++
	if d.refused[name] == err.Error() {
		return
	}
	if len(d.refused) >= refusedMax {
		clear(d.refused)
	}
	d.refused[name] = err.Error()
	d.log.Warn("gossip member refused", "code", "gossip_ticket", "member", name, "role", tags[tagRole], "error", err)
}

func (d *door) refusals() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// wear returns the tags of a member with its role and ticket.
func wear(tags map[string]string, role, ticket string) map[string]string {
	worn := maps.Clone(tags)
	if worn == nil {
		worn = make(map[string]string, 2)
	}
	if role != "" {
		worn[tagRole] = role
	}
	if ticket != "" {
		worn[tagTicket] = ticket
	}
	return worn
}
