package findings

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// everywhere is what the engine itself looks over.
var everywhere = fleet.ScopeOf(fleet.Everywhere)

// view is the findings as somebody sees them: those of a fleet that has no
// other hosts than theirs. What is found by comparing hosts would otherwise tell
// of hosts that they do not see, by a count or by being an outlier at all.
type view struct {
	result
	byID      map[string]int // place in the list
	evaluated time.Time
}

func newView(r result, now time.Time) *view {
	v := &view{result: r, byID: make(map[string]int, len(r.list)), evaluated: now}
	for i := range r.list {
		v.byID[r.list[i].ID] = i
	}
	return v
}

// maxViews is how many scopes are remembered between two looks.
const maxViews = 64

// keyOf names a scope; equal ones alike.
func keyOf(scope fleet.Scope) string {
	names := scope.Namespaces()
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// known returns what a scope sees, if somebody asked since the last look.
func (e *Engine) known(scope fleet.Scope) *view {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.views[keyOf(scope)]
}

// view returns what a scope sees. Whoever asks first with theirs waits for it
// to be worked out from what the last look read.
func (e *Engine) view(ctx context.Context, scope fleet.Scope) (*view, error) {
	if err := e.first(ctx); err != nil {
		return nil, err
	}
	if known := e.known(scope); known != nil {
		return known, nil
	}
	e.waiting.Add(1)
	defer e.waiting.Add(-1)
	e.looking.Lock()
	defer e.looking.Unlock()
	if known := e.known(scope); known != nil { // while this waited
		return known, nil
	}
	whole := e.known(everywhere)
	if whole == nil {
		return newView(result{}, time.Time{}), nil // ctx ended before the first look did
	}
	c := e.inputs
	c.pace, c.scope, c.prints, c.list, c.late = nil, scope, prints{}, nil, nil
	c.hosts = slices.DeleteFunc(slices.Clone(c.hosts), func(h Host) bool { return !scope.Meets(h.Namespaces) })
	c.adoptions = slices.DeleteFunc(slices.Clone(c.adoptions), func(a fleet.Adoption) bool { return !scope.Holds(a.Task.Namespace()) })
	var err error
	if c.policies, err = e.source.Policies(scope); err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	fresh := newView(c.compare(), c.now)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.views) >= maxViews {
		e.views = map[string]*view{keyOf(everywhere): whole}
	}
	e.views[keyOf(scope)] = fresh
	return fresh, nil
}
