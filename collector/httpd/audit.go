package httpd

import (
	"cmp"
	"context"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// act is what the audit chain says of a change.
type act struct {
	Action string // "task.put"
	Object string // "task data/backup"
	Why    string // empty: the author's reason
}

// keyLife is how long a request with an Idempotency-Key is remembered.
const keyLife = 24 * time.Hour

// propose carries a change out, once for each idempotency key, and with it
// writes down who made it.
func (s *Server) propose(ctx context.Context, c change, a act, command ledger.Command) (any, error) {
	if c.Key != "" {
		now := time.Now().UTC()
		command = &ledger.Once{Key: c.Key, Digest: c.Digest, At: now, Expires: now.Add(keyLife), Command: command}
	}
	return s.Replica.Propose(ctx, &ledger.Audited{
		At: time.Now().UTC(), By: c.By, Action: a.Action, Object: a.Object, Why: cmp.Or(a.Why, c.Reason), Digest: c.Sealed, Command: command,
	})
}

// record carries out what a machine asks for, and writes down which.
func (s *Server) record(ctx context.Context, by fleet.Principal, a act, command ledger.Command) (any, error) {
	return s.propose(ctx, change{By: by}, a, command)
}

// remembered returns the answer to an earlier request with the same key, for
// services whose own checks would answer otherwise by now.
func (s *Server) remembered(c change) (result any, found bool, err error) {
	if c.Key == "" {
		return nil, false, nil
	}
	result, found, err = s.Ledger.Remembered(c.Key, c.Digest, time.Now())
	if err == nil && found {
		if refusal, refused := ledger.IsRefusal(result); refused {
			return nil, true, refusal
		}
	}
	return result, found, err
}

// resultOf returns what a command answered as what it must be.
func resultOf[T any](result any, err error) (T, error) {
	value, is := result.(T)
	if err == nil && !is {
		err = fleet.Errorf(fleet.Internal, "the ledger answered %T", result)
	}
	return value, err
}

// Audit lists links of the audit chain, as far as the caller may see them.
func (s *Server) Audit(ctx context.Context, q api.AuditQuery) (api.List[fleet.AuditEntry], error) {
	var list api.List[fleet.AuditEntry]
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return list, fleet.Invalidf("until", q.Until.Format(time.RFC3339), "must be after since")
	}
	index, err := s.newer(ctx, wait(q.Page), ledger.Audit)
	if err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	if list, err = s.Ledger.Audit(scopeOf(ctx), q); err != nil {
		return list, err
	}
	list.Next, list.Index = sealCursor(list.Next), index
	if list.Items == nil {
		list.Items = []fleet.AuditEntry{}
	}
	return list, nil
}

// policies lists what hosts say of their policies and of their own chains.
func (s *Server) policies(ctx context.Context, in waiting) (api.List[api.HostChain], error) {
	list := api.List[api.HostChain]{Items: []api.HostChain{}}
	var err error
	if list.Index, err = s.newer(ctx, in, ledger.Policies); err != nil {
		return list, err
	}
	all, err := s.Ledger.Policies(scopeOf(ctx))
	list.Items, list.Total = append(list.Items, all...), len(all)
	return list, err
}

// policyIn is what a host says of its policy.
type policyIn struct {
	host   fleet.HostID
	report fleet.PolicyReport
}

func parsePolicy() func(*request) (policyIn, error) {
	decoder := newDecoder[fleet.PolicyReport]()
	return func(r *request) (in policyIn, err error) {
		in.host, in.report, err = parseAgent(r, decoder)
		return in, err
	}
}

// maxRefusals is how many refused statements a host may tell of at once.
const maxRefusals = 1000

// policy records what a host says of its policy, where it is news.
func (s *Server) policy(ctx context.Context, in policyIn) (receipt, error) {
	if len(in.report.Refused) > maxRefusals || len(in.report.Keys) > maxRefusals {
		return receipt{}, fleet.Errorf(fleet.TooLarge, "%d refusals and %d keys, at most %d are taken", len(in.report.Refused), len(in.report.Keys), maxRefusals)
	}
	in.report.Problem = cutText(in.report.Problem, maxDetail)
	for i := range in.report.Refused {
		one := &in.report.Refused[i]
		one.Why, one.Object, one.Code = cutText(one.Why, maxDetail), cutText(one.Object, maxDetail), cutText(one.Code, maxDetail)
	}
	news, err := s.Ledger.PolicyNews(in.host, &in.report)
	if err == nil && news {
		_, err = s.Replica.Propose(ctx, &ledger.RecordPolicy{Host: in.host, Report: in.report, At: time.Now().UTC()})
	}
	return s.done(err)
}
