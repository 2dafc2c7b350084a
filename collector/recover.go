package collector

import (
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/shared/backup"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
)

// Remains is what a stopped collector has on its disk.
type Remains = replica.Remains

// Survey says what this stopped collector has, and changes nothing.
func Survey(cfg Config) (Remains, error) {
	return whileStopped(cfg, replica.Survey)
}

// Recover lets this stopped collector go on alone, as a new cluster with all
// that it has, after the others were lost for good.
func Recover(cfg Config) (Remains, error) {
	return whileStopped(cfg, replica.Recover)
}

// Restore makes a new cluster of this collector alone, which begins with a
// backup. A collector that has state is refused.
func Restore(cfg Config, file io.ReadSeeker) (header backup.Header, err error) {
	header, content, err := backup.Open(file)
	if err != nil {
		return header, err
	}
	_, err = whileStopped(cfg, func(r replica.Config) (Remains, error) { return replica.Restore(r, content) })
	if err != nil {
		return header, err
	}
	_, err = gossip.MakeRing(cfg.keyFile())
	if errors.Is(err, os.ErrExist) {
		err = nil // it was brought along
	}
	return header, err
}

// whileStopped does something with the files of a collector that does not run.
func whileStopped(cfg Config, do func(replica.Config) (Remains, error)) (remains Remains, err error) {
	if cfg.Store == StoreMemory {
		return remains, &fleet.Error{Kind: fleet.Usage, Message: "store: memory leaves nothing behind"}
	}
	book, err := openLedger(cfg)
	if err != nil {
		return remains, err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	return do(replica.Config{
		ID: fleet.CollectorID(cfg.ID), Dir: cfg.raftDir(), Bind: cfg.Listen.Raft, Ledger: book, Logger: slog.New(slog.DiscardHandler),
	})
}
