package policy

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// orderKinds says of each kind of order whether it names a run.
var orderKinds = map[fleet.OrderKind]bool{
	fleet.OrderRun: true, fleet.OrderCancel: true,
	fleet.OrderStart: false, fleet.OrderStop: false, fleet.OrderRestart: false, fleet.OrderReset: false,
}

func (p *passage) order(o *fleet.Order) {
	object := fmt.Sprintf("order %s %s", o.Kind, o.Task)
	if len(o.Envelope) == 0 && o.Cause != "" {
		p.unsigned(o, object)
		return
	}
	h := &hearing{claim: claimOrder, text: o.Envelope, task: o.Task}
	if given := p.tasks[o.Task]; given != nil {
		h.waits = &given.Task
	}
	var known bool
	no := p.hear(h)
	if no == nil {
		known = p.gate.book.Orders[h.orderKey()].Digest == h.sealed.digest
		no = wrongOrder(h)
	}
	if no != nil {
		p.refuseOrder(o, object, h, no)
		return
	}
	out := h.rewriteOrder(o, p.gate.host.ID)
	p.took(fmt.Sprintf("order %s %s", out.Kind, out.Task), h, known)
	p.plan.Orders = append(p.plan.Orders, out)
}

func wrongOrder(h *hearing) *objection {
	if order := h.sealed.statement.Order; order != nil {
		if _, known := orderKinds[order.Kind]; !known {
			return &objection{codeParse, fmt.Sprintf("the order is of the kind %q, which this version does not know", order.Kind), 0}
		}
	}
	return nil
}

// rewriteOrder returns the order as the statement says it.
func (h *hearing) rewriteOrder(o *fleet.Order, host fleet.HostID) fleet.Order {
	s := h.sealed.statement
	out := fleet.Order{
		Host: host, Task: h.id(), Expires: s.Expires, By: names(h.signers), Envelope: o.Envelope,
	}
	if s.Event != nil {
		out.Kind, out.Due, out.Payload, out.Cause = fleet.OrderRun, s.Event.Due, s.Event.Payload, "event "+s.Name
		out.ID, out.Run = seal.OrderID(s.Event.ID, host, h.task), seal.RunID(s.Event.ID, host, h.task)
		return out
	}
	out.ID, out.Kind, out.Due, out.Payload, out.Reason = seal.OrderID(s.Order.ID, host, out.Task), s.Order.Kind, s.Order.Due, s.Order.Payload, s.Order.Reason
	switch s.Order.Kind {
	case fleet.OrderRun:
		out.Run, out.Params = seal.RunID(s.Order.ID, host, out.Task), s.Order.Params
		if uuidForm.MatchString(string(o.Parent)) {
			out.Parent = o.Parent // for people; it decides nothing
		}
	case fleet.OrderCancel:
		out.Run = s.Order.Run
	}
	return out
}

var uuidForm = regexp.MustCompile(`\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z`)

// ownRun reports whether an order may have an outcome under the run that it names:
// the one that follows from its statement, or where it has none from its id. The
// ids of other runs can be worked out or are known to whoever gives it, and what
// they name must not end by this.
func ownRun(o *fleet.Order, h *hearing, host fleet.HostID) bool {
	if !uuidForm.MatchString(string(o.ID)) || !uuidForm.MatchString(string(o.Run)) {
		return false
	}
	var id string
	if h.sealed != nil && h.sealed.statement != nil {
		switch s := h.sealed.statement; {
		case s.Order != nil:
			id = s.Order.ID
		case s.Event != nil:
			id = s.Event.ID
		}
	}
	if id != "" {
		return o.ID == seal.OrderID(id, host, o.Task) && o.Run == seal.RunID(id, host, o.Task)
	}
	return o.Run == seal.HookRunID(o.ID, host, o.Task)
}

// unsigned judges an order that no person gave.
func (p *passage) unsigned(o *fleet.Order, object string) {
	g, h := p.gate, &hearing{gate: p.gate, claim: claimOrder}
	no := h.checkExecute()
	key := "unsigned " + string(o.ID)
	was, known := g.staged.Orders[key]
	task := p.tasks[o.Task]
	switch {
	case no != nil:
	case !g.policy.Execute:
		no = &objection{codeExecute, "the policy of this host does not let anything run (execute: off)", g.policy.line("execute")}
	case o.Cause != "webhook" || !slices.Contains(g.policy.Unsigned, o.Cause):
		no = &objection{codeSignature, fmt.Sprintf("nobody signed it, and the policy does not let a %.30q come unsigned (unsigned_triggers)", o.Cause), g.policy.line("unsigned_triggers")}
	case task == nil || !task.Task.On.Webhook:
		no = &objection{codeTarget, "no task here that may run waits for it", 0}
	case o.Kind != fleet.OrderRun || !ownRun(o, h, g.host.ID) || len(o.Payload) > fleet.MaxPayload || o.Expires.After(o.Due.Add(seal.MaxOrderLife)):
		no = &objection{codeParse, "it is not what a webhook makes", 0}
	case known && was.Never:
		no = &objection{codeRate, "it was refused before: it came too soon after another", g.policy.line("orders.every")}
	case !known && !g.book.Lost.IsZero():
		no = &objection{codeReplay, "this host lost what it has done before: fleetcron-agent policy confirm", 0}
	case !known && (g.setBack() || !g.latest().Before(o.Expires)):
		no = &objection{codeTime, "it has expired, or the clock of this host was set back", 0}
	case !known && o.Due.After(g.latest().Add(leeway)):
		no = &objection{codeTime, "it is of a time to come: one of the two clocks is wrong", 0}
	case !known && p.known != nil:
		no = p.known
	case !known:
		no = g.tooSoon(o.Task, true)
		g.staged.Orders[key] = ordered{Expires: o.Expires, Journal: g.config.Journal, Never: no != nil}
		g.changed = true
	}
	if no != nil {
		p.refuseOrder(o, object, h, no)
		return
	}
	p.plan.Orders = append(p.plan.Orders, fleet.Order{
		ID: o.ID, Kind: fleet.OrderRun, Host: g.host.ID, Task: o.Task, Run: o.Run, Due: o.Due, Expires: o.Expires, Cause: o.Cause, Payload: o.Payload,
	})
}

// refuseOrder lets the run of a refused order have an outcome; what was to be
// done beside running is left out.
func (p *passage) refuseOrder(o *fleet.Order, object string, h *hearing, no *objection) {
	r := p.refuse(object, h, no)
	_, err := fleet.ParseTaskID(string(o.Task))
	if !h.vouched() && !p.gate.orders.admit(string(o.ID), p.gate.now) {
		return
	}
	if o.Kind != fleet.OrderRun || err != nil || !ownRun(o, h, p.gate.host.ID) {
		return
	}
	refused := fleet.Order{ID: o.ID, Kind: o.Kind, Host: p.gate.host.ID, Task: o.Task, Run: o.Run, Due: o.Due, Expires: o.Expires, Refused: r}
	if h.vouched() && h.sealed.statement != nil && h.sealed.statement.Order != nil {
		refused.Params = h.sealed.statement.Order.Params
	}
	p.plan.Orders = append(p.plan.Orders, refused)
}
