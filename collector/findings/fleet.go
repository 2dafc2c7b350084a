package findings

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Host is a host as the collectors know and observe it.
type Host struct {
	api.HostView
	// Since says from when on a start of a kind would have been seen.
	Since map[fleet.JobKind]time.Time
	// Quiet is when the host was last heard of, if it is silent; zero: it is
	// not. Back is when it was heard of again after a silence; zero: it was not
	// silent as far as is known. What was due before Back may have been due
	// while the host was down.
	Quiet, Back time.Time
	// Proofs is how far the host has signed its runs, and with which keys; nil:
	// it has not.
	Proofs *api.ProofHost
}

// Inventory is what was found on one host.
type Inventory struct {
	Jobs     []api.JobView
	Problems []fleet.Problem
}

// Fleet is everything that is looked over.
type Fleet struct {
	Hosts     []Host
	Found     map[fleet.HostID]Inventory
	Pins      []fleet.Pin
	Adoptions []fleet.Adoption
	Policies  []api.HostChain
	Owners    map[string]string    // by fingerprint, as annotated
	Acks      map[string]fleet.Ack // by finding
}

// Evaluate returns the findings of a fleet, the most severe first, with the
// acknowledgements that count now.
func Evaluate(f Fleet, now time.Time) []fleet.Finding {
	known := newAlmanac()
	c := comparison{hosts: f.Hosts, surveys: map[fleet.HostID]*survey{}, pins: f.Pins, adoptions: f.Adoptions, policies: f.Policies, owners: f.Owners, almanac: known, now: now}
	for i := range f.Hosts {
		host := &f.Hosts[i]
		c.surveys[host.ID] = newSurvey(host, f.Found[host.ID], known, now)
	}
	var list []fleet.Finding
	for _, one := range c.compare().list {
		list = append(list, one.acked(f.Acks, now))
	}
	return list
}

// found is a finding with every host that it concerns, and where it is about
// several jobs of one host, with those.
type found struct {
	fleet.Finding
	on   []fleet.HostID
	jobs []fleet.JobID
}

// acked returns the finding with its acknowledgement, unless that has expired.
func (f *found) acked(acks map[string]fleet.Ack, now time.Time) fleet.Finding {
	finding := f.Finding
	if ack, known := acks[finding.ID]; known && (ack.Expires.IsZero() || now.Before(ack.Expires)) {
		finding.Ack = &ack
	}
	return finding
}
