package httpd

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// namespaceParameter is a namespace, or all of them.
var namespaceParameter = regexp.MustCompile(`^(\*|[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?)$`)

// rules lists what namespaces ask of those who change them.
func (s *Server) rules(ctx context.Context, in waiting) (api.List[fleet.Rules], error) {
	list := api.List[fleet.Rules]{Items: []fleet.Rules{}}
	var err error
	if list.Index, err = s.newer(ctx, in, ledger.Rules); err != nil {
		return list, err
	}
	list.Items = append(list.Items, s.Ledger.AllRules(scopeOf(ctx))...)
	list.Total = len(list.Items)
	return list, nil
}

// rule returns the rules that a namespace has of its own.
func (s *Server) rule(ctx context.Context, in named) (fleet.Rules, error) {
	of := s.Ledger.AllRules(scopeOf(ctx))
	at := slices.IndexFunc(of, func(one fleet.Rules) bool { return one.Namespace == in.id })
	if at < 0 {
		return fleet.Rules{}, fleet.Errorf(fleet.NotFound, "namespace %s has no rules of its own", in.id).WithHint("fleetctl rules")
	}
	return of[at], nil
}

// rulesIn asks for a namespace to have these rules.
type rulesIn struct {
	named
	rules fleet.Rules
}

func parseRules() func(*request) (rulesIn, error) {
	name, decoder := parseNaming("namespace", namespaceParameter), newDecoder[fleet.Rules]()
	return func(r *request) (in rulesIn, err error) {
		if in.named, err = name(r); err != nil {
			return in, err
		}
		body, err := decoder.decode(r.body)
		if err == nil && body.Namespace != "" && body.Namespace != in.id {
			err = fleet.Invalidf("namespace", clip(body.Namespace), "the path names %s", in.id)
		}
		in.rules = fleet.Rules{Namespace: in.id, TwoPerson: body.TwoPerson, Approvals: body.Approvals, Within: body.Within}
		return in, err
	}
}

func (s *Server) putRules(ctx context.Context, in rulesIn) (fleet.Rules, error) {
	if err := within(ctx, []string{in.id}); err != nil {
		return in.rules, err
	}
	in.rules.Changed, in.rules.By = time.Now().UTC(), in.Actor
	return resultOf[fleet.Rules](s.propose(ctx, in.change, act{"rules.put", "rules " + in.id, ""}, &ledger.PutRules{
		Rules: in.rules, IfIndex: in.If.index(), At: in.rules.Changed, Actor: in.Actor,
	}))
}

func (s *Server) dropRules(ctx context.Context, in named) (receipt, error) {
	if err := within(ctx, []string{in.id}); err != nil {
		return receipt{}, err
	}
	_, err := s.propose(ctx, in.change, act{"rules.drop", "rules " + in.id, ""}, &ledger.DropRules{
		Namespace: in.id, IfIndex: in.If.index(), At: time.Now().UTC(), Actor: in.Actor,
	})
	return s.done(err)
}
