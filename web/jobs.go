package web

import (
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// jobList is the page of found jobs, one by one or by same command.
type jobList struct {
	*listing
	Items  []api.JobView
	Groups []api.JobGroup
}

// Grouped reports whether equal commands are one row.
func (l *jobList) Grouped() bool { return l.value("group") == "command" }

var jobKinds = []option{
	{"", "Any kind"},
	{string(fleet.KindCron), "cron"}, {string(fleet.KindRunParts), "run-parts"}, {string(fleet.KindAnacron), "anacron"},
	{string(fleet.KindTimer), "timer"}, {string(fleet.KindAt), "at"},
}

func (s *site) jobs(v *visit) (view, error) {
	l, err := v.listing("/jobs",
		filter{Name: "group", Label: "Show", Tabs: true, Options: []option{{"", "Each job"}, {"command", "Same command"}}},
		filter{Name: "verdict", Label: "Verdict", Tabs: true, Options: []option{{"", "All"}, {"runs", "Run"}, {"broken", "Will not run"}}},
		filter{Name: "q", Label: "Command", Hint: "pg_dump, or user:root backup"},
		filter{Name: "host", Label: "Host", Hint: "db-1"},
		filter{Name: "user", Label: "User", Hint: "root"},
		filter{Name: "source", Label: "Source", Hint: "/etc/cron.d"},
		filter{Name: "kind", Label: "Kind", Options: jobKinds},
		filter{Name: "label", Label: "Labels", Hidden: true},
		filter{Name: "fingerprint", Label: "Same command as", Hidden: true},
	)
	if err != nil {
		return view{}, err
	}
	query := api.JobQuery{
		Page: api.Page{After: l.After, Limit: rowsPerPage}, Text: l.value("q"), Host: l.value("host"), User: l.value("user"),
		Source: l.value("source"), Kind: fleet.JobKind(l.value("kind")), Label: l.value("label"),
		Fingerprint: l.value("fingerprint"), Verdict: l.value("verdict"),
	}
	body := &jobList{listing: l}
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
