package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Changes lists what changed about found jobs, the newest first.
func (c *Client) Changes(ctx context.Context, q ChangeQuery) (List[ChangeView], error) {
	return list[ChangeView](ctx, c, PathChanges, q, q.Page)
}

// Findings lists what a person should look at, the most severe first.
func (c *Client) Findings(ctx context.Context, q FindingQuery) (FindingList, error) {
	return get[FindingList](ctx, c, PathFindings, Values(q))
}

// Finding returns one finding.
func (c *Client) Finding(ctx context.Context, id string) (fleet.Finding, error) {
	return get[fleet.Finding](ctx, c, PathFindings+"/"+url.PathEscape(id), nil)
}

// Density counts the starts in each hour of a week.
func (c *Client) Density(ctx context.Context, q DensityQuery) (Density, error) {
	return get[Density](ctx, c, PathDensity, Values(q))
}

// Collisions lists the minutes that many starts share, the fullest first.
func (c *Client) Collisions(ctx context.Context, q CollisionQuery) (List[Collision], error) {
	return list[Collision](ctx, c, PathCollisions, q, q.Page)
}

// Spread advises shifts of found jobs that flatten the load.
func (c *Client) Spread(ctx context.Context, q SpreadQuery) (Spread, error) {
	return get[Spread](ctx, c, PathSpread, Values(q))
}

// Loss says what would stop if a host, by name or id, were gone.
func (c *Client) Loss(ctx context.Context, host string) (Loss, error) {
	return get[Loss](ctx, c, HostPath(host)+"/loss", nil)
}

// Pins lists the pins by name.
func (c *Client) Pins(ctx context.Context) (List[PinView], error) {
	return get[List[PinView]](ctx, c, PathPins, nil)
}

// Pin returns one pin.
func (c *Client) Pin(ctx context.Context, name string) (PinView, error) {
	return get[PinView](ctx, c, PathPins+"/"+url.PathEscape(name), nil)
}

// PutPin makes or replaces a pin.
func (c *Client) PutPin(ctx context.Context, name string, pin PinRequest, reason string) (fleet.Pin, error) {
	return change[fleet.Pin](ctx, c, call{method: http.MethodPut, path: PathPins + "/" + url.PathEscape(name), header: changeHeader(nil, reason)}, pin)
}

// DeletePin takes a pin away.
func (c *Client) DeletePin(ctx context.Context, name, reason string) error {
	_, _, err := read[json.RawMessage](ctx, c, call{method: http.MethodDelete, path: PathPins + "/" + url.PathEscape(name), header: changeHeader(nil, reason)})
	return err
}

// Annotations lists what people say about commands.
func (c *Client) Annotations(ctx context.Context, page Page) (List[fleet.Annotation], error) {
	return list[fleet.Annotation](ctx, c, PathAnnotations, page, page)
}

// Annotation returns what people say about one command.
func (c *Client) Annotation(ctx context.Context, fingerprint string) (fleet.Annotation, error) {
	return get[fleet.Annotation](ctx, c, PathAnnotations+"/"+url.PathEscape(fingerprint), nil)
}

// Annotate says whose a command is and what to know about it; two empty texts
// take that back.
func (c *Client) Annotate(ctx context.Context, fingerprint string, note AnnotationRequest) (fleet.Annotation, error) {
	return change[fleet.Annotation](ctx, c, call{method: http.MethodPut, path: PathAnnotations + "/" + url.PathEscape(fingerprint), header: changeHeader(nil, "")}, note)
}

// Acknowledge says that a finding may stand.
func (c *Client) Acknowledge(ctx context.Context, finding string, ack AckRequest) (fleet.Ack, error) {
	return change[fleet.Ack](ctx, c, call{method: http.MethodPut, path: PathFindings + "/" + url.PathEscape(finding) + "/ack", header: changeHeader(nil, "")}, ack)
}

// Unacknowledge takes an acknowledgement back.
func (c *Client) Unacknowledge(ctx context.Context, finding string) error {
	_, _, err := read[json.RawMessage](ctx, c, call{method: http.MethodDelete, path: PathFindings + "/" + url.PathEscape(finding) + "/ack", header: changeHeader(nil, "")})
	return err
}

// Adoptions lists the adoptions there are and were.
func (c *Client) Adoptions(ctx context.Context, page Page) (List[fleet.Adoption], error) {
	return list[fleet.Adoption](ctx, c, PathAdoptions, page, page)
}

// Adoption returns the adoption that made a task.
func (c *Client) Adoption(ctx context.Context, task fleet.TaskID) (fleet.Adoption, error) {
	return get[fleet.Adoption](ctx, c, adoptionPath(task), nil)
}

func adoptionPath(task fleet.TaskID) string {
	return PathAdoptions + "/" + url.PathEscape(task.Namespace()) + "/" + url.PathEscape(task.Name())
}

// Sight sends what a host saw its found jobs do.
func (c *Client) Sight(ctx context.Context, host fleet.HostID, sightings *fleet.Sightings) error {
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodPut, path: AgentPath(host) + "/sightings"}, sightings)
	return err
}

// Settle tells how far the adoptions of a host are.
func (c *Client) Settle(ctx context.Context, host fleet.HostID, adoptions []fleet.Adoption) error {
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodPut, path: AgentPath(host) + "/adoptions"}, adoptions)
	return err
}
