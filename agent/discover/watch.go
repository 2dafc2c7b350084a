package discover

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watcher says when a tree is worth scanning again: shortly after something in
// a directory of the sources changed, and every minute whatever happened. Set
// the fields before Run; the zero values work.
type Watcher struct {
	Root   string        // empty: "/"
	Quiet  time.Duration // how long a burst must have ended; zero: 200 ms
	Every  time.Duration // the longest time between two scans; zero: 60 s
	Logger *slog.Logger  // nil: slog.Default

	due   chan struct{}
	homes atomic.Bool // somebody looks for directories in homes, which may hang

	mu     sync.Mutex
	wanted map[string]map[string]bool // names in a watched directory; empty: all
}

// defaultQuiet is longer than an editor needs to write a file, and short enough
// that an edit is told within two seconds, a second look included.
const defaultQuiet = 200 * time.Millisecond

// NewWatcher returns a watcher of the tree at root.
func NewWatcher(root string) *Watcher {
	return &Watcher{Root: root, due: make(chan struct{}, 1)}
}

// Watch runs a watcher until ctx ends and returns its channel.
func Watch(ctx context.Context, root string) <-chan struct{} {
	w := NewWatcher(root)
	go func() { _ = w.Run(ctx) }() // it has no other end than the context's
	return w.Due()
}

// Due receives whenever a scan is due. What comes while nobody receives is one.
func (w *Watcher) Due() <-chan struct{} { return w.due }

// Run watches until ctx ends and then returns nil. Where the kernel gives no
// notice of changes, the scans every minute remain.
func (w *Watcher) Run(ctx context.Context) error {
	changes := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.watch(ctx, changes)
	}()
	b := burst{quiet: orDuration(w.Quiet, defaultQuiet), every: orDuration(w.Every, time.Minute)}
	b.run(ctx, changes, w.due)
	<-ended
	return nil
}

// watch passes the kernel's notices on, one after the other.
func (w *Watcher) watch(ctx context.Context, changes chan<- struct{}) {
	logger := w.Logger
	if logger == nil {
		logger = slog.Default()
	}
	notices, err := fsnotify.NewWatcher()
	if err != nil {
		logger.Warn("no notice of changed crontabs, scanning by the clock only", "error", err)
		return
	}
	defer notices.Close()
	w.add(notices)
	again := time.NewTicker(orDuration(w.Every, time.Minute))
	defer again.Stop()
	var soon <-chan time.Time // nil while nothing new was made
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			w.add(notices)
			continue
		case <-soon:
			soon = nil
			w.add(notices)
			continue
		case err := <-notices.Errors: // an overflow: something changed
			logger.Debug("a notice of changed crontabs was lost", "error", err)
		case event := <-notices.Events:
			if !w.wants(event.Name) {
				continue
			}
			if event.Has(fsnotify.Create) && soon == nil { // it may be a directory: watched before the scan it calls for
				soon = time.After(orDuration(w.Quiet, defaultQuiet) / 2)
			}
		}
		select {
		case changes <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// add watches every directory of the sources there is by now, where links lead
// within the tree.
func (w *Watcher) add(notices *fsnotify.Watcher) {
	root := orText(w.Root, "/")
	t, err := openTree(root)
	if err != nil {
		return
	}
	defer t.release()
	watch := func(name string) { w.addNearest(notices, t, root, name) }
	for _, src := range sources {
		for _, name := range src.watch {
			watch(name)
		}
	}
	for _, name := range unitSubdirs(t, append(slices.Clone(systemDirs), userTimerDirs...)) {
		watch(name)
	}
	if !w.homes.CompareAndSwap(false, true) {
		return // one of them hangs since an earlier time
	}
	t.hold()
	go func() {
		defer w.homes.Store(false)
		defer t.release()
		running := &scan{tree: t, live: root == "/"}
		away := running.unmounted(context.Background())
		for _, name := range append(homeWatches(t, away), firstUnits(t, away)...) {
			watch(name)
		}
	}()
}

// addNearest watches a directory, or the nearest above it that is there, in
// which the next one down is waited for.
func (w *Watcher) addNearest(notices *fsnotify.Watcher, t *tree, root, name string) {
	for below := ""; ; below, name = path.Base(name), path.Dir(name) {
		p, err := t.lookup(name, true)
		if err == nil {
			dir := filepath.Join(root, p.path)
			p.Close()
			w.want(dir, below)
			_ = notices.Add(dir) // what cannot be watched is scanned by the clock
			return
		}
		if !errors.Is(err, fs.ErrNotExist) || name == "/" {
			return
		}
	}
}

// want notes a name of interest in a watched directory; empty: all are.
func (w *Watcher) want(dir, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wanted == nil {
		w.wanted = make(map[string]map[string]bool)
	}
	switch names := w.wanted[dir]; {
	case name == "":
		w.wanted[dir] = map[string]bool{}
	case names == nil:
		w.wanted[dir] = map[string]bool{name: true}
	case len(names) > 0:
		names[name] = true
	}
}

// wants reports whether a notice is of interest. A home is watched for
// ".config" to be made, not for all that its user does.
func (w *Watcher) wants(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	names, watched := w.wanted[filepath.Dir(name)]
	return !watched || len(names) == 0 || names[filepath.Base(name)]
}

// maxUnitWatches bounds the directories of units that are watched, of the
// system and again of all homes: the kernel gives only so many.
const maxUnitWatches = 2000

// unitSubdirs are the directories in others that add to timers and services or
// enable them.
func unitSubdirs(t *tree, dirs []string) []string {
	var list []string
	for _, name := range dirs {
		dir, err := t.openDir(name)
		if err != nil {
			continue
		}
		names, _, _ := dir.names()
		for _, sub := range names {
			base, ext := strings.TrimSuffix(sub, ".d"), path.Ext(sub)
			adds := ext == ".d" && (base == "timer" || base == "service" || path.Ext(base) == ".timer" || path.Ext(base) == ".service")
			if (adds || ext == ".wants" || ext == ".requires" || ext == ".upholds") && len(list) < maxUnitWatches {
				list = append(list, name+"/"+sub)
			}
		}
		dir.Close()
	}
	return list
}

// homeWatches are the directories of users' own units that are there, and those
// in which the first of them would be made.
func homeWatches(t *tree, away func(home string) bool) []string {
	var list []string
	users := readUsers(context.Background(), t)
	for i := range users.accounts[:min(len(users.accounts), maxManagers)] {
		a := &users.accounts[i]
		for _, dir := range append(userSystemd(a).private(), path.Join(a.home, ".config/systemd")) {
			if a.home == "" || away(a.home) || len(list) >= maxUnitWatches || !inTheWay(t, dir) {
				continue
			}
			list = append(append(list, dir), unitSubdirs(t, []string{dir})...)
		}
	}
	return list[:min(len(list), maxUnitWatches)]
}

// firstUnits are the directories in which users would put their first units.
func firstUnits(t *tree, away func(home string) bool) []string {
	var list []string
	users := readUsers(context.Background(), t)
	for i := range users.accounts[:min(len(users.accounts), maxManagers)] {
		if home := users.accounts[i].home; home != "" && !away(home) && len(list) < maxUnitWatches {
			list = append(list, path.Join(home, ".config/systemd/user"))
		}
	}
	return list
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// burst makes one of many: it sends once a burst of changes has been quiet for
// a while, at the latest four times that after it began, not sooner than four
// times that after the last time, and whenever nothing was sent for long.
type burst struct{ quiet, every time.Duration }

func (b burst) run(ctx context.Context, changes <-chan struct{}, due chan<- struct{}) {
	tick := time.NewTimer(b.every)
	defer tick.Stop()
	var ends, latest <-chan time.Time // nil while there is no burst
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			ends = time.After(max(b.quiet, 4*b.quiet-time.Since(last)))
			if latest == nil {
				latest = time.After(4 * b.quiet)
			}
			continue
		case <-ends:
		case <-latest:
		case <-tick.C:
		}
		ends, latest, last = nil, nil, time.Now()
		tick.Reset(b.every)
		select {
		case due <- struct{}{}:
		default: // one is waiting already
		}
	}
}
