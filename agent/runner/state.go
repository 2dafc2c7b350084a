package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// MaxCheckpoint is how long the checkpoint of a task may be, in bytes.
const MaxCheckpoint = 4 << 10

// statesName is the directory of the tasks' own state among those of their
// output, where the configuration names no other.
const statesName = ".states"

// states keeps what outlives the runs of a task on this host: a directory of
// its own, <dir>/<namespace>/<task>, and beside that, where only the agent
// writes, the checkpoint that it left; and how its last attempt ended.
type states struct {
	dir   string
	exits *exits

	mu    sync.Mutex
	memos map[fleet.TaskID]memo
}

// memo is what is remembered of a task.
type memo struct {
	Checkpoint string `json:"checkpoint,omitempty"`
}

func openStates(dir string) (*states, error) {
	// Commands of all users reach their own directory by it, and read nothing.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	exits, err := openExits(filepath.Join(dir, exitsName))
	if err != nil {
		return nil, err
	}
	return &states{dir: dir, exits: exits, memos: map[fleet.TaskID]memo{}}, nil
}

// place returns the directory of a task's state, and the file of its memo.
func (s *states) place(task fleet.TaskID) (state, memo string, err error) {
	namespace, name, found := strings.Cut(string(task), "/")
	if !found || namespace == "" || name == "" || strings.HasPrefix(namespace, ".") || strings.HasPrefix(name, ".") || strings.Contains(name, "/") {
		return "", "", fmt.Errorf("task %.80q: want namespace/name", task)
	}
	dir := filepath.Join(s.dir, namespace)
	return filepath.Join(dir, name), filepath.Join(dir, "."+name), nil
}

// prepare makes the directory of a task where there is none, for the user that
// the command runs as. What is in there stays as it is; what another user left
// there is set aside until the task runs as him again, because a command must
// not find what somebody else may have laid for it.
func (s *states) prepare(task fleet.TaskID, belongs owner) (string, error) {
	dir, _, err := s.place(task)
	if err != nil {
		return "", err
	}
	if err := s.handOver(task, dir, belongs.uid); err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	fd, err := openDir(dir)
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
			return "", err
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
		fd, err = openDir(dir)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	defer unix.Close(fd)
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	if int(now.Uid) != belongs.uid || int(now.Gid) != belongs.gid {
		if err := unix.Fchown(fd, belongs.uid, belongs.gid); err != nil {
			return "", fmt.Errorf("%s: %w", dir, err)
		}
	}
	if now.Mode&0o7777 != 0o700 {
		if err := unix.Fchmod(fd, 0o700); err != nil {
			return "", fmt.Errorf("%s: %w", dir, err)
		}
	}
	return dir, nil
}

// handOver sets aside what belongs to another user than the one who comes, and
// fetches what he left when he came last. The checkpoint was the other's, too.
func (s *states) handOver(task fleet.TaskID, dir string, uid int) error {
	var now unix.Stat_t
	err := unix.Lstat(dir, &now)
	if errors.Is(err, unix.ENOENT) || err == nil && (int(now.Uid) == uid || now.Mode&unix.S_IFMT != unix.S_IFDIR) {
		return nil // none, or his; of what is no directory its opening says so
	}
	if err != nil {
		return err
	}
	if err := s.change(task, true, func(m *memo) { m.Checkpoint = "" }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(dir, asideOf(dir, int(now.Uid))); err != nil {
		return err
	}
	return ignoreMissing(os.Rename(asideOf(dir, uid), dir))
}

// asideName is how the names of directories begin that wait for their user.
const asideName = ".@"

func asideOf(dir string, uid int) string {
	parent, name := filepath.Split(dir)
	return parent + asideName + strconv.Itoa(uid) + "." + name
}

// aside lists what is set aside of a task.
func aside(dir string) (all []string, err error) {
	parent, name := filepath.Split(dir)
	entries, err := os.ReadDir(parent)
	for _, entry := range entries {
		_, of, _ := strings.Cut(strings.TrimPrefix(entry.Name(), asideName), ".")
		if strings.HasPrefix(entry.Name(), asideName) && of == name {
			all = append(all, parent+entry.Name())
		}
	}
	return all, ignoreMissing(err)
}

// openDir opens a directory, and nothing that only leads to one.
func openDir(path string) (int, error) {
	return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// recall returns what is remembered of a task.
func (s *states) recall(task fleet.TaskID) memo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(task)
}

func (s *states) read(task fleet.TaskID) memo {
	if known, is := s.memos[task]; is {
		return known
	}
	var m memo
	if _, path, err := s.place(task); err == nil {
		if file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0); err == nil {
			if json.NewDecoder(file).Decode(&m) != nil {
				m = memo{} // garbage is no memory
			}
			file.Close()
		}
	}
	s.memos[task] = m
	return m
}

// change changes what is remembered of a task. Durable lets it outlive the
// host's death as well.
func (s *states) change(task fleet.TaskID, durable bool, change func(*memo)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.read(task)
	after := before
	change(&after)
	if after == before {
		return nil
	}
	_, path, err := s.place(task)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	if err := replace(path, after, durable); err != nil {
		return err
	}
	s.memos[task] = after
	return nil
}

// replace puts a memo in the place of another, whole or not at all.
func replace(path string, m memo, durable bool) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	// No task has a name that begins with a dot.
	dir, name := filepath.Split(path)
	fresh := dir + "." + name
	file, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil && durable {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		os.Remove(fresh)
	}
	return err
}

// goneName is how the name of a directory of state begins that is being
// removed. No task has one that begins with a dot, and no memo with so many.
const goneName = "..."

// stateRemoved is how long the state of one task may take to remove.
const stateRemoved = 10 * time.Minute

// forget removes all that was kept of a task. Only its name goes while others
// wait: there may be much.
func (s *states) forget(task fleet.TaskID) error {
	dir, path, err := s.place(task)
	if err != nil {
		return err
	}
	namespace, name := filepath.Split(dir)
	gone := namespace + goneName + name
	err = removeTree(gone, stateRemoved) // of an agent that died over it
	s.mu.Lock()
	delete(s.memos, task)
	err = errors.Join(err, ignoreMissing(os.Rename(dir, gone)), ignoreMissing(os.Remove(path)))
	s.mu.Unlock()
	err = errors.Join(err, s.exits.set(task, noExit), removeTree(gone, stateRemoved))
	others, failed := aside(dir)
	err = errors.Join(err, failed)
	for _, other := range others {
		err = errors.Join(err, removeTree(other, stateRemoved))
	}
	_ = os.Remove(namespace) // after its last task
	return err
}

// sweep removes what an agent that died left half removed.
func (s *states) sweep() error {
	left, err := filepath.Glob(filepath.Join(s.dir, "*", goneName+"*"))
	for _, dir := range left {
		err = errors.Join(err, removeTree(dir, stateRemoved))
	}
	return err
}

// factsOf is what a command is told about what was kept.
func (s *states) factsOf(task fleet.TaskID, dir string) []Fact {
	return []Fact{{"STATE_DIR", dir}, {"LAST_EXIT", s.exits.of(task)}, {"CHECKPOINT", s.recall(task).Checkpoint}}
}

// ended keeps how an attempt ended. A success takes the checkpoint away: there
// is nothing left to go on with.
func (s *states) ended(run *fleet.Run) error {
	last := noExit
	switch {
	case run.State != fleet.RunRan:
		return nil
	case run.Exit != nil:
		last = strconv.Itoa(*run.Exit)
	case run.Signal != "":
		last = strconv.Itoa(128 + signalNumber(run.Signal)) // as a shell says it
	}
	err := s.exits.set(run.Task, last)
	if run.Succeeded() {
		err = errors.Join(err, s.change(run.Task, false, func(m *memo) { m.Checkpoint = "" }))
	}
	return err
}

// SetCheckpoint keeps a value for the next attempt of a task on this host,
// which gets it as FLEETCRON_CHECKPOINT; empty: none. It is on disk when this
// returns. It stays until a run of the task succeeds.
func (r *Runner) SetCheckpoint(task fleet.TaskID, value string) error {
	switch {
	case len(value) > MaxCheckpoint:
		return fleet.Invalidf("checkpoint", fmt.Sprintf("%.40s…", value), "at most %d bytes", MaxCheckpoint)
	case strings.ContainsRune(value, 0):
		return fleet.Invalidf("checkpoint", value, "must not contain NUL")
	}
	return r.states.change(task, true, func(m *memo) { m.Checkpoint = value })
}

// Forget removes the state directory, the last exit status and the checkpoint
// of a task that the host no longer has. While a run of it goes on, they go
// with that.
func (r *Runner) Forget(task fleet.TaskID) error {
	r.unexpect(task)
	r.mu.Lock()
	goesOn := r.goesOn(task)
	if goesOn {
		r.forgotten[task] = true
	}
	r.mu.Unlock()
	if goesOn {
		return nil
	}
	return r.states.forget(task)
}

// goesOn reports whether a run of a task goes on; the caller holds mu.
func (r *Runner) goesOn(task fleet.TaskID) bool {
	for _, c := range r.running {
		if c.run.Task == task {
			return true
		}
	}
	return false
}

// forgetLate forgets a task whose last run has ended now, if it was to be.
func (r *Runner) forgetLate(task fleet.TaskID) {
	r.mu.Lock()
	late := r.forgotten[task] && !r.goesOn(task)
	if late {
		delete(r.forgotten, task)
	}
	r.mu.Unlock()
	if !late {
		return
	}
	if err := r.states.forget(task); err != nil {
		r.log.Warn("state of a task that is gone not removed", "task", task, "error", err)
	}
}

// keepState keeps what an attempt that has ended leaves to the next one.
func (r *Runner) keepState(c *companion) {
	if err := r.states.ended(&c.run); err != nil {
		r.log.Warn("how the run ended is not kept for the next one", "run", c.run.ID, "task", c.run.Task, "error", err)
	}
}
