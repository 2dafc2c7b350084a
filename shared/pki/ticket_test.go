package pki_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

func TestTicket(t *testing.T) {
	f := pkitest.New(t)
	now := time.Now()
	host := pki.ID{Cluster: f.Cluster, Role: pki.RoleAgent, Name: pkitest.HostID()}
	self := pki.ID{Cluster: f.Cluster, Role: pki.RoleCollector, Name: "c1"}
	for _, id := range []pki.ID{host, self} {
		text := f.Ticket(id.Role, id.Name)
		if len(text) > 256 {
			t.Errorf("a ticket has %d bytes", len(text))
		}
		ticket, err := pki.VerifyTicket(text, id, f.Root.Certificate, now)
		if err != nil || ticket.ID != id || ticket.Expires.Sub(now) < 59*time.Minute {
			t.Errorf("%v: %+v, %v", id, ticket, err)
		}
	}
}

func TestAttack106_TicketsThatDoNotCount(t *testing.T) {
	f, other := pkitest.New(t), pkitest.New(t)
	now := time.Now()
	host := pki.ID{Cluster: f.Cluster, Role: pki.RoleAgent, Name: pkitest.HostID()}
	ticket := f.Ticket(pki.RoleAgent, host.Name)
	stolen, _ := pki.NewKey()
	forged, err := pki.Ticket{ID: host, Expires: now.Add(time.Hour)}.Sign(&pki.Authority{Key: stolen, Certificate: f.Issuer.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		id   pki.ID
		at   time.Time
	}{
		"none":                         {"", host, now},
		"garbage":                      {"AAAA", host, now},
		"another node's":               {f.Ticket(pki.RoleAgent, pkitest.HostID()), host, now},
		"of an agent for a collector":  {f.Ticket(pki.RoleAgent, host.Name), pki.ID{Cluster: f.Cluster, Role: pki.RoleCollector, Name: "c1"}, now},
		"of c1 for collector c2":       {f.Ticket(pki.RoleCollector, "c2"), pki.ID{Cluster: f.Cluster, Role: pki.RoleCollector, Name: "c2"}, now},
		"of another fleet":             {other.Ticket(pki.RoleAgent, host.Name), host, now},
		"for another fleet":            {ticket, pki.ID{Cluster: other.Cluster, Role: pki.RoleAgent, Name: host.Name}, now},
		"expired":                      {ticket, host, now.Add(2 * time.Hour)},
		"after the root's word is old": {ticket, host, now.Add(48 * time.Hour)},
		"signed by somebody":           {forged, host, now},
	} {
		if _, err := pki.VerifyTicket(c.text, c.id, f.Root.Certificate, c.at); err == nil {
			t.Errorf("%s: counts", name)
		}
	}
	whole, _ := base64.RawURLEncoding.DecodeString(ticket)
	for i := range whole {
		whole[i] ^= 1
		if _, err := pki.VerifyTicket(base64.RawURLEncoding.EncodeToString(whole), host, f.Root.Certificate, now); err == nil {
			t.Errorf("counts with byte %d changed", i)
		}
		whole[i] ^= 1
	}
	for n := range whole {
		if _, err := pki.VerifyTicket(base64.RawURLEncoding.EncodeToString(whole[:n]), host, f.Root.Certificate, now); err == nil {
			t.Errorf("counts when cut to %d bytes", n)
		}
	}
}

func FuzzVerifyTicket(f *testing.F) {
	fleet := pkitest.New(f)
	id := pki.ID{Cluster: fleet.Cluster, Role: pki.RoleAgent, Name: pkitest.HostID()}
	good := fleet.Ticket(id.Role, id.Name)
	f.Add(good)
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := pki.VerifyTicket(text, id, fleet.Root.Certificate, time.Now()); err == nil && text != good {
			t.Errorf("%q counts", text)
		}
	})
}
