package discover

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watcher says when a tree is worth scanning again: shortly after something in
// a directory of the sources changed, and every minute whatever happened. Set
// the fields before Run; the zero values work.
type Watcher struct {
	Root   string        // empty: "/"
	Quiet  time.Duration // how long a burst must have ended; zero: 300 ms
	Every  time.Duration // the longest time between two scans; zero: 60 s
	Logger *slog.Logger  // nil: slog.Default

	due chan struct{}
}

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
	b := burst{quiet: orDuration(w.Quiet, 300*time.Millisecond), every: orDuration(w.Every, time.Minute)}
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			w.add(notices)
			continue
		case err := <-notices.Errors: // an overflow: something changed
			logger.Debug("a notice of changed crontabs was lost", "error", err)
		case event := <-notices.Events:
			if event.Has(fsnotify.Create) {
				w.add(notices)
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
	root := w.Root
	if root == "" {
		root = "/"
	}
	t, err := openTree(root)
	if err != nil {
		return
	}
	defer t.release()
	for _, src := range sources {
		for _, name := range src.watch {
			if p, err := t.lookup(name, true); err == nil {
				_ = notices.Add(filepath.Join(root, p.path)) // what cannot be watched is scanned by the clock
				p.Close()
			}
		}
	}
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// burst makes one of many: it sends once a burst of changes has been quiet for
// a while, at the latest ten times that after it began, and whenever nothing
// was sent for long.
type burst struct{ quiet, every time.Duration }

func (b burst) run(ctx context.Context, changes <-chan struct{}, due chan<- struct{}) {
	tick := time.NewTimer(b.every)
	defer tick.Stop()
	var ends, latest <-chan time.Time // nil while there is no burst
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			ends = time.After(b.quiet)
			if latest == nil {
				latest = time.After(10 * b.quiet)
			}
			continue
		case <-ends:
		case <-latest:
		case <-tick.C:
		}
		ends, latest = nil, nil
		tick.Reset(b.every)
		select {
		case due <- struct{}{}:
		default: // one is waiting already
		}
	}
}
