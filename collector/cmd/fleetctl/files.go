package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/taskfile"
)

// input is one task of one file.
type input struct {
	file  string
	media string
	taskfile.Document
}

// name says where a task was read, for messages.
func (i *input) name() string { return fmt.Sprintf("%s:%d", i.file, i.Line) }

func addFileFlag(c *cobra.Command, files *[]string) {
	c.Flags().StringArrayVarP(files, "file", "f", nil, "a task `file`, a directory of them (*.yaml, *.yml, *.json), or - for standard input; may be repeated; also --tasks; without it the tasks_dir of the settings")
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "tasks" {
			name = "file"
		}
		return pflag.NormalizedName(name)
	})
	_ = c.MarkFlagFilename("file", "yaml", "yml", "json")
	c.Flags().StringArray("overlay", nil, "a `file` that says what is otherwise here: partial tasks laid over those of -f, as prod.yaml over tasks/; may be repeated")
	_ = c.MarkFlagFilename("overlay", "yaml", "yml", "json")
}

// layOver lays the overlay files over the tasks, in their order.
func layOver(p *program, c *cobra.Command, inputs []input) ([]input, error) {
	overlays, err := c.Flags().GetStringArray("overlay")
	if err != nil {
		return nil, err
	}
	documents := make([]taskfile.Document, len(inputs))
	for i := range inputs {
		documents[i] = inputs[i].Document
	}
	for _, file := range overlays {
		text, err := slurp(p, file)
		if err != nil {
			return nil, fleet.Errorf(fleet.Usage, "%v", err)
		}
		media := mediaOf(file)
		if media == "" {
			media = api.MediaYAML
		}
		laid, err := taskfile.Overlay(documents, text, media)
		if err != nil {
			return nil, inFile{file, err}
		}
		for i := range laid {
			if !bytes.Equal(laid[i].Bytes, documents[i].Bytes) {
				inputs[i].media = api.MediaYAML // what Format writes
			}
			inputs[i].Document = laid[i]
		}
		documents = laid
	}
	return inputs, nil
}

// readInputs reads every task of every file. All problems of all files come
// together, and a task that two files define is one of them.
func readInputs(p *program, c *cobra.Command, paths []string) ([]input, error) {
	if len(paths) == 0 && p.settings.TasksDir != "" {
		paths = []string{p.settings.TasksDir}
	}
	if len(paths) == 0 {
		return nil, fleet.Errorf(fleet.Usage, "%s wants -f and a file", c.Name()).WithHint("fleetctl %s -f tasks/", c.Name())
	}
	var files []string
	for _, path := range paths {
		found, err := taskFiles(path)
		if err != nil {
			return nil, fleet.Errorf(fleet.Usage, "%v", err)
		}
		files = append(files, found...)
	}
	var inputs []input
	var problems []error
	for _, file := range files {
		read, err := readFile(p, file)
		if err != nil {
			problems = append(problems, err)
		}
		inputs = append(inputs, read...)
	}
	problems = append(problems, definedTwice(inputs)...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return layOver(p, c, inputs)
}

// taskFiles lists the task files that a path means, in order of their names.
func taskFiles(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != path && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case !entry.IsDir() && mediaOf(name) != "":
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				files = append(files, name)
			}
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no *.yaml, *.yml or *.json", path)
	}
	return files, err
}

// mediaOf returns the media type that a file's name promises, or "".
func mediaOf(name string) string {
	switch filepath.Ext(name) {
	case ".yaml", ".yml":
		return api.MediaYAML
	case ".json":
		return api.MediaJSON
	}
	return ""
}

func readFile(p *program, name string) ([]input, error) {
	text, err := slurp(p, name)
	if err != nil {
		return nil, err
	}
	shown, media := name, mediaOf(name)
	if name == "-" {
		shown = "standard input"
	}
	if media == "" {
		media = api.MediaYAML
		if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && strings.IndexByte("{[", trimmed[0]) >= 0 && json.Valid(trimmed) {
			media = api.MediaJSON
		}
	}
	documents, err := taskfile.Split(text, media)
	if err != nil {
		return nil, inFile{shown, err}
	}
	inputs := make([]input, len(documents))
	for i, document := range documents {
		inputs[i] = input{file: shown, media: media, Document: document}
	}
	return inputs, nil
}

func slurp(p *program, name string) ([]byte, error) {
	from := p.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fleet.Errorf(fleet.Usage, "%v", err)
		}
		defer file.Close()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, taskfile.MaxFile+1))
	if err != nil {
		return nil, fleet.Errorf(fleet.Usage, "read %s: %v", name, err)
	}
	return text, nil
}

func definedTwice(inputs []input) []error {
	var problems []error
	seen := map[fleet.TaskID]*input{}
	for i := range inputs {
		id := inputs[i].Task.ID()
		if first := seen[id]; first != nil {
			problems = append(problems, fleet.Errorf(fleet.Invalid, "%s: task %s is defined in %s already", inputs[i].name(), id, first.name()))
			continue
		}
		seen[id] = &inputs[i]
	}
	return problems
}

func newValidateCommand(p *program) *cobra.Command {
	var files []string
	c := &cobra.Command{
		Use: "validate -f FILE", GroupID: groupGiven, Args: arguments(0, 0),
		Short:   "Check task files; asks nobody",
		Long:    "Check task files without asking a collector, as a pipeline does before it applies them.\nEvery problem of every file is told with its line and column.",
		Example: "  fleetctl validate -f tasks/\n  fleetctl export | fleetctl validate -f -",
		RunE: func(c *cobra.Command, _ []string) error {
			return runValidate(p, c, files)
		},
	}
	addFileFlag(c, &files)
	return c
}

// validAnswer is the answer to validate.
type validAnswer struct {
	Valid bool           `json:"valid"`
	Tasks []fleet.TaskID `json:"tasks"`
}

func runValidate(p *program, c *cobra.Command, files []string) error {
	inputs, err := readInputs(p, c, files)
	if err != nil {
		return err
	}
	answer := validAnswer{Valid: true, Tasks: make([]fleet.TaskID, len(inputs))}
	for i := range inputs {
		answer.Tasks[i] = inputs[i].Task.ID()
	}
	return p.show(answer, func() error {
		t := p.table(column{title: "TASK"}, column{title: "WHEN", shrinks: true}, column{title: "WHERE", shrinks: true}, column{title: "FILE", shrinks: true})
		for i := range inputs {
			t.row(string(answer.Tasks[i]), triggerText(p, &inputs[i].Task.On), whereText(&inputs[i].Task.Where), inputs[i].name())
		}
		if err := t.write(p.stdout); err != nil {
			return err
		}
		p.note("%s, all valid", count(len(inputs), "task"))
		return nil
	})
}
