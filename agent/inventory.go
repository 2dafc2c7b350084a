package agent

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/fleetcron/fleetcron/agent/discover"
	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/agent/uplink"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// inventory keeps the uplink's picture of this host true.
type inventory struct {
	cfg     Config
	host    fleet.Host
	up      *uplink.Uplink
	seen    *witness
	masker  *mask.Masker
	log     *slog.Logger
	changed chan Config
}

// watchTime is how long it takes at most until all directories are watched.
const watchTime = time.Second

// Run scans whenever a scan is due, until ctx ends.
func (v *inventory) Run(ctx context.Context) error {
	scanner := discover.NewScanner(v.cfg.Root, discover.Options{Host: v.host.Name})
	due := discover.Watch(ctx, v.cfg.Root)
	v.scan(ctx, scanner)
	watched := time.After(watchTime)
	for {
		var again <-chan time.Time // nil while the last scan needs no second look
		if wait := scanner.Again(); wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case v.cfg = <-v.changed:
			v.describe(ctx)
			scanner.Rename(v.host.Name)
		case <-again:
			v.scan(ctx, scanner)
		case <-watched: // what changed after the first scan and before the watch began
			v.scan(ctx, scanner)
		case <-due:
			v.describe(ctx)
			scanner.Rename(v.host.Name)
			v.scan(ctx, scanner)
		}
	}
}

// describe tells when an address, the name or anything else of the host changed.
func (v *inventory) describe(ctx context.Context) {
	host, err := describe(ctx, v.cfg, v.host.ID)
	if err != nil {
		v.log.Warn("host not described", "error", err)
		return
	}
	if !reflect.DeepEqual(host, v.host) {
		v.host = host
		v.up.SetHost(host)
	}
}

func (v *inventory) scan(ctx context.Context, scanner *discover.Scanner) {
	report, err := scanner.Scan(ctx)
	if err != nil {
		if ctx.Err() == nil {
			v.log.Warn("scan failed", "root", v.cfg.Root, "error", err)
		}
		return
	}
	told := v.masker.Report(&report)
	for i := range told.Jobs {
		told.Jobs[i].Evidence = nil // which goes with the sightings
	}
	fit(told, reportRoom)
	v.up.SetReport(told)
	v.seen.scanned(&report)
}
