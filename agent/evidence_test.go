package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// addLine adds a line to a log of the tree.
func addLine(t *testing.T, root, log, line string) {
	t.Helper()
	dir := filepath.Join(root, "var/log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
}

// TestWhatRanIsTold follows a line of a log to a collector, over a restart of
// the agent, and holds reports to say nothing of it.
func TestWhatRanIsTold(t *testing.T) {
	c := newCollector(t)
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Root = t.TempDir(), hostTree(t)
	c.enrol(&cfg)
	began := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	addLine(t, cfg.Root, "syslog", began.Format(time.RFC3339)+" web-1 CRON[71]: (root) CMD ([72] /opt/nightly --all)")
	addLine(t, cfg.Root, "syslog", time.Now().UTC().Format(time.RFC3339)+" web-2 CRON[71]: (root) CMD (/opt/nightly --all)")
	stop := startAgent(t, cfg)
	report := await(t, "a report", c.reports)
	if len(report.Jobs) != 1 || report.Jobs[0].Evidence != nil {
		t.Errorf("reported %+v", report.Jobs)
	}
	id := report.Jobs[0].ID
	want := fleet.Sightings{
		Since: map[fleet.JobKind]time.Time{fleet.KindCron: began},
		Jobs:  map[fleet.JobID]fleet.Evidence{id: {Last: began, Grade: fleet.GradeStarted, From: "/var/log/syslog"}},
	}
	if diff := cmp.Diff(want, await(t, "sightings", c.sights)); diff != "" {
		t.Error(diff)
	}
	stop()

	end := began.Add(5 * time.Minute)
	addLine(t, cfg.Root, "syslog", end.Format(time.RFC3339)+" web-1 CRON[71]: (root) END ([72] /opt/nightly --all)")
	stop = startAgent(t, cfg)
	defer stop()
	seen := want.Jobs[id]
	seen.Grade, seen.Ended = fleet.GradeEnded, &end
	want.Jobs[id] = seen
	if diff := cmp.Diff(want, await(t, "sightings after a restart", c.sights)); diff != "" {
		t.Error(diff)
	}
}
