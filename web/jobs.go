package web

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// jobList is the page of found jobs, one by one or by same command.
type jobList struct {
	*listing
	Items  []api.JobView
	Groups []api.JobGroup
	At     time.Time // the past instant that is shown; zero: it is now
	Since  time.Time // only what changed since then; zero: all
	Now    time.Time // the instant from which the jobs are seen
}

// Grouped reports whether equal commands are one row.
func (l *jobList) Grouped() bool { return l.value("group") == "command" }

// PresentURL returns the address of the same list as it is now.
func (l *jobList) PresentURL() string { return l.With("at", "") }

var jobKinds = []option{
	{"", "Any kind"},
	{string(fleet.KindCron), "cron"}, {string(fleet.KindRunParts), "run-parts"}, {string(fleet.KindAnacron), "anacron"},
	{string(fleet.KindTimer), "timer"}, {string(fleet.KindAt), "at"},
}

func jobFilters() []filter {
	return []filter{
		{Name: "group", Label: "Show", Tabs: true, Options: []option{{"", "Each job"}, {"command", "Same command"}}},
		{Name: "verdict", Label: "Verdict", Tabs: true, Options: []option{{"", "All"}, {"runs", "Run"}, {"broken", "Will not run"}}},
		{Name: "overdue", Label: "Overdue", Tabs: true, Options: []option{{"", "Any"}, {"true", "Overdue"}}},
		{Name: "q", Label: "Command", Hint: "pg_dump, or user:root backup"},
		{Name: "host", Label: "Host", Hint: "db-1"},
		{Name: "user", Label: "User", Hint: "root"},
		{Name: "source", Label: "Source", Hint: "/etc/cron.d", Rare: true},
		{Name: "kind", Label: "Kind", Options: jobKinds},
		{Name: "owner", Label: "Owner", Hint: "team-data, or none", Rare: true},
		{Name: "label", Label: "Labels", Hint: "role=db", Rare: true},
		{Name: "at", Label: "As of", Hint: "2026-11-20 14:00 or 7d", Rare: true},
		{Name: "changed_since", Label: "Changed since", Hint: "24h or 2026-11-20", Rare: true},
		{Name: "fingerprint", Label: "Same command as", Hidden: true},
	}
}

func (s *site) jobs(v *visit) (view, error) {
	l, err := v.listing("/jobs", jobFilters()...)
	if err != nil {
		return view{}, err
	}
	body := &jobList{listing: l, Now: v.now}
	query, err := body.query(v.now)
	if err != nil {
		return view{}, err
	}
	if body.Grouped() {
		groups, err := s.src.JobGroups(v.Context(), query)
		if err != nil {
			return view{}, err
		}
		body.Groups = groups.Items
		l.shows(len(groups.Items), groups.Total, groups.Next)
		return view{Title: "Jobs", Body: body}, nil
	}
	list, err := s.src.Jobs(v.Context(), query)
	if err != nil {
		return view{}, err
	}
	body.Items = list.Items
	l.shows(len(list.Items), list.Total, list.Next)
	return view{Title: "Jobs", Body: body}, nil
}

// query asks for what the address says, and notes the instants in it.
func (l *jobList) query(now time.Time) (query api.JobQuery, err error) {
	query = api.JobQuery{
		Page: api.Page{After: l.After, Limit: rowsPerPage}, Text: l.value("q"), Host: l.value("host"), User: l.value("user"),
		Source: l.value("source"), Kind: fleet.JobKind(l.value("kind")), Label: l.value("label"), Owner: l.value("owner"),
		Fingerprint: l.value("fingerprint"), Verdict: l.value("verdict"), Overdue: l.value("overdue") != "",
	}
	if l.At, err = l.past("at", now); err != nil {
		return query, err
	}
	if l.Since, err = l.past("changed_since", now); err != nil {
		return query, err
	}
	query.At, query.Changed = l.At, l.Since
	if query.Overdue && (!l.At.IsZero() || !l.Since.IsZero()) {
		return query, fleet.Invalidf("overdue", l.value("overdue"), "is known of the present only; it cannot be asked together with as of or changed since")
	}
	if !l.At.IsZero() {
		l.Now = l.At
	}
	return query, nil
}

// Alike returns the address of the jobs that are one group.
func (l *jobList) Alike(group *api.JobGroup) string {
	return l.address("", nil, "group", "", "fingerprint", group.Fingerprint)
}

// Words describes the group's schedules, each as Debian's cron reads it.
func (l *jobList) Words(group *api.JobGroup) []schedule {
	out := make([]schedule, len(group.Schedules))
	for i, text := range group.Schedules {
		out[i] = jobSchedule(&fleet.Job{Kind: fleet.KindCron, Schedule: text}, "")
	}
	return out
}
