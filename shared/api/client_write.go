package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PutOption widens what PutTask accepts.
type PutOption string

// AllowUnmatched accepts a task that matches no known host.
const AllowUnmatched PutOption = "unmatched"

// ResolveTask says what a task would do, without doing it.
func (c *Client) ResolveTask(ctx context.Context, doc []byte, mediaType string) (Resolution, error) {
	value, _, err := read[Resolution](ctx, c, call{
		method: http.MethodPost, path: PathResolve, body: doc, header: http.Header{"Content-Type": {mediaType}},
	})
	return value, err
}

// PutTask gives a task. The document is stored as it stands. ifIndex nil
// replaces whatever is there, zero wants that nothing is, any other number is
// the Index of the version that is replaced.
func (c *Client) PutTask(ctx context.Context, doc []byte, mediaType string, ifIndex *uint64, reason string, options ...PutOption) (fleet.TaskRecord, error) {
	request := call{
		method: http.MethodPost, path: PathTasks, body: doc, query: url.Values{},
		header: changeHeader(nil, reason),
	}
	request.header.Set("Content-Type", mediaType)
	request.header.Del("If-Match") // "*" would want that there is one
	if ifIndex == nil || *ifIndex > 0 {
		request.query.Set("replace", "true")
	}
	if ifIndex != nil && *ifIndex > 0 {
		request.header.Set("If-Match", ETag(*ifIndex))
	}
	for _, option := range options {
		request.query.Set(string(option), "allow")
	}
	value, _, err := read[fleet.TaskRecord](ctx, c, request)
	return value, err
}

// PatchTask pauses or resumes a task. ifIndex nil takes whatever version there is.
func (c *Client) PatchTask(ctx context.Context, id fleet.TaskID, ifIndex *uint64, patch TaskPatch, reason string) (fleet.TaskRecord, error) {
	return change[fleet.TaskRecord](ctx, c, call{
		method: http.MethodPatch, path: TaskPath(id), header: changeHeader(ifIndex, reason),
	}, patch)
}

// DeleteTask takes a task back; with stop set its running runs are cancelled
// too. ifIndex nil deletes whatever version there is.
func (c *Client) DeleteTask(ctx context.Context, id fleet.TaskID, ifIndex *uint64, stop bool, reason string) (Deleted, error) {
	query := url.Values{}
	if stop {
		query.Set("stop", "true")
	}
	return change[Deleted](ctx, c, call{
		method: http.MethodDelete, path: TaskPath(id), query: query, header: changeHeader(ifIndex, reason),
	}, nil)
}

// RunTask orders a task to run now.
func (c *Client) RunTask(ctx context.Context, id fleet.TaskID, request RunRequest) (Ordered, error) {
	return change[Ordered](ctx, c, call{method: http.MethodPost, path: TaskPath(id) + "/run"}, request)
}

// CancelRun stops a run, or drops the order that it waits for.
func (c *Client) CancelRun(ctx context.Context, id fleet.RunID, reason string) (Cancelled, error) {
	return change[Cancelled](ctx, c, call{method: http.MethodDelete, path: RunPath(id), header: changeHeader(nil, reason)}, nil)
}

// JoinCluster asks the leader to take a collector in.
func (c *Client) JoinCluster(ctx context.Context, join Join) (Cluster, error) {
	return change[Cluster](ctx, c, call{method: http.MethodPost, path: PathCollectors}, join)
}

// RemoveCollector takes a collector out of the group.
func (c *Client) RemoveCollector(ctx context.Context, id fleet.CollectorID) (Cluster, error) {
	return change[Cluster](ctx, c, call{
		method: http.MethodDelete, path: PathCollectors + "/" + url.PathEscape(string(id)), header: changeHeader(nil, ""),
	}, nil)
}

// Raise raises an event: every task that waits for it runs once on each of its
// hosts. The payload is any JSON of at most fleet.MaxPayload bytes; nil is {}.
func (c *Client) Raise(ctx context.Context, event string, payload []byte, reason string) (Ordered, error) {
	return c.cause(ctx, "/v1/events/"+url.PathEscape(event), payload, reason)
}

// Hook calls the address of a task that has webhook as its trigger.
func (c *Client) Hook(ctx context.Context, task fleet.TaskID, payload []byte) (Ordered, error) {
	return c.cause(ctx, "/v1/hooks/"+url.PathEscape(task.Namespace())+"/"+url.PathEscape(task.Name()), payload, "")
}

func (c *Client) cause(ctx context.Context, path string, payload []byte, reason string) (Ordered, error) {
	if payload == nil {
		payload = []byte("{}")
	}
	header := changeHeader(nil, reason)
	header.Del("If-Match")
	header.Set("Content-Type", MediaJSON)
	ordered, _, err := read[Ordered](ctx, c, call{method: http.MethodPost, path: path, body: payload, header: header})
	return ordered, err
}

// ETag writes a version as If-Match and ETag carry it.
func ETag(index uint64) string { return `"` + strconv.FormatUint(index, 10) + `"` }

// changeHeader says which version a change is meant for and why it is made.
func changeHeader(ifIndex *uint64, reason string) http.Header {
	header := http.Header{"If-Match": {"*"}}
	if ifIndex != nil {
		header.Set("If-Match", ETag(*ifIndex))
	}
	if reason != "" {
		header.Set(HeaderReason, url.QueryEscape(reason))
	}
	return header
}
