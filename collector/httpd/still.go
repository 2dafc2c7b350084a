package httpd

import (
	"context"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// lookAgain is how often it is looked whether the token of somebody who follows
// output has ended by itself; one that is revoked is seen at once.
const lookAgain = time.Minute

// ended returns why a token that was good counts no more; nil: it does.
func ended(token *fleet.Token, now time.Time) error {
	switch {
	case !token.Revoked.IsZero():
		return fleet.Errorf(fleet.Unauthenticated, "the token was revoked").WithCode("token_revoked")
	case !token.Expires.After(now):
		return fleet.Errorf(fleet.Unauthenticated, "the token expired").WithCode("token_expired")
	}
	return nil
}

// still returns an error where whoever asked may not have the answer any more:
// a wait and a stream outlive the moment in which they were asked for.
func (s *Server) still(ctx context.Context) error {
	caller := callerOf(ctx)
	if caller.Kind != fleet.PersonKind || caller.Token == "" {
		return nil // machines lose their connections
	}
	token, err := s.Ledger.Token(everywhere, caller.Token)
	if err != nil {
		return badToken()
	}
	return ended(&token, time.Now())
}

// whileWelcome calls end once whoever asked may not go on, unless ctx ends
// before.
func (s *Server) whileWelcome(ctx context.Context, end func()) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		_, changed := s.Ledger.Watch(ledger.Tokens)
		if s.still(ctx) != nil {
			end()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// passedOn returns whom a collector asks for, if that one counts here too and
// has what is said of it: the other collector may know less than this one, or
// lie.
func (g *Gate) passedOn(said fleet.Principal) (fleet.Principal, error) {
	switch said.Kind {
	case fleet.AgentKind:
		return said, g.Register.AdmitNode(fleet.AgentKind, said.Name, said.Token)
	case fleet.PersonKind:
	default:
		return said, nil
	}
	token, err := g.Register.Token(everywhere, said.Token)
	if err != nil {
		return said, badToken()
	}
	if err := ended(&token, time.Now()); err != nil {
		return said, err
	}
	more := func(role fleet.Role) bool { return role != fleet.Viewer && !slices.Contains(token.Roles, role) }
	holds := fleet.ScopeOf(token.Namespaces...)
	if said.Name != token.Name || slices.ContainsFunc(said.Roles, more) || slices.ContainsFunc(said.Scope, func(name string) bool { return !holds.Holds(name) }) {
		return said, fleet.Errorf(fleet.Refused, "token %s is not that of %s with these rights", token.ID, said.Name).WithCode(api.CodePermission)
	}
	return said, nil
}
