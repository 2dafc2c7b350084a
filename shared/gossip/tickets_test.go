package gossip

import (
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

func TestTicketsOfTheFleetCount(t *testing.T) {
	fleet, other := pkitest.New(t), pkitest.New(t)
	tickets := NewTickets(fleet.Cluster, fleet.Root.Certificate)
	host := pkitest.HostID()
	for name, test := range map[string]struct {
		role   pki.Role
		ticket string
		counts bool
	}{
		"its own":             {pki.RoleAgent, fleet.Ticket(pki.RoleAgent, host), true},
		"as collector":        {pki.RoleCollector, fleet.Ticket(pki.RoleAgent, host), false},
		"another's":           {pki.RoleAgent, fleet.Ticket(pki.RoleAgent, pkitest.HostID()), false},
		"another fleet's":     {pki.RoleAgent, other.Ticket(pki.RoleAgent, host), false},
		"none":                {pki.RoleAgent, "", false},
		"of an unheard role":  {"king", fleet.Ticket(pki.RoleAgent, host), false},
		"nearly its own text": {pki.RoleAgent, fleet.Ticket(pki.RoleAgent, host) + "A", false},
	} {
		for range 2 { // the second time from memory
			if err := tickets.Admit(host, string(test.role), test.ticket); (err == nil) != test.counts {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestTicketsFitIntoTags: with the longest names and addresses there are.
func TestTicketsFitIntoTags(t *testing.T) {
	fleet := pkitest.New(t)
	id := pki.ID{Cluster: fleet.Cluster, Role: pki.RoleCollector, Name: strings.Repeat("c", 63)}
	until := fleet.Issuer.Certificate.NotAfter
	issuer := &pki.Authority{Key: fleet.Issuer.Key}
	var err error
	if issuer.Certificate, err = fleet.Root.Issuer(&issuer.Key.PublicKey, id.Name, pki.SpanOf(time.Now(), time.Until(until))); err != nil {
		t.Fatal(err)
	}
	ticket, err := pki.Ticket{ID: id, Expires: until}.Sign(issuer)
	if err != nil {
		t.Fatal(err)
	}
	here := join(t, id.Name, func(cfg *Config) {
		cfg.Role, cfg.Ticket, cfg.Admit = "collector", ticket, NewTickets(fleet.Cluster, fleet.Root.Certificate).Admit
		cfg.Tags = map[string]string{"api": "https://[2001:db8:1111:2222:3333:4444:5555:6666]:65535"}
	})
	there := join(t, pkitest.HostID(), func(cfg *Config) {
		cfg.Role, cfg.Ticket = "agent", fleet.Ticket(pki.RoleAgent, cfg.Name)
		cfg.Admit, cfg.Seeds = NewTickets(fleet.Cluster, fleet.Root.Certificate).Admit, []string{here.Addr().String()}
	})
	await(t, there, map[string]EventKind{here.name: Joined})
	await(t, here, map[string]EventKind{there.name: Joined})
	for _, member := range there.Members() {
		if member.Name == here.name && member.Role != "collector" {
			t.Errorf("it plays %q", member.Role)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	fleet := pkitest.New(b)
	host := pkitest.HostID()
	ticket := fleet.Ticket(pki.RoleAgent, host)
	tickets := NewTickets(fleet.Cluster, fleet.Root.Certificate)
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			if err := tickets.Admit(host, "agent", ticket); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			clear(tickets.known)
			if err := tickets.Admit(host, "agent", ticket); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestAttack107_AgentThatCallsItselfACollector: the tag alone makes nobody a
// collector, so no agent asks there; and raft takes nobody's word from here.
func TestAttack107_AgentThatCallsItselfACollector(t *testing.T) {
	fleet := pkitest.New(t)
	admit := NewTickets(fleet.Cluster, fleet.Root.Certificate).Admit
	here := join(t, "c1", func(cfg *Config) {
		cfg.Role, cfg.Ticket, cfg.Admit = "collector", fleet.Ticket(pki.RoleCollector, "c1"), admit
	})
	host := pkitest.HostID()
	liar := join(t, host, func(cfg *Config) {
		cfg.Role, cfg.Ticket, cfg.Admit, cfg.Seeds = "agent", fleet.Ticket(pki.RoleAgent, host), admit, []string{here.Addr().String()}
	})
	await(t, here, map[string]EventKind{host: Joined})
	if err := liar.SetTags(map[string]string{"api": "https://192.0.2.66:7770"}); err != nil {
		t.Fatal(err)
	}
	await(t, here, map[string]EventKind{host: Updated})
	liar.tagging.Lock()
	liar.role = "collector"
	err := liar.retag()
	liar.tagging.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	untilTrue(t, "the lie is refused", func() bool { return here.Counts().Refused > 0 })
	for _, member := range here.Members() {
		if member.Name == host && member.Role != "agent" {
			t.Errorf("it plays %s", member.Role)
		}
	}
}
