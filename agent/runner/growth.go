package runner

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How a growing stream is looked at while somebody follows it.
const (
	followLeast = 20 * time.Millisecond  // between two looks
	followMost  = 250 * time.Millisecond // without word from the kernel
)

// growth tells when streams grow: the kernel says so, and where it does not,
// as when there are too many who ask it, there is a look now and then.
type growth struct {
	kernel *os.File // an inotify; nil: there is none
	grown  chan struct{}
	tick   *time.Ticker
}

// watchGrowth begins to watch, unless all is over.
func watchGrowth(tapes []*tape, ended <-chan struct{}) *growth {
	g := &growth{grown: make(chan struct{}, 1), tick: time.NewTicker(followMost)}
	select {
	case <-ended:
		return g
	default:
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return g
	}
	for _, t := range tapes {
		if file, is := t.content.(plain); is { // by its descriptor: its name may be another run's soon
			_, _ = unix.InotifyAddWatch(fd, fmt.Sprintf("/proc/self/fd/%d", file.Fd()), unix.IN_MODIFY) // else there is the ticker
		}
	}
	g.kernel = os.NewFile(uintptr(fd), "inotify")
	go g.listen()
	return g
}

func (g *growth) listen() {
	buf := make([]byte, 4096)
	for {
		if _, err := g.kernel.Read(buf); err != nil {
			return // it was closed
		}
		select {
		case g.grown <- struct{}{}:
		default:
		}
	}
}

// wait returns when there may be more to read.
func (g *growth) wait(ctx context.Context, ended <-chan struct{}) error {
	pause := time.NewTimer(followLeast)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-g.grown:
	case <-g.tick.C:
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (g *growth) close() {
	g.tick.Stop()
	if g.kernel != nil {
		g.kernel.Close()
	}
}
