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
	namespace, dir string
	original       bool
}

func newExportCommand(p *program) *cobra.Command {
	var options exportOptions
	c := &cobra.Command{
		Use: "export [TASK…]", GroupID: groupGiven, Args: arguments(0, -1),
		Short:             "Print tasks as task files, for version control",
		Long:              "Print tasks as one task file, in the order of their names and in canonical form: the same\ntasks always give the same bytes. With --dir each task goes into DIR/NAMESPACE/NAME.yaml.\nWhether a task is paused is no part of its file; a comment says so.",
		Example:           "  fleetctl export --namespace data > data.yaml\n  fleetctl export --dir tasks/",
		ValidArgsFunction: p.taskNames,
		RunE: p.asking(func(ctx context.Context, client *api.Client, args []string) error {
			return runExport(ctx, p, client, args, options)
		}),
	}
	c.Flags().StringVar(&options.namespace, "namespace", "", "only tasks of this `namespace`")
	c.Flags().StringVar(&options.dir, "dir", "", "write one file for each task below this `directory`")
	c.Flags().BoolVar(&options.original, "original", false, "the files as their authors sent them, comments and all")
	return c
}

func runExport(ctx context.Context, p *program, client *api.Client, names []string, options exportOptions) error {
	tasks, err := chosenTasks(ctx, client, names, options.namespace)
	if err != nil {
		return err
	}
	if options.dir != "" {
		return exportFiles(p, tasks, options)
	}
	if p.settings.output == asJSON {
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
		if err != nil {
			return err
		}
		if err := root.MkdirAll(id.Namespace(), 0o755); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if err := root.WriteFile(filepath.Join(id.Namespace(), id.Name()+".yaml"), text, 0o644); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	p.note("%s in %s", count(len(tasks), "task"), options.dir)
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
	list, err := collect(paging{limit: 1, all: true}, func(page api.Page) (api.List[api.TaskView], error) {
		return client.Tasks(ctx, api.TaskQuery{Page: page, Namespace: namespace})
	}, func(task api.TaskView) bool { return task.State != fleet.TaskRetired })
	return inOrder(list.Items), err
}

func inOrder(tasks []api.TaskView) []api.TaskView {
	slices.SortFunc(tasks, func(a, b api.TaskView) int { return strings.Compare(string(a.Task.ID()), string(b.Task.ID())) })
	return slices.CompactFunc(tasks, func(a, b api.TaskView) bool { return a.Task.ID() == b.Task.ID() })
}
