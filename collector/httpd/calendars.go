package httpd

import (
	"context"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/blackout"
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
	for _, record := range s.Ledger.Calendars(everywhere) {
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
	return s.Ledger.Calendar(everywhere, in.name)
}

// calendarIn asks for a calendar to be as a document says, or to be dropped.
type calendarIn struct {
	change
	given
	name string
}

func parseCalendarChange(r *request) (in calendarIn, err error) {
	if in.name, err = r.path("calendar", nameParameter); err != nil {
		return in, err
	}
	if err = r.query(&struct{}{}); err != nil {
		return in, err
	}
	in.change, err = r.change()
	return in, err
}

func parsePutCalendar(r *request) (calendarIn, error) {
	in, err := parseCalendarChange(r)
	in.given = given{r.body, r.media}
	return in, err
}

func parseDropCalendar(r *request) (calendarIn, error) {
	in, err := parseCalendarChange(r)
	if err == nil && !in.If.Given {
		err = unconditional("calendar")
	}
	return in, err
}

// putCalendar makes or replaces a calendar. Whoever wants to be sure what is
// replaced says so with If-Match; a calendar is small and the fleet's, not one
// author's.
func (s *Server) putCalendar(ctx context.Context, in calendarIn) (fleet.CalendarRecord, error) {
	calendar, err := blackout.Parse(in.document, in.media)
	if err != nil {
		return fleet.CalendarRecord{}, err
	}
	switch calendar.Name {
	case in.name:
	case "":
		calendar.Name = in.name
	default:
		return fleet.CalendarRecord{}, fleet.Invalidf("calendar", calendar.Name, "the path names %s", in.name)
	}
	if _, err := blackout.New(calendar); err != nil {
		return fleet.CalendarRecord{}, err
	}
	if in.If.Any {
		if _, err := s.Ledger.Calendar(everywhere, in.name); err != nil {
			return fleet.CalendarRecord{}, fleet.Errorf(fleet.Conflict, "there is no calendar %s to replace", in.name).WithCode(api.CodeStale)
		}
	}
	result, err := s.propose(ctx, in.change, &ledger.PutCalendar{Calendar: calendar, IfIndex: in.If.index(), At: time.Now().UTC(), Actor: in.Actor})
	if err != nil {
		return fleet.CalendarRecord{}, err
	}
	record, ok := result.(fleet.CalendarRecord)
	if !ok {
		return record, fleet.Errorf(fleet.Internal, "the ledger answered %T", result)
	}
	return record, nil
}

func (s *Server) dropCalendar(ctx context.Context, in calendarIn) (receipt, error) {
	_, err := s.propose(ctx, in.change, &ledger.DropCalendar{Name: in.name, IfIndex: in.If.index()})
	return s.done(err)
}
