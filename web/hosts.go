package web

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
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
		filter{Name: "q", Label: "Name, address or system", Hint: "db-"},
		filter{Name: "label", Label: "Labels", Hint: "role=db,env!=dev"},
	)
	if err != nil {
		return view{}, err
	}
	list, err := s.src.Hosts(v.Context(), api.HostQuery{
		Page: api.Page{After: l.After, Limit: rowsPerPage}, Text: l.value("q"),
		Label: l.value("label"), Presence: fleet.Presence(l.value("presence")),
	})
	if err != nil {
		return view{}, err
	}
	l.shows(len(list.Items), list.Total, list.Next)
	return view{Title: "Hosts", Body: &hostList{l, list.Items}}, nil
}

const (
	shownProblems = 50
	shownHostRuns = 8
)

// hostPage is everything about one host.
type hostPage struct {
	*listing // of the found jobs
	Host     api.HostDetail
	Given    []given
	Found    []fleet.Job // of this page
	Problems []fleet.Problem
	Runs     []api.RunView
}

// given is one task on this host.
type given struct {
	fleet.Assignment
	Next    time.Time // zero: not within a day
	Last    *api.RunView
	Applied uint64 // the generation the agent says it runs; zero: none yet
}

// Behind reports whether the host has not taken over the task as it stands.
func (g given) Behind() bool { return g.Applied < g.Generation }

func (s *site) host(v *visit) (view, error) {
	l, err := v.listing(v.URL.EscapedPath(),
		filter{Name: "verdict", Label: "Verdict", Tabs: true, Options: []option{{"", "All"}, {"runs", "Run"}, {"broken", "Will not run"}}},
		filter{Name: "q", Label: "Command, user or source", Hint: "backup"},
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
	if err := body.cutFound(); err != nil {
		return view{}, err
	}
	body.Problems = detail.Inventory.Problems[:min(shownProblems, len(detail.Inventory.Problems))]
	if err := s.hostGiven(v, body); err != nil {
		return view{}, err
	}
	return view{Title: detail.Name, Body: body}, nil
}

// hostGiven fills in the tasks of the host: when each comes next, and what
// became of it last.
func (s *site) hostGiven(v *visit, body *hostPage) error {
	host := string(body.Host.ID)
	coming, err := s.src.Upcoming(v.Context(), api.UpcomingQuery{
		From: v.now, Until: v.now.Add(24 * time.Hour), Host: host, Page: api.Page{Limit: api.MaxPage},
	})
	if err != nil {
		return err
	}
	runs, err := s.src.Runs(v.Context(), api.RunQuery{Host: host, Page: api.Page{Limit: 100}})
	if err != nil {
		return err
	}
	body.Runs = runs.Items[:min(shownHostRuns, len(runs.Items))]
	for _, assignment := range body.Host.Assignments {
		id := assignment.Task.ID()
		g := given{Assignment: assignment, Applied: body.Host.Applied.Generations[id]}
		if i := slices.IndexFunc(coming.Items, func(u api.Upcoming) bool { return u.Task == id }); i >= 0 {
			g.Next = coming.Items[i].At
		}
		if i := slices.IndexFunc(runs.Items, func(r api.RunView) bool { return r.Task == id }); i >= 0 {
			g.Last = &runs.Items[i]
		}
		body.Given = append(body.Given, g)
	}
	slices.SortFunc(body.Given, func(a, b given) int { return cmp.Compare(a.Task.ID(), b.Task.ID()) })
	return nil
}

// cutFound narrows the found jobs and keeps one page of them. Its cursor is
// the number of jobs before the page.
func (h *hostPage) cutFound() error {
	text, verdict := strings.ToLower(h.value("q")), h.value("verdict")
	var kept []fleet.Job
	for _, job := range h.Host.Inventory.Jobs {
		told := strings.ToLower(job.Command + "\n" + job.User + "\n" + job.Source)
		if strings.Contains(told, text) && (verdict == "" || job.Verdict.Runs == (verdict == "runs")) {
			kept = append(kept, job)
		}
	}
	rows, err := h.cut(len(kept))
	h.Found = kept[rows[0]:rows[1]]
	return err
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
