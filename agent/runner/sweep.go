package runner

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// sweepEvery is how often old output is looked for. It is not removed at once:
// ext4 does not use an inode again for seconds after it was freed, and looks
// for others at length while there are many of those.
const sweepEvery = 30 * time.Second

// Run removes output that is no longer kept until ctx ends: beyond the newest
// runs of each task, and beyond the bytes for all of them the oldest first.
func (r *Runner) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	r.sweepAll()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.sweepTouched()
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
	bytes int64 // on disk
}

func (r *Runner) sweepAll() {
	dirs := r.taskDirs()
	for _, dir := range dirs {
		r.sweepTask(dir)
	}
	r.sweepBytes(dirs)
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
		r.sweepTask(taskDir(r.config.Dir, task))
	}
}

// sweepTask keeps the newest runs of one task.
func (r *Runner) sweepTask(dir string) {
	runs := runsIn(dir)
	for _, old := range runs[:max(0, len(runs)-r.config.KeepRuns)] {
		r.remove(old)
	}
}

// sweepBytes removes the oldest output of all until the rest fits.
func (r *Runner) sweepBytes(dirs []string) {
	var all []kept
	var total int64
	for _, dir := range dirs {
		for _, k := range runsIn(dir) {
			k.bytes = onDisk(streamPath(k.dir, k.run, Stdout)) + onDisk(streamPath(k.dir, k.run, Stderr))
			total += k.bytes
			all = append(all, k)
		}
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

func (r *Runner) remove(old kept) bool {
	r.mu.Lock()
	_, running := r.running[old.run]
	r.mu.Unlock()
	if running {
		return false
	}
	if err := removeRun(old.dir, old.run); err != nil {
		r.log.Warn("old output not removed", "run", old.run, "error", err)
		return false
	}
	return true
}

// runsIn lists the runs of a task's directory, oldest first.
func runsIn(dir string) []kept {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var runs []kept
	for _, entry := range entries {
		run, _, _ := strings.Cut(entry.Name(), ".")
		if len(runs) == 0 || runs[len(runs)-1].run != fleet.RunID(run) { // its two streams stand together
			runs = append(runs, kept{dir: dir, run: fleet.RunID(run)})
		}
	}
	return runs
}

// onDisk returns how many bytes a file takes, holes left out.
func onDisk(path string) int64 {
	var info fs.FileInfo
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if stat, is := info.Sys().(*syscall.Stat_t); is {
		return stat.Blocks * 512
	}
	return info.Size()
}
