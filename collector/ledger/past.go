package ledger

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// historyKey is where the instant stands from which history is whole.
var historyKey = []byte("history")

// HistorySince returns the instant from which history is whole; zero: from the
// first report.
func (l *Ledger) HistorySince() (since time.Time, err error) {
	err = l.view(func(r *reader) error {
		since = r.historySince()
		return nil
	})
	return since, err
}

func (r *reader) historySince() time.Time {
	if nanos := number(r.get(inMeta, historyKey)); nanos > 0 {
		return time.Unix(0, int64(nanos)).UTC()
	}
	return time.Time{}
}

// PastJobs returns a page of the jobs as they were at q.At (zero: as they are),
// of them those that changed at q.Changed or later, by host name, host id,
// source and line. Of the other filters it knows Host and Label; keep, where
// not nil, decides about the rest. Total is -1, and a page may have fewer jobs
// than asked for and still a Next. What was forgotten cannot be asked for.
func (l *Ledger) PastJobs(scope fleet.Scope, q api.JobQuery, keep func(*Host, *api.JobView) bool) (api.List[api.JobView], error) {
	list := api.List[api.JobView]{Items: []api.JobView{}, Total: -1}
	list.Index, _ = l.Applied()
	if since, err := l.HistorySince(); err != nil {
		return list, err
	} else if !q.At.IsZero() && q.At.Before(since) {
		return list, fleet.Invalidf("at", q.At.UTC().Format(time.RFC3339), "history is kept since %s", since.Format(time.RFC3339)).WithCode("forgotten")
	}
	hosts, err := l.asked(scope, q)
	if err != nil {
		return list, err
	}
	after, err := openPlace(q.After)
	if err != nil {
		return list, err
	}
	limit, visits := pageSize(q.Page), 0
	for _, host := range after.hosts(hosts) {
		if visits >= maxVisits {
			list.Next = after.String()
			return list, nil
		}
		jobs, err := l.jobsAt(scope, host, q.At)
		if err != nil {
			return list, err
		}
		visits += len(jobs) + 1
		for i := range jobs {
			at := place{host.Name, host.ID, jobs[i].Source, jobs[i].Line, jobs[i].ID}
			if at.compare(after) <= 0 || jobs[i].Changed.Before(q.Changed) || keep != nil && !keep(host, &jobs[i]) {
				continue
			}
			if len(list.Items) == limit {
				list.Next = after.String()
				return list, nil
			}
			list.Items, after = append(list.Items, jobs[i]), at
		}
		after = place{name: host.Name, host: host.ID, source: lastSource}
	}
	return list, nil
}

// asked returns the hosts that can have what the query asks for, by name.
func (l *Ledger) asked(scope fleet.Scope, q api.JobQuery) ([]*Host, error) {
	hosts := l.AllHosts(scope)
	if q.Host != "" {
		host, err := l.FindHost(scope, q.Host)
		if err != nil {
			return nil, err
		}
		hosts = []*Host{host}
	}
	var selector fleet.Selector
	if q.Label != "" {
		var err error
		if selector, err = fleet.ParseSelector(q.Label); err != nil {
			return nil, err
		}
	}
	return filter(hosts, func(h *Host) bool {
		return selector.Matches(h.Labels) && !h.Reported.IsZero() && !h.Reported.Before(q.Changed)
	}), nil
}

// jobsAt returns the jobs of a host at an instant (zero: now) by source and line.
func (l *Ledger) jobsAt(scope fleet.Scope, host *Host, at time.Time) (jobs []api.JobView, err error) {
	if at.IsZero() {
		jobs, err = l.Jobs(scope, host.ID)
	} else {
		err = l.view(func(r *reader) error {
			rows, err := r.jobsAt(string(host.ID), at)
			for i := range rows {
				jobs = append(jobs, l.jobView(scope, host, &rows[i]))
			}
			return err
		})
	}
	slices.SortFunc(jobs, func(a, b api.JobView) int { return bySource(a.Job, b.Job) })
	return jobs, err
}

// jobsAt returns the rows that stood at the instant: of the present ones those
// that are as old, of the past ones those that had begun and not ended.
func (r *reader) jobsAt(host string, at time.Time) (rows []jobRow, err error) {
	err = eachRow(r, inJobs, prefix(host), func(_ []byte, row jobRow) bool {
		if !row.Changed.After(at) {
			rows = append(rows, row)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	nanos := nanosOf(at)
	each(r.bucket(inVersions), prefix(host), nil, func(k, v []byte) bool {
		from, until := number(k[len(k)-8:]), number(v[:8])
		if from > nanos || until <= nanos {
			return true
		}
		var row jobRow
		row, err = decode[jobRow](v[8:])
		rows = append(rows, row)
		return err == nil
	})
	return rows, err
}

// place is where a job stands in the order of a list.
type place struct {
	name   string
	host   fleet.HostID
	source string
	line   int
	job    fleet.JobID
}

// lastSource is after every source of a host.
const lastSource = "\xff\xff"

func (p place) compare(o place) int {
	for _, order := range [...]int{
		strings.Compare(p.name, o.name), strings.Compare(string(p.host), string(o.host)),
		strings.Compare(p.source, o.source), p.line - o.line,
	} {
		if order != 0 {
			return order
		}
	}
	return strings.Compare(string(p.job), string(o.job))
}

// hosts returns those from the one that the place is on.
func (p place) hosts(all []*Host) []*Host {
	at, _ := slices.BinarySearchFunc(all, p, func(h *Host, p place) int {
		return place{name: h.Name, host: h.ID}.compare(place{name: p.name, host: p.host})
	})
	return all[at:]
}

// String returns the place as a cursor.
func (p place) String() string {
	return strings.Join([]string{p.name, string(p.host), p.source, strconv.Itoa(p.line), string(p.job)}, "\x00")
}

func openPlace(cursor string) (p place, err error) {
	if cursor == "" {
		return p, nil
	}
	parts := strings.Split(cursor, "\x00")
	if len(parts) != 5 {
		return p, fleet.Invalidf("after", "", "want the next of the page before")
	}
	if p.line, err = strconv.Atoi(parts[3]); err != nil {
		return p, fleet.Invalidf("after", "", "want the next of the page before")
	}
	p.name, p.host, p.source, p.job = parts[0], fleet.HostID(parts[1]), parts[2], fleet.JobID(parts[4])
	return p, nil
}
