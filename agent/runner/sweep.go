package runner

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// sweepEvery is how often old output is looked for. It is not removed at
	// once: ext4 does not use an inode again for seconds after it was freed,
	// and looks for others at length while there are many of those.
	sweepEvery = 30 * time.Second
	// sweepAllEvery is how often that of every task is looked at, whether it
	// ran or not.
	sweepAllEvery = time.Hour
	// keepFailed is how many failed runs of a task keep their output beyond the
	// newest runs of all: what went wrong at night is read in the morning.
	keepFailed = 5
)

// Run removes output that is no longer kept, packs what is, and makes ready what
// is expected, until ctx ends.
func (r *Runner) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { r.packAll(ctx) })
	beside.Go(func() { r.makeReady(ctx) })
	if err := r.states.sweep(); err != nil {
		r.log.Warn("state of tasks that are gone not removed", "error", err)
	}
	tick, all := time.NewTicker(sweepEvery), time.NewTicker(sweepAllEvery)
	defer tick.Stop()
	defer all.Stop()
	r.sweepAll()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.sweepTouched()
		case <-all.C:
			r.sweepAll()
		case <-r.sweep:
			r.sweepAll()
		}
	}
}

// grown notes how much output a run left on the disk, and calls for a sweep
// when much has come together.
func (r *Runner) grown(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unswept += bytes
	if r.unswept > r.config.KeepBytes/8 {
		r.unswept = 0
		select {
		case r.sweep <- struct{}{}:
		default:
		}
	}
}

// kept is the output of one run.
type kept struct {
	dir   string
	run   fleet.RunID
	files []string // all that stands there of it

	bytes   int64     // on disk
	written time.Time // last
}

func (k *kept) failed() bool { return slices.Contains(k.files, string(k.run)+"."+failedName) }

// measure looks how much it is, and of when.
func (k *kept) measure() {
	for _, name := range k.files {
		info, err := os.Stat(filepath.Join(k.dir, name))
		if err != nil {
			continue
		}
		k.bytes += allocated(info)
		if info.ModTime().After(k.written) {
			k.written = info.ModTime()
		}
	}
}

func (r *Runner) sweepAll() {
	var rest []kept
	for _, dir := range r.taskDirs() {
		rest = append(rest, r.sweepTask(dir, true)...)
		r.packLater(dir)
	}
	r.sweepBytes(rest)
}

// taskDirs lists the directories of all tasks that have output.
func (r *Runner) taskDirs() []string {
	entries, err := os.ReadDir(r.config.Dir)
	if err != nil {
		r.log.Warn("output cannot be listed", "error", err)
	}
	var dirs []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			dirs = append(dirs, filepath.Join(r.config.Dir, entry.Name()))
		}
	}
	return dirs
}

func (r *Runner) sweepTouched() {
	r.sweepBooks()
	r.mu.Lock()
	touched := r.touched
	r.touched = map[fleet.TaskID]bool{}
	r.mu.Unlock()
	for task := range touched {
		dir := taskDir(r.config.Dir, task)
		r.sweepTask(dir, false)
		r.packLater(dir)
	}
}

// sweepTask removes what one task keeps no longer, and returns the rest, which
// is measured where the task has a bound that needs it, or on demand.
func (r *Runner) sweepTask(dir string, measured bool) []kept {
	runs := runsIn(dir)
	keep := r.keeps.of(dir, fleet.Keep{Runs: r.config.KeepRuns, Age: fleet.Duration(r.config.KeepAge)})
	if measured || keep.Age > 0 || keep.Size > 0 {
		for i := range runs {
			runs[i].measure()
		}
	}
	old := beyond(runs, keep, time.Now())
	rest := runs[:0]
	for i, k := range runs {
		if !old[i] || !r.remove(k) {
			rest = append(rest, k)
		}
	}
	return rest
}

// beyond says which of a task's runs, oldest first, are not to be kept: the
// newest stay, some failed ones beside them, none that is too old, and of those
// the newest that fit into the size, the last one in any case.
func beyond(runs []kept, keep fleet.Keep, now time.Time) []bool {
	old := make([]bool, len(runs))
	failed, left := min(keepFailed, keep.Runs), int64(keep.Size)
	for i, k := range slices.Backward(runs) {
		switch {
		case keep.Age > 0 && now.Sub(k.written) > time.Duration(keep.Age):
			old[i] = true
		case len(runs)-i <= keep.Runs:
		case failed > 0 && k.failed():
			failed--
		default:
			old[i] = true
		}
		if keep.Size > 0 && !old[i] {
			left -= k.bytes
			old[i] = left < 0 && i < len(runs)-1
		}
	}
	return old
}

// sweepBytes removes the oldest output of all until the rest fits.
func (r *Runner) sweepBytes(all []kept) {
	var total int64
	for _, k := range all {
		total += k.bytes
	}
	slices.SortFunc(all, func(a, b kept) int { return cmp.Compare(a.run, b.run) })
	for _, old := range all {
		if total <= r.config.KeepBytes {
			return
		}
		if r.remove(old) {
			total -= old.bytes
		}
	}
}

// remove removes what there is of a run that does not go on.
func (r *Runner) remove(old kept) bool {
	if !r.over(old.run) {
		return false
	}
	for _, name := range old.files {
		if err := ignoreMissing(os.Remove(filepath.Join(old.dir, name))); err != nil {
			r.log.Warn("old output not removed", "run", old.run, "error", err)
			return false
		}
	}
	return true
}

// over reports whether a run has ended and its outcome is on disk: until then
// its files say that it was started.
func (r *Runner) over(run fleet.RunID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, running := r.running[run]
	return !running && !r.unsettled[run]
}

// runsIn lists the runs of a task's directory, oldest first.
func runsIn(dir string) []kept {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var runs []kept
	for _, entry := range entries {
		name, _, _ := strings.Cut(entry.Name(), ".")
		if name == "" { // of the task itself
			continue
		}
		run := fleet.RunID(name)
		if len(runs) == 0 || runs[len(runs)-1].run != run { // the files of a run stand together
			runs = append(runs, kept{dir: dir, run: run})
		}
		last := &runs[len(runs)-1]
		last.files = append(last.files, entry.Name())
	}
	return runs
}

// onDisk returns how many bytes a file takes, holes left out.
func onDisk(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return allocated(info)
}

func allocated(info fs.FileInfo) int64 {
	if stat, is := info.Sys().(*syscall.Stat_t); is {
		return stat.Blocks * 512
	}
	return info.Size()
}
