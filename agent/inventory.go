package agent

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/fleetcron/fleetcron/agent/discover"
	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/agent/policy"
	"github.com/fleetcron/fleetcron/agent/uplink"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// inventory keeps the uplink's picture of this host true.
type inventory struct {
	cfg     Config
	host    fleet.Host
	up      *uplink.Uplink
	seen    *witness
	masker  *mask.Masker
	holds   func(task fleet.TaskID) bool // whether it runs in place of a job
	gate    *policy.Gate
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
		case v.cfg = <-v.changed:
			v.describe(ctx)
			scanner.Rename(v.host.Name)
		case <-again:
			v.scan(ctx, scanner)
		case <-watched: // what changed after the first scan and before the watch began
			v.scan(ctx, scanner)
		case <-rested:
			open, rested = due, nil
		case <-open:
			begin := time.Now()
			v.describe(ctx)
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

// describe tells when an address, the name or anything else of the host changed.
func (v *inventory) describe(ctx context.Context) {
	host, err := describe(ctx, v.cfg, v.host.ID)
	if err != nil {
		v.log.Warn("host not described", "error", err)
		return
	}
	v.gate.SetHost(host)
	host.Labels = v.gate.Labels()
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
	told.Problems = v.orphans(told.Problems)
	for i := range told.Jobs {
		told.Jobs[i].Evidence = nil // which goes with the sightings
	}
	fit(told, reportRoom)
	v.up.SetReport(told)
	v.seen.scanned(&report)
}

// orphans leaves of the lines that became comments those that nobody runs: the
// host lost its state, or is a copy of another.
func (v *inventory) orphans(problems []fleet.Problem) []fleet.Problem {
	left := make([]fleet.Problem, 0, len(problems))
	for _, p := range problems {
		task, silent := takeover.CommentOf(p.Text)
		if silent && v.holds(task) {
			continue
		}
		if silent {
			p.Reason = fmt.Sprintf("the line was made a comment for task %s, which this host does not have: nobody runs it; take the words before the line away", task)
		}
		left = append(left, p)
	}
	return left
}
