package runner

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// What a run leaves behind may go on writing after its end, and all of it
// while no agent is there. The disk has the same bounds then.

// linger keeps a stream within its quota until nobody else has it open.
func (r *Runner) linger(c *capture) {
	path := c.path
	if path == "" {
		path = c.file.Name()
	}
	r.mu.Lock()
	r.lingering[path] = true
	r.mu.Unlock()
	r.work.Go(func() {
		defer c.file.Close()
		tend([]*capture{c}, r.closing, func() bool { return unshared(c.file) })
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.lingering, path)
	})
}

// takeOver keeps an eye on a stream that was left behind before this agent, and
// that somebody may still write into. How much its task keeps is not known any
// more.
func (r *Runner) takeOver(path string) {
	r.mu.Lock()
	known := r.lingering[path]
	r.mu.Unlock()
	if known {
		return
	}
	c, err := openCapture(path, max(int64(fleet.DefaultOutput), onDisk(path)))
	if err == nil { // else it is gone
		r.linger(c)
	}
}

// tend looks at streams as often as they grow, until it is to stop or they are
// done with.
func tend(streams []*capture, stop <-chan struct{}, done func() bool) {
	pace := newPace()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		if done() {
			return
		}
		var all int64
		var failed error
		for _, c := range streams {
			size, err := c.trim()
			if err != nil {
				failed = err
			}
			all += size
		}
		timer.Reset(pace.next(all, 0, failed))
	}
}

// unshared reports whether a file is open nowhere else. The kernel grants a write
// lease only then.
func unshared(file *os.File) bool {
	fd := file.Fd()
	if _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return false
	}
	_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
	return err == nil
}

// tendAll keeps the streams of all runs within their quotas: nobody else does,
// now that the agent is gone. Where there are no holes the next agent counts
// too few bytes then.
func (g *guard) tendAll() {
	for _, w := range g.wards {
		var streams []*capture
		for _, path := range w.streams {
			if c, err := openCapture(path, w.quota); err == nil { // else it is the next agent's affair
				streams = append(streams, c)
			}
		}
		go func() {
			tend(streams, nil, func() bool { return !g.goesOn(w) })
			for _, c := range streams {
				c.file.Close()
			}
		}()
	}
}

func (g *guard) goesOn(w *ward) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wards[w.PID] == w
}
