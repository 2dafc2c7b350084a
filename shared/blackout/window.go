package blackout

import (
	"fmt"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// longest is how long a window that comes again may last.
	longest = 366 * 24 * time.Hour
	// maxCounted is how many windows the counts of all rules of a calendar make
	// together at most: they are counted one by one.
	maxCounted = 10_000
	// maxExcept is how many instants a rule may leave out.
	maxExcept = 1000

	firstYear, lastYear = 1900, 9999
)

// problems collects every wrong field.
type problems struct{ fields []fleet.FieldError }

func (p *problems) that(ok bool, field, value, reason string) {
	if !ok {
		p.fields = append(p.fields, fleet.FieldError{Field: field, Value: value, Reason: reason})
	}
}

func (p *problems) err() error {
	if len(p.fields) == 0 {
		return nil
	}
	return &fleet.Error{Kind: fleet.Invalid, Fields: p.fields}
}

// read makes windows of what a calendar says.
func read(c *fleet.Calendar, found *problems) *Blackout {
	found.that(len(c.Description) <= 4096, "description", "", "at most 4096 bytes")
	found.that(len(c.Windows) >= 1, "windows", "", "is empty: a calendar has at least one window")
	found.that(len(c.Windows) <= fleet.MaxWindows, "windows", strconv.Itoa(len(c.Windows)), fmt.Sprintf("at most %d", fleet.MaxWindows))
	zone := time.UTC
	if c.Timezone != "" {
		var err error
		if zone, err = cron.Load(c.Timezone); err != nil {
			found.that(false, "timezone", c.Timezone, err.Error())
			return nil
		}
	}
	b, spans := new(Blackout), []span(nil)
	left := maxCounted
	for i := range c.Windows {
		if i == fleet.MaxWindows {
			break
		}
		r := reader{w: &c.Windows[i], at: fmt.Sprintf("windows[%d]", i), zone: zone, found: found, left: &left}
		switch {
		case !r.sound():
		case r.w.Cron != "":
			b.again = append(b.again, r.cron())
		case r.w.Rule != "":
			if w, ok := r.rule(); ok {
				b.again = append(b.again, w)
			}
		default:
			spans = append(spans, span{*r.w.From, r.end(*r.w.From), r.w.Summary})
		}
	}
	b.once = newFixed(spans)
	return b
}

// reader reads one window.
type reader struct {
	w     *fleet.Window
	at    string // its path
	zone  *time.Location
	found *problems
	left  *int // windows that rules may still count
}

func (r *reader) that(ok bool, field, value, reason string) bool {
	r.found.that(ok, r.at+field, value, reason)
	return ok
}

// sound reports whether the window's fields go together.
func (r *reader) sound() bool {
	w, good := r.w, true
	check := func(ok bool, field, value, reason string) { good = r.that(ok, field, value, reason) && good }
	check((w.From != nil) != (w.Cron != ""), "", "", "want exactly one of from and cron: when it begins")
	check((w.To != nil) != (w.For != 0), "", "", "want exactly one of to and for: when it ends")
	check(w.To == nil || w.Cron == "", ".to", "", "does not go with cron: say for, how long it lasts")
	check(w.Rule == "" || w.From != nil, ".rule", w.Rule, "needs from: when the first one begins")
	check(len(w.Except) == 0 || w.Rule != "", ".except", "", "belongs to rule only")
	check(len(w.Except) <= maxExcept, ".except", strconv.Itoa(len(w.Except)), fmt.Sprintf("at most %d", maxExcept))
	check(len(w.Summary) <= 256, ".summary", "", "at most 256 bytes")
	for _, bound := range []struct {
		field string
		at    *time.Time
	}{{".from", w.From}, {".to", w.To}} {
		check(bound.at == nil || bound.at.Year() >= firstYear && bound.at.Year() <= lastYear, bound.field, "", "want a year from 1900 to 9999")
	}
	if w.From != nil && w.To != nil {
		check(w.To.After(*w.From), ".to", w.To.Format(time.RFC3339), "must be after from")
		check(w.Rule == "" || w.To.Sub(*w.From) <= longest, ".to", w.To.Format(time.RFC3339), "a window that comes again lasts at most 366 days")
	}
	check(w.For >= 0, ".for", w.For.String(), "must not be negative")
	check(w.Cron == "" && w.Rule == "" || time.Duration(w.For) <= longest, ".for", w.For.String(), "a window that comes again lasts at most 366 days")
	if w.Cron != "" {
		schedule, err := cron.Parse(w.Cron)
		if err != nil {
			check(false, ".cron", w.Cron, err.Error())
		} else if _, comes := schedule.Next(time.Unix(0, 0).In(r.zone)); !comes {
			check(false, ".cron", w.Cron, "never comes")
		}
	}
	return good
}

// end is when the window that begins then is over.
func (r *reader) end(from time.Time) time.Time {
	if r.w.To != nil {
		return *r.w.To
	}
	return from.Add(time.Duration(r.w.For))
}

// byCron begins at each instant of an expression.
type byCron struct {
	schedule cron.Schedule
	zone     *time.Location
	lasts    time.Duration
	why      string
}

func (r *reader) cron() byCron {
	schedule, _ := cron.Parse(r.w.Cron) // sound has read it
	return byCron{schedule, r.zone, time.Duration(r.w.For), r.w.Summary}
}

func (c byCron) next(after time.Time) (span, bool) {
	from, ok := c.schedule.Next(after.In(c.zone))
	return span{from, from.Add(c.lasts), c.why}, ok
}

func (c byCron) most() time.Duration { return c.lasts }
