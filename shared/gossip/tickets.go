package gossip

import (
	"crypto/x509"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
)

// ticketsKept bounds what is remembered of tickets that were verified. A
// fleet has 10,000 members; who sends more makes us verify again.
const ticketsKept = 1 << 15

// Tickets verifies tickets against the root of a cluster, each one once: a
// member's ticket is looked at whenever somebody mentions the member.
type Tickets struct {
	cluster string
	root    *x509.Certificate

	mu    sync.Mutex
	known map[worn]time.Time // until when it counts
}

// worn is a ticket with who wears it.
type worn struct{ name, role, ticket string }

// NewTickets returns what verifies the tickets of a cluster.
func NewTickets(cluster string, root *x509.Certificate) *Tickets {
	return &Tickets{cluster: cluster, root: root, known: make(map[worn]time.Time)}
}

// Admit is for Config: it says why who wears a ticket is nobody.
func (t *Tickets) Admit(name, role, ticket string) error {
	now, key := time.Now(), worn{name, role, ticket}
	t.mu.Lock()
	until, known := t.known[key]
	t.mu.Unlock()
	if known && now.Before(until) {
		return nil
	}
	verified, err := pki.VerifyTicket(ticket, pki.ID{Cluster: t.cluster, Role: pki.Role(role), Name: name}, t.root, now)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.known) >= ticketsKept {
		clear(t.known)
	}
	t.known[key] = verified.Expires
	return nil
}
