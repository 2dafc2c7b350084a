package ledger

import (
	"bytes"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Host is a host as the ledger knows it: its own description, and what its
// last report amounted to. It is shared: do not change what it points to.
type Host struct {
	fleet.Host
	FirstSeen time.Time
	Changed   time.Time // when the description last changed
	Reported  time.Time // when the inventory last changed; zero: no report yet
	Scanned   time.Time // the instant of the scan that found it so
	Hash      string    // of the inventory
	Jobs      int
	Broken    int // jobs that the host's scheduler will not run
	Problems  int
	Since     map[fleet.JobKind]time.Time // from when on a start of each kind would have been seen; others leave no trace

	Namespaces []string // whose tasks it takes, of its node; Everywhere: all
	Enrolled   bool     // it has a node
	Revoked    bool     // for ever
}

// hostRow is a host on disk.
type hostRow struct {
	Host      fleet.Host `json:"host"`
	FirstSeen time.Time  `json:"first_seen"`
	Changed   time.Time  `json:"changed"`
}

// RegisterHost records how a host describes itself. The same description
// writes nothing.
type RegisterHost struct {
	Host fleet.Host `json:"host"`
	At   time.Time  `json:"at"`
}

func (cmd *RegisterHost) apply(c *change) any {
	id := cmd.Host.ID
	if !id.Valid() {
		return fleet.Invalidf("id", string(id), "want 32 lower-case hex digits")
	}
	row, found := stored[hostRow](c, inHosts, key(string(id)))
	if !found {
		row.FirstSeen = cmd.At
	} else if bytes.Equal(encode(row.Host), encode(cmd.Host)) {
		return nil
	}
	row.Host, row.Changed = cmd.Host, cmd.At
	c.put(inHosts, key(string(id)), encode(row))
	c.hosts = append(c.hosts, id)
	c.notify(Hosts)
	index := c.index
	c.after(func(l *Ledger) { l.hostChanged(row, index) })
	return nil
}

// hostChanged takes the host into memory and wakes its agent when the tasks
// that match it are others now. It needs mu.
func (l *Ledger) hostChanged(row hostRow, index uint64) {
	id := row.Host.ID
	old := l.memory.hosts[id]
	host := Host{Host: row.Host, FirstSeen: row.FirstSeen, Changed: row.Changed}
	if old != nil {
		host.setReport(old.report())
		host.Since = old.Since
	}
	host.enrolled(l.memory.nodes[string(id)])
	l.memory.putHost(&host)
	delete(l.memory.assigned, id)
	if l.memory.moved(old, &host) {
		l.notify(PlanOf(id), index)
	}
}
