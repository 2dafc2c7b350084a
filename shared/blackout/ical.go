package blackout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// maxHead is how long a line's name and parameters may be: the parser copies
	// them a byte at a time.
	maxHead = 1 << 10
	// maxDepth is how deep components may lie in each other.
	maxDepth = 8
)

// parseICal reads an iCalendar file. Each event is a window, whether it is marked
// as busy or not; cancelled ones and those without length are none.
func parseICal(doc []byte) (fleet.Calendar, error) {
	file, err := decodeICal(doc)
	if err != nil {
		return fleet.Calendar{}, fleet.Invalidf("calendar", "", "no iCalendar file: %v", err)
	}
	i := icalReader{zones: zonesOf(file), found: new(problems)}
	i.calendar.Description = clipBytes(file.Props.Get("X-WR-CALNAME"), 4096)
	i.calendar.Timezone = i.ownZone(file)
	if i.zone, err = cron.Load(i.calendar.Timezone); err != nil {
		return fleet.Calendar{}, fleet.Invalidf("timezone", clip(i.calendar.Timezone), "%v", err)
	}
	for _, event := range file.Events() {
		i.event(event)
	}
	i.leaveOut()
	return i.calendar, i.found.err()
}

// decodeICal reads the lines, within bounds.
func decodeICal(doc []byte) (file *ical.Calendar, err error) {
	doc = unfold(doc)
	if err := checkLines(doc); err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil { // the parser does so over parameters that do not end
			file, err = nil, errors.New("a line of it is cut off")
		}
	}()
	decoder := ical.NewDecoder(bytes.NewReader(doc))
	if file, err = decoder.Decode(); errors.Is(err, io.EOF) {
		return nil, errors.New("it ends before END:VCALENDAR")
	}
	return file, err
}

// unfold joins lines with those that continue them, so that what is checked is
// what is read.
func unfold(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	for line := range bytes.Lines(doc) {
		line = bytes.TrimRight(line, "\r\n")
		text := bytes.TrimLeft(line, " \t")
		switch {
		case len(text) == 0:
		case len(text) < len(line) && len(out) > 0:
			out = append(out[:len(out)-1], line[1:]...)
			out = append(out, '\n')
		default:
			out = append(append(out, text...), '\n')
		}
	}
	return out
}

// checkLines looks at how long the names and parameters of the lines are, and how
// deep the components lie.
func checkLines(doc []byte) error {
	depth := 0
	for line := range bytes.Lines(doc) {
		head := headOf(line)
		name, _, _ := bytes.Cut(head, []byte(";"))
		switch {
		case len(head) > maxHead:
			return fmt.Errorf("a line that begins with %q has more than %d bytes of parameters", line[:20], maxHead)
		case bytes.EqualFold(name, []byte("BEGIN")):
			depth++
		case bytes.EqualFold(name, []byte("END")):
			depth--
		}
		if depth > maxDepth {
			return fmt.Errorf("components lie more than %d deep in each other", maxDepth)
		}
	}
	return nil
}

// headOf is what stands before the value of a line.
func headOf(line []byte) []byte {
	quoted := false
	for i, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ':' && !quoted:
			return line[:i]
		}
	}
	return line
}

// icalReader makes windows of events.
type icalReader struct {
	calendar fleet.Calendar
	zone     *time.Location
	zones    map[string]string // names of the file → IANA names
	found    *problems
	uids     []string // of the events that the windows are of
	moved    []instance
}

// instance is one of a recurring event that was moved or cancelled.
type instance struct {
	uid string
	at  time.Time
}

// zonesOf reads what the file says of its zones: some programs name them as they
// like, and say beside it which one that is.
func zonesOf(file *ical.Calendar) map[string]string {
	zones := map[string]string{}
	for _, component := range file.Children {
		id, location := component.Props.Get(ical.PropTimezoneID), component.Props.Get("X-LIC-LOCATION")
		if component.Name == ical.CompTimezone && id != nil && location != nil {
			zones[id.Value] = location.Value
		}
	}
	return zones
}

// ownZone is the zone of the calendar: the one it names, or the first of an event
// that recurs, or of any.
func (i *icalReader) ownZone(file *ical.Calendar) string {
	if named := file.Props.Get("X-WR-TIMEZONE"); named != nil && named.Value != "" {
		return i.iana(named.Value)
	}
	first := ""
	for _, event := range file.Events() {
		start := event.Props.Get(ical.PropDateTimeStart)
		if start == nil || start.Params.Get(ical.ParamTimezoneID) == "" {
			continue
		}
		id := i.iana(start.Params.Get(ical.ParamTimezoneID))
		if event.Props.Get(ical.PropRecurrenceRule) != nil {
			return id
		}
		if first == "" {
			first = id
		}
	}
	if first == "" {
		return "UTC"
	}
	return first
}

// iana is the name of a zone as everybody knows it: some put a path before it.
func (i *icalReader) iana(id string) string {
	if known, is := i.zones[id]; is {
		id = known
	}
	for rest := id; rest != ""; {
		if _, err := cron.Load(rest); err == nil {
			return rest
		}
		_, after, found := strings.Cut(rest, "/")
		if !found {
			break
		}
		rest = after
	}
	return id
}

// event reads one event.
func (i *icalReader) event(e ical.Event) {
	uid, name := clipBytes(e.Props.Get(ical.PropUID), 256), i.nameOf(e)
	status, _ := e.Status()
	if id := e.Props.Get(ical.PropRecurrenceID); id != nil {
		if at, _, err := i.instant(id); err == nil {
			i.moved = append(i.moved, instance{uid, at})
		}
	}
	w, ok := i.window(e, name)
	if !ok || status == ical.EventCancelled {
		return
	}
	if rule := e.Props.Get(ical.PropRecurrenceRule); rule != nil {
		i.recurs(e, &w, rule, name)
	}
	i.calendar.Windows = append(i.calendar.Windows, w)
	i.uids = append(i.uids, uid)
	for _, at := range i.instants(e, ical.PropRecurrenceDates, name) {
		extra, end := at, at.Add(w.To.Sub(*w.From))
		i.calendar.Windows = append(i.calendar.Windows, fleet.Window{From: &extra, To: &end, Summary: w.Summary})
		i.uids = append(i.uids, "")
	}
}

// window reads when the event is. It is false for one that has no length, and for
// one that is wrong.
func (i *icalReader) window(e ical.Event, name string) (w fleet.Window, ok bool) {
	start := e.Props.Get(ical.PropDateTimeStart)
	if start == nil {
		i.found.that(false, name, "", "has no DTSTART: when it begins")
		return w, false
	}
	from, allDay, err := i.instant(start)
	if err != nil {
		i.found.that(false, name+".DTSTART", clip(start.Value), err.Error())
		return w, false
	}
	to := from
	end, lasts := e.Props.Get(ical.PropDateTimeEnd), e.Props.Get(ical.PropDuration)
	switch {
	case end != nil:
		if to, _, err = i.instant(end); err != nil {
			i.found.that(false, name+".DTEND", clip(end.Value), err.Error())
			return w, false
		}
	case lasts != nil:
		d, err := lasts.Duration()
		if err != nil || d < 0 {
			i.found.that(false, name+".DURATION", clip(lasts.Value), "want a duration such as PT8H or P1D")
			return w, false
		}
		to = from.Add(d)
	case allDay:
		to = from.AddDate(0, 0, 1)
	}
	return fleet.Window{From: &from, To: &to, Summary: clipBytes(e.Props.Get(ical.PropSummary), 256)}, to.After(from)
}

// recurs reads how the event comes again.
func (i *icalReader) recurs(e ical.Event, w *fleet.Window, rule *ical.Prop, name string) {
	w.Rule = rule.Value
	start := e.Props.Get(ical.PropDateTimeStart)
	zone := w.From.Location()
	floating := start.Params.Get(ical.ParamTimezoneID) == "" && !strings.HasSuffix(start.Value, "Z")
	if !floating && zone.String() != i.zone.String() {
		i.found.that(false, name+".RRULE", clip(rule.Value), "recurs in the zone "+zone.String()+", the calendar is of "+i.zone.String()+": put it into a calendar of its own")
	}
	w.Except = i.instants(e, ical.PropExceptionDates, name)
}

// instants reads a property that lists some, and may be there several times.
func (i *icalReader) instants(e ical.Event, property, name string) (all []time.Time) {
	for _, list := range e.Props.Values(property) {
		for value := range strings.SplitSeq(list.Value, ",") {
			one := ical.Prop{Name: list.Name, Params: list.Params, Value: value}
			at, _, err := i.instant(&one)
			if err != nil {
				i.found.that(false, name+"."+property, clip(value), err.Error())
				continue
			}
			all = append(all, at)
		}
	}
	return all
}

// instant reads an instant, or a day, which begins at midnight of the calendar.
func (i *icalReader) instant(p *ical.Prop) (at time.Time, allDay bool, err error) {
	if at, err = time.ParseInLocation("20060102", p.Value, i.zone); err == nil {
		return at, true, nil
	}
	if at, err = time.Parse("20060102T150405Z", p.Value); err == nil {
		return at, false, nil
	}
	zone := i.zone
	if id := p.Params.Get(ical.ParamTimezoneID); id != "" {
		if zone, err = cron.Load(i.iana(id)); err != nil {
			return at, false, err
		}
	}
	if at, err = time.ParseInLocation("20060102T150405", p.Value, zone); err != nil {
		return at, false, errors.New("want an instant such as 20261224T120000Z or a day such as 20261224")
	}
	return at, false, nil
}

// leaveOut takes the instances that were moved out of the events they are of.
func (i *icalReader) leaveOut() {
	for _, m := range i.moved {
		for n := range i.calendar.Windows {
			w := &i.calendar.Windows[n]
			if w.Rule != "" && i.uids[n] == m.uid && !slices.ContainsFunc(w.Except, m.at.Equal) {
				w.Except = append(w.Except, m.at)
			}
		}
	}
}

// nameOf is how a person finds the event.
func (i *icalReader) nameOf(e ical.Event) string {
	for _, property := range []string{ical.PropSummary, ical.PropUID} {
		if text := clipBytes(e.Props.Get(property), 60); text != "" {
			return "event " + text
		}
	}
	return "event"
}

// clipBytes is the text of a property, shortened.
func clipBytes(p *ical.Prop, most int) string {
	if p == nil {
		return ""
	}
	text, err := p.Text()
	if err != nil {
		text = p.Value
	}
	return strings.ToValidUTF8(text[:min(most, len(text))], "")
}
