package httpd

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
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
	asked, err := s.choose(scopeOf(ctx), q.Host, q.Label, "")
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
			list.Items = append(list.Items, api.Collision{At: span.at(minutes[i].minute), Starts: minutes[i].starts, Hosts: crowd.size(), Sample: []api.Upcoming{}})
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

// crowd is who starts something.
type crowd struct {
	hosts []uint64 // a set of their numbers
	first []due    // the first few, in their order
}

// numbers gives hosts numbers, in the order in which they are met.
type numbers map[fleet.HostID]int

func (n numbers) of(host fleet.HostID) int {
	number, known := n[host]
	if !known {
		number = len(n)
		n[host] = number
	}
	return number
}

// crowds looks at what starts in some minutes of a window. Who starts at an
// instant of a schedule starts at its others, too, and is looked at once.
func (all sown) crowds(span window, minutes []full) []crowd {
	crowds, at, known := make([]crowd, len(minutes)), map[int]int{}, numbers{}
	for i, one := range minutes {
		at[one.minute] = i
	}
	all.unfold(span.from, span.until, func(one *stem) {
		var own *crowd
		for instant, ok := one.next(span.from.Add(-1)); ok && instant.Before(span.until); instant, ok = one.next(instant) {
			i, wanted := at[int(instant.Sub(span.from)/time.Minute)]
			if !wanted {
				continue
			}
			if own == nil {
				own = new(crowd)
				one.bears(instant, func(one due) { own.add(one, known.of(one.host)) })
			}
			crowds[i].join(own, instant)
		}
	})
	return crowds
}

// size returns how many hosts there are.
func (c *crowd) size() (n int) {
	for _, word := range c.hosts {
		n += bits.OnesCount64(word)
	}
	return n
}

// add notes a start on the host with a number.
func (c *crowd) add(one due, number int) {
	c.reach(number/64 + 1)
	c.hosts[number/64] |= 1 << (number % 64)
	c.show(one)
}

// show keeps a start if it is one of the first few.
func (c *crowd) show(one due) {
	if n := len(c.first); n == sampleStarts && one.compare(c.first[n-1]) >= 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(c.first, one, due.compare)
	c.first = slices.Insert(c.first, at, one)
	c.first = c.first[:min(len(c.first), sampleStarts)]
}

// reach makes the set at least that many words long.
func (c *crowd) reach(words int) {
	if missing := words - len(c.hosts); missing > 0 {
		c.hosts = append(c.hosts, make([]uint64, missing)...)
	}
}

// join adds those who start at an instant.
func (c *crowd) join(other *crowd, at time.Time) {
	c.reach(len(other.hosts))
	for i, word := range other.hosts {
		c.hosts[i] |= word
	}
	for _, one := range other.first {
		one.at = at
		c.show(one)
	}
}
