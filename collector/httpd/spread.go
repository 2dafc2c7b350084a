package httpd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/findings"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// furthest is how far a job is shifted when nobody says otherwise.
	furthest = 15 * time.Minute
	// maxShifts is how many shifts one answer advises.
	maxShifts = 200
)

// Spread advises shifts of found jobs that lower the fullest minute. It takes,
// as often as that helps, the first job of the fullest minute that has a better
// one within reach: the emptiest, then the nearest, then the later.
func (s *Server) Spread(ctx context.Context, q api.SpreadQuery) (api.Spread, error) {
	span, err := newWindow(q.From, q.Until, time.Now())
	if err != nil {
		return api.Spread{}, err
	}
	reach := int(time.Duration(q.Most) / time.Minute)
	switch {
	case q.Most == 0:
		reach = int(furthest / time.Minute)
	case reach < 1 || reach > 59:
		return api.Spread{}, fleet.Invalidf("most", q.Most.String(), "want 1m–59m: a shift stays within its hour")
	}
	asked, err := s.choose(scopeOf(ctx), q.Host, q.Label, "")
	if err != nil {
		return api.Spread{}, err
	}
	answer := api.Spread{From: span.from, Until: span.until, Shifts: []api.Shift{}}
	var moves []move
	err = s.agenda.read(func(a *agenda) error {
		starts := s.stems(api.UpcomingQuery{}, &asked, a).load(span)
		answer.Before = starts[starts.fullest()]
		moves = starts.flatten(movable(a, &asked, span), reach)
		answer.After = starts[starts.fullest()]
		return nil
	})
	if err != nil {
		return answer, err
	}
	for _, one := range moves {
		job, found, err := s.Ledger.Job(scopeOf(ctx), one.host.ID, one.job.id)
		if err != nil {
			return answer, err
		}
		if found {
			answer.Shifts = append(answer.Shifts, one.shift(job))
		}
	}
	return answer, nil
}

// beat is the fixed minute of a schedule, and when that is in a window.
type beat struct {
	minute  int    // 0–59
	rest    string // the other fields
	minutes []int  // of the window
}

// movableJob is a job whose minute may be another one.
type movableJob struct {
	host *ledger.Host
	job  *agendaJob
	*beat
}

// move is a job that is advised to start some minutes later, or earlier.
type move struct {
	movableJob
	by int // minutes
}

func (m move) shift(job api.JobView) api.Shift {
	schedule := fmt.Sprintf("%d %s", m.minute+m.by, m.rest)
	return api.Shift{
		Job: job, Schedule: schedule, By: fleet.Offset(time.Duration(m.by) * time.Minute),
		Fix: fmt.Sprintf("fleetctl adopt %s:%s --schedule '%s'", job.HostName, job.ID, schedule),
	}
}

// words is what cron's words for a schedule stand for.
var words = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

// beatOf returns the fixed minute of a schedule of cron; nil, where it has none.
func beatOf(clock *jobClock, span window) *beat {
	if clock.when.Rules == findings.Systemd || clock.when.Rules == findings.Period || clock.when.Rules == findings.Once {
		return nil
	}
	fields := strings.Fields(cmp.Or(words[clock.when.Schedule], clock.when.Schedule))
	if len(fields) != 5 {
		return nil
	}
	minute, err := strconv.ParseUint(fields[0], 10, 8)
	if err != nil || minute > 59 {
		return nil
	}
	b := &beat{minute: int(minute), rest: strings.Join(fields[1:], " ")}
	span.each(clock.Next, func(minute, _ int) { b.minutes = append(b.minutes, minute) })
	if len(b.minutes) == 0 {
		return nil
	}
	return b
}

// movable returns, for each minute of the window, the jobs in it that may be
// shifted, by host and id.
func movable(a *agenda, asked *choice, span window) map[int][]movableJob {
	in := map[int][]movableJob{}
	for _, clock := range asked.asks(a) {
		b := beatOf(clock, span)
		if b == nil {
			continue
		}
		asked.each(clock, func(host *agendaHost, job *agendaJob) {
			if job.free {
				for _, minute := range b.minutes {
					in[minute] = append(in[minute], movableJob{host.Host, job, b})
				}
			}
		})
	}
	for _, jobs := range in {
		slices.SortFunc(jobs, func(a, b movableJob) int {
			return cmp.Or(cmp.Compare(a.host.Name, b.host.Name), cmp.Compare(a.host.ID, b.host.ID), cmp.Compare(a.job.id, b.job.id))
		})
	}
	return in
}

// flatten shifts jobs until that lowers the fullest minute no longer.
func (l load) flatten(jobs map[int][]movableJob, reach int) (moves []move) {
	moved := map[*agendaJob]bool{}
	for len(moves) < maxShifts {
		minute := l.fullest()
		next, found := l.better(jobs[minute], moved, reach)
		if !found {
			break
		}
		for _, at := range next.minutes {
			l[at]--
			if to := at + next.by; to >= 0 && to < len(l) {
				l[to]++
			}
		}
		moved[next.job] = true
		moves = append(moves, next)
	}
	return moves
}

// better returns the first job that has a better minute, and which.
func (l load) better(jobs []movableJob, moved map[*agendaJob]bool, reach int) (best move, found bool) {
	most := l[l.fullest()]
	for _, one := range jobs {
		if moved[one.job] {
			continue
		}
		lowest := most
		for distance := 1; distance <= reach; distance++ {
			for _, by := range []int{distance, -distance} {
				if to := one.minute + by; to < 0 || to > 59 {
					continue
				}
				if height := l.height(one.minutes, by); height < lowest {
					best, lowest, found = move{one, by}, height, true
				}
			}
		}
		if found {
			return best, true
		}
	}
	return best, false
}

// height returns the most starts in a minute that the shift leads to.
func (l load) height(minutes []int, by int) (most int) {
	for _, at := range minutes {
		if to := at + by; to >= 0 && to < len(l) {
			most = max(most, l[to]+1)
		}
	}
	return most
}
