package ledger

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// PutCalendar makes or replaces a calendar. It returns the
// fleet.CalendarRecord. The same calendar changes nothing.
type PutCalendar struct {
	Calendar fleet.Calendar `json:"calendar"`
	IfIndex  *uint64        `json:"if_index,omitempty"` // as in PutTask
	At       time.Time      `json:"at"`
	Actor    string         `json:"actor,omitempty"`
	Envelope []byte         `json:"envelope,omitempty"` // as in PutTask
	Serial   uint64         `json:"serial,omitempty"`
}

func (cmd *PutCalendar) apply(c *change) any {
	name := cmd.Calendar.Name
	if !keyable(name) {
		return fleet.Invalidf("calendar", name, "want a name of 1–%d bytes", maxKeyPart)
	}
	k := key(name)
	old, found := stored[fleet.CalendarRecord](c, inCalendars, k)
	if refusal := checkCalendar(name, cmd.IfIndex, &old); refusal != nil {
		return refusal
	}
	if found && slices.Equal(encode(old.Calendar), encode(cmd.Calendar)) && repeats(cmd.Serial, old.Serial, cmd.Envelope, old.Envelope) {
		return old
	}
	if refusal := newer("calendar "+name, cmd.Serial, calendarSerial(c, &old, name)); refusal != nil {
		return refusal
	}
	dropTombstone(c, name)
	dropRequests(c, "calendar "+name)
	next := fleet.CalendarRecord{Calendar: cmd.Calendar, Changed: cmd.At, ChangedBy: cmd.Actor, Index: c.index, Envelope: cmd.Envelope, Serial: cmd.Serial}
	if next.Changed.Before(old.Changed) { // proposers' clocks differ
		next.Changed = old.Changed
	}
	c.put(inCalendars, k, encode(next))
	c.notify(Calendars)
	index := c.index
	c.after(func(l *Ledger) {
		l.memory.putCalendar(&next)
		l.wakeBlackout(name, index)
	})
	return next
}

// checkCalendar refuses a change of something else than its author has read.
func checkCalendar(name string, want *uint64, old *fleet.CalendarRecord) *fleet.Error {
	switch {
	case want == nil:
		return nil
	case *want == 0 && old.Index != 0:
		return fleet.Errorf(fleet.Conflict, "calendar %s exists", name).WithCode("exists").
			WithHint("read it and send its ETag in If-Match to replace it")
	case *want != 0 && old.Index == 0:
		return fleet.Errorf(fleet.Conflict, "calendar %s does not exist any more", name).WithCode("stale")
	case *want != 0 && *want != old.Index:
		return fleet.Errorf(fleet.Conflict, "calendar %s was changed by %s at %s since it was read",
			name, nobody(old.ChangedBy), old.Changed.UTC().Format(time.RFC3339)).WithCode("stale").WithHint("read it again and repeat the change")
	}
	return nil
}

// DropCalendar removes a calendar. It is a Conflict while a task names it.
type DropCalendar struct {
	Name    string  `json:"name"`
	IfIndex *uint64 `json:"if_index,omitempty"` // nil: whatever is there; else the Index it must have

	At       time.Time `json:"at,omitzero"`
	Actor    string    `json:"actor,omitempty"`
	Envelope []byte    `json:"envelope,omitempty"` // its tombstone; Serial as in PutTask
	Serial   uint64    `json:"serial,omitempty"`
}

func (cmd *DropCalendar) apply(c *change) any {
	k := key(cmd.Name)
	old, found := stored[fleet.CalendarRecord](c, inCalendars, k)
	if !found {
		return noCalendar(cmd.Name)
	}
	if refusal := checkCalendar(cmd.Name, cmd.IfIndex, &old); refusal != nil {
		return refusal
	}
	if users := namedBy(c, cmd.Name); len(users) > 0 {
		return fleet.Errorf(fleet.Conflict, "calendar %s is named by %s", cmd.Name, someOf(users)).WithCode("in_use").
			WithHint("take it out of their on.blackout first")
	}
	if refusal := newer("calendar "+cmd.Name, cmd.Serial, old.Serial); refusal != nil {
		return refusal
	}
	if cmd.Serial > 0 {
		putTombstone(c, tombstoneRow{cmd.Name, cmd.Serial, cmd.Envelope, cmd.At})
	}
	dropRequests(c, "calendar "+cmd.Name)
	c.delete(inCalendars, k)
	c.notify(Calendars)
	c.after(func(l *Ledger) { l.memory.dropCalendar(cmd.Name) })
	return nil
}

// namedBy lists the tasks that name a calendar, by id.
func namedBy(c *change, calendar string) (users []fleet.TaskID) {
	each(c.bucket(inTasks), nil, nil, func(k, _ []byte) bool {
		if task, _ := stored[taskRow](c, inTasks, k); task.given() && slices.Contains(task.Task.On.Blackout, calendar) {
			users = append(users, task.Task.ID())
		}
		return true
	})
	return users
}

// someOf names the first three.
func someOf(tasks []fleet.TaskID) string {
	texts := make([]string, 0, 4)
	for i, task := range tasks {
		if i == 3 {
			texts = append(texts, "others")
			break
		}
		texts = append(texts, string(task))
	}
	return strings.Join(texts, ", ")
}

// missingCalendar refuses a task that names a calendar which is not there.
func missingCalendar(c *change, task *fleet.Task) *fleet.Error {
	for _, name := range task.On.Blackout {
		if !keyable(name) || c.get(inCalendars, key(name)) == nil {
			return fleet.Invalidf("on.blackout", name, "there is no such calendar").
				WithHint("fleetctl calendars lists them; fleetctl calendar put %s -f FILE makes it", name)
		}
	}
	return nil
}

func noCalendar(name string) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "there is no calendar %q", name).WithHint("fleetctl calendars")
}

func compareCalendar(a *fleet.CalendarRecord, name string) int { return cmp.Compare(a.Name, name) }

func (m *memory) putCalendar(record *fleet.CalendarRecord) {
	next := slices.Clone(m.calendars)
	if at, found := slices.BinarySearchFunc(next, record.Name, compareCalendar); found {
		next[at] = record
	} else {
		next = slices.Insert(next, at, record)
	}
	m.calendars = next
}

func (m *memory) dropCalendar(name string) {
	at, found := slices.BinarySearchFunc(m.calendars, name, compareCalendar)
	if !found {
		return
	}
	if m.calendars = slices.Delete(slices.Clone(m.calendars), at, at+1); len(m.calendars) == 0 {
		m.calendars = nil
	}
}

// wakeBlackout wakes the hosts with a task that names the calendar. It needs mu.
func (l *Ledger) wakeBlackout(name string, index uint64) {
	for _, task := range l.memory.listed {
		if !slices.Contains(task.Task.On.Blackout, name) {
			continue
		}
		for _, host := range l.memory.sorted {
			if task.matches(host) {
				l.notify(PlanOf(host.ID), index)
			}
		}
	}
}

// named returns the calendars that assignments name, by name, with their
// statements.
func (m *memory) named(assignments []fleet.Assignment) (calendars []fleet.Calendar, sealed [][]byte) {
	wanted := map[string]bool{}
	for i := range assignments {
		for _, name := range assignments[i].Task.On.Blackout {
			wanted[name] = true
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	for _, record := range m.calendars {
		if wanted[record.Name] {
			calendars, sealed = append(calendars, record.Calendar), append(sealed, record.Envelope)
		}
	}
	return calendars, sealed
}

// Calendars returns every calendar by name. They are of no namespace: whoever
// sees any sees them. The list is shared: do not change it.
func (l *Ledger) Calendars(scope fleet.Scope) []*fleet.CalendarRecord {
	if len(scope.Namespaces()) == 0 {
		return nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.memory.calendars
}

// Calendar returns one calendar.
func (l *Ledger) Calendar(scope fleet.Scope, name string) (fleet.CalendarRecord, error) {
	all := l.Calendars(scope)
	at, found := slices.BinarySearchFunc(all, name, compareCalendar)
	if !found {
		return fleet.CalendarRecord{}, noCalendar(name)
	}
	return *all[at], nil
}
