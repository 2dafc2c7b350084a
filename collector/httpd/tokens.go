package httpd

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// How long tokens count where nobody says, and at most.
const (
	tokenLife    = 30 * 24 * time.Hour
	maxTokenLife = 365 * 24 * time.Hour
)

var (
	tokenParameter = regexp.MustCompile(`^[a-z0-9]{8}$`)
	personName     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@._+-]{0,62}$`)
)

// asking is a change that a JSON body describes.
type asking[T any] struct {
	change
	body T
}

func parseAsking[T any]() func(*request) (asking[T], error) {
	decoder := newDecoder[T]()
	return func(r *request) (in asking[T], err error) {
		if err = r.query(&struct{}{}); err != nil {
			return in, err
		}
		if in.change, err = r.plainChange(); err != nil {
			return in, err
		}
		in.body, err = decoder.decode(r.body)
		return in, err
	}
}

// parseNaming reads a change of what one parameter of the path names.
func parseNaming(parameter string, form *regexp.Regexp) func(*request) (named, error) {
	return func(r *request) (in named, err error) {
		if in.id, err = r.path(parameter, form); err != nil {
			return in, err
		}
		if err = r.query(&struct{}{}); err != nil {
			return in, err
		}
		in.change, err = r.change()
		return in, err
	}
}

// within refuses namespaces that the caller does not have: nobody gives away
// more than their own.
func within(ctx context.Context, namespaces []string) error {
	if len(namespaces) == 0 {
		return fleet.Invalidf("namespaces", "", "want at least one, or %q for all", fleet.Everywhere)
	}
	scope := scopeOf(ctx)
	for _, namespace := range namespaces {
		if namespace != fleet.Everywhere && !fleet.ValidName(namespace) {
			return fleet.Invalidf("namespaces", clip(namespace), "is no namespace")
		}
		if !scope.All() && (namespace == fleet.Everywhere || !scope.Holds(namespace)) {
			return fleet.Errorf(fleet.Refused, "namespace %s is not yours to give", namespace).WithCode(api.CodePermission)
		}
	}
	return nil
}

// lifeOf returns how long something counts.
func lifeOf(wanted fleet.Duration, usual, most time.Duration) (time.Duration, error) {
	life := cmp.Or(time.Duration(wanted), usual)
	if life < time.Minute || life > most {
		return 0, fleet.Invalidf("life", wanted.String(), "want 1m to %s", fleet.Duration(most))
	}
	return life, nil
}

// tokens lists people's tokens.
func (s *Server) tokens(ctx context.Context, _ struct{}) (api.List[fleet.Token], error) {
	list := s.Ledger.Tokens(scopeOf(ctx))
	return api.List[fleet.Token]{Items: append([]fleet.Token{}, list...), Total: len(list), Index: s.ledgerIndex()}, nil
}

func (s *Server) token(ctx context.Context, in named) (fleet.Token, error) {
	return s.Ledger.Token(scopeOf(ctx), in.id)
}

// newToken makes a token. Its text is told this once.
func (s *Server) newToken(ctx context.Context, in asking[api.NewToken]) (api.MadeToken, error) {
	want := in.body
	if !personName.MatchString(want.Name) {
		return api.MadeToken{}, fleet.Invalidf("name", clip(want.Name), "want 1–63 letters, digits or @ . _ + - that name a person or a pipeline")
	}
	if len(want.Roles) == 0 {
		return api.MadeToken{}, fleet.Invalidf("roles", "", "want at least one of viewer, runner, operator, approver, admin, auditor")
	}
	for _, role := range want.Roles {
		if !slices.Contains(fleet.Roles, role) {
			return api.MadeToken{}, fleet.Invalidf("roles", clip(string(role)), "want viewer, runner, operator, approver, admin or auditor")
		}
	}
	if err := within(ctx, want.Namespaces); err != nil {
		return api.MadeToken{}, err
	}
	life, err := lifeOf(want.Life, tokenLife, maxTokenLife)
	if err != nil {
		return api.MadeToken{}, err
	}
	id, text, hash := identity.NewToken()
	now := time.Now().UTC()
	token := fleet.Token{ID: id, Name: want.Name, Hash: hash, Roles: want.Roles, Namespaces: want.Namespaces, Created: now, Expires: now.Add(life), By: in.Actor}
	made, err := resultOf[fleet.Token](s.propose(ctx, in.change, act{"token.put", "token " + id + " of " + want.Name, ""}, &ledger.PutToken{Token: token}))
	if err == nil && made.ID != id {
		err = toldAlready("token", made.ID)
	}
	return api.MadeToken{Token: made, Secret: text, Index: s.ledgerIndex()}, err
}

// toldAlready answers a repeated request for a secret: it was told, and is not
// kept.
func toldAlready(noun, id string) error {
	return fleet.Errorf(fleet.Conflict, "this request made %s %s before, and its secret was told then", noun, id).
		WithCode(api.CodeExists).WithHint("revoke it, and make another one")
}

func (s *Server) revokeToken(ctx context.Context, in named) (receipt, error) {
	if _, err := s.Ledger.Token(scopeOf(ctx), in.id); err != nil {
		return receipt{}, err
	}
	_, err := s.propose(ctx, in.change, act{"token.revoke", "token " + in.id, ""}, &ledger.RevokeToken{ID: in.id, At: time.Now().UTC(), Actor: in.Actor, Reason: in.Reason})
	if err == nil && s.Sessions != nil {
		s.Sessions.CloseToken(in.id)
	}
	return s.done(err)
}
