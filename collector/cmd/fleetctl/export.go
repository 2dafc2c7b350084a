package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

type exportOptions struct {
	namespace, dir    string
	host, label, user string
	original, found   bool
}

const exportHelp = `Print tasks as one task file, in the order of their names and in canonical form: the same
tasks always give the same bytes. With --dir each task goes into DIR/NAMESPACE/NAME.yaml.
Whether a task is paused is no part of its file; a comment says so.

--found writes tasks that do what the jobs found on hosts do, to start a repository from:
one for each distinct command, user, schedule, zone and environment, with the hosts that
have it. Nothing is changed by that: a task that is applied while the line still stands
runs beside it, fleetctl adopt takes a line over. Secrets stay masked. What cannot be said
as a task is listed with the reason, with --dir in DIR/left-out.txt.`

func newExportCommand(p *program) *cobra.Command {
	var options exportOptions
	c := &cobra.Command{
		Use: "export [TASK…]", GroupID: groupGiven, Args: arguments(0, -1),
		Short:             "Print tasks as task files, for version control",
		Long:              exportHelp,
		Example:           "  fleetctl export --namespace data > data.yaml\n  fleetctl export --dir tasks/\n  fleetctl export --found --label role=db --dir tasks/",
		ValidArgsFunction: p.taskNames,
	}
	c.RunE = p.asking(func(ctx context.Context, client *api.Client, args []string) error {
		if err := options.check(changedFlags(c), args); err != nil {
			return err
		}
		if options.found {
			return runExportFound(ctx, p, client, options)
		}
		return runExport(ctx, p, client, args, options)
	})
	c.Flags().StringVar(&options.namespace, "namespace", "", "only tasks of this `namespace`; with --found: write them into it")
	c.Flags().StringVar(&options.dir, "dir", "", "write one file for each task below this `directory`")
	c.Flags().BoolVar(&options.original, "original", false, "the files as their authors sent them, comments and all")
	c.Flags().BoolVar(&options.found, "found", false, "tasks that do what the jobs found on hosts do")
	c.Flags().StringVar(&options.host, "host", "", "with --found: only on this `host`")
	c.Flags().StringVar(&options.label, "label", "", "with --found: only on hosts that this label `selector` matches")
	c.Flags().StringVar(&options.user, "user", "", "with --found: only jobs that run as this `user`")
	p.completeHosts(c, "host")
	return c
}

// check refuses flags that do not go together.
func (o *exportOptions) check(given, names []string) error {
	if !o.found {
		for _, flag := range []string{"host", "label", "user"} {
			if slices.Contains(given, flag) {
				return fleet.Errorf(fleet.Usage, "--%s belongs to --found", flag).WithHint("fleetctl export --found --%s …; fleetctl tasks --%s … lists what is given", flag, flag)
			}
		}
		return nil
	}
	switch {
	case len(names) > 0:
		return fleet.Errorf(fleet.Usage, "--found exports jobs; %q names a task", names[0]).WithHint("fleetctl export --found --host db-1")
	case o.original:
		return fleet.Errorf(fleet.Usage, "--original belongs to tasks; what was found has no file of its own")
	case o.namespace != "" && !fleet.ValidName(o.namespace):
		return fleet.Errorf(fleet.Usage, "--namespace %q: want 1–63 of a-z 0-9 . _ - beginning and ending with a letter or digit", o.namespace)
	}
	return nil
}

func runExport(ctx context.Context, p *program, client *api.Client, names []string, options exportOptions) error {
	tasks, err := chosenTasks(ctx, client, names, options.namespace)
	if err != nil {
		return err
	}
	if options.dir != "" {
		return exportFiles(p, tasks, options)
	}
	if p.settings.Output == asJSON {
		list := make([]fleet.Task, len(tasks))
		for i := range tasks {
			list[i] = tasks[i].Task
		}
		return p.show(list, nil)
	}
	var out bytes.Buffer
	for i := range tasks {
		text, err := options.text(&tasks[i])
		if err != nil {
			return err
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	_, err = p.stdout.Write(out.Bytes())
	return err
}

// text returns the file of one task. What came from a file of another kind, or
// begins with its own marker, still makes one document of a larger file.
func (o *exportOptions) text(task *api.TaskView) ([]byte, error) {
	var out bytes.Buffer
	if task.State == fleet.TaskPaused {
		out.WriteString("# paused when it was exported\n")
	}
	if o.original {
		doc := bytes.TrimPrefix(task.Document, []byte("---\n"))
		out.Write(bytes.TrimRight(doc, "\n"))
		out.WriteByte('\n')
		return out.Bytes(), nil
	}
	text, err := taskfile.Format(task.Task)
	out.Write(text)
	return out.Bytes(), err
}

func exportFiles(p *program, tasks []api.TaskView, options exportOptions) error {
	root, err := openDir(options.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for i := range tasks {
		id := tasks[i].Task.ID() // valid names only: no part of it leads out of the directory
		text, err := options.text(&tasks[i])
		if err == nil {
			err = writeTaskFile(root, id, text)
		}
		if err != nil {
			return err
		}
	}
	p.note("%s in %s", count(len(tasks), "task"), options.dir)
	return nil
}

// writeTaskFile writes NAMESPACE/NAME.yaml.
func writeTaskFile(root *os.Root, id fleet.TaskID, text []byte) error {
	if err := root.MkdirAll(id.Namespace(), 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := root.WriteFile(filepath.Join(id.Namespace(), id.Name()+".yaml"), text, 0o644); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

func openDir(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return root, nil
}

// chosenTasks returns the tasks that are named, or all of a namespace, in the
// order of their names.
func chosenTasks(ctx context.Context, client *api.Client, names []string, namespace string) ([]api.TaskView, error) {
	if len(names) == 0 {
		return allTasks(ctx, client, namespace)
	}
	tasks := make([]api.TaskView, len(names))
	for i, name := range names {
		id, err := fleet.ParseTaskID(name)
		if err != nil {
			return nil, err
		}
		if tasks[i], err = client.Task(ctx, id); err != nil {
			return nil, err
		}
	}
	return inOrder(tasks), nil
}

// allTasks returns every task of a namespace, or of all.
func allTasks(ctx context.Context, client *api.Client, namespace string) ([]api.TaskView, error) {
	tasks, err := collectAll(func(page api.Page) (api.List[api.TaskView], error) {
		return client.Tasks(ctx, api.TaskQuery{Page: page, Namespace: namespace})
	})
	return inOrder(slices.DeleteFunc(tasks, func(task api.TaskView) bool { return task.State == fleet.TaskRetired })), err
}

func inOrder(tasks []api.TaskView) []api.TaskView {
	slices.SortFunc(tasks, func(a, b api.TaskView) int { return strings.Compare(string(a.Task.ID()), string(b.Task.ID())) })
	return slices.CompactFunc(tasks, func(a, b api.TaskView) bool { return a.Task.ID() == b.Task.ID() })
}
