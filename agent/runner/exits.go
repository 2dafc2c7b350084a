package runner

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// exitsName is the file of the exits among the directories of the namespaces,
// whose names do not begin with a dot.
const exitsName = ".exits"

// exits remembers how the attempt of each task that ended last ended. All tasks
// share one file that is appended to, because a file of its own for each costs
// as much as the process of a run. Each line is a status and a task; the last
// one of a task counts, and one without a status says that it is forgotten.
type exits struct {
	path string

	mu    sync.Mutex
	file  *os.File
	known map[fleet.TaskID]string
	lines int  // in the file
	torn  bool // its last line may not be lineEnd
}

// noExit is the status of a task that is forgotten.
const noExit = "-"

// lineEnd ends a line that was not cut: half of a task's name may be another's.
const lineEnd = "."

func lineOf(status string, task fleet.TaskID) string {
	return fmt.Sprintf("%s %s %s\n", status, task, lineEnd)
}

// spareLines is how many lines that no longer count are put up with, beside as
// many as there are others.
const spareLines = 4096

// openExits takes up what an earlier agent has written.
func openExits(path string) (*exits, error) {
	e := &exits{path: path, known: map[fleet.TaskID]string{}}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		file.Close()
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		e.lines++
		words := strings.Fields(line)
		if e.torn = !strings.HasSuffix(line, "\n"); e.torn || len(words) != 3 || words[2] != lineEnd {
			continue // cut by a crash or a full disk
		}
		e.take(fleet.TaskID(words[1]), words[0])
	}
	e.file = file
	return e, nil
}

func (e *exits) take(task fleet.TaskID, status string) {
	if status == noExit {
		delete(e.known, task)
	} else {
		e.known[task] = status
	}
}

// of returns the status of a task; empty: none of its attempts has ended.
func (e *exits) of(task fleet.TaskID) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known[task]
}

// set remembers a status. It outlives the agent, not the host.
func (e *exits) set(task fleet.TaskID, status string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known, is := e.known[task]; is && known == status || !is && status == noExit {
		return nil
	}
	e.take(task, status)
	if e.lines > 2*len(e.known)+spareLines {
		return e.rewrite()
	}
	line := lineOf(status, task)
	if e.torn {
		line = "\n" + line
	}
	_, err := e.file.WriteString(line)
	e.torn = err != nil
	e.lines++
	return err
}

// rewrite leaves only the lines that count; the caller holds mu.
func (e *exits) rewrite() error {
	var text strings.Builder
	for _, task := range slices.Sorted(maps.Keys(e.known)) {
		text.WriteString(lineOf(e.known[task], task))
	}
	fresh := e.path + tmpSuffix
	file, err := os.OpenFile(fresh, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text.String())
	if err == nil {
		err = os.Rename(fresh, e.path)
	}
	if err != nil {
		return errors.Join(err, file.Close(), ignoreMissing(os.Remove(fresh)))
	}
	err = e.file.Close()
	e.file, e.lines, e.torn = file, len(e.known), false
	return err
}

func (e *exits) close() error { return e.file.Close() }
