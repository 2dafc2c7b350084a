package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Standings lists how tasks stand on their hosts.
func (c *Client) Standings(ctx context.Context, q StandingQuery) (List[StandingView], error) {
	return list[StandingView](ctx, c, PathStandings, q, q.Page)
}

// Stand tells how every task stands on a host, and which orders it carried out.
func (c *Client) Stand(ctx context.Context, host fleet.HostID, stands Stands) error {
	_, err := change[json.RawMessage](ctx, c, call{method: http.MethodPut, path: AgentPath(host) + "/standings"}, stands)
	return err
}

// Live asks the agent of a host, by name or id, what goes on there. It is
// Unavailable when that agent does not answer.
func (c *Client) Live(ctx context.Context, host string) (Live, error) {
	return ofHost[Live](ctx, c, HostPath(host)+"/live", nil)
}

// Calendars lists the calendars by name.
func (c *Client) Calendars(ctx context.Context) (List[fleet.CalendarRecord], error) {
	return get[List[fleet.CalendarRecord]](ctx, c, PathCalendars, nil)
}

// Calendar returns one calendar.
func (c *Client) Calendar(ctx context.Context, name string) (fleet.CalendarRecord, error) {
	return get[fleet.CalendarRecord](ctx, c, PathCalendars+"/"+url.PathEscape(name), nil)
}
