package httpd_test

import (
	"slices"
	"testing"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestWhatEachRoleMay says once more, and apart from the table, what README says
// of the roles. A role that gains or loses something by mistake is found here.
func TestWhatEachRoleMay(t *testing.T) {
	reads := []httpd.Permission{httpd.ReadFleet, httpd.ReadOutput, httpd.ReadMetrics}
	submits := []httpd.Permission{httpd.WriteTasks, httpd.RunTasks, httpd.ControlTasks, httpd.WriteNotes}
	manages := []httpd.Permission{httpd.ManageTokens, httpd.ManageNodes, httpd.ManageRules, httpd.ManageCluster, httpd.BackUp}
	audits, approves := []httpd.Permission{httpd.ReadAudit}, []httpd.Permission{httpd.Approve}
	all := slices.Concat(reads, submits, manages, audits, approves)
	for role, may := range map[fleet.Role][]httpd.Permission{
		fleet.Viewer:   reads,
		fleet.Runner:   append(slices.Clone(reads), httpd.RunTasks),
		fleet.Operator: slices.Concat(reads, submits),
		fleet.Approver: slices.Concat(reads, approves),
		fleet.Auditor:  slices.Concat(reads, audits),
		fleet.Admin:    all,
		"":             nil,
	} {
		for _, permission := range all {
			if got, want := httpd.Holds(role, permission), slices.Contains(may, permission); got != want {
				t.Errorf("role %q: %s is %v, want %v", role, permission, got, want)
			}
		}
		for _, permission := range []httpd.Permission{httpd.BeAgent, httpd.BeCollector, httpd.BeMember, "another"} {
			if httpd.Holds(role, permission) {
				t.Errorf("role %q holds %s, which no token gives", role, permission)
			}
		}
	}
}
