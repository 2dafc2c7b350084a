package httpd

import (
	"context"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// weekHours is how many hours a density has.
const weekHours = 7 * 24

// hourly is how often a schedule is due in each hour of a week.
type hourly struct {
	from   time.Time
	zone   string
	counts *[weekHours]uint16
}

// Density counts the starts in each hour of a week, found and given together.
func (s *Server) Density(ctx context.Context, q api.DensityQuery) (api.Density, error) {
	hours, err := hoursOf(q, time.Now())
	if err != nil {
		return api.Density{}, err
	}
	asked, err := s.choose(scopeOf(ctx), q.Host, q.Label, "")
	if err != nil {
		return api.Density{}, err
	}
	answer := api.Density{From: hours[0], Zone: hours[0].Location().String(), Hours: make([]int, weekHours)}
	err = s.agenda.read(func(a *agenda) error {
		a.counting.Lock()
		defer a.counting.Unlock()
		for _, clock := range asked.asks(a) {
			if n := asked.count(clock); n > 0 {
				for hour, times := range clock.weekly(hours) {
					answer.Hours[hour] += n * int(times)
				}
			}
		}
		var tasks sown
		s.taskStems(api.UpcomingQuery{}, &asked, a.tasks, func(one *stem) { tasks = append(tasks, one) })
		tasks.unfold(hours[0], hours[weekHours], func(one *stem) {
			n := one.size()
			for hour, times := range countHours(one.next, hours) {
				answer.Hours[hour] += n * int(times)
			}
		})
		return nil
	})
	answer.Max = slices.Max(answer.Hours)
	return answer, err
}

// hoursOf returns where the hours of the week begin, and where the last ends.
// They are those of the wall clock: one that it skips has no length, one that
// it repeats is longer.
func hoursOf(q api.DensityQuery, now time.Time) ([]time.Time, error) {
	zone := q.Zone
	if zone == "" {
		zone = "UTC"
	}
	location, err := cron.Load(zone)
	if err != nil {
		return nil, fleet.Invalidf("zone", clip(q.Zone), "%v", err)
	}
	from := q.From
	if from.IsZero() {
		from = now
	}
	if err := checkSpan(from, from.Add(time.Hour)); err != nil {
		return nil, err
	}
	from = from.In(location)
	hours := make([]time.Time, weekHours+1)
	year, month, day := from.Date()
	for i := range hours {
		hours[i] = time.Date(year, month, day, from.Hour()+i, 0, 0, 0, location)
		if i > 0 && hours[i].Before(hours[i-1]) {
			hours[i] = hours[i-1]
		}
	}
	return hours, nil
}

// weekly returns how often the schedule is due in each of the hours. The
// answer is kept: a page that shows it asks again soon. It needs the agenda's
// counting.
func (c *jobClock) weekly(hours []time.Time) *[weekHours]uint16 {
	zone := hours[0].Location().String()
	if c.week.counts == nil || !c.week.from.Equal(hours[0]) || c.week.zone != zone {
		c.week = hourly{hours[0], zone, countHours(c.Next, hours)}
	}
	return c.week.counts
}

func countHours(next func(time.Time) (time.Time, bool), hours []time.Time) *[weekHours]uint16 {
	counts, hour := new([weekHours]uint16), 0
	end := hours[weekHours]
	for at, ok := next(hours[0].Add(-1)); ok && at.Before(end); at, ok = next(at) {
		for !at.Before(hours[hour+1]) {
			hour++
		}
		counts[hour]++
	}
	return counts
}
