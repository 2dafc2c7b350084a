package web

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// standingList is the page of how tasks stand on their hosts.
type standingList struct {
	*listing
	Items []api.StandingView
}

func (s *site) standings(v *visit) (view, error) {
	l, err := v.listing("/standings",
		filter{Name: "bad", Label: "Shown", Tabs: true, Options: []option{{"", "All"}, {"true", "That want a person"}}},
		filter{Name: "task", Label: "Task", Hint: "data/queue-worker"},
		filter{Name: "host", Label: "Host", Hint: "db-1"},
		filter{Name: "phase", Label: "Phase", Options: options("Any phase", phases)},
		filter{Name: "breaker", Label: "Breaker", Options: options("Any breaker", breakers)},
		filter{Name: "health", Label: "Health", Options: options("Any health", healths)},
	)
	if err != nil {
		return view{}, err
	}
	query := api.StandingQuery{
		Page: api.Page{After: l.After, Limit: rowsPerPage}, Host: l.value("host"), Phase: fleet.Phase(l.value("phase")),
		Breaker: fleet.BreakerState(l.value("breaker")), Health: fleet.HealthState(l.value("health")), Bad: l.value("bad") != "",
	}
	if query.Task, err = l.task(); err != nil {
		return view{}, err
	}
	list, err := s.src.Standings(v.Context(), query)
	if err != nil {
		return view{}, err
	}
	l.shows(len(list.Items), list.Total, list.Next)
	return view{Title: "Standings", Body: &standingList{l, list.Items}, Live: overviewAge}, nil
}

// calendarList is the page of all calendars.
type calendarList struct{ Items []fleet.CalendarRecord }

func (s *site) calendars(v *visit) (view, error) {
	if _, err := v.listing("/calendars"); err != nil {
		return view{}, err
	}
	list, err := s.src.Calendars(v.Context())
	if err != nil {
		return view{}, err
	}
	return view{Title: "Calendars", Body: &calendarList{list.Items}}, nil
}

// windowWords says when a window of a calendar is.
func windowWords(w *fleet.Window) string {
	var text strings.Builder
	switch {
	case w.Cron != "":
		text.WriteString(taskSchedule(&fleet.Trigger{Cron: w.Cron}).Words)
		if text.Len() == 0 {
			text.WriteString(w.Cron)
		}
	case w.From != nil:
		text.WriteString(w.From.UTC().Format("from 2 Jan 2006 15:04 UTC"))
	}
	switch {
	case w.To != nil:
		text.WriteString(w.To.UTC().Format(" to 2 Jan 2006 15:04 UTC"))
	case w.For != 0:
		text.WriteString(" for " + w.For.String())
	}
	if w.Rule != "" {
		text.WriteString(", again by " + clip(w.Rule, 120))
	}
	return text.String()
}

// shownStandings is how many hosts a task's page lists by how it stands there.
const shownStandings = 50

// stands reads how a task stands on its hosts, those that want a person first.
func (s *site) stands(v *visit, task fleet.TaskID, page *taskPage) error {
	list, err := s.src.Standings(v.Context(), api.StandingQuery{Task: task, Page: api.Page{Limit: shownStandings}})
	page.Standings, page.StandingTotal = list.Items, list.Total
	return err
}

// Params lists the values that an order to run may say, and what each may be.
func (t *taskPage) Params() []option {
	var all []option
	for _, name := range slices.Sorted(maps.Keys(t.Task.Task.Params)) {
		param := t.Task.Task.Params[name]
		words := param.Text()
		if param.Default != nil {
			words += "; " + strconv.Quote(*param.Default) + " where nothing is said"
		}
		all = append(all, option{name, clip(words+worth(param.Description != "", ": "+param.Description), 400)})
	}
	return all
}

// Policies lists what happens around a run, in the words of the task file.
func (t *taskPage) Policies() []option {
	task := &t.Task.Task
	var all []option
	put := func(name string, words ...string) {
		if text := strings.Join(strings.Fields(strings.Join(words, " ")), " "); text != "" {
			all = append(all, option{name, clip(text, 200)})
		}
	}
	if r := &task.Retry; r.Attempts > 0 {
		put("retry", strconv.Itoa(r.Attempts), "attempts", worth(r.Budget != 0, "within "+r.Budget.String()), worth(len(r.On) > 0, "on "+strings.Join(r.On, ", ")))
	}
	if b := &task.Breaker; b.Failures > 0 {
		put("breaker", "opens after", strconv.Itoa(b.Failures), "failures", worth(b.Window != 0, "within "+b.Window.String()), worth(b.Key != "", "shared as "+b.Key))
	}
	if r := &task.Restart; task.Supervised() {
		put("restart", orDash(string(r.Policy), r.Policy == "", string(fleet.RestartAlways)), worth(r.GiveUp.Times > 0, "giving up at "+r.GiveUp.String()))
	}
	if h := &task.Health; !h.IsZero() {
		put("health", strings.Join(h.Exec, " "), h.HTTP, h.TCP, "every", orDash(h.Every.String(), h.Every == 0, "10s"))
	}
	if w := &task.WaitFor; !w.IsZero() {
		put("wait for", strings.Join(w.TCP, " "), strings.Join(w.HTTP, " "), strings.Join(w.File, " "), strings.Join(w.Unit, " "), strings.Join(w.Command, " "))
	}
	put("needs", strings.Join(task.Needs, ", "))
	return all
}

// worth returns the text where it says something.
func worth(is bool, text string) string {
	if !is {
		return ""
	}
	return text
}

// attempts reads the runs of the same occurrence, where there may be others.
func (s *site) attempts(v *visit, run *api.RunView) ([]api.RunView, error) {
	if run.Attempt < 2 && run.Again == nil {
		return nil, nil
	}
	list, err := s.src.Runs(v.Context(), api.RunQuery{
		Task: run.Task, Host: string(run.Host), Since: run.Due, Until: run.Due.Add(1), Page: api.Page{Limit: 100},
	})
	if err != nil {
		return nil, err
	}
	var same []api.RunView
	for _, other := range list.Items {
		if other.Due.Equal(run.Due) && other.Order == run.Order {
			same = append(same, other)
		}
	}
	return same, nil
}

// liveTime is how long the agent of a run's host may take to say what goes on.
const liveTime = 2 * time.Second

// goingOn asks the host what a run does at this moment; nil where the host
// does not say.
func (s *site) goingOn(v *visit, run *api.RunView) *api.LiveRun {
	ctx, cancel := context.WithTimeout(v.Context(), liveTime)
	defer cancel()
	live, err := s.src.Live(ctx, string(run.Host))
	if err != nil {
		return nil // what is recorded is shown all the same
	}
	for i := range live.Runs {
		if live.Runs[i].Run == run.ID {
			return &live.Runs[i]
		}
	}
	return nil
}

// usage lists what a run used, as far as it is known.
func usage(used *fleet.Used) []option {
	var all []option
	if used.CPU != 0 {
		all = append(all, option{"processor", elapsed(time.Duration(used.CPU))})
	}
	for _, part := range []struct {
		name string
		size fleet.Bytes
	}{{"memory at most", used.Memory}, {"read", used.Read}, {"written", used.Written}} {
		if part.size != 0 {
			all = append(all, option{part.name, size(int64(part.size))})
		}
	}
	return all
}

// processors writes a share of processors as people read it.
func processors(cpu float64) string { return strconv.FormatFloat(cpu, 'f', 2, 64) }

// percent writes how far a run has come.
func percent(progress float64) string { return strconv.FormatFloat(progress, 'f', -1, 64) + " %" }
