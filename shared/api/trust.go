package api

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Trust says whom a client speaks to, and how it knows it again.
type Trust struct {
	Cluster string `json:"cluster"` // 32 hex digits
	CA      string `json:"ca"`      // the root certificate, PEM
	Pin     string `json:"pin"`     // SHA-256 of its public key's SPKI, hex
}

// WhoAmI is the caller as the collectors see them.
type WhoAmI struct {
	fleet.Principal
	Expires time.Time `json:"expires,omitzero"` // of the token
}

// Enroll asks for a certificate. The plane that takes it asks for no other proof
// than the secret.
type Enroll struct {
	Token   string `json:"token"`   // fcj1.…: the whole text
	Request string `json:"request"` // PEM, PKCS #10, P-256; its subject and extensions are ignored
	// Intermediate is the request of a collector's own CA; empty: an agent.
	Intermediate string `json:"intermediate,omitempty"`
	Name         string `json:"name,omitempty"` // hostname, for the person who approves
	Raft         string `json:"raft,omitempty"` // of a collector: ip:port
	API          string `json:"api,omitempty"`  // of a collector: its URL
	// Hosts are names and addresses under which browsers call a collector.
	Hosts []string `json:"hosts,omitempty"`
	// ProofKey is the Ed25519 key with which an agent signs what became of its
	// runs; empty: it has none yet.
	ProofKey []byte `json:"proof_key,omitempty"`
}

// Enrolled is the answer: a certificate, or that a person must approve first.
type Enrolled struct {
	Node         string          `json:"node"` // host id or collector id
	Cluster      string          `json:"cluster"`
	State        fleet.NodeState `json:"state"`
	Fingerprint  string          `json:"fingerprint"`            // of the key, the same on both sides
	Chain        string          `json:"chain,omitempty"`        // certificate and intermediate, PEM
	CA           string          `json:"ca,omitempty"`           // root, PEM
	Intermediate string          `json:"intermediate,omitempty"` // of a collector, PEM
	Collectors   []string        `json:"collectors,omitempty"`   // API addresses
	Gossip       *GossipTicket   `json:"gossip,omitempty"`
	// Labels are what the join token gives a host; its own configuration and
	// policy go before them.
	Labels map[string]string `json:"labels,omitempty"`
}

// GossipTicket lets a member into gossip: the ring, and a word of a collector
// that this id may wear the tags of its role.
type GossipTicket struct {
	Keys   []string `json:"keys"`   // base64, the first encrypts
	Ticket string   `json:"ticket"` // signed: role, id, cluster, expiry
	Seeds  []string `json:"seeds,omitempty"`
}

// Renew asks for the next certificate, over the connection of the present one.
type Renew struct {
	Request string `json:"request"` // PEM, of a new key
	Serial  string `json:"serial"`  // hex, of the certificate that it renews
}

// NewToken asks for a person's token.
type NewToken struct {
	Name       string         `json:"name"`
	Roles      []fleet.Role   `json:"roles"`
	Namespaces []string       `json:"namespaces"`
	Life       fleet.Duration `json:"life,omitempty"` // zero: 720h; at most 8760h
}

// MadeToken is a token with its secret, which is shown this once.
type MadeToken struct {
	fleet.Token
	Secret string `json:"secret"` // fct1_<id>_<43 characters>
	Index  uint64 `json:"index"`
}

// NewJoinToken asks for a join token.
type NewJoinToken struct {
	Collector  fleet.CollectorID `json:"collector,omitempty"`
	Node       fleet.HostID      `json:"node,omitempty"`
	Namespaces []string          `json:"namespaces,omitempty"` // empty: Everywhere
	Labels     map[string]string `json:"labels,omitempty"`
	Network    string            `json:"network,omitempty"` // CIDR
	Approve    bool              `json:"approve,omitempty"`
	Life       fleet.Duration    `json:"life,omitempty"` // zero: 30m; at most 24h
}

// MadeJoinToken is a join token with its secret, which is shown this once.
type MadeJoinToken struct {
	fleet.JoinToken
	Secret string `json:"secret"` // fcj1.<id>.<43 characters>.<pin>
	Index  uint64 `json:"index"`
}

// NodeChange changes what a node may do.
type NodeChange struct {
	State       fleet.NodeState `json:"state"`                 // active approves or lifts a suspension; suspended; revoked
	Fingerprint string          `json:"fingerprint,omitempty"` // to approve: the one that the person compared
	Reason      string          `json:"reason,omitempty"`
}

// AuditQuery asks for links of the chain.
type AuditQuery struct {
	Page
	Actor  string    `query:"actor"`
	Action string    `query:"action"`
	Object string    `query:"object"`
	Since  time.Time `query:"since"`
	Until  time.Time `query:"until"`
	Newest bool      `query:"newest"` // the newest first; otherwise as the chain goes
}

// HostChain is the head of a host's own chain as it reported it, and what its
// policy says.
type HostChain struct {
	Host fleet.HostID `json:"host"`
	Name string       `json:"name"`
	fleet.PolicyReport
}

// Sealed is the answer to a sealed change: carried out, or waiting for approval.
type Sealed struct {
	Request  *fleet.Request        `json:"request,omitempty"` // it waits; nil: it is done
	Task     *fleet.TaskRecord     `json:"task,omitempty"`
	Orders   []fleet.Order         `json:"orders,omitempty"`
	Calendar *fleet.CalendarRecord `json:"calendar,omitempty"`
	Adoption *fleet.Adoption       `json:"adoption,omitempty"`
	Dropped  bool                  `json:"dropped,omitempty"` // of a cancel: the order that the run waited for is withdrawn, so that it never begins
	Index    uint64                `json:"index"`
}

// Session is a link that logs a browser in, once, within a minute.
type Session struct {
	Path    string    `json:"path"`          // below the web page's address: /login#code
	Web     string    `json:"web,omitempty"` // address of this collector's web page; empty: port 7780 beside the API
	Expires time.Time `json:"expires"`
}
