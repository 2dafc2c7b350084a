package web

import (
	"context"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// whole makes an Inventory of a Source: what it does not answer is refused.
func whole(src Source) Inventory {
	if inventory, is := src.(Inventory); is {
		return inventory
	}
	return partial{src}
}

// partial is a Source that answers some of what an Inventory does.
type partial struct{ Source }

// errUnanswered says that the Source does not answer a question at all.
var errUnanswered = fleet.Errorf(fleet.Unavailable, "this collector does not answer that")

// Changes asks the Source, where it answers.
func (p partial) Changes(ctx context.Context, q api.ChangeQuery) (api.List[api.ChangeView], error) {
	if src, is := p.Source.(interface {
		Changes(context.Context, api.ChangeQuery) (api.List[api.ChangeView], error)
	}); is {
		return src.Changes(ctx, q)
	}
	return api.List[api.ChangeView]{}, errUnanswered
}

// Findings asks the Source, where it answers.
func (p partial) Findings(ctx context.Context, q api.FindingQuery) (api.FindingList, error) {
	if src, is := p.Source.(interface {
		Findings(context.Context, api.FindingQuery) (api.FindingList, error)
	}); is {
		return src.Findings(ctx, q)
	}
	return api.FindingList{}, errUnanswered
}

// Density asks the Source, where it answers.
func (p partial) Density(ctx context.Context, q api.DensityQuery) (api.Density, error) {
	if src, is := p.Source.(interface {
		Density(context.Context, api.DensityQuery) (api.Density, error)
	}); is {
		return src.Density(ctx, q)
	}
	return api.Density{}, errUnanswered
}

// Collisions asks the Source, where it answers.
func (p partial) Collisions(ctx context.Context, q api.CollisionQuery) (api.List[api.Collision], error) {
	if src, is := p.Source.(interface {
		Collisions(context.Context, api.CollisionQuery) (api.List[api.Collision], error)
	}); is {
		return src.Collisions(ctx, q)
	}
	return api.List[api.Collision]{}, errUnanswered
}

// Spread asks the Source, where it answers.
func (p partial) Spread(ctx context.Context, q api.SpreadQuery) (api.Spread, error) {
	if src, is := p.Source.(interface {
		Spread(context.Context, api.SpreadQuery) (api.Spread, error)
	}); is {
		return src.Spread(ctx, q)
	}
	return api.Spread{}, errUnanswered
}

// Loss asks the Source, where it answers.
func (p partial) Loss(ctx context.Context, host string) (api.Loss, error) {
	if src, is := p.Source.(interface {
		Loss(context.Context, string) (api.Loss, error)
	}); is {
		return src.Loss(ctx, host)
	}
	return api.Loss{}, errUnanswered
}

// Pins asks the Source, where it answers.
func (p partial) Pins(ctx context.Context) (api.List[api.PinView], error) {
	if src, is := p.Source.(interface {
		Pins(context.Context) (api.List[api.PinView], error)
	}); is {
		return src.Pins(ctx)
	}
	return api.List[api.PinView]{}, errUnanswered
}

// Adoption asks the Source, where it answers.
func (p partial) Adoption(ctx context.Context, task fleet.TaskID) (fleet.Adoption, error) {
	if src, is := p.Source.(interface {
		Adoption(context.Context, fleet.TaskID) (fleet.Adoption, error)
	}); is {
		return src.Adoption(ctx, task)
	}
	return fleet.Adoption{}, errUnanswered
}
