package httpd_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestUpcomingIsWhatEachHostsClockSays compares the pages with every instant
// of every task on every host, worked out one by one.
func TestUpcomingIsWhatEachHostsClockSays(t *testing.T) {
	h := newHouse(t)
	for n := range 7 {
		h.addHost(t, n, map[string]string{"role": []string{"db", "web"}[n%2]})
	}
	triggers := []string{
		`{"cron":"*/7 * * * *"}`, `{"cron":"*/7 * * * *","spread":"20m"}`, `{"cron":"59 * * * *","spread":"2m"}`,
		`{"every":"13m","spread":"5m"}`, `{"cron":"0 3 * * *"}`, `{"at":"2030-01-01T00:30:00Z"}`, `{"manual":true}`,
		`{"cron":"*/5 * * * *","starts":"2030-01-01T00:10:00Z","ends":"2030-01-01T00:31:00Z","spread":"10m"}`,
	}
	for i, on := range triggers {
		h.giveTask(t, fmt.Sprintf(`{"task":"t%d","on":%s,"run":{"command":["/bin/true"],"user":"root"},"where":{"labels":%q}}`, i, on, []string{"*", "role=db"}[i%2]))
	}
	from := time.Date(2030, 1, 1, 0, 3, 20, 0, time.UTC)
	until := from.Add(time.Hour)
	for _, host := range []string{"", "host-2"} {
		var want []string
		for _, task := range h.ledger.AllTasks(everywhere) {
			for _, on := range h.ledger.AllHosts(everywhere) {
				for at, due := task.Task.Next(on.ID, from.Add(-1)); due && task.RunsOn(on) && at.Before(until) && (host == "" || host == on.Name); at, due = task.Task.Next(on.ID, at) {
					want = append(want, shown(at, on.ID, task.Task.ID()))
				}
			}
		}
		slices.Sort(want)
		var got []string
		query := api.UpcomingQuery{From: from, Until: until, Host: host, Page: api.Page{Limit: 9}}
		for {
			page, err := h.Upcoming(as(t, "admin"), query)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				got = append(got, shown(item.At, item.Host, item.Task))
			}
			if query.After = page.Next; page.Next == "" {
				break
			}
		}
		if len(want) < 20 || !cmp.Equal(want, got) {
			t.Errorf("host %q: %d instants (-want +got):\n%s", host, len(want), cmp.Diff(want, got))
		}
	}
}

func shown(at time.Time, host fleet.HostID, task fleet.TaskID) string {
	return at.Format(time.RFC3339) + " " + string(host) + " " + string(task)
}

// TestUpcomingHasTimers: a timer is due whenever one of its calendar events is.
func TestUpcomingHasTimers(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	report := fleet.Report{Host: "host-1", Scanned: time.Unix(1_700_000_100, 0).UTC(), Problems: []fleet.Problem{}}
	for i, schedule := range []string{"OnBootSec=5min; *-*-* *:00/40:00; *-*-* 02:30:00 UTC", "OnBootSec=5min", "*-*-* *:*:*; no event"} {
		job := fleet.Job{Kind: fleet.KindTimer, Source: fmt.Sprintf("/etc/systemd/system/%d.timer", i), Schedule: schedule, Timezone: "Europe/Berlin", Enabled: i < 2, Verdict: fleet.Verdict{Runs: true}}
		job.ID = fleet.NewJobID(job.Kind, job.Source, job.User, job.Command, 0)
		report.Jobs = append(report.Jobs, job)
	}
	h.propose(t, &ledger.RecordReport{Host: hostID(1), Report: report, Hash: report.ContentHash(), At: time.Unix(1_700_000_200, 0).UTC()})
	from := time.Date(2026, 7, 1, 2, 0, 0, 0, time.UTC)
	page, err := h.Upcoming(as(t, "admin"), api.UpcomingQuery{From: from, Until: from.Add(time.Hour), Page: api.Page{Limit: 9}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, item := range page.Items {
		got = append(got, item.At.Format("15:04 ")+string(item.Job))
	}
	timer := string(report.Jobs[0].ID)
	if diff := cmp.Diff([]string{"02:00 " + timer, "02:30 " + timer, "02:40 " + timer}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
