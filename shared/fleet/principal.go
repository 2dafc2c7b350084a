package fleet

import (
	"net/netip"
	"slices"
)

// Everywhere is the namespace that stands for all of them, in scopes and in
// what a host is enrolled for. No task can be named so.
const Everywhere = "*"

// Scope is the set of namespaces that somebody may see and change. The zero
// value holds none.
type Scope struct {
	all   bool
	names []string
}

// ScopeOf returns the scope of these namespaces; Everywhere holds all.
func ScopeOf(namespaces ...string) Scope {
	return Scope{all: slices.Contains(namespaces, Everywhere), names: slices.Clone(namespaces)}
}

// All reports whether every namespace is within.
func (s Scope) All() bool { return s.all }

// Holds reports whether a namespace is within, by its whole name.
func (s Scope) Holds(namespace string) bool {
	return s.all || slices.Contains(s.names, namespace)
}

// Meets reports whether a host that is enrolled for these namespaces may be
// seen: one that serves every namespace is seen by whoever sees any.
func (s Scope) Meets(namespaces []string) bool {
	if s.all {
		return true
	}
	return len(s.names) > 0 && slices.ContainsFunc(namespaces, func(name string) bool { return name == Everywhere || slices.Contains(s.names, name) })
}

// Namespaces returns the names within; nil for none, Everywhere for all.
func (s Scope) Namespaces() []string {
	if s.all {
		return []string{Everywhere}
	}
	return slices.Clone(s.names)
}

// Role is what a token lets its holder do.
type Role string

// The roles. An operator submits what is signed; to sign takes a key as well,
// which no collector has.
const (
	Viewer   Role = "viewer"   // reads
	Runner   Role = "runner"   // reads, and submits orders to run and to cancel
	Operator Role = "operator" // reads, and submits tasks and orders
	Approver Role = "approver" // reads, and adds a second signature
	Admin    Role = "admin"    // all of it, and tokens, enrolment, collectors
	Auditor  Role = "auditor"  // reads, and the audit chain
)

// Roles lists every role.
var Roles = []Role{Viewer, Runner, Operator, Approver, Admin, Auditor}

// PrincipalKind says what a caller is.
type PrincipalKind string

// The kinds of principals. The zero value is nobody.
const (
	PersonKind    PrincipalKind = "person"    // a token, or a session made with one
	AgentKind     PrincipalKind = "agent"     // a certificate of a host
	CollectorKind PrincipalKind = "collector" // a certificate of a collector
	SystemKind    PrincipalKind = "system"    // the collector itself: the leader's own housekeeping
)

// Principal is who asks. It comes from a certificate or a token, never from
// what a request says of itself.
type Principal struct {
	Kind    PrincipalKind `json:"kind"`
	Name    string        `json:"name"`             // of a person: the token's name; of an agent or collector: its id
	Token   string        `json:"token,omitempty"`  // id of the token; never the secret
	Roles   []Role        `json:"roles,omitempty"`  // of a person
	Scope   []string      `json:"scope,omitempty"`  // namespaces; empty: none
	Via     string        `json:"via,omitempty"`    // api, web, agent, enroll, peer
	Address netip.Addr    `json:"address,omitzero"` // that the request came from
}

// Sees returns the namespaces that the principal may see.
func (p *Principal) Sees() Scope { return ScopeOf(p.Scope...) }

// Has reports whether the principal has a role.
func (p *Principal) Has(role Role) bool { return slices.Contains(p.Roles, role) }

// String returns kind and name, such as "person anna".
func (p *Principal) String() string {
	if p.Kind == "" {
		return "nobody"
	}
	return string(p.Kind) + " " + p.Name
}
