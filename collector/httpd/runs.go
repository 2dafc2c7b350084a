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

// Runs lists runs, the newest first.
func (s *Server) Runs(ctx context.Context, q api.RunQuery) (api.List[api.RunView], error) {
	var list api.List[api.RunView]
	if err := checkRuns(&q); err != nil {
		return list, err
	}
	topic := ledger.Runs
	if q.Task != "" {
		if _, err := s.Ledger.Task(scopeOf(ctx), q.Task); err == nil {
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
	page, err := s.runPage(scopeOf(ctx), q)
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
func (s *Server) runPage(scope fleet.Scope, q api.RunQuery) (page api.List[fleet.Run], err error) {
	if q.Occurrence == "" {
		return s.Ledger.Runs(scope, q)
	}
	page.Items, err = s.Ledger.Attempts(scope, q.Occurrence)
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

func noRun(id fleet.RunID) error {
	return fleet.Errorf(fleet.NotFound, "no run %s", id).WithHint("fleetctl runs")
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
	run, err := s.Ledger.Run(scopeOf(ctx), in.id)
	if fleet.KindOf(err) == fleet.NotFound && err != nil && in.Index > 0 {
		return s.awaitRun(ctx, in)
	}
	if err != nil {
		return api.RunView{}, err
	}
	if _, err := s.newer(ctx, in.waiting, ledger.RunsOf(run.Task)); err != nil {
		return api.RunView{}, err
	}
	run, err = s.Ledger.Run(scopeOf(ctx), in.id)
	return s.runView(run), err
}

func (s *Server) awaitRun(ctx context.Context, in oneRun) (api.RunView, error) {
	end := time.Now().Add(in.limit())
	for {
		index, _ := s.watch([]ledger.Topic{ledger.Runs})
		run, err := s.Ledger.Run(scopeOf(ctx), in.id)
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

// newID returns a UUIDv7: ids sort by the time they were made.
func newID() string { return uuid.Must(uuid.NewV7()).String() }
