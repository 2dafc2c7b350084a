package httpd

import (
	"slices"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Permission is what a caller must hold to use a route.
type Permission string

// The permissions.
const (
	Public        Permission = "public"         // nobody is asked who they are
	AnyPerson     Permission = "person"         // any token that counts; what more it takes says the service
	ReadFleet     Permission = "fleet:read"     // hosts, jobs, tasks, runs
	ReadOutput    Permission = "output:read"    // what commands wrote
	ReadMetrics   Permission = "metrics:read"   // how the collectors fare, and how much of everything there is
	ReadAudit     Permission = "audit:read"     // who changed what, and who was refused
	WriteTasks    Permission = "tasks:write"    // submit signed tasks, calendars, adoptions
	RunTasks      Permission = "tasks:run"      // submit signed orders to run and to cancel
	ControlTasks  Permission = "tasks:control"  // submit signed orders to start, stop, restart and reset, and events; call webhooks
	WriteNotes    Permission = "notes:write"    // pins, annotations, acknowledgements
	Approve       Permission = "tasks:approve"  // add a signature to what waits for one
	ManageTokens  Permission = "tokens:write"   // who may ask, and as what
	ManageNodes   Permission = "nodes:write"    // which machines belong to the fleet
	ManageRules   Permission = "rules:write"    // what a namespace asks of those who change it
	ManageCluster Permission = "cluster:write"  // who is a collector
	BackUp        Permission = "cluster:backup" // take all that there is away
	BeAgent       Permission = "agent"          // speak for the host in the path
	BeCollector   Permission = "collector"      // speak as a collector of the group
	BeMember      Permission = "member"         // be any machine of the fleet
)

// roles says which roles hold a permission. What is not in it nobody holds: a
// token without a role may do nothing.
var roles = map[Permission][]fleet.Role{
	ReadFleet:     {fleet.Viewer, fleet.Runner, fleet.Operator, fleet.Approver, fleet.Auditor, fleet.Admin},
	ReadOutput:    {fleet.Viewer, fleet.Runner, fleet.Operator, fleet.Approver, fleet.Auditor, fleet.Admin},
	ReadMetrics:   {fleet.Viewer, fleet.Runner, fleet.Operator, fleet.Approver, fleet.Auditor, fleet.Admin},
	ReadAudit:     {fleet.Auditor, fleet.Admin},
	WriteTasks:    {fleet.Operator, fleet.Admin},
	RunTasks:      {fleet.Runner, fleet.Operator, fleet.Admin},
	ControlTasks:  {fleet.Operator, fleet.Admin},
	WriteNotes:    {fleet.Operator, fleet.Admin},
	Approve:       {fleet.Approver, fleet.Admin},
	ManageTokens:  {fleet.Admin},
	ManageNodes:   {fleet.Admin},
	ManageRules:   {fleet.Admin},
	ManageCluster: {fleet.Admin},
	BackUp:        {fleet.Admin},
}

// wide are the permissions about the whole fleet: they take a role and every
// namespace.
var wide = map[Permission]bool{ReadMetrics: true, ManageNodes: true, ManageCluster: true, BackUp: true}

// kindsFor names the permissions that a certificate gives, and to whom.
var kindsFor = map[Permission][]fleet.PrincipalKind{
	BeAgent:     {fleet.AgentKind},
	BeCollector: {fleet.CollectorKind},
	BeMember:    {fleet.AgentKind, fleet.CollectorKind},
}

// known reports whether there is such a permission.
func (p Permission) known() bool {
	return p == Public || p == AnyPerson || roles[p] != nil || kindsFor[p] != nil
}

// permits reports whether the caller may do what the permission names.
func permits(caller *fleet.Principal, permission Permission) bool {
	if permission == Public {
		return true
	}
	if kinds := kindsFor[permission]; kinds != nil {
		return slices.Contains(kinds, caller.Kind)
	}
	if caller.Kind != fleet.PersonKind || wide[permission] && !caller.Sees().All() {
		return false
	}
	return permission == AnyPerson || slices.ContainsFunc(roles[permission], caller.Has)
}

// refuseUnpermitted says which permission the caller lacks.
func refuseUnpermitted(caller *fleet.Principal, permission Permission) error {
	if permits(caller, permission) {
		return nil
	}
	if caller.Kind == fleet.AgentKind {
		return agentRefused()
	}
	needs := string(permission)
	if wide[permission] {
		needs += " in every namespace"
	}
	return fleet.Errorf(fleet.Refused, "%s may not do this: it needs %s", caller, needs).
		WithCode(api.CodePermission).WithHint("fleetctl whoami tells what your token may; ask an admin for another")
}

// agentRefused answers an agent that asks for what is not an agent's.
func agentRefused() error {
	return fleet.Errorf(fleet.Refused, "an agent may not ask for this").WithCode(api.CodeNotAgents)
}
