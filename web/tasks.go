package web

import (
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// taskList is the page of all given tasks.
type taskList struct {
	*listing
	Items []api.TaskView
}

func (s *site) tasks(v *visit) (view, error) {
	l, err := v.listing("/tasks",
		filter{Name: "state", Label: "State", Tabs: true, Options: []option{
			{"", "All"}, {string(fleet.TaskEnabled), "Enabled"}, {string(fleet.TaskPaused), "Paused"},
		}},
		filter{Name: "q", Label: "Name or command", Hint: "backup"},
		filter{Name: "namespace", Label: "Namespace", Hint: "data"},
		filter{Name: "host", Label: "On host", Hint: "db-1"},
	)
	if err != nil {
		return view{}, err
	}
	list, err := s.src.Tasks(v.Context(), api.TaskQuery{
		Page: api.Page{After: l.After, Limit: rowsPerPage}, Text: l.value("q"), Namespace: l.value("namespace"),
		Host: l.value("host"), State: fleet.TaskState(l.value("state")),
	})
	if err != nil {
		return view{}, err
	}
	l.shows(len(list.Items), list.Total, list.Next)
	return view{Title: "Tasks", Body: &taskList{l, list.Items}}, nil
}

const shownTaskRuns = 12

// taskPage is one task, where it runs and how it fared.
type taskPage struct {
	*listing // of its hosts
	Task     api.TaskView
	Hosts    []api.Resolved // of this page
	Behind   int            // hosts that do not run the current generation yet
	Runs     []api.RunView
	Beats    []beat
	Account  []accountRow    // what became of what was due; empty: nothing was
	Adoption *fleet.Adoption // how it was made of a found job; nil: it was not

	Standings     []api.StandingView
	StandingTotal int
}

// BeatsWidth is how wide the row of beats is, in its own units.
func (t *taskPage) BeatsWidth() int { return len(t.Beats) * beatWidth }

// Limits lists what bounds a run, in the words of the task file.
func (t *taskPage) Limits() []option {
	limits, on := &t.Task.Task.Limits, &t.Task.Task.On
	all := []option{
		{"timeout", orDash(limits.Timeout.String(), limits.Timeout == 0, "none")},
		{"grace", orDash(limits.Grace.String(), limits.Grace == 0, fleet.Duration(fleet.DefaultGrace).String())},
		{"overlap", orDash(string(limits.Overlap), limits.Overlap == "", string(fleet.OverlapSkip))},
		{"output", orDash(limits.Output.String(), limits.Output == 0, fleet.DefaultOutput.String())},
		{"missed", orDash(string(on.Missed.Policy), on.Missed.Policy == "", string(fleet.MissedSkip))},
	}
	for _, d := range []struct {
		name string
		is   fleet.Duration
	}{{"spread", on.Spread}, {"stall", limits.Stall}} {
		if d.is != 0 {
			all = append(all, option{d.name, d.is.String()})
		}
	}
	if limits.Memory != 0 {
		all = append(all, option{"memory", limits.Memory.String()})
	}
	if limits.CPU != 0 {
		all = append(all, option{"cpu", processors(limits.CPU)})
	}
	return all
}

func orDash(text string, zero bool, otherwise string) string {
	if zero {
		return otherwise
	}
	return text
}

// Targets says on which hosts the task runs, in the words of the task file.
func (t *taskPage) Targets() []option {
	where := &t.Task.Task.Where
	var out []option
	if where.Labels != "" {
		out = append(out, option{"labels", where.Labels})
	}
	if len(where.Hosts) > 0 {
		out = append(out, option{"hosts", strings.Join(where.Hosts, ", ")})
	}
	for _, network := range where.Networks {
		out = append(out, option{"network", network.String()})
	}
	return out
}

// Document is the task as its author sent it.
func (t *taskPage) Document() string { return string(t.Task.TaskRecord.Document) }

func (s *site) task(v *visit) (view, error) {
	id, err := fleet.ParseTaskID(v.PathValue("namespace") + "/" + v.PathValue("name"))
	if err != nil {
		return view{}, fleet.Errorf(fleet.NotFound, "there is no task %s", clip(v.PathValue("namespace")+"/"+v.PathValue("name"), 120)).
			WithHint("fleetctl tasks")
	}
	l, err := v.listing(taskURL(id))
	if err != nil {
		return view{}, err
	}
	l.Anchor = "#hosts"
	task, err := s.src.Task(v.Context(), id)
	if err != nil {
		return view{}, err
	}
	hosts, err := s.src.TaskHosts(v.Context(), id)
	if err != nil {
		return view{}, err
	}
	runs, err := s.src.Runs(v.Context(), api.RunQuery{Task: id, Page: api.Page{Limit: maxBeats}})
	if err != nil {
		return view{}, err
	}
	rows, err := l.cut(len(hosts))
	if err != nil {
		return view{}, err
	}
	body := &taskPage{
		listing: l, Task: task, Hosts: hosts[rows[0]:rows[1]],
		Runs: runs.Items[:min(shownTaskRuns, len(runs.Items))], Beats: beats(runs.Items[:min(maxBeats, len(runs.Items))]),
	}
	if body.Account, err = s.account(v, id); err != nil {
		return view{}, err
	}
	if err := s.stands(v, id, body); err != nil {
		return view{}, err
	}
	if body.Adoption, err = s.adoption(v, id); err != nil {
		return view{}, err
	}
	for _, host := range hosts {
		if host.Applied < task.Generation {
			body.Behind++
		}
	}
	return view{Title: string(id), Body: body}, nil
}

// adoption reads how a task was made of a found job; nil where it was not.
func (s *site) adoption(v *visit, task fleet.TaskID) (*fleet.Adoption, error) {
	adoption, err := s.src.Adoption(v.Context(), task)
	switch {
	case fleet.KindOf(err) == fleet.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &adoption, nil
}
