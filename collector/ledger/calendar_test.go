package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// closed is a calendar with one window.
func closed(name string, summary string) fleet.Calendar {
	from := noon.Add(time.Hour)
	return fleet.Calendar{Name: name, Windows: []fleet.Window{{From: &from, For: fleet.Duration(time.Hour), Summary: summary}}}
}

func blackedOut(name string, calendars ...string) *PutTask {
	put := testTask(name, "role=db")
	put.Task.On.Blackout, put.Document = calendars, []byte(name)
	return put
}

// TestCalendarsGoWithThePlansThatNameThem follows a calendar through its life.
func TestCalendarsGoWithThePlansThatNameThem(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1, "role", "db"), At: noon}, &RegisterHost{Host: testHost(2), At: noon})
	l.refused("invalid", blackedOut("a", "year-end"))
	l.must(&PutCalendar{Calendar: closed("year-end", "books"), At: noon, Actor: "ann"}, &PutCalendar{Calendar: closed("unused", ""), At: noon})
	l.must(blackedOut("a", "year-end"))
	plan := func(host int) []fleet.Calendar {
		t.Helper()
		plan, err := l.Plan(everywhere, hostID(host))
		if err != nil {
			t.Fatal(err)
		}
		return plan.Calendars
	}
	if diff := cmp.Diff([]fleet.Calendar{closed("year-end", "books")}, plan(1)); diff != "" || plan(2) != nil {
		t.Errorf("plans: %s, and of a host without the task %v", diff, plan(2))
	}
	topics := []Topic{Calendars, PlanOf(hostID(1)), PlanOf(hostID(2))}
	woken := l.woken(topics, &PutCalendar{Calendar: closed("year-end", "more books"), At: noon.Add(-time.Hour)})
	if diff := cmp.Diff(topics[:2], woken, cmp.AllowUnexported(Topic{})); diff != "" {
		t.Errorf("a change of a calendar wakes %s", diff)
	}
	if got := plan(1); got[0].Windows[0].Summary != "more books" {
		t.Errorf("the plan has %+v", got)
	}
	record, err := l.Calendar(everywhere, "year-end")
	if err != nil || !record.Changed.Equal(noon) || record.ChangedBy != "" {
		t.Errorf("a change is never dated before the one it follows: %+v, %v", record, err)
	}
	again := l.must(&PutCalendar{Calendar: closed("year-end", "more books"), At: noon.Add(time.Hour)}).(fleet.CalendarRecord)
	if again.Index != record.Index {
		t.Error("the same calendar changed something")
	}
	l.refused("in_use", &DropCalendar{Name: "year-end"})
	l.refused("stale", &PutCalendar{Calendar: closed("year-end", "x"), IfIndex: ifIndex(1), At: noon})
	l.refused("exists", &PutCalendar{Calendar: closed("year-end", "x"), IfIndex: ifIndex(0), At: noon})
	l.refused("stale", &PutCalendar{Calendar: closed("gone", "x"), IfIndex: ifIndex(7), At: noon})
	l.refused("stale", &DropCalendar{Name: "unused", IfIndex: ifIndex(1)})
	l.must(&SetTaskState{ID: "default/a", State: fleet.TaskRetired, At: noon}, &DropCalendar{Name: "year-end", IfIndex: &record.Index})
	if all := l.Calendars(everywhere); len(all) != 1 || all[0].Name != "unused" {
		t.Errorf("%+v stay", all)
	}
	l.refused("not_found", &DropCalendar{Name: "year-end"})
	l.refused("invalid", blackedOut("a", "year-end")) // retired, it does not come back without its calendar
}
