package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

type applyOptions struct {
	files                        []string
	dryRun, prune, stop, accepts bool
	namespace, reason            string
}

func (o *applyOptions) addFlags(c *cobra.Command) {
	addFileFlag(c, &o.files)
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print what would happen, and change nothing")
	c.Flags().BoolVar(&o.prune, "prune", false, "delete the tasks of --namespace that the files do not name")
	c.Flags().StringVar(&o.namespace, "namespace", "", "the `namespace` that --prune clears; every file must be of it")
	c.Flags().BoolVar(&o.stop, "stop", false, "with --prune: stop the runs of deleted tasks")
	c.Flags().BoolVar(&o.accepts, "allow-unmatched", false, "accept tasks that match no host yet")
	c.Flags().StringVar(&o.reason, "reason", "", "why, in your words; kept with the change")
}

func newApplyCommand(p *program) *cobra.Command {
	var options applyOptions
	c := &cobra.Command{
		Use: "apply -f FILE", GroupID: groupGiven, Args: arguments(0, 0),
		Short:   "Make the tasks be as the files say",
		Long:    "Make the tasks be as the files say. Every file is checked before the first task is\nwritten, and tasks that are so already are left alone, so it may be repeated at will.",
		Example: "  fleetctl apply -f tasks/ --reason \"ticket 4711\"\n  fleetctl apply -f data.yaml --prune --namespace data",
	}
	options.addFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		inputs, err := readInputs(p, c, options.files)
		if err == nil {
			err = options.check(inputs)
		}
		if err != nil {
			return err
		}
		return p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runApply(ctx, p, client, inputs, options)
		})(c, args)
	}
	return c
}

// check keeps --prune within one namespace that is named.
func (o *applyOptions) check(inputs []input) error {
	switch {
	case !o.prune && o.namespace != "":
		return fleet.Errorf(fleet.Usage, "--namespace belongs to --prune; a task's file names its own")
	case !o.prune && o.stop:
		return fleet.Errorf(fleet.Usage, "--stop belongs to --prune")
	case !o.prune:
		return nil
	case o.namespace == "":
		return fleet.Errorf(fleet.Usage, "--prune wants --namespace: it deletes what the files do not name there")
	}
	var problems []error
	for i := range inputs {
		if id := inputs[i].Task.ID(); id.Namespace() != o.namespace {
			problems = append(problems, fleet.Errorf(fleet.Usage, "%s: task %s is not in the namespace %s that is pruned", inputs[i].name(), id, o.namespace))
		}
	}
	return errors.Join(problems...)
}

// step is what happens to one task.
type step struct {
	Task       fleet.TaskID `json:"task"`
	Action     action       `json:"action"`
	Generation uint64       `json:"generation,omitempty"`
	Hosts      int          `json:"hosts"`             // that it resolves to; of created and changed tasks
	Request    string       `json:"request,omitempty"` // that waits for approval; nothing has changed yet

	input   *input
	current *fleet.TaskRecord
}

// action says what apply does with a task.
type action string

// The actions, in the order they are counted.
const (
	created   action = "created"
	changed   action = "changed"
	unchanged action = "unchanged"
	deleted   action = "deleted"
	waits     action = "waits" // for other people
)

// runApply plans every step, checks all of them with the collectors, and only
// then writes.
func runApply(ctx context.Context, p *program, client *api.Client, inputs []input, options applyOptions) error {
	steps, err := plan(ctx, client, inputs, options)
	if err != nil {
		return err
	}
	if !options.dryRun && slices.ContainsFunc(steps, func(s step) bool { return s.Action != unchanged }) {
		by, err := p.access().Author(client)
		if err != nil {
			return err
		}
		for i := range steps {
			if err := steps[i].make(ctx, client, by, options); err != nil {
				return fmt.Errorf("%s (%d of %d tasks were written before; apply again once it is put right): %w", steps[i].Task, i, len(steps), err)
			}
		}
	}
	return p.show(steps, func() error {
		counts := map[action]int{}
		for _, s := range steps {
			counts[s.Action]++
			if s.Action != unchanged || p.settings.Output == asWide {
				p.say("%-9s %s%s", s.Action, s.Task, onHosts(s))
			}
		}
		text := fmt.Sprintf("%d created, %d changed, %d unchanged", counts[created], counts[changed], counts[unchanged])
		if options.prune {
			text += fmt.Sprintf(", %d deleted", counts[deleted])
		}
		if counts[waits] > 0 {
			text += fmt.Sprintf(", %d waiting: another person must approve them", counts[waits])
		}
		if options.dryRun {
			text += "; nothing was changed, this is what would be"
		}
		p.say("%s", text)
		return nil
	})
}

func onHosts(s step) string {
	if s.Action == created || s.Action == changed {
		return " on " + count(s.Hosts, "host")
	}
	if s.Action == waits {
		return " for approval: fleetctl approve " + s.Request
	}
	return ""
}

// plan compares each input with what is given and resolves what differs.
func plan(ctx context.Context, client *api.Client, inputs []input, options applyOptions) ([]step, error) {
	steps := make([]step, 0, len(inputs))
	var problems []error
	for i := range inputs {
		s, err := planOne(ctx, client, &inputs[i], options.accepts)
		switch {
		case err == nil:
			steps = append(steps, s)
		case fleet.KindOf(err) == fleet.Invalid:
			problems = append(problems, inFile{inputs[i].name(), err})
		default:
			return nil, err
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if options.prune {
		return prune(ctx, client, steps, options.namespace)
	}
	return steps, nil
}

func planOne(ctx context.Context, client *api.Client, in *input, unmatched bool) (step, error) {
	s := step{Task: in.Task.ID(), Action: created, input: in}
	current, err := currentTask(ctx, client, s.Task)
	if err != nil {
		return s, err
	}
	if current != nil {
		s.current, s.Action, s.Generation = current, changed, current.Generation
		if sameTask(current.Task, in.Task) {
			s.Action = unchanged
			return s, nil
		}
	}
	resolution, err := client.ResolveTask(ctx, in.Bytes, in.media)
	if err != nil {
		return s, err
	}
	s.Hosts = len(resolution.Hosts)
	if s.Hosts == 0 && !unmatched && in.Task.Where.Pick != fleet.PickNone {
		return s, unmatchedTask(s.Task, &in.Task)
	}
	return s, nil
}

// prune adds a deletion for every task of the namespace that no step names.
func prune(ctx context.Context, client *api.Client, steps []step, namespace string) ([]step, error) {
	named := map[fleet.TaskID]bool{}
	for _, s := range steps {
		named[s.Task] = true
	}
	tasks, err := allTasks(ctx, client, namespace)
	if err != nil {
		return nil, err
	}
	for i := range tasks {
		if id := tasks[i].Task.ID(); id.Namespace() == namespace && !named[id] {
			steps = append(steps, step{Task: id, Action: deleted, current: &tasks[i].TaskRecord})
		}
	}
	return steps, nil
}

// make does the step.
func (s *step) make(ctx context.Context, client *api.Client, by *author.Author, options applyOptions) error {
	var err error
	switch s.Action {
	case created, changed:
		var record fleet.TaskRecord
		record, err = putTask(ctx, by, s.input.Bytes, s.input.media, s.current, options.reason, options.accepts)
		s.Generation = record.Generation
	case deleted:
		_, err = retire(ctx, client, by, s.Task, &s.current.Index, options.stop, options.reason)
	}
	if wait, ok := errors.AsType[waiting](err); ok {
		s.Action, s.Request, err = waits, wait.requests[0].ID, nil
	}
	return err
}

func newDiffCommand(p *program) *cobra.Command {
	var files []string
	c := &cobra.Command{
		Use: "diff -f FILE", GroupID: groupGiven, Args: arguments(0, 0),
		Short:   "Show what apply would change",
		Long:    "Show what apply would change, as a unified diff of the tasks in their canonical form,\nso that comments and spelling make no difference.\n\nExit status: 0 nothing differs, 1 something does, 2 and above as everywhere.",
		Example: "  fleetctl diff -f tasks/",
	}
	addFileFlag(c, &files)
	c.RunE = func(c *cobra.Command, args []string) error {
		inputs, err := readInputs(p, c, files)
		if err != nil {
			return err
		}
		return p.asking(func(ctx context.Context, client *api.Client, _ []string) error {
			return runDiff(ctx, p, client, inputs)
		})(c, args)
	}
	return c
}

// taskDiff is the difference of one task.
type taskDiff struct {
	Task fleet.TaskID `json:"task"`
	Diff string       `json:"diff"` // unified; empty: the same
}

func runDiff(ctx context.Context, p *program, client *api.Client, inputs []input) error {
	diffs := make([]taskDiff, 0, len(inputs))
	differs := false
	for i := range inputs {
		d, err := diffOne(ctx, client, &inputs[i])
		if err != nil {
			return err
		}
		differs = differs || d.Diff != ""
		diffs = append(diffs, d)
	}
	err := p.show(diffs, func() error {
		for _, d := range diffs {
			fmt.Fprint(p.stdout, visible.Text(d.Diff))
		}
		return nil
	})
	if err == nil && differs {
		return exitStatus(1)
	}
	return err
}

func diffOne(ctx context.Context, client *api.Client, in *input) (taskDiff, error) {
	id := in.Task.ID()
	current, err := currentTask(ctx, client, id)
	if err != nil {
		return taskDiff{}, err
	}
	given := ""
	if current != nil {
		if given, err = canonical(current.Task); err != nil {
			return taskDiff{}, err
		}
	}
	wanted, err := canonical(in.Task)
	if err != nil {
		return taskDiff{}, err
	}
	text := diff.Diff("given/"+string(id), []byte(given), in.name(), []byte(wanted))
	return taskDiff{id, string(text)}, nil
}
