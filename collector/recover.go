package collector

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/shared/backup"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
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
	header, word, content, err := backup.Open(file)
	if err != nil {
		return header, err
	}
	_, err = whileStopped(cfg, func(r replica.Config) (Remains, error) {
		if cluster := r.Credentials.ID().Cluster; header.Cluster != cluster {
			return Remains{}, fleet.Errorf(fleet.Conflict, "snapshot cluster mismatch: the backup is of cluster %s, this collector belongs to %s; nothing was changed", header.Cluster, cluster).
				WithCode("other_cluster").WithHint("restore it on a collector that has an identity of %s: a copy of a collector's identity directory, or one made with the root key (fleetcron-collector enroll --write-request)", header.Cluster)
		}
		if err := vouched(r.Credentials, header, word); err != nil {
			return Remains{}, err
		}
		return replica.Restore(r, content)
	})
	if err != nil {
		return header, err
	}
	_, err = gossip.MakeRing(cfg.keyFile())
	if errors.Is(err, os.ErrExist) {
		err = nil // it was brought along
	}
	return header, err
}

// aBackup is what collectors vouch for when they make one.
const aBackup = "backup"

// vouched refuses a backup that no collector of this cluster took: whoever could
// write to the file would decide what a restored cluster believes.
func vouched(credentials *pki.Credentials, header backup.Header, word backup.Word) error {
	by, err := credentials.Vouched(aBackup, word.Sum, word.Text, header.Taken)
	if err == nil && by.Role != pki.RoleCollector {
		err = fmt.Errorf("it is signed by %s", by)
	}
	if err != nil {
		return &fleet.Error{
			Kind: fleet.Refused, Code: "backup_unsigned", Err: err, Message: "no collector of this cluster vouches for the backup, so anybody may have written it; nothing was changed",
			Hint: "take the file from where it was kept first",
		}
	}
	return nil
}

// whileStopped does something with the files of a collector that does not run.
func whileStopped(cfg Config, do func(replica.Config) (Remains, error)) (remains Remains, err error) {
	if cfg.Store == StoreMemory {
		return remains, &fleet.Error{Kind: fleet.Usage, Message: "store: memory leaves nothing behind"}
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return remains, err
	}
	defer lock.Close()
	me, err := loadSelf(&cfg)
	if err != nil {
		return remains, err
	}
	book, err := openLedger(cfg)
	if err != nil {
		return remains, err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	return do(cfg.replica(me, book, slog.New(slog.DiscardHandler)))
}
