package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Overview sums up the fleet.
func (c *Client) Overview(ctx context.Context) (Overview, error) {
	return get[Overview](ctx, c, PathOverview, nil)
}

// Hosts lists hosts by name.
func (c *Client) Hosts(ctx context.Context, q HostQuery) (List[HostView], error) {
	return list[HostView](ctx, c, PathHosts, q, q.Page)
}

// Host returns everything about one host, by its name or id.
func (c *Client) Host(ctx context.Context, nameOrID string) (HostDetail, error) {
	return get[HostDetail](ctx, c, HostPath(nameOrID), nil)
}

// Jobs lists found jobs.
func (c *Client) Jobs(ctx context.Context, q JobQuery) (List[JobView], error) {
	return list[JobView](ctx, c, PathJobs, q, q.Page)
}

// JobGroups lists found jobs by command, the most frequent first.
func (c *Client) JobGroups(ctx context.Context, q JobQuery) (List[JobGroup], error) {
	return list[JobGroup](ctx, c, PathJobGroups, q, q.Page)
}

// Tasks lists tasks by namespace and name.
func (c *Client) Tasks(ctx context.Context, q TaskQuery) (List[TaskView], error) {
	return list[TaskView](ctx, c, PathTasks, q, q.Page)
}

// Task returns one task.
func (c *Client) Task(ctx context.Context, id fleet.TaskID) (TaskView, error) {
	return get[TaskView](ctx, c, TaskPath(id), nil)
}

// TaskHosts lists the hosts that a task resolves to.
func (c *Client) TaskHosts(ctx context.Context, id fleet.TaskID) ([]Resolved, error) {
	hosts, err := get[List[Resolved]](ctx, c, TaskPath(id)+"/hosts", nil)
	return hosts.Items, err
}

// Runs lists runs, the newest first.
func (c *Client) Runs(ctx context.Context, q RunQuery) (List[RunView], error) {
	return list[RunView](ctx, c, PathRuns, q, q.Page)
}

// Run returns one run.
func (c *Client) Run(ctx context.Context, id fleet.RunID) (RunView, error) {
	return get[RunView](ctx, c, RunPath(id), nil)
}

// WaitRun waits until the run has its outcome and returns it. A run that was
// ordered but has not been heard of yet is waited for too; ctx says for how long.
func (c *Client) WaitRun(ctx context.Context, id fleet.RunID) (RunView, error) {
	query := url.Values{"index": {"1"}, "wait": {DefaultWait.String()}}
	for {
		run, header, err := read[RunView](ctx, c, call{method: http.MethodGet, path: RunPath(id), query: query, wait: DefaultWait})
		switch {
		case fleet.KindOf(err) == fleet.NotFound && err != nil:
			if err := sleep(ctx, retryUnheard); err != nil {
				return RunView{}, &fleet.Error{Kind: fleet.Unavailable, Message: "run " + string(id) + " has not begun", Err: err}
			}
		case err != nil:
			return RunView{}, err
		case run.State.Terminal():
			return run, nil
		default:
			query.Set("index", header.Get(HeaderIndex))
		}
	}
}

// WaitOccurrence waits as WaitRun does, and goes on with each attempt that
// follows, until the occurrence has its outcome. It returns the last attempt.
func (c *Client) WaitOccurrence(ctx context.Context, id fleet.RunID) (RunView, error) {
	for {
		run, err := c.WaitRun(ctx, id)
		if err != nil || !run.Attempted() {
			return run, err
		}
		id = run.Run.NextAttempt().ID
	}
}

// retryUnheard is the pause between two questions for a run that no agent has
// told of yet.
const retryUnheard = DefaultWait / 100

// Output copies the output of a run to w: stream is stdout, stderr or both.
func (c *Client) Output(ctx context.Context, id fleet.RunID, stream string, w io.Writer) error {
	_, err := c.Logs(ctx, id, OutputQuery{Stream: stream}, w)
	return err
}

// OutputInfo says what the output of a run is worth.
type OutputInfo struct {
	Source  string // SourceHost or SourceRecord
	Dropped int64  // bytes that the quota cut out of the middle
}

// Logs copies of the output of a run to w what a query wants. Output that
// breaks off is an Unavailable error.
func (c *Client) Logs(ctx context.Context, id fleet.RunID, query OutputQuery, w io.Writer) (OutputInfo, error) {
	reply, err := c.send(ctx, call{
		method: http.MethodGet, path: RunPath(id) + "/output", query: Values(query), open: true,
		header: http.Header{"Accept": {MediaOutput}},
	})
	if err != nil {
		return OutputInfo{}, err
	}
	defer reply.Body.Close()
	info := OutputInfo{Source: reply.Header.Get(HeaderSource)}
	info.Dropped, _ = strconv.ParseInt(reply.Header.Get(HeaderDropped), 10, 64) // absent: none
	if _, err := io.Copy(w, reply.Body); err != nil {
		return info, &fleet.Error{Kind: fleet.Unavailable, Message: "the output of run " + string(id) + " broke off", Err: err}
	}
	return info, nil
}

// Upcoming lists what runs next, found and given, by instant.
func (c *Client) Upcoming(ctx context.Context, q UpcomingQuery) (List[Upcoming], error) {
	return list[Upcoming](ctx, c, PathUpcoming, q, q.Page)
}

// Cluster returns the raft group as the collector that answers sees it.
func (c *Client) Cluster(ctx context.Context) (Cluster, error) {
	return get[Cluster](ctx, c, PathCollectors, nil)
}
