package collector

import (
	"context"
	"log/slog"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// announceEvery is how often a collector that is not yet known says again who
// and where it is.
const announceEvery = time.Second

// announce tells the group where this collector's API is, and asks to be taken
// in where it is not a member, until the ledger says so. Raft knows only where
// the raft streams are.
func announce(ctx context.Context, cfg Config, raft *replica.Replica, book *ledger.Ledger, log *slog.Logger) error {
	self := fleet.CollectorID(cfg.ID)
	if len(raft.Members()) == 0 && len(cfg.Join) == 0 {
		log.Info("waiting for a cluster that names this collector; to make a new one stop this and run fleetcron-collector init, to join one set join to a member's API address")
	}
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for !announced(book, self, cfg) {
		if err := introduce(ctx, cfg, raft, self); err != nil {
			log.Debug("not announced yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}

// announced reports whether the ledger has this collector as it is now.
func announced(book *ledger.Ledger, self fleet.CollectorID, cfg Config) bool {
	known, err := book.Collectors()
	if err != nil {
		return false
	}
	for _, c := range known {
		if c.ID == self {
			return c.API == cfg.apiURL() && c.Version == cfg.Version
		}
	}
	return false
}

// introduce does nothing while there is nobody to ask. It proposes the announcement where this collector leads, and asks a
// member to pass it to the leader where it does not.
func introduce(ctx context.Context, cfg Config, raft *replica.Replica, self fleet.CollectorID) error {
	if leader, _ := raft.Leader(); leader == "" && (len(raft.Members()) > 0 || len(cfg.Join) == 0) {
		return nil
	}
	if raft.Status().State == replica.Leading {
		_, err := raft.Propose(ctx, &ledger.PutCollector{ID: self, API: cfg.apiURL(), Version: cfg.Version, At: time.Now().UTC()})
		return err
	}
	client, err := api.NewClient(api.Config{Addresses: append([]string{cfg.apiURL()}, cfg.Join...), Timeout: 10 * time.Second, UserAgent: "fleetcron-collector/" + cfg.Version})
	if err != nil {
		return err
	}
	_, err = client.JoinCluster(ctx, api.Join{Cluster: raft.Cluster(), ID: self, Raft: cfg.Listen.Raft, API: cfg.apiURL(), Version: cfg.Version})
	return err
}
