package findings

import (
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestWhatIsWithheldIsSeen, and not taken for something that does not run.
func TestWhatIsWithheldIsSeen(t *testing.T) {
	host := Host{HostView: api.HostView{Host: fleet.Host{ID: "00000000000000000000000000000001", Name: "db-1"}}}
	report := fleet.PolicyReport{Execute: true, Refused: []fleet.Refusal{{Object: "task data/backup", Code: fleet.RefusalWithheld, Why: "the collectors give it no longer"}}}
	list := Evaluate(Fleet{Hosts: []Host{host}, Policies: []api.HostChain{{Host: host.ID, Name: host.Name, PolicyReport: report}}}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	if len(list) != 1 || list[0].Kind != fleet.FindRefused || !strings.Contains(list[0].Summary, "task data/backup is withheld from it: the collectors give it no longer") || strings.Contains(list[0].Summary, "refuses") {
		t.Errorf("%+v", list)
	}
}
