package taskfile

import (
	"maps"
	"slices"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Overlay returns the tasks of base with what a second file says otherwise
// about some of them: what one environment has that the others have not. Each
// document of the overlay names a task of base and any other fields. A `where`
// replaces the whole `where`, an `on` with another trigger the whole `on`;
// everything else is taken over field by field, the environment name by name.
// The error is as that of Split.
func Overlay(base []Document, overlay []byte, mediaType string) ([]Document, error) {
	read, err := readerOf(mediaType)
	if err != nil {
		return nil, err
	}
	if len(overlay) > MaxFile {
		return nil, fleet.Errorf(fleet.TooLarge, "the overlay has %d bytes, at most %d are read", len(overlay), MaxFile)
	}
	if at, ok := badText(overlay); ok {
		return nil, invalid([]fleet.FieldError{problem(at, "document", "", "is not UTF-8")}).WithHint("save the file as UTF-8")
	}
	var found findings
	documents := slices.Clone(base)
	var said []Document // what the overlay is about, to find what it says twice
	for _, source := range read(overlay, &found) {
		id := fleet.NewTaskID(source.root.said("namespace"), source.root.said("task"))
		said = append(said, Document{Task: fleet.Task{Name: id.Name(), Namespace: id.Namespace()}, Line: source.line})
		i := slices.IndexFunc(documents, func(d Document) bool { return d.Task.ID() == id })
		if i < 0 {
			found.add(problem(source.root.position, "task", string(id), "is no task of the files that the overlay is laid over"))
			continue
		}
		before := len(found.problems)
		task := found.over(documents[i].Task, source.root)
		if len(found.problems) > before {
			continue
		}
		documents[i].Task = task
		if documents[i].Bytes, err = Format(task); err != nil {
			return nil, err
		}
	}
	found.twice(said)
	if len(found.problems) > 0 {
		return nil, found.err()
	}
	return documents, nil
}

// over reads a document into a copy of a task.
func (f *findings) over(task fleet.Task, root *node) fleet.Task {
	task.Run.Env = maps.Clone(task.Run.Env)
	if on := root.field("on"); on != nil && slices.ContainsFunc([]string{"cron", "every", "at", "manual", "daemon"}, func(trigger string) bool { return on.field(trigger) != nil }) {
		task.On = fleet.Trigger{}
	}
	if root.field("where") != nil {
		task.Where = fleet.Where{}
	}
	r := &reading{findings: f, task: task, sections: sections, places: map[string]position{"": root.position}}
	document.read(r, "", root)
	r.validate()
	return r.task
}

// field returns the value of a field of a mapping, nil where there is none.
func (n *node) field(name string) *node {
	for _, p := range n.pairs {
		if p.key.text == name {
			return p.value
		}
	}
	return nil
}

// said returns the text of a field of a mapping, empty where there is none.
func (n *node) said(name string) string {
	if value := n.field(name); value != nil {
		return value.text
	}
	return ""
}
