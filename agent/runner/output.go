package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// followEvery is how often a file that is being followed is looked at.
const followEvery = 100 * time.Millisecond

// Output reads what a run wrote to a stream, and says how many bytes of it were
// dropped so far. Where the middle was dropped a line says so. With follow it
// goes on until the run has ended. It is NotFound when there is no output of
// that run, or no longer.
func (r *Runner) Output(ctx context.Context, run fleet.RunID, stream string, follow bool) (io.ReadCloser, int64, error) {
	streams := map[string][]string{Stdout: {Stdout}, Stderr: {Stderr}, Both: {Stdout, Stderr}}[stream]
	if streams == nil {
		return nil, 0, fleet.Invalidf("stream", stream, "want stdout, stderr or both")
	}
	files, err := r.openStreams(run, streams)
	if err != nil {
		return nil, 0, err
	}
	var dropped int64
	for _, f := range files {
		if hole, err := findHole(f.file); err == nil { // else the reading will say so
			dropped += hole.length()
		}
	}
	ended := r.ended(run)
	if !follow {
		closed := make(chan struct{})
		close(closed)
		ended = closed
	}
	ctx, stop := context.WithCancel(ctx)
	reader, writer := io.Pipe()
	go func() {
		defer stop()
		writer.CloseWithError(copyStreams(ctx, writer, files, ended))
		for _, f := range files {
			f.file.Close()
		}
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

func (r *Runner) openStreams(run fleet.RunID, streams []string) ([]*follower, error) {
	missing := fleet.Errorf(fleet.NotFound, "no output of run %s on this host: it wrote nothing, or its output is no longer kept", run).
		WithHint("output is kept for the last %d runs of a task", r.config.KeepRuns)
	if run == "" || strings.ContainsAny(string(run), `/*?[\`) {
		return nil, missing
	}
	r.spares.opening.RLock()
	defer r.spares.opening.RUnlock()
	found, err := filepath.Glob(streamPath(filepath.Join(r.config.Dir, "*"), run, "std*"))
	if err != nil || len(found) == 0 {
		return nil, missing
	}
	var files []*follower
	for _, stream := range streams {
		file, err := os.Open(streamPath(filepath.Dir(found[0]), run, stream))
		if errors.Is(err, os.ErrNotExist) { // nothing was written to it
			continue
		}
		if err != nil {
			for _, f := range files {
				f.file.Close()
			}
			return nil, fmt.Errorf("open output: %w", err)
		}
		files = append(files, &follower{file: file})
	}
	return files, nil
}

// follower reads a growing file once, over its hole.
type follower struct {
	file *os.File
	at   int64
}

// copyStreams copies the files one after the other until ended, and then what
// has come in between.
func copyStreams(ctx context.Context, w io.Writer, files []*follower, ended <-chan struct{}) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		over := false
		select {
		case <-ended:
			over = true
		default:
		}
		for _, f := range files {
			if err := f.copyNew(w); err != nil {
				return err
			}
		}
		if over {
			return nil
		}
		select {
		case <-ended:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// copyNew copies what the file has beyond the place reached so far.
func (f *follower) copyNew(w io.Writer) error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	hole, err := findHole(f.file)
	if err != nil {
		return err
	}
	f.at = min(f.at, info.Size()) // cut short where there are no holes
	if f.at < hole.from {
		if err := f.copyTo(w, min(hole.from, info.Size())); err != nil {
			return err
		}
	}
	if f.at < hole.to && f.at >= hole.from {
		if _, err := fmt.Fprintf(w, "\n[fleetcron: %d bytes dropped here]\n", hole.to-f.at); err != nil {
			return err
		}
		f.at = hole.to
	}
	return f.copyTo(w, info.Size())
}

func (f *follower) copyTo(w io.Writer, end int64) error {
	n, err := io.Copy(w, io.NewSectionReader(f.file, f.at, end-f.at))
	f.at += n
	return err
}

// ended returns a channel that is closed when the run has ended.
func (r *Runner) ended(run fleet.RunID) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, running := r.running[run]; running {
		return c.over
	}
	closed := make(chan struct{})
	close(closed)
	return closed
}

// removeRun removes a run's files.
func removeRun(dir string, run fleet.RunID) error {
	return errors.Join(ignoreMissing(os.Remove(streamPath(dir, run, Stdout))), ignoreMissing(os.Remove(streamPath(dir, run, Stderr))))
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
