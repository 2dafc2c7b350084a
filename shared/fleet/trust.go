package fleet

import (
	"net/netip"
	"strconv"
	"time"
)

// Token is what the ledger knows of a person's token: never the secret.
type Token struct {
	ID         string    `json:"id"`             // 8 lower-case letters and digits, part of the secret text
	Name       string    `json:"name"`           // of the person or pipeline that holds it
	Hash       []byte    `json:"hash,omitempty"` // SHA-256 of the whole text; never leaves the collectors
	Roles      []Role    `json:"roles"`
	Namespaces []string  `json:"namespaces"` // Everywhere: all
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires"`
	Revoked    time.Time `json:"revoked,omitzero"`
	By         string    `json:"by,omitempty"`
	Bootstrap  bool      `json:"bootstrap,omitempty"` // of init; refused once there is another admin
}

// JoinToken lets one machine enrol, once.
type JoinToken struct {
	ID         string            `json:"id"`
	Hash       []byte            `json:"hash,omitempty"`      // SHA-256 of its 32 secret bytes
	Collector  CollectorID       `json:"collector,omitempty"` // enrols this collector; empty: an agent
	Node       HostID            `json:"node,omitempty"`      // readmits this host; empty: a new one
	Namespaces []string          `json:"namespaces,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`  // that the collectors vouch for; a host's own labels stay its own
	Network    netip.Prefix      `json:"network,omitzero"`  // that it must come from; zero: anywhere
	Approve    bool              `json:"approve,omitempty"` // a person must approve the fingerprint
	Created    time.Time         `json:"created"`
	Expires    time.Time         `json:"expires"`
	Used       time.Time         `json:"used,omitzero"`
	UsedBy     string            `json:"used_by,omitempty"` // id of the node that it made
	By         string            `json:"by,omitempty"`
}

// NodeState says whether a machine's certificate counts.
type NodeState string

// The states of a node. Revoked is for ever.
const (
	NodePending   NodeState = "pending" // waits for a person to approve its fingerprint
	NodeActive    NodeState = "active"
	NodeSuspended NodeState = "suspended" // two used one identity, or a person said so; readmit ends it
	NodeRevoked   NodeState = "revoked"
)

// Node is a machine that was enrolled: a host or a collector. Its id is random,
// made at enrolment and never used again.
type Node struct {
	ID          string            `json:"id"`   // HostID or CollectorID
	Role        PrincipalKind     `json:"role"` // AgentKind or CollectorKind
	State       NodeState         `json:"state"`
	Name        string            `json:"name,omitempty"`       // that it called itself at enrolment; for people, proves nothing
	Namespaces  []string          `json:"namespaces,omitempty"` // whose tasks the host takes; Everywhere: all
	Labels      map[string]string `json:"labels,omitempty"`     // given at enrolment
	Serial      string            `json:"serial,omitempty"`     // of the certificate in force, hex
	Before      string            `json:"before,omitempty"`     // the serial that it renewed
	Fingerprint string            `json:"fingerprint"`          // SHA-256 of the public key's SPKI, hex
	Expires     time.Time         `json:"expires,omitzero"`     // of the certificate
	Enrolled    time.Time         `json:"enrolled"`
	Changed     time.Time         `json:"changed"`
	By          string            `json:"by,omitempty"` // who made the join token, or changed the state last
	Why         string            `json:"why,omitempty"`
	// Request is the certificate request of a pending node, DER.
	Request []byte `json:"request,omitempty"`
	// ProofKey is the Ed25519 key with which a host said at its last enrolment
	// that it signs its proofs; empty: it said none.
	ProofKey []byte `json:"proof_key,omitempty"`
}

// Danger names what may need a second person.
type Danger string

// The dangers, as a host's policy and a namespace's rules name them.
const (
	DangerRoot       Danger = "root"       // runs as root
	DangerShell      Danger = "shell"      // a text for a shell, or an argv that calls one
	DangerEverywhere Danger = "everywhere" // where: labels "*"
	DangerOneShot    Danger = "oneshot"    // an order of a person to run now
	DangerAdoption   Danger = "adoption"   // a found job is taken over or given back
)

// Dangers lists every danger.
var Dangers = []Danger{DangerRoot, DangerShell, DangerEverywhere, DangerOneShot, DangerAdoption}

// Rules are what a namespace asks of those who change it.
type Rules struct {
	Namespace string    `json:"namespace"`
	TwoPerson []Danger  `json:"two_person,omitempty"` // what waits for approval
	Approvals int       `json:"approvals,omitempty"`  // how many people beside the requester; 1 or 2
	Within    Duration  `json:"within,omitempty"`     // a request expires after it; zero: 24h
	Changed   time.Time `json:"changed"`
	By        string    `json:"by,omitempty"`
	Index     uint64    `json:"index,omitempty"`
}

// Request is a sealed change that waits for other people. It is given to no
// host before enough of them approved.
type Request struct {
	ID        string     `json:"id"` // first 16 hex digits of the payload's SHA-256
	Namespace string     `json:"namespace"`
	Object    string     `json:"object"` // "task data/backup", "order run data/backup", …
	Dangers   []Danger   `json:"dangers"`
	Envelope  []byte     `json:"envelope"` // with every signature so far
	By        Principal  `json:"by"`
	Reason    string     `json:"reason,omitempty"`
	At        time.Time  `json:"at"`
	Expires   time.Time  `json:"expires"`
	Needs     int        `json:"needs"` // approvals
	Approved  []Approval `json:"approved,omitempty"`
	Index     uint64     `json:"index,omitempty"`
}

// Approval is one person's yes to the very bytes of a request.
type Approval struct {
	By  Principal `json:"by"`
	Key string    `json:"key"` // id of the key that signed
	At  time.Time `json:"at"`
}

// AuditEntry is one link of the chain. Hash covers Before and all other fields.
type AuditEntry struct {
	Seq    uint64    `json:"seq"` // from 1, without a gap
	At     time.Time `json:"at"`  // of the leader, when it was proposed
	By     Principal `json:"by"`
	Action string    `json:"action"`           // "task.put", "token.revoke", "login", …
	Object string    `json:"object,omitempty"` // "data/backup", "host 01…", …
	// Namespace is whose it is, so that its auditors see it; empty: of none, or of several.
	Namespace string `json:"namespace,omitempty"`
	Decision  string `json:"decision"`         // "done" or "refused"
	Code      string `json:"code,omitempty"`   // of a refusal
	Why       string `json:"why,omitempty"`    // the author's reason, or why it was refused
	Digest    string `json:"digest,omitempty"` // SHA-256 of the sealed payload, hex; empty: nothing sealed
	Count     int    `json:"count,omitempty"`  // of equal refusals that stand in one entry; zero: one
	Before    []byte `json:"before"`           // hash of the entry before; 32 zero bytes for the first
	Hash      []byte `json:"hash"`
}

// PolicyReport is what an agent says of its host's policy and of its own audit
// chain. A host says it of itself; who is root there may lie.
type PolicyReport struct {
	Execute   bool      `json:"execute"`
	Problem   string    `json:"problem,omitempty"` // why the policy counts for nothing; empty: it counts
	Digest    string    `json:"digest,omitempty"`  // SHA-256 of the file
	Keys      []string  `json:"keys,omitempty"`    // ids of the keys it trusts
	TwoPerson []Danger  `json:"two_person,omitempty"`
	Refused   []Refusal `json:"refused,omitempty"` // what stands refused now
	AuditSeq  uint64    `json:"audit_seq,omitempty"`
	AuditHead []byte    `json:"audit_head,omitempty"`
	At        time.Time `json:"at"`
}

// RefusalWithheld is the code of what a host goes on with although the collectors
// give it no longer: nobody that it trusts has signed that it ends.
const RefusalWithheld = "withheld"

// Refusal is a statement that a host does not take, and the rule that says so.
type Refusal struct {
	Object string `json:"object"`         // "task data/backup"
	Code   string `json:"code"`           // "policy:user", "signature", "replay", …
	Why    string `json:"why"`            // a sentence
	Line   int    `json:"line,omitempty"` // of the policy file; 0: no line says it
}

// String returns the sentence with its code and line, for people.
func (r *Refusal) String() string {
	where := r.Code
	if r.Line > 0 {
		where += ", line " + strconv.Itoa(r.Line) + " of the host's policy"
	}
	return r.Why + " (" + where + ")"
}
