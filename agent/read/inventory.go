package read

import (
	"context"
	"reflect"
	"time"

	"github.com/fleetcron/fleetcron/agent/discover"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// inventory keeps the picture of what is scheduled here true.
type inventory struct {
	*reader
	host fleet.Host
	seen *witness
}

// watchTime is how long it takes at most until all directories are watched.
const watchTime = time.Second

// Run scans whenever a scan is due, until ctx ends.
func (v *inventory) Run(ctx context.Context) error {
	v.facts.Set(v.host)
	scanner := discover.NewScanner(v.cfg.Root, discover.Options{Host: v.host.Name})
	due := discover.Watch(ctx, v.cfg.Root)
	v.scan(ctx, scanner)
	watched := time.After(watchTime)
	open := due                 // nil while the last scan is rested from
	var rested <-chan time.Time // nil while there is no need to
	for {
		var again <-chan time.Time // nil while the last scan needs no second look
		if wait := scanner.Again(); wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case v.cfg.Name = <-v.cfg.Names:
			v.refresh(ctx)
			scanner.Rename(v.host.Name)
		case <-again:
			v.scan(ctx, scanner)
		case <-watched: // what changed after the first scan and before the watch began
			v.scan(ctx, scanner)
		case <-rested:
			open, rested = due, nil
		case <-open:
			begin := time.Now()
			v.refresh(ctx)
			scanner.Rename(v.host.Name)
			v.scan(ctx, scanner)
			if wait := rest(time.Since(begin)); wait > 0 {
				open, rested = nil, time.After(wait)
			}
		}
	}
}

const (
	quickScan = 250 * time.Millisecond
	maxRest   = 30 * time.Second
)

// rest is how long no change calls for another scan after one that took long:
// any user can go on changing what is watched, and shall not keep a processor
// busy with it.
func rest(took time.Duration) time.Duration {
	if took < quickScan {
		return 0
	}
	return min(4*took, maxRest)
}

// refresh tells when the name or anything else of the host changed.
func (v *inventory) refresh(ctx context.Context) {
	host, err := v.describe(ctx)
	if err != nil {
		v.log.Warn("host not described", "error", err)
		return
	}
	if !reflect.DeepEqual(host, v.host) {
		v.host = host
		v.facts.Set(host)
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
	v.report.Set(told)
	v.seen.scanned(&report)
}
