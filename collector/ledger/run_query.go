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
func (l *Ledger) Run(id fleet.RunID) (run fleet.Run, err error) {
	err = l.view(func(r *reader) error {
		if id == "" {
			return noRun(id)
		}
		row, found, err := row[compact.Run](r, inRuns, key(string(id)))
		if err == nil && !found {
			return noRun(id)
		}
		run = row.Whole()
		return err
	})
	return run, err
}

func noRun(id fleet.RunID) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no run %s", id).WithHint("fleetctl runs")
}

// LastRun returns the newest run of a task, and false when there is none.
func (l *Ledger) LastRun(task fleet.TaskID) (run fleet.Run, found bool, err error) {
	list, err := l.Runs(api.RunQuery{Task: task, Page: api.Page{Limit: 1}})
	if err != nil || len(list.Items) == 0 {
		return run, false, err
	}
	return list.Items[0], true, nil
}

// Runs returns a page of runs, the newest first by id. Since and Until bound
// the instants that a run accounts for (Until excluded). Total is -1: counting
// would cost more than the page. A page may have fewer items than asked for
// and still a Next.
func (l *Ledger) Runs(q api.RunQuery) (api.List[fleet.Run], error) {
	list := api.List[fleet.Run]{Items: []fleet.Run{}, Total: -1}
	var host fleet.HostID
	if q.Host != "" {
		found, err := l.FindHost(q.Host)
		if err != nil {
			return list, err
		}
		host = found.ID
	}
	only, err := l.runFilter(q)
	if err != nil {
		return list, err
	}
	err = l.view(func(r *reader) error {
		list.Index = r.index()
		return (&runSearch{RunQuery: q, host: host, only: only, reader: r}).page(&list)
	})
	return list, err
}

// runFilter returns what decides by the host and the task of a run; nil: they
// do not matter.
func (l *Ledger) runFilter(q api.RunQuery) (func(*fleet.Run) bool, error) {
	if q.Label == "" && q.User == "" && q.Namespace == "" {
		return nil, nil
	}
	hosts, tasks := map[fleet.HostID]bool{}, map[fleet.TaskID]bool{}
	if q.Label != "" {
		labelled, err := l.labelled(q.Label)
		if err != nil {
			return nil, err
		}
		for _, host := range labelled {
			hosts[host.ID] = true
		}
	}
	for _, task := range l.AllTasks() {
		tasks[task.Task.ID()] = task.Task.Run.User == q.User
	}
	return func(run *fleet.Run) bool {
		return (q.Label == "" || hosts[run.Host]) && (q.User == "" || tasks[run.Task]) && (q.Namespace == "" || run.Task.Namespace() == q.Namespace)
	}, nil
}

// runSearch looks for runs within one transaction.
type runSearch struct {
	api.RunQuery
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

func (s *runSearch) page(list *api.List[fleet.Run]) (err error) {
	b, start := s.span()
	var before []byte
	if s.After != "" {
		before = append(append([]byte(nil), start...), s.After...)
	}
	limit, visits, last := pageSize(s.Page), 0, ""
	eachBack(s.reader.bucket(b), start, before, func(k, _ []byte) bool {
		if len(list.Items) == limit || visits == maxVisits {
			list.Next = last
			return false
		}
		visits++
		id := k[len(start):]
		if s.tooOld(id) {
			return false
		}
		last = string(id)
		err = s.take(id, list)
		return err == nil
	})
	return err
}

// take adds the run to the page when it is asked for.
func (s *runSearch) take(id []byte, list *api.List[fleet.Run]) error {
	found, _, err := row[compact.Run](s.reader, inRuns, id)
	if err != nil {
		return err
	}
	if run := found.Whole(); s.asks(&run) {
		list.Items = append(list.Items, run)
	}
	return nil
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
