package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Register tells the collectors who this host is.
func (c *Client) Register(ctx context.Context, host fleet.Host) error {
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodPut, path: AgentPath(host.ID)}, host)
	return err
}

// Report sends what a scan found.
func (c *Client) Report(ctx context.Context, host fleet.HostID, report *fleet.Report) (ReportReceipt, error) {
	return change[ReportReceipt](ctx, c, call{method: http.MethodPut, path: AgentPath(host) + "/report"}, report)
}

// Plan returns the plan of a host. With an index it waits until the plan is
// newer, or until wait has passed: then the answer has that same Index.
func (c *Client) Plan(ctx context.Context, host fleet.HostID, index uint64, wait time.Duration) (fleet.Plan, error) {
	request := call{method: http.MethodGet, path: AgentPath(host) + "/plan", clock: true}
	if index > 0 {
		request.wait = min(wait, MaxWait)
		request.query = url.Values{"index": {strconv.FormatUint(index, 10)}, "wait": {request.wait.String()}}
	}
	text, _, err := read[json.RawMessage](ctx, c, request)
	if err != nil {
		return fleet.Plan{}, err
	}
	return readPlan(text)
}

// readPlan reads a plan, and marks the tasks in it that say what this version
// does not know: without that they would be other tasks.
func readPlan(text []byte) (plan fleet.Plan, err error) {
	if err := json.Unmarshal(text, &plan); err != nil {
		return plan, fmt.Errorf("read the plan: %w", err)
	}
	var whole struct {
		Assignments []struct {
			Task json.RawMessage `json:"task"`
		} `json:"assignments"`
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		return plan, fmt.Errorf("read the plan: %w", err)
	}
	for i := range whole.Assignments {
		decoder := json.NewDecoder(bytes.NewReader(whole.Assignments[i].Task))
		decoder.DisallowUnknownFields()
		plan.Assignments[i].Unread = ""
		if err := decoder.Decode(new(fleet.Task)); err != nil {
			plan.Assignments[i].Unread = strings.TrimPrefix(err.Error(), "json: ")
		}
	}
	return plan, nil
}

// Deliver sends runs; what the receipt acknowledges is committed.
func (c *Client) Deliver(ctx context.Context, host fleet.HostID, batch RunBatch) (RunReceipt, error) {
	return change[RunReceipt](ctx, c, call{method: http.MethodPost, path: AgentPath(host) + "/runs"}, batch)
}

// Apply tells which generation of each task the host runs.
func (c *Client) Apply(ctx context.Context, applied fleet.Applied) error {
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodPut, path: AgentPath(applied.Host) + "/applied"}, applied)
	return err
}

// Policy tells what the host's policy says and refuses.
func (c *Client) Policy(ctx context.Context, host fleet.HostID, report *fleet.PolicyReport) error {
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodPut, path: AgentPath(host) + "/policy"}, report)
	return err
}

// Lease asks for one of the places that a task has in the fleet, and waits up
// to request.Wait for one to come free. None is a Conflict with the code
// CodeNoPlace.
func (c *Client) Lease(ctx context.Context, host fleet.HostID, request LeaseRequest) (fleet.Lease, error) {
	request.Wait = min(request.Wait, fleet.Duration(MaxWait))
	return change[fleet.Lease](ctx, c, call{
		method: http.MethodPost, path: AgentPath(host) + "/leases", wait: time.Duration(request.Wait),
	}, request)
}

// ReturnLease gives back the lease of a run that did not begin.
func (c *Client) ReturnLease(ctx context.Context, host fleet.HostID, task fleet.TaskID, run fleet.RunID) error {
	_, _, err := read[json.RawMessage](ctx, c, call{
		method: http.MethodDelete, path: AgentPath(host) + "/leases/" + url.PathEscape(string(run)), query: url.Values{"task": {string(task)}},
	})
	return err
}

// Asks waits up to wait for questions that only this agent can answer.
func (c *Client) Asks(ctx context.Context, host fleet.HostID, wait time.Duration) ([]Ask, error) {
	wait = min(wait, MaxWait)
	asks, _, err := read[List[Ask]](ctx, c, call{
		method: http.MethodGet, path: AgentPath(host) + "/asks", query: url.Values{"wait": {wait.String()}}, wait: wait, clock: true,
	})
	return asks.Items, err
}

// Answer sends the output that an ask wants, until output ends or the asker
// went away, which is a NotFound error. dropped counts the bytes that the
// quota cut. The collector that asked is the one spoken to last, so one Client
// serves both calls.
func (c *Client) Answer(ctx context.Context, host fleet.HostID, ask string, dropped int64, output io.Reader) error {
	reply, err := c.send(ctx, call{
		method: http.MethodPost, path: AgentPath(host) + "/asks/" + url.PathEscape(ask), stream: output, open: true,
		header: http.Header{"Content-Type": {MediaOutput}, HeaderDropped: {strconv.FormatInt(dropped, 10)}},
	})
	if err != nil {
		return err
	}
	return reply.Body.Close()
}
