package web

import (
	"cmp"
	"fmt"
	"net/url"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	weekDays        = 7
	dayHours        = 24
	shades          = 6 // of the map, besides none
	shownCollisions = 10
	shownShifts     = 10
)

// whenPage is when the fleet works: a map of a week, the fullest minutes, and
// what would flatten them.
type whenPage struct {
	*listing   // of the collisions
	Days       []time.Time
	Hours      []hourRow
	Least      int // of the hours that have any
	Most       int
	Starts     int
	Busiest    *cell
	Quietest   *cell
	Zone       string
	Collisions []api.Collision
	Spread     api.Spread
	Shifts     []api.Shift
}

// hourRow is one hour of the day, a cell for each day.
type hourRow struct {
	Word  string
	Cells []cell
}

// cell is one hour of one day.
type cell struct {
	From  time.Time
	Until time.Time
	Count int
	Shade int // 0: none, up to shades
	Past  bool
	Now   bool
	URL   string // what starts then
}

// Label says in words which hour it is and how many start in it.
func (c cell) Label() string {
	return fmt.Sprintf("%s to %s: %s", c.From.Format("Mon 2 Jan 15:04"), c.Until.Format("15:04"), count(c.Count, "start"))
}

// Short writes the count in at most four characters.
func (c cell) Short() string {
	switch n := c.Count; {
	case n < 10_000:
		return number(n)
	case n < 1_000_000:
		return number(n/1000) + "k"
	default:
		return number(n/1_000_000) + "M"
	}
}

func (s *site) when(v *visit) (view, error) {
	l, err := v.listing("/when",
		filter{Name: "host", Label: "Host", Hint: "db-1"},
		filter{Name: "label", Label: "Labels", Hint: "role=db"},
		filter{Name: "zone", Label: "Time zone", Hint: "Europe/Berlin"},
	)
	if err != nil {
		return view{}, err
	}
	l.Anchor = "#collisions"
	zone, err := cron.Load(cmp.Or(l.value("zone"), "UTC"))
	if err != nil {
		return view{}, fleet.Invalidf("zone", clip(l.value("zone"), 60), "there is no such time zone; want a name as Europe/Berlin")
	}
	local := v.now.In(zone)
	first := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, zone)
	density, err := s.src.Density(v.Context(), api.DensityQuery{Host: l.value("host"), Label: l.value("label"), From: first, Zone: l.value("zone")})
	if err != nil {
		return view{}, err
	}
	body := &whenPage{listing: l, Zone: zone.String()}
	body.fill(density, first, local)
	if err := s.advice(v, body); err != nil {
		return view{}, err
	}
	return view{Title: "When", Body: body}, nil
}

// advice reads the fullest minutes of the coming day and what would flatten
// them.
func (s *site) advice(v *visit, body *whenPage) error {
	host, label := body.value("host"), body.value("label")
	collisions, err := s.src.Collisions(v.Context(), api.CollisionQuery{Host: host, Label: label, Page: api.Page{After: body.After, Limit: shownCollisions}})
	if err != nil {
		return err
	}
	body.Collisions = collisions.Items
	body.shows(len(collisions.Items), collisions.Total, collisions.Next)
	if body.Spread, err = s.src.Spread(v.Context(), api.SpreadQuery{Host: host, Label: label}); err != nil {
		return err
	}
	body.Shifts = body.Spread.Shifts[:min(shownShifts, len(body.Spread.Shifts))]
	return nil
}

// fill lays the hours of a week out: a row for each hour of the day, a column
// for each day.
func (w *whenPage) fill(density api.Density, first, now time.Time) {
	for _, n := range density.Hours {
		if n > 0 && (n < w.Least || w.Least == 0) {
			w.Least = n
		}
		w.Most = max(w.Most, n)
	}
	at := func(day, hour int) time.Time {
		return wall(time.Date(first.Year(), first.Month(), first.Day()+day, hour, 0, 0, 0, time.UTC), first.Location())
	}
	for day := range weekDays {
		w.Days = append(w.Days, at(day, 0))
	}
	w.Hours = make([]hourRow, dayHours)
	for hour := range w.Hours {
		row := &w.Hours[hour]
		row.Word = fmt.Sprintf("%02d:00", hour)
		for day := range weekDays {
			c := cell{From: at(day, hour), Until: at(day, hour+1)}
			if i := day*dayHours + hour; i < len(density.Hours) {
				c.Count = density.Hours[i]
			}
			c.Past = !now.Before(c.Until)
			c.Now = !c.Past && !now.Before(c.From)
			c.Shade = shade(c.Count, w.Least, w.Most)
			if c.Until.After(c.From) {
				c.URL = windowURL(c.From, c.Until, w.value("host"), w.value("label"))
			}
			w.Starts += c.Count
			row.Cells = append(row.Cells, c)
		}
	}
	w.extremes()
}

// wall returns the first instant at which the clock of a zone shows what clock
// shows in UTC, or where a change skips that, something later.
func wall(clock time.Time, zone *time.Location) time.Time {
	shown := func(t time.Time) time.Time {
		_, offset := t.Zone()
		return t.UTC().Add(time.Duration(offset) * time.Second)
	}
	at := time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), 0, 0, 0, zone)
	if missing := clock.Sub(shown(at)); missing > 0 {
		return at.Add(missing)
	}
	if earlier := at.Add(-time.Hour); shown(earlier).Equal(clock) {
		return earlier
	}
	return at
}

// extremes notes the busiest and the quietest hour that are not past.
func (w *whenPage) extremes() {
	for i := range w.Hours {
		for j := range w.Hours[i].Cells {
			c := &w.Hours[i].Cells[j]
			if c.Past {
				continue
			}
			if w.Busiest == nil || c.Count > w.Busiest.Count || c.Count == w.Busiest.Count && c.From.Before(w.Busiest.From) {
				w.Busiest = c
			}
			if w.Quietest == nil || c.Count < w.Quietest.Count || c.Count == w.Quietest.Count && c.From.Before(w.Quietest.From) {
				w.Quietest = c
			}
		}
	}
}

// shade says how dark a cell is: by its place between the least and the most,
// because what starts every few minutes makes all hours alike.
func shade(n, least, most int) int {
	switch {
	case n == 0:
		return 0
	case most == least:
		return shades / 2
	}
	return 1 + min(shades-1, (n-least)*shades/(most-least))
}

// Shades lists every shade but none's, for the key of the map.
func (w *whenPage) Shades() []int {
	out := make([]int, shades)
	for i := range out {
		out[i] = i + 1
	}
	return out
}

// MinuteURL returns the address of what starts in a collision's minute.
func (w *whenPage) MinuteURL(c api.Collision) string {
	return windowURL(c.At, c.At.Add(time.Minute), w.value("host"), w.value("label"))
}

// windowURL returns the address of what starts between two instants, found and
// given.
func windowURL(from, until time.Time, host, label string) string {
	query := url.Values{"from": {from.UTC().Format(time.RFC3339)}, "until": {until.UTC().Format(time.RFC3339)}}
	if host != "" {
		query.Set("host", host)
	}
	if label != "" {
		query.Set("label", label)
	}
	return "/upcoming?" + query.Encode()
}
