package httpd

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/blackout"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// sealedTask gives, changes, pauses, resumes or retires a task.
func (s *Server) sealedTask(ctx context.Context, in *sealedIn) (submission, error) {
	said := in.said
	id, now := fleet.NewTaskID(said.Namespace, said.Name), time.Now().UTC()
	if in.If.Any {
		if _, err := s.Ledger.Task(scopeOf(ctx), id); err != nil {
			return submission{}, fleet.Errorf(fleet.Conflict, "there is no task %s to replace", id).WithCode(api.CodeStale)
		}
	}
	if said.Task.State == fleet.TaskRetired {
		return submission{action: "task.retire", command: &ledger.SetTaskState{
			ID: id, State: fleet.TaskRetired, IfIndex: in.If.index(), At: now, Actor: in.Actor, Reason: in.Reason,
			Envelope: in.envelope, Serial: said.Serial, Signers: in.signers,
		}}, nil
	}
	task, document, media, err := s.written(said.Task)
	if err != nil {
		return submission{}, err
	}
	if !in.unmatched && task.Where.Pick != fleet.PickNone && len(s.Ledger.Matching(everywhere, &task)) == 0 {
		return submission{}, &fleet.Error{Kind: fleet.Invalid, Code: api.CodeUnmatched,
			Fields: []fleet.FieldError{{Field: "where", Value: whereText(&task.Where), Reason: "matches no host"}},
			Hint:   "see fleetctl hosts; add ?unmatched=allow for hosts that are still to come"}
	}
	return submission{action: "task.put", command: &ledger.PutTask{
		Task: task, State: said.Task.State, Document: document, MediaType: media, IfIndex: in.If.index(),
		At: now, Actor: in.Actor, Reason: in.Reason, Envelope: in.envelope, Serial: said.Serial, Signers: in.signers,
	}}, nil
}

// written returns what a statement says a task is. The document, that people
// read, must say the same as the definition, that hosts obey.
func (s *Server) written(said *seal.Task) (task fleet.Task, document []byte, media string, err error) {
	task = *said.Definition
	if err := task.Validate(); err != nil {
		return task, nil, "", err
	}
	if said.Document == "" {
		if s.FormatTask == nil {
			return task, nil, "", fleet.Invalidf("task.document", "", "is missing")
		}
		document, err = s.FormatTask(task)
		return task, document, api.MediaYAML, err
	}
	read, err := s.read(given{[]byte(said.Document), said.MediaType})
	if err != nil {
		return task, nil, "", err
	}
	if !sameTask(&read, &task) {
		return task, nil, "", fleet.Invalidf("task.document", "", "says another task than the definition")
	}
	return task, []byte(said.Document), said.MediaType, nil
}

// sealedOrder orders hosts to run, start, stop, restart or reset a task, or to
// end a run of it.
func (s *Server) sealedOrder(ctx context.Context, in *sealedIn) (submission, error) {
	said, id := in.said, fleet.NewTaskID(in.said.Namespace, in.said.Name)
	if said.Order.Kind == fleet.OrderCancel {
		return s.sealedCancel(ctx, in, id)
	}
	record, err := s.Ledger.Task(scopeOf(ctx), id)
	if err != nil {
		return submission{}, err
	}
	if said.Order.Kind == fleet.OrderRun && record.Task.Supervised() {
		return submission{}, fleet.Invalidf("task", string(id), "is kept up by its hosts and does not run to an end").
			WithHint("fleetctl restart %s starts it anew", id)
	}
	if said.Order.Kind == fleet.OrderRun {
		if _, err := record.Task.Values(said.Order.Params); err != nil { // its hosts would refuse it
			return submission{}, err
		}
	}
	hosts, err := s.meant(&record.Task, said.Hosts)
	if err != nil {
		return submission{}, err
	}
	if !in.queue {
		if err := s.refuseSilent(hosts, string(said.Order.Kind)); err != nil {
			return submission{}, err
		}
	}
	orders := make([]fleet.Order, len(hosts))
	for i, host := range hosts {
		orders[i] = in.order(host.ID, id, said.Order.ID, said.Order.Due)
		orders[i].Kind, orders[i].Payload, orders[i].Parent = said.Order.Kind, said.Order.Payload, said.Order.Parent
		orders[i].Params = said.Order.Params
		if said.Order.Kind != fleet.OrderRun {
			orders[i].Run = ""
		}
	}
	return in.ordering("order."+string(said.Order.Kind), orders), nil
}

// meant returns the hosts that a statement names. The task must run on each.
func (s *Server) meant(task *fleet.Task, named []fleet.HostID) ([]*ledger.Host, error) {
	matching := s.Ledger.Matching(everywhere, task)
	var hosts []*ledger.Host
	for _, id := range named {
		at := slices.IndexFunc(matching, func(h *ledger.Host) bool { return h.ID == id })
		if at < 0 {
			return nil, fleet.Invalidf("hosts", string(id), "the task does not run there").WithHint("fleetctl tasks %s", task.ID())
		}
		if !slices.Contains(hosts, matching[at]) {
			hosts = append(hosts, matching[at])
		}
	}
	return hosts, nil
}

// order returns the order that the statement means for a task on a host, with
// the ids that the host derives from it as well.
func (in *sealedIn) order(host fleet.HostID, task fleet.TaskID, id string, due time.Time) fleet.Order {
	reason := in.Reason
	if in.said.Order != nil && in.said.Order.Reason != "" {
		reason = in.said.Order.Reason
	}
	return fleet.Order{
		ID: seal.OrderID(id, host, task), Kind: fleet.OrderRun, Host: host, Task: task, Run: seal.RunID(id, host, task),
		Due: due.UTC(), Expires: in.said.Expires.UTC(), By: in.Actor, Reason: reason,
	}
}

func (in *sealedIn) ordering(action string, orders []fleet.Order) submission {
	return submission{action: action, command: &ledger.PutOrders{
		Orders: orders, At: time.Now().UTC(), Envelope: in.envelope, Digest: in.digest, Expires: in.said.Expires.UTC(),
	}}
}

// sealedCancel stops a run. One that waits for its host is stopped by a second
// order, and if the host is silent its first one is withdrawn.
func (s *Server) sealedCancel(ctx context.Context, in *sealedIn, task fleet.TaskID) (submission, error) {
	run, err := s.Ledger.Run(scopeOf(ctx), in.said.Order.Run)
	if err == nil && run.Task != task {
		err = noRun(in.said.Order.Run)
	}
	if err != nil {
		return submission{}, err
	}
	if len(in.said.Hosts) != 1 || in.said.Hosts[0] != run.Host {
		return submission{}, fleet.Invalidf("hosts", "", "run %s is on host %s, and on no other", run.ID, run.Host)
	}
	if run.Attempted() {
		next := run.NextAttempt()
		return submission{}, fleet.Errorf(fleet.Conflict, "run %s has ended; its next attempt is %s", run.ID, next.ID).
			WithCode("illegal_move").WithHint("fleetctl cancel %s", next.ID)
	}
	record, err := s.Ledger.Task(scopeOf(ctx), task)
	if err == nil && record.Task.Supervised() { // it is started anew
		if err := refuseUnpermitted(callerOf(ctx), ControlTasks); err != nil {
			return submission{}, err
		}
	}
	order := in.order(run.Host, task, in.said.Order.ID, in.said.Order.Due)
	order.Kind, order.Run = fleet.OrderCancel, run.ID
	todo := in.ordering("order.cancel", []fleet.Order{order})
	if run.State != fleet.RunPending || s.presence(run.Host) == fleet.Alive {
		return todo, nil
	}
	wish, found, err := s.Ledger.OrderOf(scopeOf(ctx), run.ID)
	if found {
		todo.drop = &ledger.DropOrder{Host: run.Host, ID: wish.ID}
	}
	return todo, err
}

// sealedEvent orders a run of every task that waits for the event, on each of
// its hosts, as far as whoever raises it may see.
func (s *Server) sealedEvent(ctx context.Context, in *sealedIn) (submission, error) {
	event := in.said.Event
	waiting, err := s.waiting(scopeOf(ctx), in.said.Name)
	if err != nil {
		return submission{}, err
	}
	var orders []fleet.Order
	for _, task := range waiting {
		for _, host := range s.Ledger.Matching(everywhere, &task.Task) {
			order := in.order(host.ID, task.Task.ID(), event.ID, event.Due)
			order.Cause, order.Payload = "event "+in.said.Name, event.Payload
			orders = append(orders, order)
		}
	}
	if err := carriable(orders, event.Payload); err != nil {
		return submission{}, err
	}
	return in.ordering("event.raise", orders), nil
}

// sealedCalendar makes, replaces or drops a calendar.
func (s *Server) sealedCalendar(ctx context.Context, in *sealedIn) (submission, error) {
	said, now := in.said, time.Now().UTC()
	if in.If.Any {
		if _, err := s.Ledger.Calendar(scopeOf(ctx), said.Name); err != nil {
			return submission{}, fleet.Errorf(fleet.Conflict, "there is no calendar %s to replace", said.Name).WithCode(api.CodeStale)
		}
	}
	if said.Calendar.Definition == nil {
		return submission{action: "calendar.drop", command: &ledger.DropCalendar{
			Name: said.Name, IfIndex: in.If.index(), At: now, Actor: in.Actor, Envelope: in.envelope, Serial: said.Serial,
		}}, nil
	}
	calendar := *said.Calendar.Definition
	if calendar.Name != said.Name {
		return submission{}, fleet.Invalidf("calendar.definition", calendar.Name, "the statement is about %s", said.Name)
	}
	if _, err := blackout.New(calendar); err != nil {
		return submission{}, err
	}
	if document := said.Calendar.Document; document != "" {
		read, err := blackout.Parse([]byte(document), said.Calendar.MediaType)
		if err != nil {
			return submission{}, err
		}
		if read.Name = said.Name; !sameCalendar(&read, &calendar) {
			return submission{}, fleet.Invalidf("calendar.document", "", "says other windows than the definition")
		}
	}
	return submission{action: "calendar.put", command: &ledger.PutCalendar{
		Calendar: calendar, IfIndex: in.If.index(), At: now, Actor: in.Actor, Envelope: in.envelope, Serial: said.Serial,
	}}, nil
}

// sealedNode lets hosts know, on the word of a person, that a collector is none
// any more.
func (s *Server) sealedNode(_ context.Context, in *sealedIn) (submission, error) {
	return submission{action: "node.revoked", command: &ledger.PutRevocation{
		ID: in.said.Name, Envelope: in.envelope, At: time.Now().UTC(), Actor: in.Actor,
	}}, nil
}

// sealedAdoption takes a found job over as the task of the statement.
func (s *Server) sealedAdoption(ctx context.Context, in *sealedIn) (submission, error) {
	said := in.said
	request := api.AdoptRequest{Host: string(said.Hosts[0]), Job: said.Adopt.Job, Force: said.Adopt.Force}
	host, job, err := s.adoptable(ctx, &request)
	if err != nil {
		return submission{}, err
	}
	if job.Fingerprint != said.Adopt.Fingerprint || job.Source != said.Adopt.Source || job.Line != said.Adopt.Line {
		return submission{}, fleet.Errorf(fleet.Conflict, "the job stands at %s now, and is another one than the statement names", place(job)).
			WithCode(api.CodeStale).WithHint("look at it again: fleetctl jobs --host %s", host.Name)
	}
	task, document, media, err := s.written(said.Task)
	if err != nil {
		return submission{}, err
	}
	found := job.Job
	found.Next, found.Evidence = nil, nil // they follow from the rest, or change while it does not
	return submission{action: "adopt", command: &ledger.Adopt{
		Task: task, Document: document, MediaType: media, Envelope: in.envelope, Serial: said.Serial, Signers: in.signers,
		Adoption: fleet.Adoption{Task: task.ID(), Host: host.ID, Job: found, Force: said.Adopt.Force, By: in.Actor, Reason: in.Reason, At: time.Now().UTC()},
	}}, nil
}

func place(job *api.JobView) string {
	if job.Line == 0 {
		return job.Source
	}
	return job.Source + " line " + strconv.Itoa(job.Line)
}

// sealedRelease asks the host to put an adopted job back. A silent host does it
// when it is there again; until then the task runs on there.
func (s *Server) sealedRelease(ctx context.Context, in *sealedIn) (submission, error) {
	id := fleet.NewTaskID(in.said.Namespace, in.said.Name)
	adoption, err := s.Ledger.Adoption(scopeOf(ctx), id)
	if err != nil {
		return submission{}, err
	}
	if len(in.said.Hosts) != 1 || in.said.Hosts[0] != adoption.Host {
		return submission{}, fleet.Invalidf("hosts", "", "the job was adopted on host %s, and on no other", adoption.Host)
	}
	return submission{action: "release", command: &ledger.Release{
		Task: id, At: time.Now().UTC(), Actor: in.Actor, Reason: in.Reason, Envelope: in.envelope, Serial: in.said.Serial,
	}}, nil
}
