package httpd

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// defaultExpiry is how long an order waits for its host.
const defaultExpiry = time.Hour

// maxExpiry bounds how long an order may wait for its host.
const maxExpiry = 30 * 24 * time.Hour

// Runs lists runs, the newest first.
func (s *Server) Runs(ctx context.Context, q api.RunQuery) (api.List[api.RunView], error) {
	var list api.List[api.RunView]
	if err := checkRuns(&q); err != nil {
		return list, err
	}
	topic := ledger.Runs
	if q.Task != "" {
		if _, err := s.Ledger.Task(everywhere, q.Task); err == nil {
			topic = ledger.RunsOf(q.Task)
		}
	}
	index, err := s.newer(ctx, wait(q.Page), topic)
	if err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	page, err := s.runPage(q)
	if err != nil {
		return list, err
	}
	list = api.List[api.RunView]{Items: make([]api.RunView, len(page.Items)), Next: sealCursor(page.Next), Total: page.Total, Index: index}
	for i, run := range page.Items {
		list.Items[i] = s.runView(run)
	}
	return list, nil
}

// runPage returns what is asked for: a page of runs, or all attempts of one
// occurrence.
func (s *Server) runPage(q api.RunQuery) (page api.List[fleet.Run], err error) {
	if q.Occurrence == "" {
		return s.Ledger.Runs(everywhere, q)
	}
	page.Items, err = s.Ledger.Attempts(everywhere, q.Occurrence)
	page.Total = len(page.Items)
	return page, err
}

func checkRuns(q *api.RunQuery) error {
	if alone := (api.RunQuery{Page: q.Page, Occurrence: q.Occurrence}); q.Occurrence != "" && *q != alone {
		return fleet.Invalidf("occurrence", clip(string(q.Occurrence)), "stands alone: it is one occurrence of one task on one host")
	}
	if q.Task != "" {
		id, err := fleet.ParseTaskID(string(q.Task))
		if err != nil {
			return err
		}
		q.Task = id
	}
	states := []fleet.RunState{fleet.RunPending, fleet.RunBegun, fleet.RunRunning, fleet.RunRan, fleet.RunSkipped, fleet.RunMissed, fleet.RunUnknown}
	return oneOf("state", q.State, states...)
}

func (s *Server) runView(run fleet.Run) api.RunView {
	view := api.RunView{Run: run}
	if host, found := s.Ledger.Host(everywhere, run.Host); found {
		view.HostName = host.Name
	}
	return view
}

// Run returns one run.
func (s *Server) Run(ctx context.Context, id fleet.RunID) (api.RunView, error) {
	return s.run(ctx, oneRun{id: id})
}

type oneRun struct {
	id fleet.RunID
	waiting
}

func parseRun(r *request) (oneRun, error) {
	var in oneRun
	var err error
	if in.id, err = r.runID(); err != nil {
		return in, err
	}
	return in, r.query(&in.waiting)
}

// run waits for news of the run's task, or, while nobody has heard of the run,
// for the run: it may have been ordered and not have begun.
func (s *Server) run(ctx context.Context, in oneRun) (api.RunView, error) {
	run, err := s.Ledger.Run(everywhere, in.id)
	if fleet.KindOf(err) == fleet.NotFound && err != nil && in.Index > 0 {
		return s.awaitRun(ctx, in)
	}
	if err != nil {
		return api.RunView{}, err
	}
	if _, err := s.newer(ctx, in.waiting, ledger.RunsOf(run.Task)); err != nil {
		return api.RunView{}, err
	}
	run, err = s.Ledger.Run(everywhere, in.id)
	return s.runView(run), err
}

func (s *Server) awaitRun(ctx context.Context, in oneRun) (api.RunView, error) {
	end := time.Now().Add(in.limit())
	for {
		index, _ := s.watch([]ledger.Topic{ledger.Runs})
		run, err := s.Ledger.Run(everywhere, in.id)
		left := time.Until(end)
		if err == nil || left <= 0 || s.closed() {
			note(ctx, index)
			return s.runView(run), err
		}
		if _, err := s.newer(ctx, waiting{index, fleet.Duration(left)}, ledger.Runs); err != nil {
			return api.RunView{}, err
		}
	}
}

// closed reports whether the server is closing.
func (s *Server) closed() bool { return s.life.Err() != nil }

// runIn asks for a task to run now.
type runIn struct {
	change
	id      fleet.TaskID
	request api.RunRequest
}

func parseRunTask() func(*request) (runIn, error) {
	decoder := newDecoder[api.RunRequest]()
	return func(r *request) (in runIn, err error) {
		if in.id, err = r.taskID(); err != nil {
			return in, err
		}
		if err = r.query(&struct{}{}); err != nil {
			return in, err
		}
		if in.change, err = r.change(); err != nil {
			return in, err
		}
		in.request, err = decoder.decode(r.body)
		return in, err
	}
}

func (s *Server) runTask(ctx context.Context, in runIn) (api.Ordered, error) {
	if result, found, err := s.remembered(in.change); found || err != nil {
		return s.ordered(result, err)
	}
	record, err := s.Ledger.Task(everywhere, in.id)
	if err != nil {
		return api.Ordered{}, err
	}
	if record.Task.Supervised() {
		return api.Ordered{}, fleet.Invalidf("task", string(in.id), "is kept up by its hosts and does not run to an end").
			WithHint("fleetctl restart %s starts it anew", in.id)
	}
	hosts, err := s.targets(&record.Task, in.request, "run")
	if err != nil {
		return api.Ordered{}, err
	}
	orders, err := runOrders(record.Task.ID(), hosts, in)
	if err != nil {
		return api.Ordered{}, err
	}
	return s.ordered(s.propose(ctx, in.change, &ledger.PutOrders{Orders: orders, At: time.Now().UTC()}))
}

func (s *Server) ordered(result any, err error) (api.Ordered, error) {
	if err != nil {
		return api.Ordered{}, err
	}
	orders, ok := result.([]fleet.Order)
	if !ok {
		return api.Ordered{}, fleet.Errorf(fleet.Internal, "the ledger answered %T", result)
	}
	index, _ := s.Ledger.Applied()
	return api.Ordered{Orders: orders, Index: index}, nil
}

// targets returns the hosts that are meant. Each must be one of the task's and,
// unless orders may queue, one that answers now.
func (s *Server) targets(task *fleet.Task, request api.RunRequest, verb string) ([]*ledger.Host, error) {
	matching := s.Ledger.Matching(everywhere, task)
	hosts := matching
	if len(request.Hosts) > 0 {
		hosts = nil
		for _, name := range request.Hosts {
			host, err := s.Ledger.FindHost(everywhere, name)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(matching, func(h *ledger.Host) bool { return h.ID == host.ID }) {
				return nil, fleet.Invalidf("hosts", clip(name), "the task does not run there").WithHint("fleetctl tasks %s", task.ID())
			}
			if !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
	}
	if len(hosts) == 0 {
		return nil, &fleet.Error{Kind: fleet.Invalid, Code: api.CodeUnmatched, Fields: []fleet.FieldError{{
			Field: "where", Value: whereText(&task.Where), Reason: "matches no host"}}, Hint: "fleetctl hosts"}
	}
	if !request.Queue {
		return hosts, s.refuseSilent(hosts, verb)
	}
	return hosts, nil
}

func (s *Server) refuseSilent(hosts []*ledger.Host, verb string) error {
	silent := slices.DeleteFunc(slices.Clone(hosts), func(h *ledger.Host) bool { return s.presence(h.ID) == fleet.Alive })
	switch len(silent) {
	case 0:
		return nil
	case 1:
		return fleet.Errorf(fleet.Conflict, "host %s is silent", silent[0].Name).WithCode(api.CodeSilent).
			WithHint("fleetctl %s --queue waits for it", verb)
	default:
		return fleet.Errorf(fleet.Conflict, "%s of %s hosts are silent, %s among them",
			strconv.Itoa(len(silent)), strconv.Itoa(len(hosts)), silent[0].Name).WithCode(api.CodeSilent).
			WithHint("name the hosts that are meant, or wait for them with fleetctl %s --queue", verb)
	}
}

func runOrders(task fleet.TaskID, hosts []*ledger.Host, in runIn) ([]fleet.Order, error) {
	expiry := time.Duration(in.request.Expiry)
	if expiry == 0 {
		expiry = defaultExpiry
	}
	if expiry > maxExpiry {
		return nil, fleet.Invalidf("expiry", in.request.Expiry.String(), "want at most 30d")
	}
	reason := in.Reason
	if in.request.Reason != "" {
		reason = in.request.Reason
	}
	if len(reason) > 1024 || !printable(reason) {
		return nil, fleet.Invalidf("reason", clip(reason), "want at most 1024 bytes of text")
	}
	if in.request.Parent != "" && uuid.Validate(string(in.request.Parent)) != nil {
		return nil, fleet.Invalidf("parent", clip(string(in.request.Parent)), "want the id of a run")
	}
	now := time.Now().UTC()
	orders := make([]fleet.Order, len(hosts))
	for i, host := range hosts {
		orders[i] = fleet.Order{
			ID: fleet.OrderID(newID()), Kind: fleet.OrderRun, Host: host.ID, Task: task, Run: fleet.RunID(newID()),
			Due: now, Expires: now.Add(expiry), By: in.Actor, Reason: reason, Parent: in.request.Parent,
		}
	}
	return orders, nil
}

// newID returns a UUIDv7: ids sort by the time they were made.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

func cancelOrder(host fleet.HostID, task fleet.TaskID, run fleet.RunID, c change) fleet.Order {
	now := time.Now().UTC()
	return fleet.Order{
		ID: fleet.OrderID(newID()), Kind: fleet.OrderCancel, Host: host, Task: task, Run: run,
		Due: now, Expires: now.Add(defaultExpiry), By: c.Actor, Reason: c.Reason,
	}
}

// cancelIn asks for a run to stop.
type cancelIn struct {
	change
	id fleet.RunID
}

func parseCancel(r *request) (in cancelIn, err error) {
	if in.id, err = r.runID(); err != nil {
		return in, err
	}
	if err = r.query(&struct{}{}); err != nil {
		return in, err
	}
	in.change, err = r.change()
	return in, err
}

// cancelRun stops a run by an order. One that was ordered and that no agent has
// told of yet is stopped the same way: the agent then says that it was skipped.
// From a host that does not answer the order to run is withdrawn as well.
func (s *Server) cancelRun(ctx context.Context, in cancelIn) (api.Cancelled, error) {
	var cancelled api.Cancelled
	order, pending, err := s.cancelling(in)
	if err != nil {
		return cancelled, err
	}
	ordered, err := s.ordered(s.propose(ctx, in.change, &ledger.PutOrders{Orders: []fleet.Order{order}, At: time.Now().UTC()}))
	if err != nil {
		return cancelled, err
	}
	order, cancelled.Index = ordered.Orders[0], ordered.Index
	if pending != "" && s.presence(order.Host) != fleet.Alive {
		_, err := s.Replica.Propose(ctx, &ledger.DropOrder{Host: order.Host, ID: pending})
		if err != nil && fleet.KindOf(err) != fleet.NotFound {
			return cancelled, err
		}
		cancelled.Dropped = err == nil
	}
	cancelled.Order = &order
	return cancelled, nil
}

// cancelling returns the order that stops the run, and the order that it
// still waits for, if any. It holds for longer than that one. Of an attempt that
// another one follows, that one is meant.
func (s *Server) cancelling(in cancelIn) (order fleet.Order, pending fleet.OrderID, err error) {
	run, err := s.Ledger.Run(everywhere, in.id)
	for err == nil && run.Attempted() {
		next := run.NextAttempt()
		if run, err = s.Ledger.Run(everywhere, next.ID); fleet.KindOf(err) == fleet.NotFound && err != nil {
			run, err = next, nil // its host will know it
		}
	}
	if err != nil {
		return order, "", err
	}
	order = cancelOrder(run.Host, run.Task, run.ID, in.change)
	if run.State != fleet.RunPending {
		return order, "", nil
	}
	wish, found, err := s.Ledger.OrderOf(everywhere, run.ID)
	if err != nil || !found {
		return order, "", err
	}
	if wish.Expires.After(order.Expires) {
		order.Expires = wish.Expires.Add(time.Minute)
	}
	return order, wish.ID, nil
}
