package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// ResolveTask says what a task would do, without doing it.
func (c *Client) ResolveTask(ctx context.Context, doc []byte, mediaType string) (Resolution, error) {
	value, _, err := read[Resolution](ctx, c, call{
		method: http.MethodPost, path: PathResolve, body: doc, header: http.Header{"Content-Type": {mediaType}},
	})
	return value, err
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

// Hook calls the address of a task that has webhook as its trigger.
func (c *Client) Hook(ctx context.Context, task fleet.TaskID, payload []byte) (Ordered, error) {
	if payload == nil {
		payload = []byte("{}")
	}
	ordered, _, err := read[Ordered](ctx, c, call{
		method: http.MethodPost, path: "/v1/hooks/" + url.PathEscape(task.Namespace()) + "/" + url.PathEscape(task.Name()),
		body: payload, header: http.Header{"Content-Type": {MediaJSON}},
	})
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
