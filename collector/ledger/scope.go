package ledger

import (
	"slices"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Every query that can show something of a namespace takes the scope of who
// asks first, and what is not within it is as if it were not there: it is in no
// list, no count, no cursor, and asking for it by name gets the words that
// asking for nothing gets. everywhere is for what the collector does itself.
var everywhere = fleet.ScopeOf(fleet.Everywhere)

// visible reports whether the scope sees the host.
func (h *Host) visible(scope fleet.Scope) bool { return scope.Meets(h.Namespaces) }

// NamespacesWithin returns whose tasks the host takes, as far as the scope sees.
func (h *Host) NamespacesWithin(scope fleet.Scope) []string { return namesWithin(scope, h.Namespaces) }

// namesWithin returns the names that the scope holds, and Everywhere.
func namesWithin(scope fleet.Scope, names []string) []string {
	if scope.All() {
		return names
	}
	return filter(names, func(name string) bool { return name == fleet.Everywhere || scope.Holds(name) })
}

// mayName reports whether a refusal may name the task to whom the command is
// carried out for.
func (c *change) mayName(task fleet.TaskID) bool {
	return c.auditor == nil || c.auditor.By.Kind != fleet.PersonKind || c.auditor.By.Sees().Holds(task.Namespace())
}

// bounded is a command about what lies in namespaces.
type bounded interface {
	// foreign returns the refusal that the command has where what it is about is
	// not there, if the scope does not hold what it is about.
	foreign(c *change, scope fleet.Scope) *fleet.Error
}

// forbidden refuses what a person asks of a namespace that is not theirs. Other
// principals are this collector and hosts, which are bounded by their own.
func forbidden(c *change, by *fleet.Principal, command Command) *fleet.Error {
	scope := by.Sees()
	if by.Kind != fleet.PersonKind || scope.All() {
		return nil
	}
	if about, knows := command.(bounded); knows {
		return about.foreign(c, scope)
	}
	return fleet.Errorf(fleet.Refused, "this concerns every namespace, and you may see %d", len(scope.Namespaces())).WithCode("permission_denied").
		WithHint("ask somebody whose token holds every namespace")
}

// namespaceOf returns the one namespace that a command is about, for those who
// audit it; empty: none, or several.
func namespaceOf(c *change, command Command) string {
	node := func(id string) string { return namespaceOfNode(c, id) }
	request := func(id string) string {
		row, _ := storedRequest(c, id)
		return row.Namespace
	}
	switch cmd := command.(type) {
	case *PutTask:
		return cmd.Task.ID().Namespace()
	case *SetTaskState:
		return cmd.ID.Namespace()
	case *PutEnvelope:
		return cmd.Task.Namespace()
	case *Adopt:
		return cmd.Task.ID().Namespace()
	case *Release:
		return cmd.Task.Namespace()
	case *PutOrders:
		var names []string
		for i := range cmd.Orders {
			names = append(names, cmd.Orders[i].Task.Namespace())
		}
		slices.Sort(names)
		return single(slices.Compact(names))
	case *DropOrder:
		order, _ := stored[fleet.Order](c, inOrders, key(string(cmd.Host), string(cmd.ID)))
		return order.Task.Namespace()
	case *PutRules:
		return single([]string{cmd.Rules.Namespace})
	case *DropRules:
		return single([]string{cmd.Namespace})
	case *PutToken:
		return single(cmd.Token.Namespaces)
	case *RevokeToken:
		token, _ := storedToken(c, cmd.ID)
		return single(token.Namespaces)
	case *PutJoinToken:
		return single(cmd.Token.Namespaces)
	case *SetNodeState:
		return node(cmd.ID)
	case *ApproveNode:
		return node(cmd.ID)
	case *PutRequest:
		return cmd.Request.Namespace
	case *Approve:
		return request(cmd.ID)
	case *DropRequest:
		return request(cmd.ID)
	}
	return ""
}

// single returns the only name there is, if it is one of a namespace.
func single(names []string) string {
	if len(names) == 1 && names[0] != fleet.Everywhere {
		return names[0]
	}
	return ""
}

func namespaceOfNode(c *change, id string) string {
	row, _ := storedNode(c, id)
	return single(row.Namespaces)
}

func foreignTask(scope fleet.Scope, id fleet.TaskID) *fleet.Error {
	if scope.Holds(id.Namespace()) {
		return nil
	}
	return noTask(id)
}

// outside refuses to give away more than one has.
func outside(scope fleet.Scope, names []string) *fleet.Error {
	for _, name := range names {
		if !scope.Holds(name) {
			return fleet.Errorf(fleet.Refused, "namespace %s is not within your own", name).WithCode("permission_denied").
				WithHint("name namespaces that your token holds: fleetctl whoami")
		}
	}
	return nil
}

func (cmd *PutTask) foreign(_ *change, scope fleet.Scope) *fleet.Error {
	return outside(scope, []string{cmd.Task.ID().Namespace()})
}

func (cmd *SetTaskState) foreign(_ *change, scope fleet.Scope) *fleet.Error {
	return foreignTask(scope, cmd.ID)
}

func (cmd *PutEnvelope) foreign(_ *change, scope fleet.Scope) *fleet.Error {
	return foreignTask(scope, cmd.Task)
}

func (cmd *PutOrders) foreign(_ *change, scope fleet.Scope) *fleet.Error {
	for i := range cmd.Orders {
		if refusal := foreignTask(scope, cmd.Orders[i].Task); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (cmd *DropOrder) foreign(c *change, scope fleet.Scope) *fleet.Error {
	order, found := stored[fleet.Order](c, inOrders, key(string(cmd.Host), string(cmd.ID)))
	if found && !scope.Holds(order.Task.Namespace()) {
		return noOrder(cmd.Host, cmd.ID)
	}
	return nil
}

// foreign lets a person adopt on hosts that serve the namespace: seeing a host
// is not enough to silence its jobs.
func (cmd *Adopt) foreign(c *change, scope fleet.Scope) *fleet.Error {
	if refusal := outside(scope, []string{cmd.Task.ID().Namespace()}); refusal != nil {
		return refusal
	}
	node, found := storedNode(c, string(cmd.Adoption.Host))
	if !found || !scope.Meets(node.Namespaces) {
		return unknownHost(cmd.Adoption.Host)
	}
	return nil
}

func (cmd *Release) foreign(_ *change, scope fleet.Scope) *fleet.Error {
	if scope.Holds(cmd.Task.Namespace()) {
		return nil
	}
	return noAdoption(cmd.Task)
}

func (cmd *PutToken) foreign(_ *change, scope fleet.Scope) *fleet.Error {
	return outside(scope, cmd.Token.Namespaces)
}

func (cmd *RevokeToken) foreign(c *change, scope fleet.Scope) *fleet.Error {
	if token, found := storedToken(c, cmd.ID); found && !within(scope, token.Namespaces) {
		return noToken(cmd.ID)
	}
	return nil
}

func (cmd *PutJoinToken) foreign(c *change, scope fleet.Scope) *fleet.Error {
	if cmd.Token.Collector != "" {
		return outside(scope, []string{fleet.Everywhere})
	}
	if cmd.Token.Node != "" {
		if refusal := foreignNode(c, scope, string(cmd.Token.Node)); refusal != nil {
			return refusal
		}
	}
	return outside(scope, cmd.Token.Namespaces)
}

func (cmd *DropJoinToken) foreign(c *change, scope fleet.Scope) *fleet.Error {
	if !keyable(cmd.ID) {
		return nil
	}
	if token, found := stored[fleet.JoinToken](c, inJoinTokens, key(cmd.ID)); found && !joinWithin(scope, &token) {
		return noJoinToken(cmd.ID)
	}
	return nil
}

// foreignNode refuses what is not wholly one's own: a host that serves others
// too is theirs as well.
func foreignNode(c *change, scope fleet.Scope, id string) *fleet.Error {
	node, found := storedNode(c, id)
	switch {
	case !found:
		return nil
	case !sees(scope, &node.Node):
		return noNode(id)
	}
	return outside(scope, node.Namespaces)
}

func (cmd *ApproveNode) foreign(c *change, scope fleet.Scope) *fleet.Error {
	return foreignNode(c, scope, cmd.ID)
}

func (cmd *SetNodeState) foreign(c *change, scope fleet.Scope) *fleet.Error {
	return foreignNode(c, scope, cmd.ID)
}

// An acknowledgement is of a finding, which only who sees it can name.
func (cmd *PutAck) foreign(*change, fleet.Scope) *fleet.Error  { return nil }
func (cmd *DropAck) foreign(*change, fleet.Scope) *fleet.Error { return nil }

func (cmd *PutRules) foreign(_ *change, scope fleet.Scope) *fleet.Error {
	return outside(scope, []string{cmd.Rules.Namespace})
}

func (cmd *DropRules) foreign(_ *change, scope fleet.Scope) *fleet.Error {
	return outside(scope, []string{cmd.Namespace})
}

func (cmd *PutRequest) foreign(c *change, scope fleet.Scope) *fleet.Error {
	if refusal := outside(scope, []string{cmd.Request.Namespace}); refusal != nil {
		return refusal
	}
	if about, knows := cmd.Command.(bounded); knows {
		return about.foreign(c, scope)
	}
	return nil
}

func (cmd *Approve) foreign(c *change, scope fleet.Scope) *fleet.Error {
	return foreignRequest(c, scope, cmd.ID)
}

func (cmd *DropRequest) foreign(c *change, scope fleet.Scope) *fleet.Error {
	return foreignRequest(c, scope, cmd.ID)
}

func foreignRequest(c *change, scope fleet.Scope, id string) *fleet.Error {
	if row, found := storedRequest(c, id); found && !scope.Holds(row.Namespace) {
		return noRequest(id)
	}
	return nil
}
