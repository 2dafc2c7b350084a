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
func announce(ctx context.Context, cfg Config, raft *replica.Replica, book *ledger.Ledger, others *peers, log *slog.Logger) error {
	self := fleet.CollectorID(cfg.ID)
	if len(raft.Members()) == 0 && len(cfg.members()) == 0 {
		log.Warn("this collector is in no raft group and knows nobody to ask; set join to a member's API address")
	}
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for !announced(book, self, cfg) {
		if err := introduce(ctx, cfg, raft, others); err != nil {
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

// introduce does nothing while there is nobody to ask. It proposes the
// announcement where this collector leads, and asks a member to pass it to the
// leader where it does not.
func introduce(ctx context.Context, cfg Config, raft *replica.Replica, others *peers) error {
	leader, _ := raft.Leader()
	members := cfg.members()
	if leader == "" && (len(raft.Members()) > 0 || len(members) == 0) {
		return nil
	}
	if raft.Status().State == replica.Leading {
		now := time.Now().UTC()
		_, err := raft.Propose(ctx, &ledger.Audited{
			At: now, By: fleet.Principal{Kind: fleet.SystemKind, Name: cfg.ID}, Action: "collector.put", Object: "collector " + cfg.ID,
			Command: &ledger.PutCollector{ID: others.self, API: cfg.apiURL(), Version: cfg.Version, At: now},
		})
		return err
	}
	if address := others.leadersAddress(); address != "" {
		members = append([]string{address}, members...)
	}
	if len(members) == 0 {
		return nil
	}
	client, err := others.client(members...)
	if err != nil {
		return err
	}
	_, err = client.JoinCluster(ctx, api.Join{
		Cluster: raft.Cluster(), ID: others.self, Raft: cfg.reached(cfg.Listen.Raft), API: cfg.apiURL(), Version: cfg.Version,
		Serial: others.credentials.Serial(), Fingerprint: others.credentials.Fingerprint(), Expires: others.credentials.NotAfter(),
	})
	return err
}
