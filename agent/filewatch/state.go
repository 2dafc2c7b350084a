package filewatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// state is what is on disk: what was seen, and what was ordered because of it.
type state struct {
	Watched map[fleet.TaskID]*watched `json:"watched"`
	Orders  []fleet.Order             `json:"orders"`
}

// watched is one task's files.
type watched struct {
	Pattern string           `json:"pattern"`
	Seen    map[string]stamp `json:"seen"`
	Last    time.Time        `json:"last"` // due instant of the last order

	moving map[string]settling // changed when last looked at, not yet still
}

// settling is a file that changed: what it is since when.
type settling struct {
	is    stamp
	since time.Time
}

// set replaces what is watched. What is new begins with the files that are
// there: they are no news.
func (s *state) set(watches []Watch, look func(string) (map[string]stamp, error)) (changed bool, failed error) {
	wanted := map[fleet.TaskID]bool{}
	for _, watch := range watches {
		wanted[watch.Task] = true
		if old := s.Watched[watch.Task]; old != nil && old.Pattern == watch.Pattern {
			continue
		}
		seen, err := look(watch.Pattern)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("task %s: %w", watch.Task, err))
			continue
		}
		s.Watched[watch.Task] = &watched{Pattern: watch.Pattern, Seen: seen}
		changed = true
	}
	for task := range s.Watched {
		if !wanted[task] {
			delete(s.Watched, task)
			changed = true
		}
	}
	return changed, failed
}

// news is what a look at a task's files found: paths that changed and have been
// still for long enough, and whether some are still moving or gone.
func (w *watched) news(now map[string]stamp, at time.Time) (still []string, moving, gone bool) {
	next := map[string]settling{}
	for path, is := range now {
		if is == w.Seen[path] {
			continue
		}
		was := w.moving[path]
		switch {
		case was.is != is:
			next[path] = settling{is, at}
		case at.Sub(was.since) < quiet: // somebody had another reason to look
			next[path] = was
		default:
			still = append(still, path)
		}
	}
	for path := range w.Seen {
		if _, there := now[path]; !there {
			delete(w.Seen, path)
			gone = true
		}
	}
	w.moving = next
	slices.Sort(still)
	return still, len(next) > 0, gone
}

// order makes the order for files that changed. Instants of a task differ,
// however fast its files change.
func (s *state) order(host fleet.HostID, task fleet.TaskID, w *watched, paths []string, files map[string]stamp, now time.Time) {
	due := now.UTC().Round(0)
	if !due.After(w.Last) {
		due = w.Last.Add(1)
	}
	w.Last = due
	for _, path := range paths {
		w.Seen[path] = files[path]
	}
	s.Orders = append(s.Orders, fleet.Order{
		ID: fleet.OrderID(uuid.Must(uuid.NewV7()).String()), Kind: fleet.OrderRun, Host: host, Task: task,
		Run: fleet.RunID(uuid.Must(uuid.NewV7()).String()), Due: due, Expires: due.Add(fleet.DefaultExpiry),
		Cause: "file", Payload: payload(paths),
	})
}

// payload lists the paths, a line each, as many as there is room for. A path
// with a line break would read as two and is quoted.
func payload(paths []string) string {
	var b strings.Builder
	for _, path := range paths {
		line := strings.ToValidUTF8(path, "\uFFFD")
		if strings.ContainsAny(line, "\n\r\x00") {
			line = fmt.Sprintf("%q", line)
		}
		if b.Len()+len(line)+1 > fleet.MaxPayload {
			break
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// forget drops the orders that have an outcome or began.
func (s *state) forget(decided func(fleet.OrderID) bool) (changed bool) {
	before := len(s.Orders)
	s.Orders = slices.DeleteFunc(s.Orders, func(o fleet.Order) bool { return decided(o.ID) })
	return len(s.Orders) != before
}

// tasks lists the tasks in a fixed order.
func (s *state) tasks() []fleet.TaskID { return slices.Sorted(maps.Keys(s.Watched)) }

var errDamaged = errors.New("is damaged")

// load reads the state; none is an empty one.
func load(path string) (*state, error) {
	s := &state{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
		text = []byte("{}")
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s %w: %w", path, errDamaged, err)
	}
	if s.Watched == nil {
		s.Watched = map[fleet.TaskID]*watched{}
	}
	for task, w := range s.Watched {
		if w == nil {
			delete(s.Watched, task)
		} else if w.Seen == nil {
			w.Seen = map[string]stamp{}
		}
	}
	return s, nil
}

// save replaces the file as a whole, on disk before it returns.
func (s *state) save(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.Replace(path, text)
}
