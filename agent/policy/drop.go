package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Root of a host may end a task there, whatever the collectors say and whoever
// signed it: until somebody signs a newer statement about it.

// dropsName is the directory in which root's words wait to be taken in.
const dropsName = "drops"

// Drop is root's word, for the gate of that directory, that a task is not this
// host's any more. It waits there for the gate.
func Drop(dir string, task fleet.TaskID) error {
	if _, err := fleet.ParseTaskID(string(task)); err != nil {
		return err
	}
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return fleet.Errorf(fleet.NotFound, "no agent has run with %s", dir).WithHint("start it with fleetcron-agent run, or name its configuration with --config")
	}
	entry, err := entryOf(dir, task)
	switch {
	case err != nil:
		return err
	case !entry.stands():
		return fleet.Errorf(fleet.NotFound, "task %s is not this host's", task).WithHint("fleetcron-agent policy explain %s says why", task)
	case entry.Instead:
		return fleet.Errorf(fleet.Conflict, "task %s runs in place of a job of this host, which would not run any more", task).WithHint("fleetctl release %s puts the job back", task)
	}
	drops := filepath.Join(dir, dropsName)
	if err := os.Mkdir(drops, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return replace(filepath.Join(drops, task.Namespace()+"~"+task.Name()), []byte(task))
}

// entryOf reads what the book in a directory says of a task.
func entryOf(dir string, task fleet.TaskID) (noted, error) {
	text, err := os.ReadFile(filepath.Join(dir, bookName))
	if err != nil {
		return noted{}, err
	}
	b := newBook()
	if err := json.Unmarshal(text, b); err != nil {
		return noted{}, fmt.Errorf("%s: %w", bookName, err)
	}
	return b.Objects["task "+string(task)], nil
}

// dropped takes root's words in.
func (g *Gate) dropped() (changed bool) {
	drops, err := os.ReadDir(g.file(dropsName))
	if err != nil {
		return false // there are none
	}
	next := g.book.copy()
	var done []string
	for _, drop := range drops {
		if strings.HasPrefix(drop.Name(), ".") {
			continue // it is being written
		}
		name := filepath.Join(g.file(dropsName), drop.Name())
		text, err := os.ReadFile(name)
		task, wrong := fleet.ParseTaskID(string(text))
		if err != nil || wrong != nil {
			g.log.Error("word of a person not read", "file", name, "error", errors.Join(err, wrong))
			continue
		}
		g.drop(next, task)
		done = append(done, name)
	}
	if len(done) == 0 {
		return false
	}
	if err := next.save(g.file(bookName)); err != nil {
		g.log.Error("book of the policy not written", "error", err)
		return false
	}
	g.book = next
	for _, name := range done {
		if err := os.Remove(name); err != nil {
			g.log.Error("word of a person not removed", "file", name, "error", err)
		}
	}
	return true
}

func (g *Gate) drop(next *book, task fleet.TaskID) {
	object := "task " + string(task)
	entry := next.Objects[object]
	why := ""
	switch {
	case !entry.stands():
		why = "it is not this host's"
	case g.silent(task):
		why = "it runs in place of a job of this host, which would not run any more: fleetctl release " + string(task) + " puts that back"
	default:
		entry.Dropped = true
		next.Objects[object] = entry
	}
	if why != "" {
		why = "not dropped: " + why
	}
	g.tell(Entry{Action: "dropped", Object: object, Why: why, Digest: entry.Digest})
	g.log.Warn("root dropped a task", "task", task, "why", why)
}
