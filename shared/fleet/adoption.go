package fleet

import "time"

// AdoptionState says how far an adoption or its release is.
type AdoptionState string

// The states of an adoption.
const (
	AdoptionWanted    AdoptionState = "wanted"    // the host has not answered yet; the line still runs
	AdoptionAdopted   AdoptionState = "adopted"   // the line is silent, the task runs
	AdoptionRefused   AdoptionState = "refused"   // the host would not; nothing changed there
	AdoptionReleasing AdoptionState = "releasing" // the line shall come back; the task still runs
	AdoptionReleased  AdoptionState = "released"  // the line is back to the byte, the task is retired
	AdoptionStuck     AdoptionState = "stuck"     // the line could not be put back; the task runs on
)

// Adoption is a found job that became a task. The task is due from At of its
// handed-over line on, and never before; until then the host's own scheduler
// runs the line.
type Adoption struct {
	Task   TaskID        `json:"task"`
	Host   HostID        `json:"host"`
	Job    Job           `json:"job"` // as the person saw it
	State  AdoptionState `json:"state"`
	Why    string        `json:"why,omitempty"`   // of refused and stuck: a sentence
	Handed time.Time     `json:"handed,omitzero"` // when the line fell silent, or came back: the host's clock
	Force  bool          `json:"force,omitempty"` // even where configuration management will undo it
	By     string        `json:"by,omitempty"`
	Reason string        `json:"reason,omitempty"`
	At     time.Time     `json:"at"` // when the state was recorded
	// Asked is when a person last asked for it: to adopt, or to release. A word
	// of the host counts for the wish of that instant alone.
	Asked time.Time `json:"asked,omitzero"`
	// Envelope is the sealed wish: to adopt, or to release.
	Envelope []byte `json:"envelope,omitempty"`
	Serial   uint64 `json:"serial,omitempty"`
}
