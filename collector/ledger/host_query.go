package ledger

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// AllHosts returns every host that the scope sees by name, then id. The list is
// shared: do not change it.
func (l *Ledger) AllHosts(scope fleet.Scope) []*Host {
	l.mu.RLock()
	all := l.memory.sorted
	l.mu.RUnlock()
	if scope.All() {
		return all
	}
	return filter(all, func(h *Host) bool { return h.visible(scope) })
}

// HostPage is one page of hosts.
type HostPage struct {
	Hosts []*Host
	Next  string // the cursor of the next page; empty: this is the last
	Total int    // of all pages
	Index uint64
}

// Hosts returns a page of the hosts that the query asks for, by name, then id.
// Presence is not known here: keep, where not nil, decides about each host
// after the other filters.
func (l *Ledger) Hosts(scope fleet.Scope, q api.HostQuery, keep func(*Host) bool) (HostPage, error) {
	var selector fleet.Selector
	if q.Label != "" {
		var err error
		if selector, err = fleet.ParseSelector(q.Label); err != nil {
			return HostPage{}, err
		}
	}
	index, _ := l.Applied()
	text := strings.ToLower(q.Text)
	matching := filter(l.AllHosts(scope), func(h *Host) bool {
		return (text == "" || h.mentions(text)) && (q.Label == "" || selector.Matches(h.Labels)) && (!q.Problems || h.Problems > 0) && (keep == nil || keep(h))
	})
	page := HostPage{Total: len(matching), Index: index}
	page.Hosts, page.Next = cut(matching, q.Page, hostCursor)
	return page, nil
}

// mentions reports whether name, address or OS contain the lower-case text.
func (h *Host) mentions(text string) bool {
	if strings.Contains(strings.ToLower(h.Name), text) || strings.Contains(strings.ToLower(h.OS), text) || string(h.ID) == text {
		return true
	}
	for _, address := range h.Addresses {
		if strings.Contains(address.String(), text) {
			return true
		}
	}
	return false
}

func hostCursor(h *Host) string { return h.Name + "\x00" + string(h.ID) }

// Host returns the host with the id.
func (l *Ledger) Host(scope fleet.Scope, id fleet.HostID) (*Host, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	host, found := l.memory.hosts[id]
	if !found || !host.visible(scope) {
		return nil, false
	}
	return host, true
}

// HostsNamed returns every host of that name: names may collide.
func (l *Ledger) HostsNamed(scope fleet.Scope, name string) []*Host {
	hosts := l.AllHosts(scope)
	at, _ := slices.BinarySearchFunc(hosts, name, func(h *Host, name string) int { return strings.Compare(h.Name, name) })
	end := at
	for end < len(hosts) && hosts[end].Name == name {
		end++
	}
	return hosts[at:end:end]
}

// FindHost returns the host with the id or the name. None is NotFound, more
// than one of that name a Conflict.
func (l *Ledger) FindHost(scope fleet.Scope, nameOrID string) (*Host, error) {
	if host, found := l.Host(scope, fleet.HostID(nameOrID)); found {
		return host, nil
	}
	switch named := l.HostsNamed(scope, nameOrID); len(named) {
	case 0:
		return nil, fleet.Errorf(fleet.NotFound, "no host %q", nameOrID).WithCode("unknown_host").WithHint("fleetctl hosts")
	case 1:
		return named[0], nil
	default:
		return nil, fleet.Errorf(fleet.Conflict, "%d hosts are called %s", len(named), nameOrID).
			WithCode("ambiguous").WithHint("use the id of one: fleetctl hosts -o wide")
	}
}

// Matching returns the hosts that a task runs on, by name: its Where matches
// them, and they serve its namespace.
func (l *Ledger) Matching(scope fleet.Scope, task *fleet.Task) []*Host {
	matches, namespace := task.Where.Matcher(), task.ID().Namespace()
	return filter(l.AllHosts(scope), func(h *Host) bool { return matches(&h.Host) && h.Serves(namespace) })
}

// Totals sums up the ledger.
type Totals struct {
	Hosts, Jobs, Broken, Problems int
	Tasks, Paused                 int
	Open                          int // runs that have begun and not ended
}

// Totals returns how much there is of everything within the scope.
func (l *Ledger) Totals(scope fleet.Scope) Totals {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var totals Totals
	for namespace, open := range l.memory.open {
		if scope.Holds(namespace) {
			totals.Open += open
		}
	}
	for _, host := range l.memory.sorted {
		if !host.visible(scope) {
			continue
		}
		totals.Hosts++
		totals.Jobs += host.Jobs
		totals.Broken += host.Broken
		totals.Problems += host.Problems
	}
	for id, task := range l.memory.tasks {
		if !scope.Holds(id.Namespace()) {
			continue
		}
		if task.given() {
			totals.Tasks++
		}
		if task.State == fleet.TaskPaused {
			totals.Paused++
		}
	}
	return totals
}

// Report returns the host's inventory as its last report had it, jobs by
// source and line. Instants (Next) are those of the scan that wrote the job.
// A host without a report has an empty one with no instant of scan.
func (l *Ledger) Report(scope fleet.Scope, id fleet.HostID) (fleet.Report, error) {
	host, found := l.Host(scope, id)
	if !found {
		return fleet.Report{}, unknownHost(id)
	}
	report := fleet.Report{Host: host.Name, Jobs: []fleet.Job{}, Problems: []fleet.Problem{}}
	err := l.view(func(r *reader) error {
		head, _, err := row[reportRow](r, inReports, key(string(id)))
		if err != nil {
			return err
		}
		report.Scanned = head.Scanned
		problems, _, err := row[[]fleet.Problem](r, inProblems, key(string(id)))
		if err != nil {
			return err
		}
		report.Problems = append(report.Problems, problems...)
		seen, err := r.evidence(id)
		if err != nil {
			return err
		}
		return eachRow(r, inJobs, prefix(string(id)), func(_ []byte, job jobRow) bool {
			job.Job.Evidence = seen[job.Job.ID]
			report.Jobs = append(report.Jobs, job.Job)
			return true
		})
	})
	slices.SortFunc(report.Jobs, bySource)
	return report, err
}

// Problems returns what the host's last scan could not take as it stands. None,
// where the host is not known.
func (l *Ledger) Problems(scope fleet.Scope, id fleet.HostID) (problems []fleet.Problem, err error) {
	if _, found := l.Host(scope, id); !found {
		return nil, nil
	}
	err = l.view(func(r *reader) error {
		problems, _, err = row[[]fleet.Problem](r, inProblems, key(string(id)))
		return err
	})
	return problems, err
}

func bySource(a, b fleet.Job) int {
	if c := strings.Compare(a.Source, b.Source); c != 0 {
		return c
	}
	if a.Line != b.Line {
		return a.Line - b.Line
	}
	return strings.Compare(string(a.ID), string(b.ID))
}

// Activity returns how many runs were made of tasks within the scope, and how
// many of those failed, in the hours from the one that since lies in.
func (l *Ledger) Activity(scope fleet.Scope, since time.Time) (runs, failed int, err error) {
	first := bigEndian(max(1, hourNumber(since)) - 1)
	err = l.view(func(r *reader) error {
		add := func(_, v []byte) bool {
			count := hourCountOf(v)
			runs, failed = runs+count.runs, failed+count.failed
			return true
		}
		if scope.All() {
			each(r.bucket(inHours), nil, first, add)
			return nil
		}
		for _, namespace := range scope.Namespaces() {
			own := prefix(namespace)
			each(r.bucket(inHoursOf), own, append(bytes.Clone(own), first...), add)
		}
		return nil
	})
	return runs, failed, err
}

func filter[T any](all []T, keep func(T) bool) []T {
	var kept []T
	for _, one := range all {
		if keep(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

// cut returns the page of a list that is sorted by its cursors.
func cut[T any](all []T, page api.Page, cursor func(T) string) (items []T, next string) {
	start := 0
	if page.After != "" {
		at, found := slices.BinarySearchFunc(all, page.After, func(one T, after string) int { return strings.Compare(cursor(one), after) })
		if start = at; found {
			start++
		}
	}
	end := min(len(all), start+pageSize(page))
	if end < len(all) && end > start {
		next = cursor(all[end-1])
	}
	return all[start:end:end], next
}

// pageSize returns how many items the page has at most.
func pageSize(page api.Page) int {
	if page.Limit <= 0 {
		return api.DefaultPage
	}
	return min(page.Limit, api.MaxPage)
}
