package web

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// hostList is the page of all hosts.
type hostList struct {
	*listing
	Items []api.HostView
}

func (s *site) hosts(v *visit) (view, error) {
	l, err := v.listing("/hosts",
		filter{Name: "presence", Label: "Presence", Tabs: true, Options: []option{
			{"", "All"}, {string(fleet.Alive), "Alive"}, {string(fleet.Silent), "Silent"}, {string(fleet.Left), "Left"},
		}},
		filter{Name: "problems", Label: "Problems", Tabs: true, Options: []option{{"", "Any"}, {"true", "With lines cron cannot read"}}},
		filter{Name: "q", Label: "Name, address or system", Hint: "db-"},
		filter{Name: "label", Label: "Labels", Hint: "role=db,env!=dev"},
	)
	if err != nil {
		return view{}, err
	}
	list, err := s.src.Hosts(v.Context(), api.HostQuery{
		Page: api.Page{After: l.After, Limit: rowsPerPage}, Text: l.value("q"),
		Label: l.value("label"), Presence: fleet.Presence(l.value("presence")), Problems: l.value("problems") != "",
	})
	if err != nil {
		return view{}, err
	}
	l.shows(len(list.Items), list.Total, list.Next)
	return view{Title: "Hosts", Body: &hostList{l, list.Items}}, nil
}

const (
	shownProblems     = 50
	shownHostRuns     = 8
	shownHostChanges  = 5
	shownHostFindings = 5
)

// hostPage is everything about one host.
type hostPage struct {
	*listing // of the found jobs
	Host     api.HostDetail
	Given    []given
	Found    []api.JobView // of this page
	Problems []fleet.Problem
	Runs     []api.RunView
	Day      *day
	Findings api.FindingList
	Changes  []change
	Pins     []api.PinView // that bind it
}

// given is one task on this host.
type given struct {
	fleet.Assignment
	Next    time.Time // zero: not within the day shown
	Last    *api.RunView
	Applied uint64 // the generation the agent says it runs; zero: none yet
}

// Behind reports whether the host has not taken over the task as it stands.
func (g given) Behind() bool { return g.Applied < g.Generation }

func (s *site) host(v *visit) (view, error) {
	l, err := v.listing(v.URL.EscapedPath(),
		filter{Name: "verdict", Label: "Verdict", Tabs: true, Options: []option{{"", "All"}, {"runs", "Run"}, {"broken", "Will not run"}}},
		filter{Name: "q", Label: "Command", Hint: "backup, or user:root"},
	)
	if err != nil {
		return view{}, err
	}
	l.Anchor = "#found"
	detail, err := s.src.Host(v.Context(), v.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	body := &hostPage{listing: l, Host: detail}
	body.Problems = detail.Inventory.Problems[:min(shownProblems, len(detail.Inventory.Problems))]
	for _, part := range []func(*visit, *hostPage) error{s.hostFound, s.hostGiven, s.hostNews} {
		if err := part(v, body); err != nil {
			return view{}, err
		}
	}
	return view{Title: detail.Name, Body: body}, nil
}

// hostFound fills in one page of the jobs found there.
func (s *site) hostFound(v *visit, body *hostPage) error {
	list, err := s.src.Jobs(v.Context(), api.JobQuery{
		Page: api.Page{After: body.After, Limit: rowsPerPage}, Host: string(body.Host.ID), Text: body.value("q"), Verdict: body.value("verdict"),
	})
	body.Found = list.Items
	body.shows(len(list.Items), list.Total, list.Next)
	return err
}

// hostGiven fills in the tasks of the host: when each comes next, and what
// became of it last.
func (s *site) hostGiven(v *visit, body *hostPage) (err error) {
	var coming []api.Upcoming
	if body.Day, coming, err = s.day(v, body.Host.ID, dayFrom(v.now)); err != nil {
		return err
	}
	runs, err := s.src.Runs(v.Context(), api.RunQuery{Host: string(body.Host.ID), Page: api.Page{Limit: 100}})
	if err != nil {
		return err
	}
	body.Runs = runs.Items[:min(shownHostRuns, len(runs.Items))]
	next := map[fleet.TaskID]time.Time{}
	for i := range coming {
		if _, seen := next[coming[i].Task]; !seen && coming[i].At.After(v.now) {
			next[coming[i].Task] = coming[i].At
		}
	}
	for _, assignment := range body.Host.Assignments {
		id := assignment.Task.ID()
		g := given{Assignment: assignment, Applied: body.Host.Applied.Generations[id], Next: next[id]}
		if i := slices.IndexFunc(runs.Items, func(r api.RunView) bool { return r.Task == id }); i >= 0 {
			g.Last = &runs.Items[i]
		}
		body.Given = append(body.Given, g)
	}
	slices.SortFunc(body.Given, func(a, b given) int { return cmp.Compare(a.Task.ID(), b.Task.ID()) })
	return nil
}

// hostNews fills in what is wrong with the host, what changed there, and what
// it may contain.
func (s *site) hostNews(v *visit, body *hostPage) (err error) {
	if body.Findings, err = s.openFindings(v, body.Host.ID, shownHostFindings); err != nil {
		return err
	}
	changes, err := s.src.Changes(v.Context(), api.ChangeQuery{Host: string(body.Host.ID), Page: api.Page{Limit: shownHostChanges}})
	if err != nil {
		return err
	}
	body.Changes = changesOf(changes.Items)
	pins, err := s.src.Pins(v.Context())
	if err != nil {
		return err
	}
	for _, pin := range pins.Items {
		if selector, err := fleet.ParseSelector(pin.Labels); err == nil && selector.Matches(body.Host.Labels) {
			body.Pins = append(body.Pins, pin)
		}
	}
	return nil
}

// Counts lists the open findings by severity.
func (h *hostPage) Counts() []severityCount {
	return countsOf(h.Findings.Counts, func(severity fleet.Severity) string {
		return h.FindingsURL() + "&severity=" + string(severity)
	})
}

// FindingsURL returns the address of all that is wrong with the host.
func (h *hostPage) FindingsURL() string {
	return "/findings?" + url.Values{"host": {string(h.Host.ID)}}.Encode()
}

// HistoryURL returns the address of all that changed there.
func (h *hostPage) HistoryURL() string {
	return "/history?" + url.Values{"host": {string(h.Host.ID)}}.Encode()
}

// cut pages a list that the Source returned as a whole: it returns the first
// row shown and the one behind the last, and notes the next page's cursor.
func (l *listing) cut(total int) (rows [2]int, err error) {
	start := 0
	if l.After != "" {
		if start, err = strconv.Atoi(l.After); err != nil || start < 0 {
			return rows, fleet.Invalidf("after", clip(l.After, 40), "is no place in this list")
		}
	}
	start = min(start, total)
	end, next := min(start+rowsPerPage, total), ""
	if end < total {
		next = strconv.Itoa(end)
	}
	l.shows(end-start, total, next)
	return [2]int{start, end}, nil
}
