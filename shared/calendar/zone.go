package calendar

import (
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // every binary knows every zone, also in an empty container
)

// timezone takes the zone off the end of the expression, if there is one.
func (p *parser) timezone(e *Event) error {
	i := strings.LastIndexByte(p.rest, ' ')
	if i < 0 {
		return nil
	}
	name := p.rest[i+1:]
	if strings.EqualFold(name, "UTC") {
		e.zone, e.location, p.rest = "UTC", time.UTC, p.rest[:i]
		return nil
	}
	if name == "" || !isLetter(name[0]) || !zoneName(name) {
		return nil // then it is a time
	}
	if _, weekday := (&parser{rest: name}).weekday(); weekday {
		return nil
	}
	location, err := time.LoadLocation(strings.TrimPrefix(name, "posix/"))
	switch {
	case strings.HasPrefix(name, "right/"):
		return p.fail("timezone", name, "zones that count leap seconds are not supported; leave out right/")
	case err != nil || name == "Local":
		return p.fail("timezone", name, "it is not known; write an IANA name like Europe/Berlin or UTC")
	}
	e.zone, e.location, p.rest = name, location, p.rest[:i]
	return nil
}

// zoneName reports whether the text can be a zone's name rather than a path.
func zoneName(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if c := part[i]; !isLetter(c) && !isDigit(c) && c != '_' && c != '+' && c != '-' {
				return false
			}
		}
	}
	return len(name) <= 255
}

// lastInstant is the last second of systemd's calendar.
const lastInstant = 7258118399 // 2199-12-31T23:59:59Z

// epoch reads what follows an @: seconds since 1970, an instant in UTC.
func (p *parser) epoch(e *Event) error {
	text, after, _ := strings.Cut(p.rest, " ")
	at, err := strconv.ParseUint(text, 10, 63)
	if err != nil || at > lastInstant {
		return p.fail("instant", "@"+text, "write whole seconds since 1970, up to the year 2199, like @1735689600")
	}
	if p.rest = after; strings.TrimLeft(after, " ") != "" {
		return p.fail("expression", after, "nothing but a timezone may follow an instant")
	}
	t := time.Unix(int64(at), 0).UTC()
	one := func(n int) components { return components{{start: n, stop: -1}} }
	e.years, e.months, e.days = one(t.Year()), one(int(t.Month())), one(t.Day())
	e.hours, e.minutes, e.seconds = one(t.Hour()), one(t.Minute()), one(t.Second()*second)
	e.zone, e.location = "UTC", time.UTC
	return nil
}
