package web

import (
	"context"
	"io"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Source answers what the pages ask. The collector's service and api.Client
// are both one.
type Source interface {
	Overview(ctx context.Context) (api.Overview, error)
	Hosts(ctx context.Context, query api.HostQuery) (api.List[api.HostView], error)
	Host(ctx context.Context, nameOrID string) (api.HostDetail, error)
	Jobs(ctx context.Context, query api.JobQuery) (api.List[api.JobView], error)
	JobGroups(ctx context.Context, query api.JobQuery) (api.List[api.JobGroup], error)
	Tasks(ctx context.Context, query api.TaskQuery) (api.List[api.TaskView], error)
	Task(ctx context.Context, id fleet.TaskID) (api.TaskView, error)
	TaskHosts(ctx context.Context, id fleet.TaskID) ([]api.Resolved, error)
	Runs(ctx context.Context, query api.RunQuery) (api.List[api.RunView], error)
	Run(ctx context.Context, id fleet.RunID) (api.RunView, error)
	Account(ctx context.Context, query api.AccountQuery) (api.List[api.AccountLine], error)
	// Logs writes of a run's output what a query wants. An Unavailable error
	// means that the host cannot be asked now.
	Logs(ctx context.Context, id fleet.RunID, query api.OutputQuery, w io.Writer) (api.OutputInfo, error)
	Upcoming(ctx context.Context, query api.UpcomingQuery) (api.List[api.Upcoming], error)
	Cluster(ctx context.Context) (api.Cluster, error)
	Changes(ctx context.Context, query api.ChangeQuery) (api.List[api.ChangeView], error)
	Findings(ctx context.Context, query api.FindingQuery) (api.FindingList, error)
	Density(ctx context.Context, query api.DensityQuery) (api.Density, error)
	Collisions(ctx context.Context, query api.CollisionQuery) (api.List[api.Collision], error)
	Spread(ctx context.Context, query api.SpreadQuery) (api.Spread, error)
	Loss(ctx context.Context, host string) (api.Loss, error)
	Pins(ctx context.Context) (api.List[api.PinView], error)
	Standings(ctx context.Context, query api.StandingQuery) (api.List[api.StandingView], error)
	Calendars(ctx context.Context) (api.List[fleet.CalendarRecord], error)
	// Live asks the agent of a host, by name or id, what goes on there. An
	// Unavailable error means that it cannot be asked now.
	Live(ctx context.Context, host string) (api.Live, error)
	Adoption(ctx context.Context, task fleet.TaskID) (fleet.Adoption, error)
}
