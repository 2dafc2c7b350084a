package findings

import (
	"fmt"
	"math/bits"
	"strings"
	"time"
	"unique"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// crowd is how many starts in one minute of one host are worth telling of.
const crowd = 10

// twice adds commands that one user of one host starts twice at one instant.
// rows and jobs are in the same order.
func (s *survey) twice(host *Host, jobs []api.JobView, known *almanac) {
	type key struct{ print, user, container text }
	first := map[key][]int{}
	for i := range s.rows {
		r := &s.rows[i]
		if !r.is(runs) || r.is(adopted) || r.print.Value() == "" || r.kind == fleet.KindAt {
			continue
		}
		k := key{r.print, r.user, r.container}
		for _, j := range first[k] {
			at, both := known.meet(s.rows[j].when, r.when)
			if !both {
				continue
			}
			job, other := &jobs[i], &jobs[j]
			one := s.about(fleet.FindTwice, host, job, fmt.Sprintf("the same command of %s starts at the same time as in %s, as at %s", job.User, place(other), at.Format(time.RFC3339)), string(other.ID))
			s.add(one)
			break
		}
		first[k] = append(first[k], i)
	}
}

// place says where a job stands.
func place(job *api.JobView) string {
	if job.Line == 0 {
		return job.Source
	}
	return fmt.Sprintf("%s line %d", job.Source, job.Line)
}

// Two schedules are compared for five weeks, or for as many of their instants.
const (
	meetSpan  = 35 * 24 * time.Hour
	meetSteps = 2000
)

// meet returns the first minute in which both are due.
func (a *almanac) meet(one, other unique.Handle[When]) (time.Time, bool) {
	first, second := a.page(one.Value()).clock, a.page(other.Value()).clock
	at, ok := first.Next(a.from)
	bt, both := second.Next(a.from)
	for range meetSteps {
		if !ok || !both || at.Sub(a.from) > meetSpan {
			return time.Time{}, false
		}
		am, bm := at.Truncate(time.Minute), bt.Truncate(time.Minute)
		switch {
		case am.Equal(bm):
			return am, true
		case am.Before(bm):
			at, ok = first.Next(bm.Add(-1))
		default:
			bt, both = second.Next(am.Add(-1))
		}
	}
	return time.Time{}, false
}

// collisions adds the minute of the day in which most jobs of the host start.
// What run-parts and anacron start comes one after another and counts as the
// line that calls it.
func (s *survey) collisions(host *Host, known *almanac) {
	var starts [24 * 60]uint16
	for i := range s.rows {
		r := &s.rows[i]
		if !r.is(runs) || r.is(scattered) || r.is(adopted) || r.kind == fleet.KindRunParts || r.kind == fleet.KindAnacron {
			continue
		}
		minutes := known.minutesOf(r.when.Value())
		for i, word := range minutes {
			for ; word != 0; word &= word - 1 {
				starts[i*64+bits.TrailingZeros64(word)]++
			}
		}
	}
	most := 0
	for minute := range starts {
		if starts[minute] > starts[most] {
			most = minute
		}
	}
	if starts[most] < crowd {
		return
	}
	at := known.from.Add(time.Duration(most) * time.Minute)
	s.add(s.about(fleet.FindCollision, host, &api.JobView{}, fmt.Sprintf("%d jobs start in the same minute, %s UTC: %s", starts[most], at.Format("15:04"), s.sample(known, most))))
}

// sample names some of what starts in a minute.
func (s *survey) sample(known *almanac, minute int) string {
	var names []string
	for i := range s.rows {
		r := &s.rows[i]
		if r.is(runs) && r.kind != fleet.KindRunParts && r.kind != fleet.KindAnacron && known.minutesOf(r.when.Value()).has(minute) {
			names = append(names, brief(r.command.Value()))
		}
		if len(names) == 3 {
			break
		}
	}
	return strings.Join(names, "; ") + "; …"
}

// brief shortens a command for a sentence.
func brief(command string) string {
	const most = 60
	runes := []rune(command)
	if len(runes) <= most {
		return command
	}
	return string(runes[:most-1]) + "…"
}
