package link

import (
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// Nothing is a question or an answer that says no more than that it was made.
type Nothing struct{}

// State is who this host is, and what it does, by what lies on its disk.
type State struct {
	Host    fleet.HostID `json:"host"`
	Cluster string       `json:"cluster,omitempty"`
	Index   uint64       `json:"index"`             // of the plan in force; zero: none
	Revoked []string     `json:"revoked,omitempty"` // as Revoked tells
}

// Page asks for records after a sequence, as soon as there are some.
type Page struct {
	After uint64 `json:"after"`
	Limit int    `json:"limit"`
}

// ProofPage asks for signed blocks after one with a number, of about so many
// bytes, as soon as there are some.
type ProofPage struct {
	After uint64 `json:"after"`
	Bytes int    `json:"bytes"`
}

// ProofBatch is blocks that no collector has; Last is the number of the last.
type ProofBatch struct {
	Blocks []proof.Block `json:"blocks"`
	Last   uint64        `json:"last"`
}

// Output is what is known of output before its first byte.
type Output struct {
	Dropped int64 `json:"dropped"` // bytes that the quota cut
}

// Return gives a lease back.
type Return struct {
	Host fleet.HostID `json:"host"`
	Task fleet.TaskID `json:"task"`
	Run  fleet.RunID  `json:"run"`
}

// Lease asks for one.
type Lease struct {
	Host    fleet.HostID       `json:"host"`
	Request fleet.LeaseRequest `json:"request"`
}

// Sight is the host as it is now. Found holds secrets: only work sees it.
type Sight struct {
	Host   fleet.Host   `json:"host"`
	Found  fleet.Report `json:"found"`
	Masked fleet.Report `json:"masked"`
}

// Sizes of texts.
const (
	small  = 64 << 10
	medium = 4 << 20
	large  = 64 << 20
)

var (
	fromNet  = []Part{Net}
	fromWork = []Part{Work}
)

// What work answers. None of it makes anything run that people did not seal:
// whoever has taken net over can hold a plan back, lie to the collectors about
// this host, and tell of places in the fleet that there are not.
var (
	// GetState says which plan is in force.
	GetState = Verb[Nothing, State]{Name: "state", From: fromNet, Most: small, Answer: small, AtOnce: 4}
	// Offer brings a plan. Work opens every seal in it, and takes what its policy
	// allows.
	Offer = Verb[fleet.Plan, Nothing]{Name: "offer", From: fromNet, Most: large, Answer: small, AtOnce: 1}
	// Applied tells what of the plan in force this host carries out.
	Applied = Verb[uint64, Word[fleet.Applied]]{Name: "applied", From: fromNet, Most: small, Answer: large, AtOnce: 4}
	// Outbox waits for records that no collector has acknowledged, masked.
	Outbox = Verb[Page, fleet.RunBatch]{Name: "outbox", From: fromNet, Most: small, Answer: large, AtOnce: 2}
	// Acknowledge says that the collectors have all records up to a sequence.
	Acknowledge = Verb[uint64, Nothing]{Name: "acknowledge", From: fromNet, Most: small, Answer: small, AtOnce: 1}
	// Proofs waits for what this host signed of its runs and no collector has.
	Proofs = Verb[ProofPage, ProofBatch]{Name: "proofs", From: fromNet, Most: small, Answer: medium, AtOnce: 2}
	// Proven says that the collectors have all blocks up to a number.
	Proven = Verb[uint64, Nothing]{Name: "proven", From: fromNet, Most: small, Answer: small, AtOnce: 1}
	// ReadOutput reads what a run has written, masked; what follows is the output.
	ReadOutput = Verb[fleet.Ask, Output]{Name: "output", From: fromNet, Most: small, Answer: small, AtOnce: 64}
	// GetLive says what goes on at this moment.
	GetLive = Verb[Nothing, fleet.Live]{Name: "live", From: fromNet, Most: small, Answer: large, AtOnce: 4}
	// Rehearse says what an adoption would change.
	Rehearse = Verb[fleet.Adoption, fleet.JobDiff]{Name: "rehearse", From: fromNet, Most: medium, Answer: medium, AtOnce: 2}
	// Stands tells how tasks stand, and which orders were carried out.
	Stands = Verb[uint64, Word[fleet.Stands]]{Name: "stands", From: fromNet, Most: small, Answer: large, AtOnce: 4}
	// Adoptions tells where this host is further with them than its plan.
	Adoptions = Verb[uint64, Word[[]fleet.Adoption]]{Name: "adoptions", From: fromNet, Most: small, Answer: large, AtOnce: 4}
	// Held says which of these tasks run in place of a job, or may yet.
	Held = Verb[[]fleet.TaskID, []fleet.TaskID]{Name: "held", From: fromNet, Most: large, Answer: large, AtOnce: 1}
	// Policy tells what this host's policy says, and refuses.
	Policy = Verb[uint64, Word[fleet.PolicyReport]]{Name: "policy", From: fromNet, Most: small, Answer: large, AtOnce: 4}
	// Revoked tells which collectors are none any more, by id: people signed it.
	Revoked = Verb[uint64, Word[[]string]]{Name: "revoked", From: fromNet, Most: small, Answer: medium, AtOnce: 4}
	// Labels tells the labels that the policy gives this host.
	Labels = Verb[uint64, Word[map[string]string]]{Name: "labels", From: fromNet, Most: small, Answer: medium, AtOnce: 4}
)

// What net answers, over connections that it lends to work.
var (
	// TakeLease asks the collectors for a place in the fleet.
	TakeLease = Verb[Lease, fleet.Lease]{Name: "lease", From: fromWork, Most: small, Answer: small, AtOnce: maxConns}
	// ReturnLease gives it back.
	ReturnLease = Verb[Return, Nothing]{Name: "return-lease", From: fromWork, Most: small, Answer: small, AtOnce: maxConns}
)

// What read answers. All of it but Look is masked.
var (
	// Facts tells what this machine is; id, labels and addresses are not its to say.
	Facts = Verb[uint64, Word[fleet.Host]]{Name: "facts", From: fromNet, Most: small, Answer: medium, AtOnce: 4}
	// Report tells what the last scan found.
	Report = Verb[uint64, Word[*fleet.Report]]{Name: "report", From: fromNet, Most: small, Answer: large, AtOnce: 2}
	// Sightings tells when the found jobs ran last.
	Sightings = Verb[uint64, Word[fleet.Sightings]]{Name: "sightings", From: fromNet, Most: small, Answer: large, AtOnce: 2}
	// Look scans now, with the secrets.
	Look = Verb[Nothing, Sight]{Name: "look", From: fromWork, Most: small, Answer: large, AtOnce: 1}
)
