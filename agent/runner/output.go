package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// View says what of a run's output is read, and how.
type View struct {
	Stream string // Stdout, Stderr or Both; both stand in the order in which they were written, as far as it was seen
	Follow bool   // go on until the run has ended
	// Times begins each line with its time, and of both streams with the name
	// of its own.
	Times bool
	Tail  int64 // of each stream at most so many of the last bytes, from a line's beginning; zero: all
}

// Output reads what a run wrote, and says how many bytes of it were dropped so
// far. Where the middle was dropped a line says so. It is NotFound when there
// is no output of that run, or no longer.
func (r *Runner) Output(ctx context.Context, run fleet.RunID, view View) (io.ReadCloser, int64, error) {
	wanted := map[string][]int{Stdout: {0}, Stderr: {1}, Both: {0, 1}}[view.Stream]
	if wanted == nil {
		return nil, 0, fleet.Invalidf("stream", view.Stream, "want stdout, stderr or both")
	}
	ended := closed
	if view.Follow {
		ended = r.ended(run)
	}
	tapes, known, err := r.openTapes(run, wanted)
	if err != nil {
		return nil, 0, err
	}
	var dropped int64
	for _, t := range tapes {
		if cut, err := t.cut(); err == nil { // else the reading will say so
			dropped += cut.length()
		}
	}
	ctx, stop := context.WithCancel(ctx)
	reader, writer := io.Pipe()
	go func() {
		defer stop()
		p := r.newPlayer(writer, tapes, view)
		defer p.close()
		if view.Follow {
			p.marks = r.marksOf(run)
		}
		writer.CloseWithError(p.run(ctx, known, view.Tail, ended))
	}()
	return stopping{reader, stop}, dropped, nil
}

// stopping ends the copying when its reader is closed.
type stopping struct {
	*io.PipeReader
	stop context.CancelFunc
}

// Close ends the reading.
func (s stopping) Close() error {
	s.stop()
	return s.PipeReader.Close()
}

// newPlayer lays the way that the streams go: masked each for itself, so that a
// secret is seen whole, and then together.
func (r *Runner) newPlayer(w io.Writer, tapes []*tape, view View) *player {
	p := &player{tapes: tapes}
	if view.Times {
		p.lines = &lines{to: w, named: view.Stream == Both}
	}
	for _, t := range tapes {
		t.to = w
		if p.lines != nil {
			t.to = &side{p.lines, streams[t.stream]}
		}
		if r.config.Veil != nil {
			t.veil = r.config.Veil(t.to)
			t.to = t.veil
		}
	}
	return p
}

// run plays the streams until ended, and then what has come in between.
func (p *player) run(ctx context.Context, known []mark, tail int64, ended <-chan struct{}) error {
	for _, t := range p.tapes {
		if err := t.rewind(tail); err != nil {
			return err
		}
	}
	if err := p.replay(known); err != nil {
		return err
	}
	watch := watchGrowth(p.tapes, ended)
	defer watch.close()
	for {
		over := false
		select {
		case <-ended:
			over = true
		default:
		}
		if err := p.catchUp(); err != nil {
			return err
		}
		if over {
			return p.finish()
		}
		if err := watch.wait(ctx, ended); err != nil {
			return err
		}
	}
}

// openTapes opens streams of a run, and reads their marks.
func (r *Runner) openTapes(run fleet.RunID, wanted []int) ([]*tape, []mark, error) {
	missing := fleet.Errorf(fleet.NotFound, "no output of run %s on this host: it wrote nothing, or its output is no longer kept", run).
		WithHint("output is kept for the last %d runs of a task, unless its limits.keep says otherwise", r.config.KeepRuns)
	if run == "" || strings.ContainsAny(string(run), `/.`) {
		return nil, nil, missing
	}
	r.spares.opening.RLock()
	defer r.spares.opening.RUnlock()
	dir := r.dirOf(run)
	if dir == "" {
		return nil, nil, missing
	}
	var tapes []*tape
	for _, stream := range wanted {
		content, err := openContent(streamPath(dir, run, streams[stream]))
		if errors.Is(err, os.ErrNotExist) { // nothing was written to it
			continue
		}
		if err != nil {
			(&player{tapes: tapes}).close()
			return nil, nil, fmt.Errorf("open output: %w", err)
		}
		tapes = append(tapes, &tape{content: content, stream: stream})
	}
	known, _ := readMarks(streamPath(dir, run, marksName))
	return tapes, known, nil
}

// dirOf returns the directory that holds output of a run, or nothing.
func (r *Runner) dirOf(run fleet.RunID) string {
	r.mu.Lock()
	c, running := r.running[run]
	r.mu.Unlock()
	if running {
		return taskDir(r.config.Dir, c.run.Task)
	}
	for _, dir := range r.taskDirs() {
		for _, stream := range streams {
			for _, suffix := range [2]string{"", packedSuffix} {
				if _, err := os.Lstat(streamPath(dir, run, stream) + suffix); !errors.Is(err, fs.ErrNotExist) {
					return dir
				}
			}
		}
	}
	return ""
}

// marksOf returns the marks of a run that goes on, otherwise nil.
func (r *Runner) marksOf(run fleet.RunID) *marks {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.marks[run]
}

// ended returns a channel that is closed when the run has ended.
func (r *Runner) ended(run fleet.RunID) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, running := r.running[run]; running {
		return c.over
	}
	return closed
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
