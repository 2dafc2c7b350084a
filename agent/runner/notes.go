package runner

import (
	"os"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// notesName is how the file ends into which a command writes about itself.
const notesName = "notes"

// notes is that file while the run goes on. It is gone when the run has ended.
type notes struct {
	file  *os.File
	path  string
	owner owner
}

// createNotes makes the notes of a run, and opens them a second time for the
// process, like the files of its streams.
func (r *Runner) createNotes(run *fleet.Run, owner owner) (notes, *os.File, error) {
	path := streamPath(taskDir(r.config.Dir, run.Task), run.ID, notesName)
	file, err := r.spares.file(path, owner)
	if err != nil {
		return notes{}, nil, err
	}
	own, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		os.Remove(path)
		file.Close()
		return notes{}, nil, err
	}
	return notes{file, path, owner}, own, nil
}

// openNotes takes up the notes of a run that an earlier agent began.
func (r *Runner) openNotes(run *fleet.Run) notes {
	return notes{path: streamPath(taskDir(r.config.Dir, run.Task), run.ID, notesName)}
}

// doneNotes takes the notes away; empty ones serve another run.
func (r *Runner) doneNotes(n notes) {
	if n.file != nil && r.spares.give(n.file, n.path, n.owner) {
		return
	}
	if n.file != nil {
		n.file.Close()
	}
	if n.path != "" {
		_ = os.Remove(n.path) // that of a run which has none
	}
}

// Notes returns the path of the file into which the command of a run writes
// about itself by descriptor NotifyFD; empty when it is not going on.
func (r *Runner) Notes(run fleet.RunID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, running := r.running[run]
	if !running {
		return ""
	}
	return r.openNotes(&c.run).path
}
