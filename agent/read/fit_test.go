package read

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestFit: however much is found, and however it is escaped, a report is one
// that collectors take, and who fills it hides nothing of others.
func TestFit(t *testing.T) {
	const n = 20_000
	for name, c := range map[string]struct {
		command string
		env     map[string]string
	}{
		"small":   {"/bin/true", nil},
		"escaped": {strings.Repeat("\x01", 300), nil},
		"env":     {":", map[string]string{"A": strings.Repeat("<", 300)}},
	} {
		t.Run(name, func(t *testing.T) {
			report := fleet.Report{Host: "web-1"}
			for i := range n {
				report.Jobs = append(report.Jobs, fleet.Job{ID: fleet.JobID(fmt.Sprint(i)), User: "eve", Source: "/var/spool/cron/crontabs/eve", Command: c.command, Env: c.env, Schedule: "0 1 * * *"})
				report.Problems = append(report.Problems, fleet.Problem{Source: "/home/eve/x", Text: c.command, Reason: strings.Repeat("r", 200)})
			}
			report.Jobs = append(report.Jobs, fleet.Job{ID: "backup", User: "root", Source: "/etc/crontab", Command: "/bin/backup"}, fleet.Job{ID: "last", User: "eve", Container: "web", Source: "container:web:/etc/crontab"})
			report.Problems = append(report.Problems, fleet.Problem{Source: "/etc/crontab", Reason: "other"})
			fit(&report, reportRoom)
			text, err := json.Marshal(report)
			if err != nil || len(text) > fleet.MaxReportBody {
				t.Errorf("%d bytes, %v", len(text), err)
			}
			if len(text) < fleet.MaxReportBody/2 {
				t.Errorf("only %d bytes are left", len(text))
			}
			last := report.Jobs[len(report.Jobs)-2:]
			if last[0].ID != "backup" || last[1].ID != "last" {
				t.Errorf("the jobs of others are gone: %v", last)
			}
			says := fmt.Sprint(report.Problems)
			if !strings.Contains(says, "other") || len(report.Problems) > fleet.MaxReportProblems ||
				len(report.Jobs) < n+2 && !strings.Contains(says, fmt.Sprintf("%d jobs of user eve are left out", n+2-len(report.Jobs))) {
				t.Errorf("problems end with %s", says[len(says)-400:])
			}
		})
	}
}

// TestFitLeavesAlone: what there is room for stays as it is.
func TestFitLeavesAlone(t *testing.T) {
	report := fleet.Report{Jobs: []fleet.Job{{ID: "a"}, {ID: "b"}}, Problems: []fleet.Problem{{Source: "/etc/crontab"}}}
	for _, room := range []int{reportRoom, 800} {
		if fit(&report, room); len(report.Jobs) != 2 || len(report.Problems) != 1 {
			t.Errorf("with room for %d: %v", room, report)
		}
	}
}

// TestRest: a scan that takes long is not made all the time.
func TestRest(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		50 * time.Millisecond: 0, time.Second: 4 * time.Second, time.Minute: maxRest,
	} {
		if got := rest(took); got != want {
			t.Errorf("after %s: %s, want %s", took, got, want)
		}
	}
}
