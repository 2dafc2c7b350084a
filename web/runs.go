package web

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// runList is the page of all runs, newest first.
type runList struct {
	*listing
	Items []api.RunView
}

// windows are the spans of time a list may be narrowed to.
var windows = map[string]time.Duration{
	"1h": time.Hour, "6h": 6 * time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour,
}

func (s *site) runs(v *visit) (view, error) {
	l, err := v.listing("/runs",
		filter{Name: "failed", Label: "Outcome", Tabs: true, Options: []option{{"", "All"}, {"1", "Failed"}}},
		filter{Name: "task", Label: "Task", Hint: "data/nightly-backup"},
		filter{Name: "host", Label: "Host", Hint: "db-1"},
		filter{Name: "state", Label: "State", Options: []option{
			{"", "Any state"}, {string(fleet.RunRunning), "running"}, {string(fleet.RunRan), "ran"}, {string(fleet.RunSkipped), "skipped"},
			{string(fleet.RunMissed), "missed"}, {string(fleet.RunUnknown), "unknown"}, {string(fleet.RunPending), "waiting"}, {string(fleet.RunBegun), "starting"},
		}},
		filter{Name: "since", Label: "Due", Options: []option{
			{"", "Any time"}, {"1h", "last hour"}, {"24h", "last 24 hours"}, {"7d", "last 7 days"}, {"30d", "last 30 days"},
		}},
		filter{Name: "order", Label: "Order", Hidden: true},
	)
	if err != nil {
		return view{}, err
	}
	query := api.RunQuery{
		Page: api.Page{After: l.After, Limit: rowsPerPage}, Host: l.value("host"), State: fleet.RunState(l.value("state")),
		Failed: l.value("failed") != "", Order: fleet.OrderID(l.value("order")),
	}
	if query.Task, err = l.task(); err != nil {
		return view{}, err
	}
	if window, set := windows[l.value("since")]; set {
		query.Since = v.now.Add(-window)
	}
	list, err := s.src.Runs(v.Context(), query)
	if err != nil {
		return view{}, err
	}
	l.shows(len(list.Items), list.Total, list.Next)
	return view{Title: "Runs", Body: &runList{l, list.Items}}, nil
}

// task reads the filter "task"; without its namespace it is of the default one.
func (l *listing) task() (fleet.TaskID, error) {
	if l.value("task") == "" {
		return "", nil
	}
	return fleet.ParseTaskID(l.value("task"))
}

// runPage is one run with its output.
type runPage struct {
	Run     api.RunView
	Streams []stream
	Silent  bool   // the host cannot be asked: Tail is all there is
	Live    string // address of the output as it is written; empty: the run has ended, or writes nothing yet

	Attempts []api.RunView // of the same occurrence, this one included; empty: there is only this one
	Now      *api.LiveRun  // what it does; nil: it is over, or its host does not say
}

const (
	// runAge is how often the page of a run that goes on is asked for again.
	runAge = 5
	// headerFollows says that whoever asks again reads the output live.
	headerFollows = "X-Fleetcron-Follows"
)

func (s *site) run(v *visit) (view, error) {
	if _, err := v.listing(v.URL.EscapedPath()); err != nil {
		return view{}, err
	}
	run, err := s.src.Run(v.Context(), fleet.RunID(v.PathValue("id")))
	if err != nil {
		return view{}, err
	}
	body := &runPage{Run: run}
	if body.Attempts, err = s.attempts(v, &run); err != nil {
		return view{}, err
	}
	if run.State == fleet.RunRunning {
		body.Now = s.goingOn(v, &run)
	}
	if run.Started != nil && !run.State.Terminal() {
		body.Live = runURL(run.ID) + "/live.txt"
	}
	if run.Started != nil && (body.Live == "" || v.Header.Get(headerFollows) == "") {
		body.Streams, body.Silent = s.output(v.Context(), run.ID)
	}
	out := view{Title: "Run of " + string(run.Task), Body: body}
	if !run.State.Terminal() {
		out.Live = runAge
	}
	return out, nil
}

// upcomingList is the page of what runs next, or in a window, found and given.
type upcomingList struct {
	*listing
	Items []api.Upcoming
	From  time.Time // of a window that was asked for; zero: from now on
	Until time.Time
}

func (s *site) upcoming(v *visit) (view, error) {
	l, err := v.listing("/upcoming",
		filter{Name: "within", Label: "Within", Tabs: true, Options: []option{{"", "1 hour"}, {"6h", "6 hours"}, {"24h", "24 hours"}}},
		filter{Name: "q", Label: "Command or task", Hint: "backup"},
		filter{Name: "host", Label: "Host", Hint: "db-1"},
		filter{Name: "label", Label: "Labels", Hint: "role=db", Rare: true},
		filter{Name: "task", Label: "Task", Hint: "data/nightly-backup", Rare: true},
		filter{Name: "from", Label: "From", Hint: "2026-11-20 02:00", Rare: true},
		filter{Name: "until", Label: "Until", Hint: "2026-11-20 04:00", Rare: true},
	)
	if err != nil {
		return view{}, err
	}
	body := &upcomingList{listing: l}
	query, err := body.query(v.now)
	if err != nil {
		return view{}, err
	}
	list, err := s.src.Upcoming(v.Context(), query)
	if err != nil {
		return view{}, err
	}
	body.Items = list.Items
	l.shows(len(list.Items), list.Total, list.Next)
	return view{Title: "Upcoming", Body: body}, nil
}

// query asks for what the address says, and notes the window in it.
func (l *upcomingList) query(now time.Time) (query api.UpcomingQuery, err error) {
	query = api.UpcomingQuery{Page: api.Page{After: l.After, Limit: rowsPerPage}, Host: l.value("host"), Label: l.value("label"), Text: l.value("q")}
	if query.Task, err = l.task(); err != nil {
		return query, err
	}
	if l.From, err = l.instant("from", now); err != nil {
		return query, err
	}
	if l.Until, err = l.instant("until", now); err != nil {
		return query, err
	}
	query.From, query.Until = l.From, l.Until
	if query.From.IsZero() {
		query.From = now
	}
	if query.Until.IsZero() {
		window, set := windows[l.value("within")]
		if !set {
			window = time.Hour
		}
		query.Until = query.From.Add(window)
	}
	switch span := query.Until.Sub(query.From); {
	case span <= 0:
		return query, fleet.Invalidf("until", l.value("until"), "must be after from")
	case span > 24*time.Hour:
		return query, fleet.Invalidf("until", l.value("until"), "want at most 24 hours after from")
	}
	return query, nil
}

// Windowed reports whether a window was asked for.
func (l *upcomingList) Windowed() bool { return !l.From.IsZero() || !l.Until.IsZero() }

// NowURL returns the address of the same list from now on.
func (l *upcomingList) NowURL() string { return l.address("", nil, "from", "", "until", "") }
