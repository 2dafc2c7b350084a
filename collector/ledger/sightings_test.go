package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func seenAt(at time.Time) fleet.Evidence {
	return fleet.Evidence{Last: at, Grade: fleet.GradeStarted, From: "journal"}
}

func sight(host int, at time.Time, jobs map[fleet.JobID]fleet.Evidence) *RecordSightings {
	since := map[fleet.JobKind]time.Time{fleet.KindCron: noon}
	return &RecordSightings{Host: hostID(host), Sightings: fleet.Sightings{Since: since, Jobs: jobs}, At: at}
}

func TestSightings(t *testing.T) {
	l := newLedger(t)
	l.refused("unknown_host", sight(1, noon, nil))
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testReport(1, testJob(1), testJob(2)))
	one, two, later := testJob(1).ID, testJob(2).ID, testJob(3).ID
	ended := seenAt(noon)
	end := noon.Add(time.Second)
	ended.Ended, ended.Grade, ended.Result = &end, fleet.GradeEnded, "exit 3"
	l.must(sight(1, noon, map[fleet.JobID]fleet.Evidence{one: ended, later: seenAt(noon)}))
	for name, step := range map[string]struct {
		said fleet.Evidence
		want fleet.Evidence
	}{
		"older":                  {seenAt(noon.Add(-time.Hour)), ended},
		"the same with less":     {seenAt(noon), ended},
		"the same":               {ended, ended},
		"beyond what can be":     {seenAt(time.Time{}), ended},
		"from before there were": {seenAt(time.Unix(1, 0)), ended},
	} {
		said := sight(1, noon, map[fleet.JobID]fleet.Evidence{one: step.said})
		if _, some, err := l.News(hostID(1), said.Sightings, noon); some || err != nil {
			t.Errorf("%s: news, %v", name, err)
		}
		before := dump(t, l.Ledger)
		l.must(said)
		after := dump(t, l.Ledger)
		delete(before, "meta/applied")
		delete(after, "meta/applied")
		if diff := diffDumps(before, after); diff != "" {
			t.Errorf("%s wrote: %s", name, diff)
		}
		if diff := cmp.Diff(&step.want, l.job(1, one).Evidence); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if seen := l.job(1, two).Evidence; seen != nil {
		t.Errorf("of the other job: %+v", seen)
	}

	// What was told before its job was waits for it; what is gone takes its
	// evidence with it.
	l.must(testReport(1, testJob(2), testJob(3)))
	report, err := l.Report(everywhere, hostID(1))
	if err != nil || len(report.Jobs) != 2 || report.Jobs[0].Evidence != nil || report.Jobs[1].Evidence == nil {
		t.Errorf("%+v, %v", report.Jobs, err)
	}
	l.must(testReport(1, testJob(1), testJob(2)))
	if seen := l.job(1, one).Evidence; seen != nil {
		t.Errorf("it came back with %+v", seen)
	}

	// An instant that was years ahead does not stand in the way for years.
	l.must(sight(1, noon, map[fleet.JobID]fleet.Evidence{one: seenAt(noon.AddDate(3, 0, 0))}))
	l.must(sight(1, noon, map[fleet.JobID]fleet.Evidence{one: seenAt(noon)}))
	if seen := l.job(1, one).Evidence; !seen.Last.Equal(noon) {
		t.Errorf("%+v", seen)
	}
}

func TestSightingsOfStrangersAreFew(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testReport(1, testJob(0)))
	for n := range 10 {
		l.must(sight(1, noon, map[fleet.JobID]fleet.Evidence{testJob(2*n + 1).ID: seenAt(noon), testJob(2*n + 2).ID: seenAt(noon), testJob(0).ID: seenAt(noon)}))
	}
	kept := 0
	for k := range dump(t, l.Ledger) {
		if len(k) > 10 && k[:10] == "sightings/" {
			kept++
		}
	}
	if kept != 3 {
		t.Errorf("%d rows, want the job's and two of the last word", kept)
	}
}

func TestSinceIsTakenWhole(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, sight(1, noon, nil))
	host, _ := l.Host(everywhere, hostID(1))
	if diff := cmp.Diff(map[fleet.JobKind]time.Time{fleet.KindCron: noon}, host.Since); diff != "" {
		t.Error(diff)
	}
	woken := 0
	l.OnHost(func(fleet.HostID) { woken++ })
	l.must(sight(1, noon, nil))
	if woken != 0 {
		t.Error("the same word is news")
	}
	l.must(&RecordSightings{Host: hostID(1), At: noon})
	l.must(&RegisterHost{Host: testHost(1, "a", "b"), At: noon})
	if host, _ = l.Host(everywhere, hostID(1)); host.Since != nil || woken != 2 {
		t.Errorf("%v, woken %d times", host.Since, woken)
	}
	if _, some, err := l.News(hostID(1), fleet.Sightings{}, noon); some || err != nil {
		t.Errorf("nothing is news: %v, %v", some, err)
	}
	if _, _, err := l.News(hostID(9), fleet.Sightings{}, noon); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("of no host: %v", err)
	}
}

func TestDialect(t *testing.T) {
	l := newLedger(t)
	host := testHost(1)
	host.Cron = "cronie"
	timer := testJob(2)
	timer.Kind = fleet.KindTimer
	l.must(&RegisterHost{Host: host, At: noon}, testReport(1, testJob(1), timer))
	if got := l.job(1, testJob(1).ID).Dialect; got != "cronie" {
		t.Errorf("a crontab line: %q", got)
	}
	if got := l.job(1, timer.ID).Dialect; got != "" {
		t.Errorf("a timer: %q", got)
	}
}
