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
	return get[Live](ctx, c, HostPath(host)+"/live", nil)
}

// Control gives the order to start, stop, restart or reset a task on its hosts.
func (c *Client) Control(ctx context.Context, id fleet.TaskID, kind fleet.OrderKind, request RunRequest) (Ordered, error) {
	return change[Ordered](ctx, c, call{method: http.MethodPost, path: TaskPath(id) + "/" + string(kind)}, request)
}

// Calendars lists the calendars by name.
func (c *Client) Calendars(ctx context.Context) (List[fleet.CalendarRecord], error) {
	return get[List[fleet.CalendarRecord]](ctx, c, PathCalendars, nil)
}

// Calendar returns one calendar.
func (c *Client) Calendar(ctx context.Context, name string) (fleet.CalendarRecord, error) {
	return get[fleet.CalendarRecord](ctx, c, PathCalendars+"/"+url.PathEscape(name), nil)
}

// PutCalendar makes or replaces a calendar. ifIndex nil takes whatever version
// there is, or none.
func (c *Client) PutCalendar(ctx context.Context, calendar fleet.Calendar, ifIndex *uint64, reason string) (fleet.CalendarRecord, error) {
	header := changeHeader(ifIndex, reason)
	if ifIndex == nil {
		header.Del("If-Match")
	}
	return change[fleet.CalendarRecord](ctx, c, call{method: http.MethodPut, path: PathCalendars + "/" + url.PathEscape(calendar.Name), header: header}, calendar)
}

// DropCalendar removes a calendar that no task names.
func (c *Client) DropCalendar(ctx context.Context, name string, ifIndex *uint64, reason string) error {
	_, _, err := read[json.RawMessage](ctx, c, call{
		method: http.MethodDelete, path: PathCalendars + "/" + url.PathEscape(name), header: changeHeader(ifIndex, reason),
	})
	return err
}
