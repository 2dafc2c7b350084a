package discover

import (
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestQuietLinesLeaveNoTrace marks what cronie does not log, as in SUSE's own
// table, so that nothing follows from seeing nothing.
func TestQuietLinesLeaveNoTrace(t *testing.T) {
	root := plant(t, "-- etc/os-release --\nID=opensuse-leap\n-- etc/crontab --\n-*/15 * * * * root run-crons\n0 1 * * * root loud\n-- etc/passwd --\nroot:x:0:0::/root:/bin/sh\n")
	report, err := Scan(t.Context(), root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	unseen := map[string]bool{}
	for _, job := range report.Jobs {
		if job.Kind == fleet.KindCron {
			unseen[job.Command] = job.Unseen
		}
	}
	if len(unseen) != 2 || !unseen["run-crons"] || unseen["loud"] {
		t.Errorf("%v", unseen)
	}
}
