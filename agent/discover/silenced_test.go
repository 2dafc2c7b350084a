package discover

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestSilencedLines are told of, because a host that lost its state does not
// know that it silenced them.
func TestSilencedLines(t *testing.T) {
	root := plant(t, "-- bin/sh --\n-- usr/sbin/cron --\n-- etc/crontab --\n# ours\n# fleetcron adopted data/x: * * * * * root /bin/x\n# fleetcron adopted nothing\n # fleetcron adopted data/y: z\n")
	want := []fleet.Problem{{
		Source: "/etc/crontab", Line: 2, Text: "# fleetcron adopted data/x: * * * * * root /bin/x", Reason: "the line is a comment, because task data/x runs in its place",
	}}
	if diff := cmp.Diff(want, scanned(t, root).Problems); diff != "" {
		t.Error(diff)
	}
}
