package taskfile

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// MaxFile is how many bytes one file may hold, all its tasks together.
const MaxFile = 8 << 20

// MaxTasks is how many tasks one file may hold.
const MaxTasks = 10_000

// maxProblems bounds how many problems of one file are told.
const maxProblems = 50

// Document is one task of a file with the very bytes that say it.
type Document struct {
	Task  fleet.Task
	Bytes []byte // a file of its own: ParseOne of it gives Task again
	Line  int    // of the file, where the document begins; 1-based
}

// Parse reads every task of a file. The error is a *fleet.Error of kind
// Invalid or TooLarge that holds all problems of all documents.
func Parse(doc []byte, mediaType string) ([]fleet.Task, error) {
	documents, err := Split(doc, mediaType)
	if err != nil {
		return nil, err
	}
	tasks := make([]fleet.Task, len(documents))
	for i, document := range documents {
		tasks[i] = document.Task
	}
	return tasks, nil
}

// ParseOne reads a file that holds exactly one task.
func ParseOne(doc []byte, mediaType string) (fleet.Task, error) {
	documents, err := Split(doc, mediaType)
	if err != nil {
		return fleet.Task{}, err
	}
	if len(documents) != 1 {
		at := position{documents[1].Line, 1}
		return fleet.Task{}, invalid([]fleet.FieldError{problem(at, "document", "", "want one task here, found %d", len(documents))}).
			WithHint("send the tasks one by one, or use fleetctl apply")
	}
	return documents[0].Task, nil
}

// Split reads every task of a file and keeps the bytes of each.
func Split(doc []byte, mediaType string) ([]Document, error) {
	read, err := readerOf(mediaType)
	if err != nil {
		return nil, err
	}
	if len(doc) > MaxFile {
		return nil, fleet.Errorf(fleet.TooLarge, "the file has %d bytes, at most %d are read", len(doc), MaxFile).
			WithHint("split it into several files")
	}
	if at, ok := badText(doc); ok {
		return nil, invalid([]fleet.FieldError{problem(at, "document", "", "is not UTF-8")}).WithHint("save the file as UTF-8")
	}
	var found findings
	sources := read(doc, &found)
	documents := make([]Document, 0, len(sources))
	for _, source := range sources {
		task := found.task(source.root)
		documents = append(documents, Document{Task: task, Bytes: source.bytes, Line: source.line})
	}
	if len(sources) == 0 && len(found.problems) == 0 {
		found.add(problem(position{1, 1}, "document", "", "holds no task"))
	}
	found.twice(documents)
	if len(found.problems) > 0 {
		return nil, found.err()
	}
	return documents, nil
}

// source is one document as it stands in the file.
type source struct {
	root  *node
	bytes []byte
	line  int
}

// readerOf maps a media type to what reads it.
func readerOf(mediaType string) (func([]byte, *findings) []source, error) {
	base, _, err := mime.ParseMediaType(mediaType)
	if err == nil {
		switch base {
		case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml":
			return readYAML, nil
		case "application/json":
			return readJSON, nil
		}
	}
	return nil, fleet.Invalidf("content-type", mediaType, "want application/yaml or application/json").WithCode("media_type")
}

// findings collects what is wrong with a file.
type findings struct {
	problems []fleet.FieldError
	hint     string
	tooLarge bool
}

func (f *findings) add(p fleet.FieldError) {
	if len(f.problems) < 100*maxProblems {
		f.problems = append(f.problems, p)
	}
}

// suggest keeps the first hint: it belongs to the first problem that has one.
func (f *findings) suggest(format string, args ...any) {
	if f.hint == "" {
		f.hint = fmt.Sprintf(format, args...)
	}
}

// tooMany reports a file with more than MaxTasks documents.
func (f *findings) tooMany(at position) {
	f.tooLarge = true
	f.add(problem(at, "document", "", "is one too many: a file has at most %d", MaxTasks))
	f.suggest("split it into several files")
}

// twice reports tasks that one file defines more than once.
func (f *findings) twice(documents []Document) {
	seen := map[fleet.TaskID]int{}
	for _, document := range documents {
		id := document.Task.ID()
		if line, known := seen[id]; known && document.Task.Name != "" {
			f.add(problem(position{document.Line, 1}, "task", string(id), "is defined twice in this file, first in line %d", line))
			continue
		}
		seen[id] = document.Line
	}
}

func (f *findings) err() error {
	slices.SortStableFunc(f.problems, func(a, b fleet.FieldError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if more := len(f.problems) - maxProblems; more > 0 {
		f.problems = append(f.problems[:maxProblems:maxProblems], fleet.FieldError{Field: "document", Reason: fmt.Sprintf("and %d more problems", more)})
	}
	err := invalid(f.problems)
	err.Hint = f.hint
	if f.tooLarge {
		err.Kind = fleet.TooLarge
	}
	return err
}

func invalid(problems []fleet.FieldError) *fleet.Error {
	return &fleet.Error{Kind: fleet.Invalid, Fields: problems}
}

// badText finds the first byte that is not UTF-8.
func badText(doc []byte) (position, bool) {
	for i := 0; i < len(doc); {
		r, size := utf8.DecodeRune(doc[i:])
		if r == utf8.RuneError && size == 1 {
			return locate(doc, i), true
		}
		i += size
	}
	return position{}, false
}

// reasonOf returns why a reader of fleet refused a value, without the field
// name that reader knows it by.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*fleet.Error](err); ok && len(e.Fields) == 1 {
		return e.Fields[0].Reason
	}
	return strings.TrimSpace(err.Error())
}
