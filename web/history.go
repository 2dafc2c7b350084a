package web

import (
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// changeKinds are the words for what may change about a job, in the order of a
// choice.
var changeKinds = []option{
	{"", "Any change"},
	{string(fleet.ChangeAppeared), "appeared"},
	{string(fleet.ChangeVanished), "vanished"},
	{string(fleet.ChangeMoved), "moved"},
	{string(fleet.ChangeSchedule), "schedule"},
	{string(fleet.ChangeTimezone), "time zone"},
	{string(fleet.ChangeCommand), "command"},
	{string(fleet.ChangeUser), "user"},
	{string(fleet.ChangeEnvironment), "environment"},
	{string(fleet.ChangeEnabled), "enabled"},
	{string(fleet.ChangeVerdict), "verdict"},
}

// changeStatus is a kind of change as a page shows it.
func changeStatus(kind fleet.ChangeKind) status {
	word := wordOf(changeKinds, string(kind))
	switch kind {
	case fleet.ChangeAppeared:
		return status{"appeared", word, "ok"}
	case fleet.ChangeVanished:
		return status{"vanished", word, "warn"}
	}
	return status{"changed", word, "live"}
}

// change is one change of a job with its differences.
type change struct {
	api.ChangeView
	Differences []difference
}

// difference is one property of a job before and after.
type difference struct {
	Name   string
	Before []piece // empty: it was not there
	After  []piece // empty: it is no longer there
}

// Now returns the job as it was left: what appeared, what it became, or what
// vanished. Nil where the record holds neither.
func (c *change) Now() *fleet.Job {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// URL returns the address of the job's page.
func (c *change) URL() string { return jobURL(c.Host, c.Job) }

func changesOf(items []api.ChangeView) []change {
	out := make([]change, len(items))
	for i, item := range items {
		out[i] = change{ChangeView: item}
		if item.Before != nil && item.After != nil {
			out[i].Differences = differences(item.Before, item.After)
		}
	}
	return out
}

// shownText bounds how much of a command or a setting is compared and shown,
// in bytes.
const shownText = 4000

// differences compares what a change may be about, in the order of its table.
func differences(before, after *fleet.Job) []difference {
	var out []difference
	add := func(name, was, is string) {
		if was != is {
			old, now := differing(clip(was, shownText), clip(is, shownText))
			out = append(out, difference{name, old, now})
		}
	}
	add("source", before.Source, after.Source)
	add("schedule", before.Schedule, after.Schedule)
	add("time zone", before.Timezone, after.Timezone)
	add("command", before.Command, after.Command)
	add("user", before.User, after.User)
	names := slices.Sorted(maps.Keys(before.Env))
	for _, name := range slices.Sorted(maps.Keys(after.Env)) {
		if _, had := before.Env[name]; !had {
			names = append(names, name)
		}
	}
	for _, name := range names {
		add("environment", setting(before.Env, name), setting(after.Env, name))
	}
	add("enabled", yesNo(before.Enabled), yesNo(after.Enabled))
	add("verdict", verdictText(&before.Verdict), verdictText(&after.Verdict))
	return out
}

func setting(env map[string]string, name string) string {
	value, set := env[name]
	if !set {
		return ""
	}
	return name + "=" + value
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func verdictText(v *fleet.Verdict) string {
	if v.Runs {
		return "runs"
	}
	if v.Why == "" {
		return "will not run"
	}
	return "will not run: " + v.Why
}

// changeList is the page of what changed, the newest first.
type changeList struct {
	*listing
	Items []change
}

func (s *site) history(v *visit) (view, error) {
	l, err := v.listing("/history",
		filter{Name: "what", Label: "Change", Options: changeKinds},
		filter{Name: "q", Label: "Command", Hint: "backup"},
		filter{Name: "host", Label: "Host", Hint: "db-1"},
		filter{Name: "label", Label: "Labels", Hint: "role=db"},
		filter{Name: "since", Label: "Since", Hint: "24h or 2026-11-20"},
		filter{Name: "until", Label: "Until", Hint: "2026-11-20 14:00"},
		filter{Name: "job", Label: "Job", Hidden: true},
	)
	if err != nil {
		return view{}, err
	}
	query := api.ChangeQuery{
		Page: api.Page{After: l.After, Limit: rowsPerPage}, Host: l.value("host"), Job: fleet.JobID(l.value("job")), Label: l.value("label"),
		What: fleet.ChangeKind(l.value("what")), Text: l.value("q"),
	}
	if query.Since, err = l.instant("since", v.now); err != nil {
		return view{}, err
	}
	if query.Until, err = l.instant("until", v.now); err != nil {
		return view{}, err
	}
	list, err := s.src.Changes(v.Context(), query)
	if err != nil {
		return view{}, err
	}
	l.shows(len(list.Items), list.Total, list.Next)
	return view{Title: "History", Body: &changeList{l, changesOf(list.Items)}}, nil
}

// jobHistoryURL returns the address of all that changed about one job.
func jobHistoryURL(host fleet.HostID, job fleet.JobID) string {
	return "/history?" + url.Values{"host": {string(host)}, "job": {string(job)}}.Encode()
}

// where writes a job's source with its line.
func where(source string, line int) string {
	if line == 0 {
		return source
	}
	return source + ":" + strconv.Itoa(line)
}
