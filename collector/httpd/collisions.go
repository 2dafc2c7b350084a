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
		for i, crowd := range all.crowds(span, minutes) {
			list.Items = append(list.Items, api.Collision{At: span.at(minutes[i].minute), Starts: minutes[i].starts, Hosts: len(crowd.hosts), Sample: []api.Upcoming{}})
			page = append(page, crowd.first)
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

// crowd is who starts something in a minute.
type crowd struct {
	hosts map[fleet.HostID]bool
	first []due
}

// crowds looks at what starts in some minutes of a window.
func (all sown) crowds(span window, minutes []full) []crowd {
	crowds, at := make([]crowd, len(minutes)), map[int]int{}
	for i, one := range minutes {
		crowds[i].hosts, at[one.minute] = map[fleet.HostID]bool{}, i
	}
	all.unfold(span.from, span.until, func(one *stem) {
		for instant, ok := one.next(span.from.Add(-1)); ok && instant.Before(span.until); instant, ok = one.next(instant) {
			if i, wanted := at[int(instant.Sub(span.from)/time.Minute)]; wanted {
				one.bears(instant, crowds[i].add)
			}
		}
	})
	return crowds
}

// add notes a start; the first few are kept in their order.
func (c *crowd) add(one due) {
	c.hosts[one.host] = true
	if n := len(c.first); n == sampleStarts && one.compare(c.first[n-1]) >= 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(c.first, one, due.compare)
	c.first = slices.Insert(c.first, at, one)
	c.first = c.first[:min(len(c.first), sampleStarts)]
}
