package httpd

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"strconv"
	"strings"
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

// stem is where instants grow: one schedule, and all that is due by it.
type stem struct {
	at    time.Time
	next  func(time.Time) (time.Time, bool)
	bears func(at time.Time, yield func(due))
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
	var found []due
	err = s.agenda.read(func(jobs map[scheduleKey]*jobClock) error {
		growing, err := s.stems(q, after.at, jobs)
		found = growing.pick(after, q.Until, q.Limit+1)
		return err
	})
	if err != nil {
		return list, err
	}
	list = api.List[api.Upcoming]{Items: []api.Upcoming{}, Total: -1, Index: index}
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
	switch {
	case q.From.Year() < 1970 || q.From.Year() > 2200:
		return fleet.Invalidf("from", q.From.Format(time.RFC3339), "want an instant between 1970 and 2200")
	case !q.Until.After(q.From):
		return fleet.Invalidf("until", q.Until.Format(time.RFC3339), "must be after from")
	case q.Until.Sub(q.From) > maxUpcoming:
		return fleet.Invalidf("until", q.Until.Format(time.RFC3339), "at most 24 hours after from")
	}
	return nil
}

// stems returns every schedule that the query asks for, each at its first
// instant not before from.
func (s *Server) stems(q api.UpcomingQuery, from time.Time, jobs map[scheduleKey]*jobClock) (stems, error) {
	var only fleet.HostID
	if q.Host != "" {
		host, err := s.Ledger.FindHost(q.Host)
		if err != nil {
			return nil, err
		}
		only = host.ID
	}
	var all stems
	add := func(one *stem) {
		if at, ok := one.next(from.Add(-1)); ok {
			one.at = at
			all = append(all, one)
		}
	}
	if err := s.taskStems(q.Task, only, add); err != nil {
		return nil, err
	}
	if q.Task == "" {
		for _, clock := range jobs {
			addJobs(clock, only, add)
		}
	}
	heap.Init(&all)
	return all, nil
}

// taskStems adds a stem for each share of the spread that a task has on hosts.
func (s *Server) taskStems(id fleet.TaskID, only fleet.HostID, add func(*stem)) error {
	query := api.TaskQuery{State: fleet.TaskEnabled, Page: api.Page{Limit: api.MaxPage}}
	if id != "" {
		query.Namespace = id.Namespace()
	}
	for {
		page, err := s.Ledger.Tasks(query)
		if err != nil {
			return err
		}
		for i := range page.Items {
			if task := &page.Items[i].Task; id == "" || task.ID() == id {
				s.spreadStems(task, only, add)
			}
		}
		if query.After = page.Next; page.Next == "" {
			return nil
		}
	}
}

func (s *Server) spreadStems(task *fleet.Task, only fleet.HostID, add func(*stem)) {
	clocks, err := task.Clocks()
	if err != nil {
		return // it was valid when it was given
	}
	shares := map[time.Duration][]fleet.HostID{}
	for _, host := range s.Ledger.Matching(&task.Where) {
		if only == "" || host.ID == only {
			share := clocks(host.ID).Spread()
			shares[share] = append(shares[share], host.ID)
		}
	}
	id := task.ID()
	for _, hosts := range shares {
		add(&stem{next: clocks(hosts[0]).Next, bears: func(at time.Time, yield func(due)) {
			for _, host := range hosts {
				yield(due{at: at, host: host, task: id})
			}
		}})
	}
}

func addJobs(clock *jobClock, only fleet.HostID, add func(*stem)) {
	hosts := clock.jobs
	if only != "" {
		if hosts[only] == nil {
			return
		}
		hosts = map[fleet.HostID][]fleet.JobID{only: hosts[only]}
	}
	add(&stem{next: clock.next, bears: func(at time.Time, yield func(due)) {
		for host, jobs := range hosts {
			for _, job := range jobs {
				yield(due{at: at, host: host, job: job})
			}
		}
	}})
}

// pick returns the first limit things after the given one and before until.
func (s *stems) pick(after due, until time.Time, limit int) []due {
	var picked []due
	for len(*s) > 0 && len(picked) < limit {
		at := (*s)[0].at.UTC()
		if !at.Before(until) {
			break
		}
		picked = append(picked, s.instant(at, after, limit-len(picked))...)
	}
	return picked
}

// instant returns the first things of one instant and moves its stems on. It
// holds few at a time, however many jobs are due at midnight.
func (s *stems) instant(at time.Time, after due, limit int) []due {
	var found []due
	trim := func() {
		slices.SortFunc(found, due.compare)
		found = found[:min(limit, len(found))]
	}
	for len(*s) > 0 && (*s)[0].at.Equal(at) {
		first := (*s)[0]
		first.bears(at, func(one due) {
			if one.compare(after) > 0 {
				if found = append(found, one); len(found) > 4*limit+64 {
					trim()
				}
			}
		})
		if next, ok := first.next(first.at); ok {
			first.at = next
			heap.Fix(s, 0)
		} else {
			heap.Pop(s)
		}
	}
	trim()
	return found
}

// upcoming fills in what a person wants to know.
func (s *Server) upcoming(one due) (api.Upcoming, error) {
	item := api.Upcoming{At: one.at, Host: one.host, Task: one.task, Job: one.job}
	if host, found := s.Ledger.Host(one.host); found {
		item.HostName = host.Name
	}
	if one.task != "" {
		record, err := s.Ledger.Task(one.task)
		if err == nil {
			item.Command, item.User = record.Task.Run.Command.String(), record.Task.Run.User
		} else if fleet.KindOf(err) != fleet.NotFound {
			return item, err
		}
		return item, nil
	}
	job, found, err := s.Ledger.Job(one.host, one.job)
	if found {
		item.Command, item.User = job.Command, job.User
	}
	return item, err
}
