package ledger

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// maxVisits is how many runs one page looks at. A page that ends there has
// fewer items than asked for, and a cursor to go on from.
const maxVisits = 10_000

// clockSkew is how much earlier than its due instant a run's id may be made: a
// host's clock may have been set back in between.
const clockSkew = time.Hour

// Run returns one run.
func (l *Ledger) Run(scope fleet.Scope, id fleet.RunID) (run fleet.Run, err error) {
	err = l.view(func(r *reader) error {
		if id == "" {
			return noRun(id)
		}
		row, found, err := row[compact.Run](r, inRuns, key(string(id)))
		if run = row.Whole(); err == nil && (!found || !scope.Holds(run.Task.Namespace())) {
			run = fleet.Run{}
			return noRun(id)
		}
		return err
	})
	return run, err
}

func noRun(id fleet.RunID) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no run %s", id).WithHint("fleetctl runs")
}

// LastRun returns the newest run of a task, and false when there is none.
func (l *Ledger) LastRun(scope fleet.Scope, task fleet.TaskID) (run fleet.Run, found bool, err error) {
	list, err := l.Runs(scope, api.RunQuery{Task: task, Page: api.Page{Limit: 1}})
	if err != nil || len(list.Items) == 0 {
		return run, false, err
	}
	return list.Items[0], true, nil
}

// Runs returns a page of runs within the scope, the newest first by id. Since and Until bound
// the instants that a run accounts for (Until excluded). Total is -1: counting
// would cost more than the page. A page may have fewer items than asked for
// and still a Next.
func (l *Ledger) Runs(scope fleet.Scope, q api.RunQuery) (api.List[fleet.Run], error) {
	list := api.List[fleet.Run]{Items: []fleet.Run{}, Total: -1}
	var host fleet.HostID
	if q.Host != "" {
		found, err := l.FindHost(scope, q.Host)
		if err != nil {
			return list, err
		}
		host = found.ID
	}
	only, err := l.runFilter(scope, q)
	if err != nil {
		return list, err
	}
	err = l.view(func(r *reader) error {
		list.Index = r.index()
		return (&runSearch{RunQuery: q, scope: scope, tasks: l.AllTasks, host: host, only: only, reader: r}).page(&list)
	})
	return list, err
}

// runFilter returns what decides by the host and the task of a run; nil: they
// do not matter.
func (l *Ledger) runFilter(scope fleet.Scope, q api.RunQuery) (func(*fleet.Run) bool, error) {
	if q.Label == "" && q.User == "" && q.Namespace == "" {
		return nil, nil
	}
	hosts, tasks := map[fleet.HostID]bool{}, map[fleet.TaskID]bool{}
	if q.Label != "" {
		labelled, err := l.labelled(scope, q.Label)
		if err != nil {
			return nil, err
		}
		for _, host := range labelled {
			hosts[host.ID] = true
		}
	}
	for _, task := range l.AllTasks(scope) {
		tasks[task.Task.ID()] = task.Task.Run.User == q.User
	}
	return func(run *fleet.Run) bool {
		return (q.Label == "" || hosts[run.Host]) && (q.User == "" || tasks[run.Task]) && (q.Namespace == "" || run.Task.Namespace() == q.Namespace)
	}, nil
}

// runSearch looks for runs within one transaction.
type runSearch struct {
	api.RunQuery
	scope  fleet.Scope
	tasks  func(fleet.Scope) []*HeldTask
	host   fleet.HostID
	only   func(*fleet.Run) bool // nil: all
	reader *reader
}

// span returns the narrowest range that holds all runs asked for.
func (s *runSearch) span() (b bucket, start []byte) {
	failed := s.Failed || s.State == fleet.RunMissed || s.State == fleet.RunUnknown
	_, known := fleet.RunMoves[s.State]
	switch {
	case s.Order != "":
		return inRunsByOrder, prefix(string(s.Order))
	case known && !s.State.Terminal():
		return inRunsOpen, nil
	case failed && s.host != "":
		return inRunsFailedByHost, prefix(string(s.host))
	case failed && s.Task != "":
		return inRunsFailedByTask, prefix(string(s.Task))
	case failed:
		return inRunsFailed, nil
	case s.host != "":
		return inRunsByHost, prefix(string(s.host))
	case s.Task != "":
		return inRunsByTask, prefix(string(s.Task))
	default:
		return inRuns, nil
	}
}

// spans returns the ranges to walk. Who does not see everything is given those
// of the tasks they see, but where a range is short anyway.
func (s *runSearch) spans() (b bucket, owns [][]byte) {
	b, start := s.span()
	if s.scope.All() || b == inRunsByOrder || b == inRunsOpen {
		return b, [][]byte{start}
	}
	switch b {
	case inRunsFailed, inRunsFailedByHost, inRunsFailedByTask:
		b = inRunsFailedByTask
	default:
		b = inRunsByTask
	}
	for _, task := range s.tasks(s.scope) {
		if id := task.Task.ID(); (s.Task == "" || id == s.Task) && (s.Namespace == "" || id.Namespace() == s.Namespace) {
			owns = append(owns, prefix(string(id)))
		}
	}
	return b, owns
}

func (s *runSearch) page(list *api.List[fleet.Run]) (err error) {
	b, owns := s.spans()
	before := func(own []byte) []byte {
		if s.After == "" {
			return nil
		}
		return append(append([]byte(nil), own...), s.After...)
	}
	limit, visits, last := pageSize(s.Page), 0, ""
	s.reader.eachBackOf(b, owns, before, func(_, id []byte) bool {
		if s.tooOld(id) {
			return false
		}
		var found compact.Run
		if found, _, err = row[compact.Run](s.reader, inRuns, id); err != nil {
			return false
		}
		run := found.Whole()
		if !s.scope.Holds(run.Task.Namespace()) {
			return true
		}
		if len(list.Items) == limit || visits == maxVisits {
			list.Next = last
			return false
		}
		visits++
		last = string(id)
		if s.asks(&run) {
			list.Items = append(list.Items, run)
		}
		return true
	})
	return err
}

// tooOld reports whether this run and all before it were made before Since.
func (s *runSearch) tooOld(id []byte) bool {
	made, tells := madeAt(id)
	return tells && !s.Since.IsZero() && made.Before(s.Since.Add(-clockSkew))
}

// asks reports whether the query asks for the run.
func (s *runSearch) asks(run *fleet.Run) bool {
	end := run.Due
	if run.Until != nil {
		end = *run.Until
	}
	switch {
	case s.only != nil && !s.only(run),
		s.Task != "" && run.Task != s.Task,
		s.host != "" && run.Host != s.host,
		s.State != "" && run.State != s.State,
		s.Order != "" && run.Order != s.Order,
		s.Failed && !run.Failed(),
		!s.Since.IsZero() && end.Before(s.Since),
		!s.Until.IsZero() && !run.Due.Before(s.Until):
		return false
	}
	return true
}
