package read

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fleetcron/fleetcron/agent/discover"
	"github.com/fleetcron/fleetcron/agent/evidence"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	evidenceFile = "evidence.json"
	// evidenceEvery is how often logs are read beside after each scan.
	evidenceEvery = time.Minute
)

// witness keeps the picture of when the found jobs last ran true. It
// is a part of its own, because a log on a mount that does not answer must not
// hold up a scan.
type witness struct {
	*reader
	state   string
	reports chan *fleet.Report // holds the newest; unmasked, and not to be changed
}

func newWitness(r *reader) *witness {
	return &witness{reader: r, state: filepath.Join(r.cfg.Dir, evidenceFile), reports: make(chan *fleet.Report, 1)}
}

// scanned hands over what a scan found.
func (w *witness) scanned(report *fleet.Report) {
	select {
	case <-w.reports: // nobody looked at it
	default:
	}
	w.reports <- report // only one goroutine hands over: there is room
}

// Run reads evidence until ctx ends.
func (w *witness) Run(ctx context.Context) error {
	tick := time.NewTicker(evidenceEvery)
	defer tick.Stop()
	var report *fleet.Report
	var reader *evidence.Reader
	var name string
	for {
		select {
		case <-ctx.Done():
			return nil
		case report = <-w.reports:
		case <-tick.C:
		}
		if report == nil {
			continue
		}
		if now, _ := os.Hostname(); reader == nil || now != name { // log lines have the new name from now on
			config := evidenceConfig(ctx, w.cfg.Root)
			config.State, config.Logger = w.state, w.log
			reader, name = evidence.NewReader(config), now
		}
		w.read(ctx, reader, report)
	}
}

func (w *witness) read(ctx context.Context, reader *evidence.Reader, report *fleet.Report) {
	seen, err := reader.Read(ctx, report)
	if err != nil && ctx.Err() == nil {
		w.log.Warn("evidence incomplete", "error", err)
	}
	if seen.Jobs == nil {
		return // nothing could be read in time
	}
	for id, e := range seen.Jobs {
		seen.Jobs[id] = w.masker.Evidence(e)
	}
	w.sightings.Set(seen)
}

// evidenceConfig says how the logs of a tree are to be read.
func evidenceConfig(ctx context.Context, root string) evidence.Config {
	config := evidence.Config{Root: root, Journalctl: evidence.Journalctl(root)}
	if facts, err := discover.Facts(ctx, root); err == nil && facts.Name != "" {
		config.Names = []string{facts.Name}
	}
	config.Zone, _ = discover.LocalTime(ctx, root) // nil where there is no tree
	return config
}

// FillEvidence writes into a report's jobs what the logs of the tree say about
// their last runs. Nothing is remembered for the next time.
func FillEvidence(ctx context.Context, root string, report *fleet.Report) error {
	config := evidenceConfig(ctx, root)
	config.Logger = slog.New(slog.DiscardHandler)
	return evidence.Fill(ctx, config, report)
}
