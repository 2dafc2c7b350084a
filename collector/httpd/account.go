package httpd

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/collector/account"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Account tells what became of everything that was due.
func (s *Server) Account(ctx context.Context, q api.AccountQuery) (api.List[api.AccountLine], error) {
	list := api.List[api.AccountLine]{Items: []api.AccountLine{}}
	query, err := s.accounts(scopeOf(ctx), &q)
	if err != nil {
		return list, err
	}
	if list.Index, err = s.newer(ctx, wait(q.Page), ledger.Runs, ledger.Orders); err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	lines, err := s.book.Lines(scopeOf(ctx), query, time.Now())
	if err != nil {
		return list, err
	}
	if err := s.knownTask(scopeOf(ctx), q.Task, len(lines)); err != nil {
		return list, err
	}
	if !q.Hosts {
		lines = account.PerTask(lines)
	}
	list.Total = len(lines)
	from, found := slices.BinarySearchFunc(lines, q.After, func(line api.AccountLine, after string) int {
		return strings.Compare(lineKey(&line), after)
	})
	if found {
		from++
	}
	list.Items = lines[from:min(from+q.Limit, len(lines))]
	for i := range list.Items {
		list.Items[i].HostName = s.nameOf(list.Items[i].Host)
	}
	if end := from + len(list.Items); end < len(lines) {
		list.Next = sealCursor(lineKey(&lines[end-1]))
	}
	list.Items = append([]api.AccountLine{}, list.Items...)
	return list, nil
}

// lineKey orders lines as they come.
func lineKey(line *api.AccountLine) string { return string(line.Task) + "\x00" + string(line.Host) }

// accounts reads what a query asks for.
func (s *Server) accounts(scope fleet.Scope, q *api.AccountQuery) (account.Query, error) {
	query := account.Query{Since: q.Since, Until: q.Until}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return query, fleet.Invalidf("until", q.Until.Format(time.RFC3339), "want an instant after since")
	}
	if q.Task != "" {
		id, err := fleet.ParseTaskID(string(q.Task))
		if err != nil {
			return query, err
		}
		q.Task, query.Task = id, id
	}
	asked, err := s.choose(scope, q.Host, q.Label, "")
	if err != nil {
		return query, err
	}
	query.Wanted = func(task fleet.TaskID, host fleet.HostID) bool {
		if q.Namespace != "" && task.Namespace() != q.Namespace {
			return false
		}
		if asked.everything() {
			return true
		}
		known, found := s.Ledger.Host(scope, host)
		return found && asked.takes(known)
	}
	return query, nil
}

// knownTask refuses a task that nobody ever gave. One that was deleted has an
// account.
func (s *Server) knownTask(scope fleet.Scope, task fleet.TaskID, accounts int) error {
	if task == "" || accounts > 0 {
		return nil
	}
	_, err := s.Ledger.Task(scope, task)
	return err
}

func (s *Server) nameOf(id fleet.HostID) string {
	if host, found := s.Ledger.Host(everywhere, id); found {
		return host.Name
	}
	return ""
}

// proof derives the account anew.
func (s *Server) proof(ctx context.Context, q proofIn) (api.Proof, error) {
	asked := api.AccountQuery{Task: q.Task, Host: q.Host, Namespace: q.Namespace, Label: q.Label}
	query, err := s.accounts(scopeOf(ctx), &asked)
	if err != nil {
		return api.Proof{}, err
	}
	index, err := s.newer(ctx, waiting{}, ledger.Runs, ledger.Orders)
	if err != nil {
		return api.Proof{}, err
	}
	proof, err := s.book.Prove(scopeOf(ctx), query, time.Now())
	if err != nil {
		return proof, err
	}
	for i := range proof.Faults {
		proof.Faults[i].HostName = s.nameOf(proof.Faults[i].Host)
	}
	proof.Index = index
	return proof, s.knownTask(scopeOf(ctx), asked.Task, proof.Accounts)
}

// proofIn is the part of an account's query that a proof has use for.
type proofIn struct {
	Task      fleet.TaskID `query:"task"`
	Host      string       `query:"host"`
	Namespace string       `query:"namespace"`
	Label     string       `query:"label"`
}

// sumAge is how old the sum of all accounts may be that metrics tell: nobody
// is to slow a collector down by asking often.
const sumAge = 20 * time.Second

// accountSum is the sum of all accounts, for metrics.
type accountSum struct {
	mu  sync.Mutex
	at  time.Time
	sum api.AccountLine
}

// accountSum returns the sum of all accounts, and false where it is not known.
func (s *Server) accountSum() (api.AccountLine, bool) {
	s.sum.mu.Lock()
	defer s.sum.mu.Unlock()
	now := time.Now()
	if !s.sum.at.IsZero() && now.Sub(s.sum.at) < sumAge {
		return s.sum.sum, true
	}
	lines, err := s.book.Lines(everywhere, account.Query{}, now)
	if err != nil {
		s.Logger.Error("account not read", "error", err)
		return api.AccountLine{}, false
	}
	s.sum.sum = api.AccountLine{}
	for i := range lines {
		account.Add(&s.sum.sum, &lines[i])
	}
	s.sum.at = now
	return s.sum.sum, true
}
