package httpd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// leastStarts is how many starts in a minute are a collision when nobody
	// says otherwise.
	leastStarts = 10
	// sampleStarts is how many starts of a collision are shown.
	sampleStarts = 10
)

// full is a minute with many starts.
type full struct{ minute, starts int }

// Collisions lists the minutes that many starts share, the fullest first.
func (s *Server) Collisions(ctx context.Context, q api.CollisionQuery) (api.List[api.Collision], error) {
	list := api.List[api.Collision]{Items: []api.Collision{}}
	span, err := newWindow(q.From, q.Until, time.Now())
	if err != nil {
		return list, err
	}
	asked, err := s.choose(q.Host, q.Label, "")
	if err != nil {
		return list, err
	}
	if list.Index, err = s.newer(ctx, wait(q.Page), ledger.Tasks, ledger.Hosts, ledger.Jobs); err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	after, err := openFull(q.After, span)
	if err != nil {
		return list, err
	}
	if q.Least == 0 {
		q.Least = leastStarts
	}
	var page [][]due
	err = s.agenda.read(func(a *agenda) error {
		all := s.stems(api.UpcomingQuery{}, &asked, a)
		var minutes []full
		minutes, list.Total = fullMinutes(all.load(span), q.Least, after)
		if len(minutes) > q.Limit {
			minutes = minutes[:q.Limit]
			last := minutes[q.Limit-1]
			list.Next = sealCursor(fmt.Sprintf("%d %d", last.starts, span.at(last.minute).Unix()))
		}
		for _, one := range minutes {
			starts, hosts := all.sample(span.at(one.minute))
			list.Items = append(list.Items, api.Collision{At: span.at(one.minute), Starts: one.starts, Hosts: hosts, Sample: []api.Upcoming{}})
			page = append(page, starts)
		}
		return nil
	})
	for i, starts := range page {
		for _, one := range starts {
			item, err := s.upcoming(one)
			if err != nil {
				return list, err
			}
			list.Items[i].Sample = append(list.Items[i].Sample, item)
		}
	}
	return list, err
}

// compare orders the fullest first, then the earliest.
func (f full) compare(other full) int {
	return cmp.Or(cmp.Compare(other.starts, f.starts), cmp.Compare(f.minute, other.minute))
}

// fullMinutes returns the minutes with at least that many starts that come
// after one, and how many there are in all.
func fullMinutes(starts load, least int, after full) (minutes []full, total int) {
	for minute, n := range starts {
		if n < least {
			continue
		}
		total++
		if one := (full{minute, n}); after.starts == 0 || one.compare(after) > 0 {
			minutes = append(minutes, one)
		}
	}
	slices.SortFunc(minutes, full.compare)
	return minutes, total
}

// openFull reads a cursor; the empty one is the beginning.
func openFull(cursor string, span window) (f full, err error) {
	if cursor == "" {
		return f, nil
	}
	var at int64
	if _, err := fmt.Sscanf(cursor, "%d %d", &f.starts, &at); err != nil || f.starts <= 0 {
		return f, fleet.Invalidf("after", "", "want the next of the page before")
	}
	f.minute = int(time.Unix(at, 0).Sub(span.from) / time.Minute)
	return f, nil
}

// sample returns some of what starts in a minute, in order, and on how many
// hosts something does.
func (all sown) sample(at time.Time) ([]due, int) {
	hosts := map[fleet.HostID]bool{}
	var found []due
	end := at.Add(time.Minute)
	all.unfold(at, end, func(one *stem) {
		for instant, ok := one.next(at.Add(-1)); ok && instant.Before(end); instant, ok = one.next(instant) {
			one.bears(instant, func(d due) {
				hosts[d.host] = true
				if found = append(found, d); len(found) > 64*sampleStarts {
					found = firstFew(found)
				}
			})
		}
	})
	return firstFew(found), len(hosts)
}

func firstFew(found []due) []due {
	slices.SortFunc(found, due.compare)
	return found[:min(len(found), sampleStarts)]
}
