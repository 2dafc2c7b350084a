package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// A leader whose disk hangs goes on leading for ever: raft's heartbeats do not
// touch the disk. So a canary is written and synced each canaryEvery, and one
// that takes longer than canaryLimit ends the process.
const (
	canaryEvery = time.Second
	canaryLimit = 5 * time.Second
)

// watchdog touches the disk and calls fatal when that hangs or fails.
type watchdog struct {
	touch func() error // writes and syncs
	fatal func(error)  // ends the process
}

// run watches until ctx ends. The touching is done on a thread of its own, so
// that neither a busy scheduler nor a thread stuck in the kernel delays it.
func (w watchdog) run(ctx context.Context) {
	ask, answer := make(chan struct{}), make(chan error, 1)
	defer close(ask)
	go func() {
		runtime.LockOSThread()
		for range ask {
			answer <- w.touch()
		}
	}()
	every := time.NewTicker(canaryEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
		ask <- struct{}{}
		if err := await(ctx, answer); err != nil {
			w.fatal(err)
			return
		}
	}
}

// await returns why the disk is not to be trusted, or nil.
func await(ctx context.Context, answer <-chan error) error {
	limit := time.NewTimer(canaryLimit)
	defer limit.Stop()
	select {
	case err := <-answer:
		if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return fmt.Errorf("canary: %w", err)
		}
		return nil
	case <-limit.C:
		return fmt.Errorf("canary: the disk has not answered for %s", canaryLimit)
	case <-ctx.Done():
		return nil
	}
}

// canary is a file of a few bytes that is overwritten in place.
type canary struct{ file *os.File }

func openCanary(path string) (*canary, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open canary: %w", err)
	}
	return &canary{file}, nil
}

func (c *canary) touch() error {
	if _, err := c.file.WriteAt([]byte(time.Now().UTC().Format(time.RFC3339Nano)+"\n"), 0); err != nil {
		return err
	}
	return c.file.Sync()
}

// die is the default Fatal: it says why on standard error, which needs no disk
// of ours, and ends the process at once.
func die(err error) {
	fmt.Fprintf(os.Stderr, "fleetcron-collector: %v; ending, so that another collector leads\n", err)
	os.Exit(1)
}
