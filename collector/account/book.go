package account

import (
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Source is the ledger as an account needs it.
type Source interface {
	// Accounts walks the accounts within the scope of a task, or of all, that are
	// wanted, with their records if runs says so, until fn returns false.
	Accounts(scope fleet.Scope, task fleet.TaskID, wanted func(fleet.TaskID, fleet.HostID) bool, runs bool, fn func(ledger.Account, []fleet.Run) bool) error
	// Generation returns a task's trigger under one generation.
	Generation(scope fleet.Scope, task fleet.TaskID, generation uint64) (fleet.Task, bool, error)
}

// Book answers from a source. Its methods may be called from many goroutines.
type Book struct {
	source  Source
	counter *counter
}

// New returns a book over a source.
func New(source Source) *Book {
	return &Book{source, newCounter(func(task fleet.TaskID, number uint64) (fleet.Task, bool, error) {
		return source.Generation(everywhere, task, number) // what is counted is remembered for all who ask
	})}
}

var everywhere = fleet.ScopeOf(fleet.Everywhere)

// Query chooses accounts. Task empty: all; Wanted nil: all. Since and Until
// bound the instants, where one is set.
type Query struct {
	Task         fleet.TaskID
	Wanted       func(fleet.TaskID, fleet.HostID) bool
	Since, Until time.Time
}

func (q *Query) windowed() bool { return !q.Since.IsZero() || !q.Until.IsZero() }

func (q *Query) wanted(task fleet.TaskID, host fleet.HostID) bool {
	return q.Wanted == nil || q.Wanted(task, host)
}

// Lines tells the account of each task within the scope on each host as it stands
// now, ordered by task and host.
func (b *Book) Lines(scope fleet.Scope, q Query, now time.Time) ([]api.AccountLine, error) {
	var lines []api.AccountLine
	var failed error
	err := b.source.Accounts(scope, q.Task, q.wanted, q.windowed(), func(account ledger.Account, runs []fleet.Run) bool {
		var line api.AccountLine
		if q.windowed() {
			line, failed = b.window(&account, runs, q, now)
		} else {
			line, failed = b.whole(&account, now)
		}
		lines = append(lines, line)
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	return lines, err
}

// whole is the account since the task came to the host.
func (b *Book) whole(account *ledger.Account, now time.Time) (api.AccountLine, error) {
	line := api.AccountLine{
		Task: account.Task, Host: account.Host,
		Due: account.Ordered + account.Started,
		Ran: account.Ran, Failed: account.Failed, Skipped: account.Skipped, Missed: account.Missed, Unknown: account.Unknown,
		Retried: account.Retried,
	}
	for _, span := range account.Stints {
		n, err := b.counter.of(account.Task, account.Host, span)
		if err != nil {
			return line, err
		}
		line.Due += n
	}
	untold, err := b.untold(account, account.Decided, now)
	line.Due += untold
	line.Pending = account.Open + untold
	settle(&line)
	return line, err
}

// untold counts the instants in a window that the host has not told of yet.
func (b *Book) untold(account *ledger.Account, after, until time.Time) (int, error) {
	if !account.Counting {
		return 0, nil
	}
	if after.Before(account.Decided) {
		after = account.Decided
	}
	last := account.Stints[len(account.Stints)-1]
	return b.counter.between(account.Task, account.Host, last.Generation, after, until)
}

// settle fills in what follows from the rest.
func settle(line *api.AccountLine) {
	line.OK = line.Ran - line.Failed
	line.Difference = line.Due - line.Ran - line.Skipped - line.Missed - line.Unknown - line.Pending
}

// window is the account of the instants from Since up to and without Until, as
// far back as there are records.
func (b *Book) window(account *ledger.Account, runs []fleet.Run, q Query, now time.Time) (api.AccountLine, error) {
	line := api.AccountLine{Task: account.Task, Host: account.Host}
	w := window{after: q.Since.Add(-1), until: now}
	if !q.Until.IsZero() && q.Until.Before(now) {
		w.until = q.Until.Add(-1)
	}
	if account.Forgotten.After(w.after) {
		w.after, line.Since = account.Forgotten, account.Forgotten.Add(1)
	}
	for _, span := range account.Stints {
		n, err := b.clip(account, span, w)
		if err != nil {
			return line, err
		}
		line.Due += n
	}
	untold, err := b.untold(account, w.after, w.until)
	if err != nil {
		return line, err
	}
	line.Due += untold
	line.Pending += untold
	own, retried := outcomes(runs)
	for i := range own {
		if err := b.enter(&line, account, &own[i], w); err != nil {
			return line, err
		}
	}
	for i := range retried {
		if w.holds(retried[i].Due) {
			line.Retried++
		}
	}
	settle(&line)
	return line, nil
}

// window is the instants after the one and up to the other.
type window struct{ after, until time.Time }

func (w window) holds(at time.Time) bool { return at.After(w.after) && !at.After(w.until) }

// clip counts the instants of a stint within the window.
func (b *Book) clip(account *ledger.Account, span ledger.Span, w window) (int, error) {
	after, until := span.After, span.Last
	if after.Before(w.after) {
		after = w.after
	}
	if until.After(w.until) {
		until = w.until
	}
	return b.counter.between(account.Task, account.Host, span.Generation, after, until)
}

// enter adds what of a record lies within the window.
func (b *Book) enter(line *api.AccountLine, account *ledger.Account, run *fleet.Run, w window) error {
	n := 0
	switch {
	case run.Until == nil || w.holds(run.Due) && w.holds(*run.Until):
		if w.holds(run.Due) {
			n = run.Instants()
		}
	default: // a range that reaches beyond it
		part := window{run.Due.Add(-1), *run.Until}
		if part.after.Before(w.after) {
			part.after = w.after
		}
		if part.until.After(w.until) {
			part.until = w.until
		}
		for _, span := range account.Stints {
			more, err := b.clip(account, span, part)
			if err != nil {
				return err
			}
			n += more
		}
	}
	if run.Order != "" || b.free(run) {
		line.Due += n
	}
	switch run.State {
	case fleet.RunRan:
		line.Ran += n
		if run.Failed() {
			line.Failed += n
		}
	case fleet.RunSkipped:
		line.Skipped += n
	case fleet.RunMissed:
		line.Missed += n
	case fleet.RunUnknown:
		line.Unknown += n
	default:
		line.Pending += n
	}
	return nil
}

// free reports whether no schedule says when the run's task was due: a daemon
// starts when it must.
func (b *Book) free(run *fleet.Run) bool {
	_, clocked, err := b.counter.clock(run.Task, run.Host, run.Generation)
	return err == nil && !clocked
}

// PerTask adds the lines of each task up. They come ordered by task.
func PerTask(lines []api.AccountLine) []api.AccountLine {
	var tasks []api.AccountLine
	for _, line := range lines {
		if len(tasks) == 0 || tasks[len(tasks)-1].Task != line.Task {
			tasks = append(tasks, api.AccountLine{Task: line.Task})
		}
		Add(&tasks[len(tasks)-1], &line)
	}
	return tasks
}

// Add adds a line to a sum. The sum counts from the latest Since of its lines.
func Add(sum, line *api.AccountLine) {
	sum.Due += line.Due
	sum.Ran += line.Ran
	sum.OK += line.OK
	sum.Failed += line.Failed
	sum.Skipped += line.Skipped
	sum.Missed += line.Missed
	sum.Unknown += line.Unknown
	sum.Pending += line.Pending
	sum.Difference += line.Difference
	sum.Retried += line.Retried
	if line.Since.After(sum.Since) {
		sum.Since = line.Since
	}
}
