package httpd

import (
	"context"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

type principalKey struct{}

// As returns a context in which the services answer this caller. Without one
// they know nobody, and nobody sees anything.
func As(ctx context.Context, caller fleet.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, &caller)
}

// callerOf returns who asks; nobody where As was not called.
func callerOf(ctx context.Context) *fleet.Principal {
	if caller, is := ctx.Value(principalKey{}).(*fleet.Principal); is {
		return caller
	}
	return new(fleet.Principal)
}

// scopeOf returns what whoever asks may see.
func scopeOf(ctx context.Context) fleet.Scope { return callerOf(ctx).Sees() }
