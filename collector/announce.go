package collector

import (
	"context"
	"log/slog"
	"slices"
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
	if len(raft.Members()) == 0 && len(cfg.members()) == 0 {
		log.Warn("this collector is in no raft group and knows nobody to ask; set join to a member's API address")
	}
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for !announced(raft, book, others, cfg) {
		if err := introduce(ctx, cfg, raft, book, others); err != nil {
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

// announced reports whether the ledger has this collector as it is now: where
// it is, and with which certificate.
func announced(raft *replica.Replica, book *ledger.Ledger, others *peers, cfg Config) bool {
	at := func(m replica.Member) bool { return m.ID == others.self && m.Address == raft.Address() }
	if !slices.ContainsFunc(raft.Members(), at) {
		return false
	}
	node, err := book.Node(fleet.ScopeOf(fleet.Everywhere), cfg.ID)
	if err != nil || node.Serial != others.credentials.Serial() {
		return false
	}
	known, err := book.Collectors()
	return err == nil && slices.ContainsFunc(known, func(c ledger.Collector) bool {
		return c.ID == others.self && c.API == cfg.apiURL() && c.Version == cfg.Version
	})
}

// introduce does nothing while there is nobody to ask. It proposes the
// announcement where this collector leads, and asks a member to pass it to the
// leader where it does not.
func introduce(ctx context.Context, cfg Config, raft *replica.Replica, book *ledger.Ledger, others *peers) error {
	leader, _ := raft.Leader()
	members := cfg.members()
	if leader == "" && (len(raft.Members()) > 0 || len(members) == 0) {
		return nil
	}
	if raft.Status().State == replica.Leading {
		return introduceLeader(ctx, cfg, raft, book, others)
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

// introduceLeader records where this collector is, and the certificate that it
// has made itself since.
func introduceLeader(ctx context.Context, cfg Config, raft *replica.Replica, book *ledger.Ledger, others *peers) error {
	if err := raft.Move(ctx); err != nil {
		return err
	}
	now := time.Now().UTC()
	entry := ledger.Audited{At: now, By: fleet.Principal{Kind: fleet.SystemKind, Name: cfg.ID}, Object: "collector " + cfg.ID}
	certificate, mine := entry, nodeOf(others.credentials)
	node, err := book.Node(fleet.ScopeOf(fleet.Everywhere), cfg.ID)
	switch {
	case fleet.KindOf(err) == fleet.NotFound:
		certificate.Action, certificate.Command = "node.put", &ledger.PutNode{Node: mine, At: now, Actor: entry.By.String()}
	case err != nil:
		return err
	case node.Serial != mine.Serial:
		certificate.Action, certificate.Command = "node.renew", &ledger.RenewNode{
			ID: cfg.ID, Before: node.Serial, Serial: mine.Serial, Fingerprint: mine.Fingerprint, Expires: mine.Expires, At: now,
		}
	}
	if certificate.Command != nil {
		if _, err := raft.Propose(ctx, &certificate); err != nil {
			return err
		}
	}
	entry.Action, entry.Command = "collector.put", &ledger.PutCollector{ID: others.self, API: cfg.apiURL(), Version: cfg.Version, At: now}
	_, err = raft.Propose(ctx, &entry)
	return err
}
