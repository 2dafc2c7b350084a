package outside

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestOrphans: a comment is no trouble as long as its task runs here.
func TestOrphans(t *testing.T) {
	got := orphans([]fleet.Problem{
		{Source: "/etc/crontab", Line: 1, Text: "# fleetcron adopted data/here: * * * * * root x", Reason: "silent"},
		{Source: "/etc/crontab", Line: 2, Text: "# fleetcron adopted data/gone: * * * * * root x", Reason: "silent"},
		{Source: "/etc/crontab", Line: 3, Text: "* * * *", Reason: "too few fields"},
	}, []fleet.TaskID{"data/here"})
	want := []fleet.Problem{
		{Source: "/etc/crontab", Line: 2, Text: "# fleetcron adopted data/gone: * * * * * root x", Reason: "the line was made a comment for task data/gone, which this host does not have: nobody runs it; take the words before the line away"},
		{Source: "/etc/crontab", Line: 3, Text: "* * * *", Reason: "too few fields"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
