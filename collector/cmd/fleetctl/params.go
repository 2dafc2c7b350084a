package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// params reads the values that are set, and compares them with what the task
// declares: who mistypes a name is told which there are, before anything is
// signed. A task without parameters is asked for only where something is set.
func (o *runOptions) params(ctx context.Context, client *api.Client, id fleet.TaskID) (fleet.Params, error) {
	params := make(fleet.Params, len(o.set))
	for _, word := range o.set {
		name, value, found := strings.Cut(word, "=")
		if !found {
			return nil, fleet.Errorf(fleet.Usage, "--set %q: want name=value", word).WithHint("fleetctl tasks %s shows what it takes", id)
		}
		if _, twice := params[name]; twice {
			return nil, fleet.Errorf(fleet.Usage, "--set %s=…: stands twice", name)
		}
		params[name] = value
	}
	task, err := client.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	if _, err := task.Task.Values(params); err != nil {
		return nil, asFlags(err, id)
	}
	if len(params) == 0 {
		return nil, nil
	}
	return params, nil
}

// asFlags says what is wrong with values in the words of the command line.
func asFlags(err error, id fleet.TaskID) error {
	wrong := err.(*fleet.Error)
	lines := make([]string, len(wrong.Fields))
	for i, field := range wrong.Fields {
		name := strings.TrimPrefix(field.Field, "params.")
		if field.Value == "" {
			lines[i] = "--set " + name + "=…: " + field.Reason
		} else {
			lines[i] = "--set " + name + "=" + field.Value + ": " + field.Reason
		}
	}
	return fleet.Errorf(fleet.Usage, "%s", strings.Join(lines, "; ")).WithHint("fleetctl tasks %s shows what it takes", id)
}

// paramNames proposes the parameters of the task that stands in the command.
func (p *program) paramNames(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	id, err := fleet.ParseTaskID(strings.Join(args, " "))
	if err != nil || strings.Contains(typed, "=") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	words, _ := p.ask(c, func(ctx context.Context, client *api.Client) []string {
		task, err := client.Task(ctx, id)
		if err != nil {
			return nil
		}
		var words []string
		for _, name := range slices.Sorted(maps.Keys(task.Task.Params)) {
			param := task.Task.Params[name]
			words = append(words, name+"=\t"+param.Text())
		}
		return words
	})
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
