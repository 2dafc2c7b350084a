package filewatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	quiet = time.Second      // how long a file must be still
	again = 30 * time.Second // how often is looked without notice: mounts over the network give none
)

// Watcher follows the files that tasks wait for. Its methods may be called
// from any goroutine.
type Watcher struct {
	path    string
	host    fleet.HostID
	log     *slog.Logger
	look    func(pattern string) (map[string]stamp, error)
	changed chan struct{}
	fresh   chan struct{} // what is watched changed

	mu    sync.Mutex
	state *state
}

// Open reads what an earlier agent saw. The file at path is the watcher's own;
// a damaged one is set aside, and what is there then is no news.
func Open(path string, host fleet.HostID, log *slog.Logger) (*Watcher, error) {
	s, err := load(path)
	if errors.Is(err, errDamaged) {
		log.Error("watched files begin anew", "error", err, "kept", path+".damaged")
		if err = os.Rename(path, path+".damaged"); err == nil {
			s, err = load(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open watched files: %w", err)
	}
	return &Watcher{
		path: path, host: host, log: log, look: look, state: s,
		changed: make(chan struct{}, 1), fresh: make(chan struct{}, 1),
	}, nil
}

// Set replaces what is watched. Files that are there when a watch begins are
// no news; those that changed while no agent ran are.
func (w *Watcher) Set(watches []Watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed, err := w.state.set(watches, w.look)
	if err != nil {
		w.log.Warn("files not watched", "error", err)
	}
	if changed {
		w.save()
	}
	poke(w.fresh)
}

// Orders returns the orders that are not decided yet.
func (w *Watcher) Orders(decided func(fleet.OrderID) bool) []fleet.Order {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.forget(decided) {
		w.save()
	}
	return slices.Clone(w.state.Orders)
}

// Changed receives when there is a new order.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	notices, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("no notice of changed files, looking every half minute", "error", err)
		w.follow(ctx, nil, func() {})
		return nil
	}
	defer notices.Close()
	w.follow(ctx, notices.Events, func() { w.listen(notices) })
	return nil
}

// follow looks when something happened, again when what happened is a second
// old, and from time to time. While something settles, notices are no news.
func (w *Watcher) follow(ctx context.Context, events <-chan fsnotify.Event, listen func()) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for settling := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-events:
			if settling {
				continue
			}
		case <-w.fresh:
		case <-timer.C:
		}
		listen() // directories may have come
		pause := again
		if settling = w.lookAll(time.Now()); settling {
			pause = quiet
		}
		timer.Reset(pause)
	}
}

// listen asks for notice of the directories there are.
func (w *Watcher) listen(notices *fsnotify.Watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wanted := map[string]bool{}
	for _, watched := range w.state.Watched {
		wanted[filepath.Dir(watched.Pattern)] = true
	}
	for _, dir := range notices.WatchList() {
		if !wanted[dir] {
			_ = notices.Remove(dir) // it may be gone
		}
		delete(wanted, dir)
	}
	for dir := range wanted {
		_ = notices.Add(dir) // what cannot be watched is looked at by the clock
	}
}

// lookAll looks at all files and orders what is due. It reports whether some
// are not still yet.
func (w *Watcher) lookAll(now time.Time) (settling bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ordered, dirty := false, false
	for _, task := range w.state.tasks() {
		watched := w.state.Watched[task]
		files, err := w.look(watched.Pattern)
		if err != nil {
			w.log.Warn("files not looked at", "task", task, "error", err)
			continue
		}
		still, moving, gone := watched.news(files, now)
		settling = settling || moving
		dirty = dirty || gone
		if len(still) > 0 {
			w.state.order(w.host, task, watched, still, files, now)
			ordered = true
		}
	}
	if ordered || dirty {
		w.save()
	}
	if ordered {
		poke(w.changed)
	}
	return settling
}

// save keeps the state. While the disk is full it lives on in memory: a change
// may then be ordered again after a crash, which is told in the log.
func (w *Watcher) save() {
	if err := w.state.save(w.path); err != nil {
		w.log.Error("watched files not on disk", "path", w.path, "error", err)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
