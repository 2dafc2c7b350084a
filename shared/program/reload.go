package program

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// lookEvery is how often the configuration file is looked at for a change.
const lookEvery = 2 * time.Second

// Reloads returns the configurations that are to be taken in while the command
// runs: one whenever SIGHUP or SIGUSR2 asks for it or the file has changed. What cannot
// be loaded is logged and not sent, so that the old configuration stays. The
// channel is never closed; nothing comes once the command's context ended.
func Reloads[C any](command *cobra.Command, load func() (C, error), log *slog.Logger) <-chan C {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP, syscall.SIGUSR2)
	loaded := make(chan C)
	go func() {
		defer signal.Stop(hangups)
		reload(command.Context(), command.Flag("config").Value.String(), hangups, load, loaded, log)
	}()
	return loaded
}

func reload[C any](ctx context.Context, file string, hangups <-chan os.Signal, load func() (C, error), loaded chan<- C, log *slog.Logger) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	taken := stampOf(file)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		case <-look.C:
			if stampOf(file) == taken {
				continue
			}
		}
		taken = stampOf(file)
		next, err := load()
		if err != nil {
			log.Error("configuration not taken in, the old one stays", "error", err)
			continue
		}
		select {
		case loaded <- next:
		case <-ctx.Done():
			return
		}
	}
}

// stamp tells versions of a file apart; the zero one is of no file.
type stamp struct {
	modified time.Time
	size     int64
	inode    uint64
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size(), inodeOf(info)}
}

func inodeOf(info fs.FileInfo) uint64 {
	if own, ok := info.Sys().(*syscall.Stat_t); ok {
		return own.Ino
	}
	return 0
}
