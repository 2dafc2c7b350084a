package ledger

import (
	"bytes"
	"time"

	"github.com/fleetcron/fleetcron/shared/compact"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Account is what the ledger knows of one task on one host: from when to when
// it was due and under which generation, and what became of it. The counts are
// of the records; what was due follows from Stints, Ordered and Started alone.
type Account struct {
	Task fleet.TaskID
	Host fleet.HostID

	Ran, Failed, Skipped, Missed, Unknown int // Failed is part of Ran
	Open                                  int // begun or promised, and no outcome yet
	Ordered                               int // due by orders, events, files and webhooks
	Started                               int // due as starts that no schedule tells of, as those of a daemon
	Retried                               int // attempts after the first ones

	Stints    []Span    // in their order; the last may go on
	Counting  bool      // the last stint goes on, up to Decided as far as the host told
	Decided   time.Time // the last instant of the schedule that the host told of
	Forgotten time.Time // up to here the records of the schedule are not whole any more; zero: they are
}

// Span is a stint as it went: due were the instants of the generation after
// After up to Last.
type Span struct {
	Generation  uint64
	After, Last time.Time
}

// Accounts walks the accounts within the scope of a task, or of all tasks where it is empty, in
// the order of tasks and hosts, until fn returns false. With runs it also hands
// over every record of the account that is still there, in no order.
func (l *Ledger) Accounts(scope fleet.Scope, task fleet.TaskID, wanted func(fleet.TaskID, fleet.HostID) bool, runs bool, fn func(Account, []fleet.Run) bool) error {
	return l.view(func(r *reader) error {
		var start []byte
		if task != "" {
			start = prefix(string(task))
		}
		walk := accountWalk{reader: r}
		err := eachRow(r, inAccounts, start, func(k []byte, row accountRow) bool {
			id, host, _ := bytes.Cut(k, []byte{0})
			account := accountOf(fleet.TaskID(id), fleet.HostID(host), &row)
			if !scope.Holds(account.Task.Namespace()) || !wanted(account.Task, account.Host) {
				return true
			}
			if walk.err = walk.stints(&account, &row); walk.err != nil {
				return false
			}
			var records []fleet.Run
			if runs {
				if records = walk.runs(account.Task)[account.Host]; walk.err != nil {
					return false
				}
			}
			return fn(account, records)
		})
		if err == nil {
			err = walk.err
		}
		return err
	})
}

func accountOf(task fleet.TaskID, host fleet.HostID, row *accountRow) Account {
	return Account{
		Task: task, Host: host,
		Ran: row.Ran, Failed: row.Failed, Skipped: row.Skipped, Missed: row.Missed, Unknown: row.Unknown,
		Open: row.Open, Ordered: row.Ordered, Started: row.Started, Retried: row.Retried,
		Counting: row.Generation != 0, Decided: instantOf(row.Decided), Forgotten: instantOf(row.Forgotten),
	}
}

// accountWalk holds what accounts of the same task share.
type accountWalk struct {
	*reader
	err    error
	task   fleet.TaskID
	byHost map[fleet.HostID][]fleet.Run
}

func (w *accountWalk) stints(account *Account, row *accountRow) error {
	own := prefix(string(account.Task), string(account.Host))
	err := eachRow(w.reader, inStints, own, func(k []byte, over stintRow) bool {
		account.Stints = append(account.Stints, Span{over.Generation, instantOf(int64(number(k[len(own):]))), instantOf(over.Last)})
		return true
	})
	if row.Generation != 0 {
		account.Stints = append(account.Stints, Span{row.Generation, instantOf(row.After), account.Decided})
	}
	return err
}

// runs returns all records of a task by host.
func (w *accountWalk) runs(task fleet.TaskID) map[fleet.HostID][]fleet.Run {
	if w.task == task {
		return w.byHost
	}
	w.task, w.byHost = task, map[fleet.HostID][]fleet.Run{}
	own := prefix(string(task))
	each(w.bucket(inRunsByTask), own, nil, func(k, _ []byte) bool {
		var found compact.Run
		if found, _, w.err = row[compact.Run](w.reader, inRuns, k[len(own):]); w.err == nil {
			run := found.Whole()
			run.Tail, run.Detail = "", ""
			w.byHost[run.Host] = append(w.byHost[run.Host], run)
		}
		return w.err == nil
	})
	return w.byHost
}

// Generation returns what says when a task was due under one of its
// generations: its name and its trigger, nothing else. It is false where the
// ledger never kept it.
func (l *Ledger) Generation(scope fleet.Scope, task fleet.TaskID, generation uint64) (found fleet.Task, known bool, err error) {
	if !scope.Holds(task.Namespace()) {
		return found, false, nil
	}
	err = l.view(func(r *reader) error {
		found, known, err = row[fleet.Task](r, inGenerations, generationKey(task, generation))
		return err
	})
	return found, known, err
}
