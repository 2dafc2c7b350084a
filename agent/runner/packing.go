package runner

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// leastPacked is how many bytes a stream must take on disk to be packed. Less
// would save a block or two, and cost two walks through the inodes and a sync.
const leastPacked = 16 << 10

// packLater calls for what ended runs of a task have written to be packed.
func (r *Runner) packLater(dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unpacked[dir] = true
	select {
	case r.packs <- struct{}{}:
	default:
	}
}

// packAll packs what is called for until ctx ends, when the host has nothing
// better to do: on a thread of the lowest priority, half of the time at most.
func (r *Runner) packAll(ctx context.Context) {
	runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.packs:
		}
		r.mu.Lock()
		dirs := r.unpacked
		r.unpacked = map[string]bool{}
		r.mu.Unlock()
		if err := r.packDirs(ctx, dirs); err != nil && ctx.Err() == nil {
			r.log.Warn("output not packed", "error", err)
		}
	}
}

// packDirs packs what is worth it. The packer's memory is not kept.
func (r *Runner) packDirs(ctx context.Context, dirs map[string]bool) error {
	var p *packer
	var failed error
	for dir := range dirs {
		for _, path := range r.toPack(dir) {
			if p == nil {
				var err error
				if p, err = newPacker(); err != nil {
					return err
				}
			}
			err := p.pack(ctx, path)
			switch {
			case errors.Is(err, errInUse):
				r.takeOver(path)
			case ignoreMissing(err) != nil:
				failed = errors.Join(failed, err)
			}
			if ctx.Err() != nil || errors.Is(err, unix.ENOSPC) {
				return failed
			}
		}
	}
	return failed
}

// toPack lists the streams in a directory that are worth packing.
func (r *Runner) toPack(dir string) []string {
	var paths []string
	for _, k := range runsIn(dir) {
		for _, name := range k.files {
			stream := strings.TrimPrefix(name, string(k.run)+".")
			path := filepath.Join(dir, name)
			if slices.Contains(streams[:], stream) && onDisk(path) >= leastPacked && r.over(k.run) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}
