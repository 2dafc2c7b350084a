package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/taskfile"
	"github.com/fleetcron/fleetcron/shared/visible"
)

// currentTask returns the task as it is given now, or nil.
func currentTask(ctx context.Context, client *api.Client, id fleet.TaskID) (*fleet.TaskRecord, error) {
	view, err := client.Task(ctx, id)
	switch {
	case err == nil && view.State != fleet.TaskRetired:
		return &view.TaskRecord, nil
	case err == nil || fleet.KindOf(err) == fleet.NotFound:
		return nil, nil
	}
	return nil, err
}

// canonical returns the text that two tasks share when they are the same.
func canonical(task fleet.Task) (string, error) {
	if task.Namespace == fleet.DefaultNamespace {
		task.Namespace = ""
	}
	text, err := taskfile.Format(task)
	return string(text), err
}

func sameTask(a, b fleet.Task) bool {
	first, err := canonical(a)
	second, also := canonical(b)
	return err == nil && also == nil && first == second
}

// taskChange is one task on its way to the collectors.
type taskChange struct {
	id        fleet.TaskID
	task      fleet.Task
	current   *fleet.TaskRecord // nil: new
	reason    string
	dryRun    bool
	unmatched bool // is accepted
	waits     bool
	wait      time.Duration
}

// taskAnswer is what assign and unassign answer.
type taskAnswer struct {
	Task       fleet.Task     `json:"task"`
	Generation uint64         `json:"generation"` // zero: nothing was written
	Changed    bool           `json:"changed"`
	Hosts      []api.Resolved `json:"hosts"`
}

// make resolves the task, writes it where it differs, and prints where it runs.
func (c *taskChange) make(ctx context.Context, p *program, client *api.Client, verb string) error {
	doc, err := taskfile.Format(c.task)
	if err != nil {
		return err
	}
	resolution, err := client.ResolveTask(ctx, doc, api.MediaYAML)
	if err != nil {
		return err
	}
	if len(resolution.Hosts) == 0 && !c.unmatched && c.task.Where.Pick != fleet.PickNone {
		return unmatchedTask(c.id, &c.task)
	}
	answer := taskAnswer{Task: c.task, Hosts: resolution.Hosts, Changed: c.current == nil || !sameTask(c.current.Task, c.task)}
	if c.current != nil {
		answer.Generation = c.current.Generation
	}
	if answer.Changed && !c.dryRun {
		by, err := p.access().Author(client)
		if err != nil {
			return err
		}
		record, err := putTask(ctx, by, doc, api.MediaYAML, c.current, c.reason, c.unmatched)
		if err != nil {
			return err
		}
		answer.Generation = record.Generation
	}
	var waited error
	if c.waits && !c.dryRun {
		answer.Hosts, waited = waitApplied(ctx, client, c.id, answer.Generation, c.wait)
	}
	return errors.Join(p.show(answer, func() error { return c.draw(p, doc, answer, verb) }), waited)
}

func (c *taskChange) draw(p *program, doc []byte, answer taskAnswer, verb string) error {
	switch {
	case c.dryRun && answer.Changed:
		fmt.Fprintf(p.stdout, "%s\n", visible.Text(string(doc)))
		p.say("nothing was changed; this is what would be %s, on %s:", verb, count(len(answer.Hosts), "host"))
	case !answer.Changed:
		p.say("task %s stays as it is, generation %d, on %s:", c.id, answer.Generation, count(len(answer.Hosts), "host"))
	default:
		p.say("task %s is %s, generation %d, on %s:", c.id, verb, answer.Generation, count(len(answer.Hosts), "host"))
	}
	if err := drawResolved(p, answer.Hosts); err != nil {
		return err
	}
	noteNever(p, &c.task, answer.Hosts)
	return nil
}

// noteNever says so when a task of the clock has no instant left on any host.
func noteNever(p *program, task *fleet.Task, hosts []api.Resolved) {
	on := &task.On
	if !on.Clocked() || len(hosts) == 0 || slices.ContainsFunc(hosts, func(h api.Resolved) bool { return len(h.Next) > 0 }) {
		return
	}
	p.note("this task is never due: %s", triggerText(p, on))
}

// putTask gives a document over the version that was read, or where there
// was none.
func putTask(ctx context.Context, by *author.Author, doc []byte, media string, current *fleet.TaskRecord, reason string, unmatched bool) (fleet.TaskRecord, error) {
	index := uint64(0)
	if current != nil {
		index = current.Index
	}
	answer, err := done(by.Task(ctx, doc, media, "", author.Options{IfIndex: &index, Reason: reason, Unmatched: unmatched}))
	if err != nil || answer.Task == nil {
		return fleet.TaskRecord{}, err
	}
	return *answer.Task, nil
}

// verified replaces what a collector says of a task by what somebody signed whom
// the person trusts: it is signed anew, with other hosts.
func verified(p *program, client *api.Client, record *fleet.TaskRecord) error {
	by, err := p.access().Author(client)
	if err != nil {
		return err
	}
	said, err := by.Verified(record)
	if err != nil {
		return err
	}
	if said.Definition != nil {
		record.Task = *said.Definition
	}
	return nil
}

func unmatchedTask(id fleet.TaskID, task *fleet.Task) error {
	hint := "fleetctl hosts shows names and labels; --allow-unmatched accepts it"
	if task.Where.Labels != "" && task.Where.Labels != "*" {
		hint = fmt.Sprintf("fleetctl hosts --label %q; --allow-unmatched accepts it", task.Where.Labels)
	}
	return fleet.Errorf(fleet.Invalid, "task %s matches no host: %s", id, whereText(&task.Where)).WithCode(api.CodeUnmatched).WithHint("%s", hint)
}

// waitApplied waits until every host that is alive runs the generation.
func waitApplied(ctx context.Context, client *api.Client, id fleet.TaskID, generation uint64, most time.Duration) ([]api.Resolved, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var hosts []api.Resolved
	var missing, silent []string
	waited := time.Duration(0)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		now, err := client.TaskHosts(ctx, id)
		switch {
		case err == nil:
			hosts = now
			if missing, silent = without(hosts, generation); len(missing) == 0 {
				return hosts, silentHosts(silent)
			}
			if waited += pause; waited > refusalPatience {
				if refused := refusedBy(ctx, client, id, missing); refused != nil {
					return hosts, refused
				}
			}
			err = wait(ctx, pause)
		case ctx.Err() == nil:
			return hosts, err
		}
		if err != nil { // the time is over, during an answer or between two
			return hosts, fleet.Errorf(fleet.Unavailable, "not every host has the task within %s: %s", short(most), orDash(some(missing))).
				WithHint("it is given all the same; fleetctl tasks %s shows who has it", id)
		}
	}
}

// refusalPatience is how long what hosts said of a task may still be about the
// version before.
const refusalPatience = 3 * time.Second

// refusedBy returns why every one of the hosts refuses the task; nil where one of
// them does not, or nobody can tell.
func refusedBy(ctx context.Context, client *api.Client, id fleet.TaskID, hosts []string) error {
	policies, err := client.Policies(ctx)
	if err != nil {
		return nil // the hosts may still take it
	}
	var why *fleet.Refusal
	refuse := 0
	for i := range policies.Items {
		host := &policies.Items[i]
		at := slices.IndexFunc(host.Refused, func(r fleet.Refusal) bool { return r.Object == "task "+string(id) })
		if at >= 0 && slices.Contains(hosts, host.Name) {
			why, refuse = &host.Refused[at], refuse+1
		}
	}
	if why == nil || refuse < len(hosts) {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "task %s is given, and refused by %s: %s", id, some(hosts), why).
		WithCode(why.Code).WithHint("fleetctl policies %s", shellWord(hosts[0]))
}

// without names the hosts that do not run the generation: those that should by
// now, and those that are silent.
func without(hosts []api.Resolved, generation uint64) (missing, silent []string) {
	for _, host := range hosts {
		switch {
		case host.Applied >= generation:
		case host.Presence == fleet.Alive:
			missing = append(missing, host.Name)
		default:
			silent = append(silent, host.Name)
		}
	}
	return missing, silent
}

func silentHosts(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fleet.Errorf(fleet.Unavailable, "silent hosts have not confirmed the task: %s", some(names)).
		WithHint("they take it over when they are back; fleetctl hosts --state silent")
}

// some lists a few names.
func some(names []string) string {
	const few = 8
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}
