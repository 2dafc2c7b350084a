package search

import (
	"slices"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestMatcherAgreesWithTheIndex asks both the same: what the index finds among
// the jobs of today, the matcher finds among those of any day.
func TestMatcherAgreesWithTheIndex(t *testing.T) {
	source := newFleet()
	ids := []fleet.HostID{
		source.put(1, "db-1", map[string]string{"role": "db"}, job("/etc/crontab", 1, "root", "30 2 * * *", "/bin/Backup --all"), job("/etc/cron.d/x", 2, "www", "@daily", "/bin/x")),
		source.put(2, "web-1", map[string]string{"role": "web"}, job("/etc/crontab", 1, "root", "30 2 * * *", "/bin/Backup --all"), job("/etc/cron.d/db-x", 3, "postgres", "5 * * * *", "/bin/vacuum")),
	}
	source.jobs[ids[1]][1].Kind = fleet.KindTimer
	source.jobs[ids[1]][1].Verdict.Runs = false
	source.jobs[ids[0]][0].Verdict.Runs = true
	x := New(source)
	for _, q := range []api.JobQuery{
		{}, {Text: "backup"}, {Text: "db"}, {Text: "DB-1"}, {Text: "user:root"}, {Text: "user:ROOT backup"}, {Text: "host:db-"}, {Text: "host:" + string(ids[1])},
		{Text: "source:cron.d source:db"}, {Text: `schedule:"30 2"`}, {Text: "kind:timer"}, {Text: "none"}, {Text: "user:root user:www"},
		{Host: "web-1"}, {Host: string(ids[0])}, {Host: "web"}, {User: "postgres"}, {User: "post"}, {Source: "CRON.D"}, {Kind: fleet.KindTimer}, {Kind: fleet.KindCron},
		{Label: "role=db"}, {Label: "role!=db"}, {Verdict: "runs"}, {Verdict: "broken"},
		{Fingerprint: fleet.CommandFingerprint("/bin/Backup --all")}, {Fingerprint: "none"}, {Text: "www", User: "www", Label: "role"},
	} {
		found, err := x.Query(everywhere, q)
		if err != nil {
			t.Fatal(err)
		}
		matches, err := x.Matcher(everywhere, q)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, job := range found.Items {
			want = append(want, string(job.Host+"/")+string(job.ID))
		}
		for _, host := range source.AllHosts(everywhere) {
			for i := range source.jobs[host.ID] {
				if job := &source.jobs[host.ID][i]; matches(host, job) {
					got = append(got, string(host.ID+"/")+string(job.ID))
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%+v: the index finds %v, the matcher %v", q, want, got)
		}
	}
	if _, err := x.Matcher(everywhere, api.JobQuery{Label: "=="}); fleet.KindOf(err) != fleet.Invalid {
		t.Error(err)
	}
}

func TestMatcherKnowsOwners(t *testing.T) {
	x := New(newFleet())
	owned, orphan := &api.JobView{Owner: "Team-Data"}, &api.JobView{}
	source := newFleet()
	source.put(1, "a", nil)
	host := source.AllHosts(everywhere)[0]
	for asked, want := range map[string][2]bool{"": {true, true}, "team-data": {true, false}, "none": {false, true}, "ann": {}} {
		matches, err := x.Matcher(everywhere, api.JobQuery{Owner: asked})
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{matches(host, owned), matches(host, orphan)}; got != want {
			t.Errorf("%q: %v, want %v", asked, got, want)
		}
	}
}
