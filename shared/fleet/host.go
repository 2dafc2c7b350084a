package fleet

import (
	"net/netip"
)

// Host is a machine with an agent, as the agent describes it. Nothing in it
// changes while the machine stands still: it rides through raft, heartbeats
// do not.
type Host struct {
	ID           HostID            `json:"id"`
	Name         string            `json:"name"` // the hostname; for people
	Addresses    []netip.Addr      `json:"addresses,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	OS           string            `json:"os,omitempty"` // PRETTY_NAME of os-release
	Kernel       string            `json:"kernel,omitempty"`
	Arch         string            `json:"arch,omitempty"`
	CPUs         int               `json:"cpus,omitempty"`
	MemoryBytes  int64             `json:"memory_bytes,omitempty"`
	Timezone     string            `json:"timezone,omitempty"` // IANA name of the host's local time
	Cron         string            `json:"cron,omitempty"`     // debian, cronie, busybox, none
	AgentVersion string            `json:"agent_version,omitempty"`
}

// Presence says what the collectors know of a host right now. It is observed,
// never stored.
type Presence string

// The presences. A host is silent when its agent neither gossips nor calls.
const (
	Alive  Presence = "alive"
	Silent Presence = "silent"
	Left   Presence = "left" // the agent said goodbye
)

// Validate reports every field of h that is wrong.
func (h *Host) Validate() error {
	var check checker
	check.that(h.ID.Valid(), "id", string(h.ID), "want 32 lower-case hex digits")
	check.that(h.Name != "" && len(h.Name) <= 253, "name", h.Name, "want a hostname of 1–253 bytes")
	check.that(len(h.Addresses) <= 256, "addresses", "", "at most 256 addresses")
	check.that(len(h.Labels) <= 64, "labels", "", "at most 64 labels")
	for key, value := range sorted(h.Labels) {
		check.that(validLabelKey(key), "labels."+key, key, "a label key is 1–63 of a-z 0-9 . _ - /")
		check.that(validLabelValue(value), "labels."+key, value, "a label value is at most 63 of A-Z a-z 0-9 . _ -")
	}
	return check.err()
}
