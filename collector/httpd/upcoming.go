package httpd

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// upcomingSpan is what is shown when nobody says until when.
	upcomingSpan = time.Hour
	// maxUpcoming is how far one query may look.
	maxUpcoming = 24 * time.Hour
)

// due is one thing at one instant; the order of its fields is that of the list.
type due struct {
	at   time.Time
	host fleet.HostID
	task fleet.TaskID
	job  fleet.JobID
}

func (d due) compare(other due) int {
	return cmp.Or(d.at.Compare(other.at), cmp.Compare(d.host, other.host), cmp.Compare(d.task, other.task), cmp.Compare(d.job, other.job))
}

func (d due) cursor() string {
	return strings.Join([]string{strconv.FormatInt(d.at.UnixNano(), 10), string(d.host), string(d.task), string(d.job)}, "\x00")
}

func openDue(cursor string) (d due, err error) {
	parts := strings.Split(cursor, "\x00")
	nanos, parsed := strconv.ParseInt(parts[0], 10, 64)
	if parsed != nil || len(parts) != 4 {
		return d, fleet.Invalidf("after", "", "want the next of the page before")
	}
	return due{time.Unix(0, nanos).UTC(), fleet.HostID(parts[1]), fleet.TaskID(parts[2]), fleet.JobID(parts[3])}, nil
}

// stem is where instants grow: one schedule, and all that is due by it. One
// that forks bears nothing: at its instant others take its place, none of them
// earlier.
type stem struct {
	at    time.Time
	next  func(time.Time) (time.Time, bool)
	size  func() int // how much it bears at each instant
	bears func(at time.Time, yield func(due))
	forks func(add func(*stem))
}

// stems is a heap, the earliest first.
type stems []*stem

// Len, Less, Swap, Push and Pop make a heap of it.
func (s stems) Len() int           { return len(s) }
func (s stems) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s stems) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }

// Push adds a stem.
func (s *stems) Push(x any) { *s = append(*s, x.(*stem)) }

// Pop removes the last one.
func (s *stems) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// Upcoming lists what runs next, found and given, by instant.
func (s *Server) Upcoming(ctx context.Context, q api.UpcomingQuery) (api.List[api.Upcoming], error) {
	var list api.List[api.Upcoming]
	if err := checkUpcoming(&q, time.Now()); err != nil {
		return list, err
	}
	index, err := s.newer(ctx, wait(q.Page), ledger.Tasks, ledger.Hosts, ledger.Jobs)
	if err != nil {
		return list, err
	}
	if q.Page, err = openPage(q.Page); err != nil {
		return list, err
	}
	after := due{at: q.From}
	if q.After != "" {
		if after, err = openDue(q.After); err != nil {
			return list, err
		}
	}
	asked, err := s.choose(scopeOf(ctx), q.Host, q.Label, q.Text)
	if err != nil {
		return list, err
	}
	var found []due
	total := 0
	err = s.agenda.read(func(a *agenda) error {
		all := s.stems(q, &asked, a)
		total = all.total(q.From, q.Until)
		growing := all.grow(after.at)
		found = growing.pick(after, q.Until, q.Limit+1)
		return nil
	})
	if err != nil {
		return list, err
	}
	list = api.List[api.Upcoming]{Items: []api.Upcoming{}, Total: total, Index: index}
	if len(found) > q.Limit {
		found = found[:q.Limit]
		list.Next = sealCursor(found[q.Limit-1].cursor())
	}
	for _, one := range found {
		item, err := s.upcoming(one)
		if err != nil {
			return list, err
		}
		list.Items = append(list.Items, item)
	}
	return list, nil
}

func checkUpcoming(q *api.UpcomingQuery, now time.Time) error {
	if q.Task != "" {
		id, err := fleet.ParseTaskID(string(q.Task))
		if err != nil {
			return err
		}
		q.Task = id
	}
	if q.From.IsZero() {
		q.From = now.UTC()
	}
	if q.Until.IsZero() {
		q.Until = q.From.Add(upcomingSpan)
	}
	return checkSpan(q.From, q.Until)
}

// sown is every schedule that a query asks for, before it is known when each
// is due.
type sown []*stem

// stems returns every schedule that the query asks for.
func (s *Server) stems(q api.UpcomingQuery, asked *choice, a *agenda) sown {
	var all sown
	s.taskStems(q, asked, a.tasks, func(one *stem) { all = append(all, one) })
	if q.Task == "" {
		for _, clock := range asked.asks(a) {
			all = append(all, jobStem(clock, asked))
		}
	}
	return all
}

// total counts what is due from an instant on and before another.
func (all sown) total(from, until time.Time) (n int) {
	all.unfold(from, until, func(one *stem) {
		times := 0
		for at, ok := one.next(from.Add(-1)); ok && at.Before(until); at, ok = one.next(at) {
			times++
		}
		if times > 0 {
			n += times * one.size()
		}
	})
	return n
}

// grow finds the first instant of each that is not before from.
func (all sown) grow(from time.Time) growth {
	growing := growth{from: from}
	for _, one := range all {
		growing.add(one)
	}
	return growing
}

// taskStems adds a stem for each task, which looks for its hosts when its turn
// comes: most are due long after the page that is asked for.
func (s *Server) taskStems(q api.UpcomingQuery, asked *choice, tasks map[*ledger.HeldTask]*taskClock, add func(*stem)) {
	for task, clock := range tasks {
		id := task.Task.ID()
		if !asked.scope.Holds(id.Namespace()) {
			continue
		}
		if q.Task != "" && id != q.Task || asked.host != nil && !task.RunsOn(asked.host) {
			continue
		}
		if asked.text != "" && !strings.Contains(strings.ToLower(string(id)+" "+task.Task.Run.Command.String()), asked.text) {
			continue
		}
		hosts := sync.OnceValue(func() []*ledger.Host {
			if asked.host != nil && asked.takes(asked.host) {
				return []*ledger.Host{asked.host}
			}
			return slices.DeleteFunc(slices.Clone(s.Ledger.Matching(asked.scope, &task.Task)), func(host *ledger.Host) bool { return !asked.takes(host) })
		})
		spread := time.Duration(task.Task.On.Spread)
		if spread == 0 {
			add(&stem{next: s.open(&task.Task, clock.early.Next), size: func() int { return len(hosts()) }, bears: func(at time.Time, yield func(due)) {
				for _, host := range hosts() {
					yield(due{at: at, host: host.ID, task: id})
				}
			}})
			continue
		}
		// The earliest instant not before one at which some host may be due.
		earliest := func(after time.Time) (time.Time, bool) {
			at, ok := clock.early.Next(after.Add(-spread))
			if !at.After(after) {
				at = after.Add(1)
			}
			return at, ok
		}
		add(&stem{next: earliest, forks: func(add func(*stem)) { s.forkTask(&task.Task, clock, hosts(), add) }})
	}
}

// forkTask adds a stem for each share of the spread that a task has on hosts.
func (s *Server) forkTask(task *fleet.Task, clock *taskClock, on []*ledger.Host, add func(*stem)) {
	id, shares := task.ID(), map[time.Duration][]fleet.HostID{}
	for _, host := range on {
		share := clock.on(host.ID).Spread()
		shares[share] = append(shares[share], host.ID)
	}
	for _, hosts := range shares {
		add(&stem{next: s.open(task, clock.on(hosts[0]).Next), size: func() int { return len(hosts) }, bears: func(at time.Time, yield func(due)) {
			for _, host := range hosts {
				yield(due{at: at, host: host, task: id})
			}
		}})
	}
}

func jobStem(clock *jobClock, asked *choice) *stem {
	return &stem{next: clock.Next, size: func() int { return asked.count(clock) }, bears: func(at time.Time, yield func(due)) {
		asked.each(clock, func(host *agendaHost, job *agendaJob) { yield(due{at: at, host: host.ID, job: job.id}) })
	}}
}

// growth is all stems, each at its first instant not before from.
type growth struct {
	stems
	from time.Time
}

func (g *growth) add(one *stem) {
	if at, ok := one.next(g.from.Add(-1)); ok {
		one.at = at
		heap.Push(&g.stems, one)
	}
}

// first returns the stem with the earliest instant, nil where there is none.
func (g *growth) first() *stem {
	for len(g.stems) > 0 && g.stems[0].forks != nil {
		heap.Pop(&g.stems).(*stem).forks(g.add)
	}
	if len(g.stems) == 0 {
		return nil
	}
	return g.stems[0]
}

// pick returns the first limit things after the given one and before until.
func (g *growth) pick(after due, until time.Time, limit int) []due {
	var picked []due
	for len(picked) < limit {
		first := g.first()
		if first == nil || !first.at.Before(until) {
			break
		}
		picked = append(picked, g.instant(first.at.UTC(), after, limit-len(picked))...)
	}
	return picked
}

// instant returns the first things of one instant and moves its stems on. It
// holds few at a time, however many jobs are due at midnight.
func (g *growth) instant(at time.Time, after due, limit int) []due {
	var found []due
	trim := func() {
		slices.SortFunc(found, due.compare)
		found = found[:min(limit, len(found))]
	}
	for first := g.first(); first != nil && first.at.Equal(at); first = g.first() {
		first.bears(at, func(one due) {
			if one.compare(after) > 0 {
				if found = append(found, one); len(found) > 4*limit+64 {
					trim()
				}
			}
		})
		if next, ok := first.next(first.at); ok {
			first.at = next
			heap.Fix(&g.stems, 0)
		} else {
			heap.Pop(&g.stems)
		}
	}
	trim()
	return found
}

// upcoming fills in what a person wants to know.
func (s *Server) upcoming(one due) (api.Upcoming, error) {
	item := api.Upcoming{At: one.at, Host: one.host, Task: one.task, Job: one.job}
	if host, found := s.Ledger.Host(everywhere, one.host); found {
		item.HostName = host.Name
	}
	if one.task != "" {
		record, err := s.Ledger.Task(everywhere, one.task)
		if err == nil {
			item.Command, item.User = record.Task.Run.Command.String(), record.Task.Run.User
		} else if fleet.KindOf(err) != fleet.NotFound {
			return item, err
		}
		return item, nil
	}
	job, found, err := s.Ledger.Job(everywhere, one.host, one.job)
	if found {
		item.Command, item.User = job.Command, job.User
	}
	return item, err
}
