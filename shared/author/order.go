package author

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
	"github.com/fleetcron/fleetcron/shared/takeover"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

// Order is a wish about a task on some of its hosts.
type Order struct {
	Kind    fleet.OrderKind
	Task    fleet.TaskID
	Hosts   []fleet.HostID // 1 or more
	Payload string         // of a run
	Parent  fleet.RunID    // of a run: the run whose command asks
	Params  fleet.Params   // of a run: values of the task's parameters, beside its defaults
}

// Order gives an order. One for more than seal.MaxHosts hosts becomes several
// statements; the answer has the orders of all.
func (a *Author) Order(ctx context.Context, order Order, o Options) (api.Sealed, error) {
	var all api.Sealed
	for hosts := range slices.Chunk(order.Hosts, seal.MaxHosts) {
		answer, err := a.order(ctx, order.Task, hosts, seal.Order{
			Kind: order.Kind, Payload: order.Payload, Parent: order.Parent, Params: order.Params,
		}, o)
		if err != nil {
			return all, err
		}
		answer.Orders = append(all.Orders, answer.Orders...)
		if answer.Request == nil {
			answer.Request = all.Request
		}
		all = answer
	}
	return all, nil
}

func (a *Author) order(ctx context.Context, task fleet.TaskID, hosts []fleet.HostID, order seal.Order, o Options) (api.Sealed, error) {
	s, err := a.statement(seal.KindOrder, task.Namespace(), task.Name(), 0, o)
	if err != nil {
		return api.Sealed{}, err
	}
	order.ID, order.Due, order.Reason = newID(), s.Issued, o.Reason
	s.Order, s.Hosts = &order, hosts
	return a.submit(ctx, s, o)
}

// Run orders a task to run now on all its hosts, or on those that are named.
func (a *Author) Run(ctx context.Context, task fleet.TaskID, names []string, o Options) (api.Sealed, error) {
	hosts, err := a.Hosts(ctx, task, names)
	if err != nil {
		return api.Sealed{}, err
	}
	return a.Order(ctx, Order{Kind: fleet.OrderRun, Task: task, Hosts: hosts}, o)
}

// Cancel stops a run, or drops the order that it waits for. Of an attempt that
// another one follows, that one is meant.
func (a *Author) Cancel(ctx context.Context, id fleet.RunID, o Options) (api.Sealed, error) {
	view, err := a.client.Run(ctx, id)
	run := view.Run
	for err == nil && run.Attempted() {
		next := run.NextAttempt()
		if view, err = a.client.Run(ctx, next.ID); err == nil {
			run = view.Run
		} else if fleet.KindOf(err) == fleet.NotFound {
			run, err = next, nil // its host will know it
			break
		}
	}
	if err != nil {
		return api.Sealed{}, err
	}
	if run.State == fleet.RunPending && o.Life == 0 {
		o.Life = seal.MaxOrderLife // for longer than the order to run
	}
	return a.order(ctx, run.Task, []fleet.HostID{run.Host}, seal.Order{Kind: fleet.OrderCancel, Run: run.ID}, o)
}

// Hosts returns those of a task's hosts that are named, by name or id, each once;
// without names all of them.
func (a *Author) Hosts(ctx context.Context, task fleet.TaskID, names []string) ([]fleet.HostID, error) {
	resolved, err := a.client.TaskHosts(ctx, task)
	if err != nil {
		return nil, err
	}
	var hosts []fleet.HostID
	for _, name := range names {
		at := slices.IndexFunc(resolved, func(r api.Resolved) bool { return string(r.Host) == name || r.Name == name })
		if at < 0 {
			if _, err := a.client.Host(ctx, name); err != nil {
				return nil, err
			}
			return nil, fleet.Invalidf("hosts", name, "the task does not run there").WithHint("fleetctl tasks %s", task)
		}
		if id := resolved[at].Host; !slices.Contains(hosts, id) {
			hosts = append(hosts, id)
		}
	}
	if len(names) == 0 {
		for _, r := range resolved {
			hosts = append(hosts, r.Host)
		}
	}
	if len(hosts) == 0 {
		return nil, fleet.Errorf(fleet.Invalid, "task %s matches no host", task).WithCode(api.CodeUnmatched).WithHint("fleetctl hosts")
	}
	return hosts, nil
}

// Event tells that something happened: every task that waits for it runs once on
// each of its hosts.
func (a *Author) Event(ctx context.Context, name, payload string, o Options) (api.Sealed, error) {
	s, err := a.statement(seal.KindEvent, "", name, 0, o)
	if err != nil {
		return api.Sealed{}, err
	}
	s.Event = &seal.Event{ID: newID(), Due: s.Issued, Payload: payload}
	return a.submit(ctx, s, o)
}

// Adoption says which found job becomes which task.
type Adoption struct {
	Job      fleet.Job
	Host     fleet.Host
	Task     fleet.TaskID // empty: named after the command
	Schedule string       // another one than the line's; empty: that
	Force    bool         // even where configuration management will undo it
}

// Plan returns the task that an adoption makes, and its document. One that is
// named after its command gets a name that is free.
func (a *Author) Plan(ctx context.Context, n *Adoption) (fleet.Task, []byte, error) {
	task, err := takeover.Adopt(&n.Job, &n.Host, n.Task, n.Schedule)
	if err != nil {
		return task, nil, err
	}
	where := n.Job.Source
	if n.Job.Line > 0 {
		where = fmt.Sprintf("%s line %d", n.Job.Source, n.Job.Line)
	}
	task.Description = strings.Map(harmless, fmt.Sprintf("adopted from %s:%s", n.Host.Name, where))
	base := task.Name
	for copy := 2; n.Task == ""; copy++ {
		stands, err := a.record(ctx, task.ID())
		if err != nil {
			return task, nil, err
		}
		if stands.State == "" || stands.State == fleet.TaskRetired {
			break
		}
		task.Name = fmt.Sprintf("%s-%d", base, copy)
	}
	document, err := taskfile.Format(task)
	return task, document, err
}

// harmless replaces what no description may hold.
func harmless(r rune) rune {
	if r < ' ' || r == 0x7f || r == 0xfffd {
		return '?'
	}
	return r
}

// Adopt makes a task of a found job. The host hands over only the line with the
// fingerprint that the person saw.
func (a *Author) Adopt(ctx context.Context, n *Adoption, o Options) (api.Sealed, error) {
	task, document, err := a.Plan(ctx, n)
	if err != nil {
		return api.Sealed{}, err
	}
	id := task.ID()
	stands, err := a.record(ctx, id)
	if err != nil {
		return api.Sealed{}, err
	}
	s, err := a.statement(seal.KindAdopt, id.Namespace(), id.Name(), stands.Serial, o)
	if err != nil {
		return api.Sealed{}, err
	}
	s.Task = &seal.Task{State: fleet.TaskEnabled, Document: string(document), MediaType: api.MediaYAML, Definition: &task}
	s.Adopt = &seal.Adoption{Job: n.Job.ID, Source: n.Job.Source, Line: n.Job.Line, Fingerprint: n.Job.Fingerprint, Force: n.Force}
	s.Hosts = []fleet.HostID{n.Host.ID}
	return a.submit(ctx, s, o)
}

// Release gives an adopted job back to its host and retires the task.
func (a *Author) Release(ctx context.Context, task fleet.TaskID, o Options) (api.Sealed, error) {
	adoption, err := a.client.Adoption(ctx, task)
	if err != nil {
		return api.Sealed{}, err
	}
	stands, err := a.record(ctx, task)
	if err != nil {
		return api.Sealed{}, err
	}
	s, err := a.statement(seal.KindRelease, task.Namespace(), task.Name(), stands.Serial, o)
	if err != nil {
		return api.Sealed{}, err
	}
	s.Task, s.Hosts = &seal.Task{State: fleet.TaskRetired}, []fleet.HostID{adoption.Host}
	return a.submit(ctx, s, o)
}
