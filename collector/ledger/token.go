package ledger

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The longest lives of what lets people and machines in.
const (
	MaxTokenLife     = 8760 * time.Hour
	MaxJoinTokenLife = 24 * time.Hour
)

// PutToken takes in a new token of a person. It returns the fleet.Token without
// its hash. The first admin of every namespace that is not the bootstrap ends
// the bootstrap token, for ever.
type PutToken struct {
	Token fleet.Token `json:"token"`
}

func (cmd *PutToken) apply(c *change) any {
	token := cmd.Token
	if refusal := checkToken(&token); refusal != nil {
		return refusal
	}
	if c.get(inTokens, key(token.ID)) != nil {
		return fleet.Errorf(fleet.Conflict, "there is a token %s", token.ID).WithCode("exists")
	}
	if closesBootstrap(&token) {
		for _, k := range c.keys(inTokens, nil) {
			if old, _ := stored[fleet.Token](c, inTokens, k); old.Bootstrap && old.Revoked.IsZero() {
				old.Revoked = token.Created
				putToken(c, old)
			}
		}
	}
	putToken(c, token)
	return shown(token)
}

// checkToken refuses what is no token.
func checkToken(token *fleet.Token) *fleet.Error {
	switch {
	case !keyable(token.ID):
		return fleet.Invalidf("id", token.ID, "want 1–%d bytes", maxKeyPart)
	case len(token.Hash) != sha256.Size:
		return fleet.Invalidf("hash", "", "want a SHA-256")
	case token.Name == "":
		return fleet.Invalidf("name", "", "is missing: say who holds the token")
	case len(token.Roles) == 0:
		return fleet.Invalidf("roles", "", "is missing: want viewer, runner, operator, approver, admin or auditor")
	case !token.Expires.After(token.Created) || token.Expires.Sub(token.Created) > MaxTokenLife:
		return fleet.Invalidf("life", token.Expires.Sub(token.Created).String(), "want more than nothing and at most %s", fleet.Duration(MaxTokenLife))
	}
	for _, role := range token.Roles {
		if !slices.Contains(fleet.Roles, role) {
			return fleet.Invalidf("roles", string(role), "want viewer, runner, operator, approver, admin or auditor")
		}
	}
	return checkNamespaces(token.Namespaces)
}

// checkNamespaces refuses what is no set of namespaces.
func checkNamespaces(names []string) *fleet.Error {
	if len(names) == 0 {
		return fleet.Invalidf("namespaces", "", "is missing; * is all of them")
	}
	for _, name := range names {
		if name != fleet.Everywhere && !fleet.ValidName(name) {
			return fleet.Invalidf("namespaces", name, "want names of 1–63 of a-z 0-9 . _ -, or *")
		}
	}
	return nil
}

// closesBootstrap reports whether there is somebody else now who can do all
// that the bootstrap token is for.
func closesBootstrap(token *fleet.Token) bool {
	return !token.Bootstrap && slices.Contains(token.Roles, fleet.Admin) && slices.Contains(token.Namespaces, fleet.Everywhere)
}

// shown returns the token as it may be shown.
func shown(token fleet.Token) fleet.Token {
	token.Hash = nil
	return token
}

// RevokeToken ends a token before its time. It returns the fleet.Token without
// its hash. One that is revoked stays as it is.
type RevokeToken struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

func (cmd *RevokeToken) apply(c *change) any {
	token, found := storedToken(c, cmd.ID)
	if !found {
		return noToken(cmd.ID)
	}
	if token.Revoked.IsZero() {
		token.Revoked = cmd.At
		putToken(c, token)
	}
	return shown(token)
}

func storedToken(c *change, id string) (fleet.Token, bool) {
	if !keyable(id) {
		return fleet.Token{}, false
	}
	return stored[fleet.Token](c, inTokens, key(id))
}

func noToken(id string) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no token %s", id).WithHint("fleetctl token list")
}

func putToken(c *change, token fleet.Token) {
	c.put(inTokens, key(token.ID), encode(token))
	c.notify(Tokens)
	c.after(func(l *Ledger) { l.memory.tokens[token.ID] = &token })
}

// forgetTokens removes tokens that ended before TrustBefore. A bootstrap token
// stays, so that it is told what became of it.
func (cmd *Prune) forgetTokens(c *change) {
	for _, k := range c.keys(inTokens, nil) {
		token, _ := stored[fleet.Token](c, inTokens, k)
		if token.Bootstrap || !token.Expires.Before(cmd.TrustBefore) && (token.Revoked.IsZero() || !token.Revoked.Before(cmd.TrustBefore)) {
			continue
		}
		c.delete(inTokens, k)
		c.notify(Tokens)
		c.after(func(l *Ledger) { delete(l.memory.tokens, token.ID) })
	}
}

// Admit returns the token of somebody who brought this id and secret, if it
// counts now. The refusal is the same, and takes as long, whether there is no
// such token or its secret is another.
func (l *Ledger) Admit(id string, hash []byte, now time.Time) (fleet.Token, error) {
	l.mu.RLock()
	token := l.memory.tokens[id]
	l.mu.RUnlock()
	against := make([]byte, sha256.Size)
	if token != nil {
		against = token.Hash
	}
	same := subtle.ConstantTimeCompare(hash, against) == 1
	switch {
	case token == nil || !same:
		return fleet.Token{}, fleet.Errorf(fleet.Unauthenticated, "the token is not known here").WithCode("token_invalid").
			WithHint("fleetctl config shows which token file is read; an admin makes tokens with fleetctl token new")
	case token.Bootstrap && !token.Revoked.IsZero():
		return fleet.Token{}, fleet.Errorf(fleet.Unauthenticated, "the first token ended when another admin came").WithCode("bootstrap_closed").
			WithHint("use a token of your own: an admin makes it with fleetctl token new")
	case !token.Revoked.IsZero():
		return fleet.Token{}, fleet.Errorf(fleet.Unauthenticated, "the token was revoked at %s", token.Revoked.UTC().Format(time.RFC3339)).WithCode("token_revoked").
			WithHint("an admin makes another with fleetctl token new")
	case !token.Expires.After(now):
		return fleet.Token{}, fleet.Errorf(fleet.Unauthenticated, "the token expired at %s", token.Expires.UTC().Format(time.RFC3339)).WithCode("token_expired").
			WithHint("an admin makes another with fleetctl token new")
	}
	return shown(*token), nil
}

// within reports whether all of the names are in the scope.
func within(scope fleet.Scope, names []string) bool {
	return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return !scope.Holds(name) })
}

// Tokens returns the tokens whose namespaces all lie within the scope, by id,
// without their hashes.
func (l *Ledger) Tokens(scope fleet.Scope) []fleet.Token {
	l.mu.RLock()
	defer l.mu.RUnlock()
	tokens := []fleet.Token{}
	for _, token := range sorted(l.memory.tokens) {
		if within(scope, token.Namespaces) {
			tokens = append(tokens, shown(*token))
		}
	}
	return tokens
}

// Token returns one token, without its hash.
func (l *Ledger) Token(scope fleet.Scope, id string) (fleet.Token, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	token := l.memory.tokens[id]
	if token == nil || !within(scope, token.Namespaces) {
		return fleet.Token{}, noToken(id)
	}
	return shown(*token), nil
}
