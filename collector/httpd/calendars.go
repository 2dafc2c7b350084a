package httpd

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Calendars lists the calendars by name.
func (s *Server) Calendars(ctx context.Context) (api.List[fleet.CalendarRecord], error) {
	return s.calendars(ctx, waiting{})
}

func (s *Server) calendars(ctx context.Context, in waiting) (api.List[fleet.CalendarRecord], error) {
	list := api.List[fleet.CalendarRecord]{Items: []fleet.CalendarRecord{}}
	var err error
	if list.Index, err = s.newer(ctx, in, ledger.Calendars); err != nil {
		return list, err
	}
	for _, record := range s.Ledger.Calendars(scopeOf(ctx)) {
		list.Items = append(list.Items, *record)
	}
	list.Total = len(list.Items)
	return list, nil
}

type oneCalendar struct {
	name string
	waiting
}

func parseCalendar(r *request) (in oneCalendar, err error) {
	if in.name, err = r.path("calendar", nameParameter); err != nil {
		return in, err
	}
	return in, r.query(&in.waiting)
}

// Calendar returns one calendar.
func (s *Server) Calendar(ctx context.Context, name string) (fleet.CalendarRecord, error) {
	return s.calendar(ctx, oneCalendar{name: name})
}

func (s *Server) calendar(ctx context.Context, in oneCalendar) (fleet.CalendarRecord, error) {
	if _, err := s.newer(ctx, in.waiting, ledger.Calendars); err != nil {
		return fleet.CalendarRecord{}, err
	}
	return s.Ledger.Calendar(scopeOf(ctx), in.name)
}

// sameCalendar reports whether two calendars say the same.
func sameCalendar(a, b *fleet.Calendar) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}
