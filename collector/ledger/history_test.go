package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// line returns a job as a crontab line has it.
func line(source string, number int, user, schedule, command string) fleet.Job {
	return fleet.Job{
		ID: fleet.NewJobID(fleet.KindCron, source, user, command, 0), Kind: fleet.KindCron, Source: source, Line: number, User: user,
		Schedule: schedule, Command: command, Enabled: true, Verdict: fleet.Verdict{Runs: true}, Fingerprint: fleet.CommandFingerprint(command),
	}
}

func (b *bench) changes(q api.ChangeQuery) []api.ChangeView {
	b.t.Helper()
	list, err := b.Changes(everywhere, q)
	if err != nil {
		b.t.Fatal(err)
	}
	return list.Items
}

func TestWhatChanged(t *testing.T) {
	const one, other = "/etc/cron.d/one", "/etc/cron.d/other"
	base := line(one, 5, "root", "1 * * * *", "/bin/a")
	with := func(edit func(*fleet.Job)) fleet.Job {
		job := base
		edit(&job)
		return job
	}
	stale := noon
	for name, step := range map[string]struct {
		before, after []fleet.Job
		want          []string
	}{
		"schedule":    {[]fleet.Job{base}, []fleet.Job{line(one, 5, "root", "2 * * * *", "/bin/a")}, []string{"schedule /bin/a → /bin/a"}},
		"environment": {[]fleet.Job{base}, []fleet.Job{with(func(j *fleet.Job) { j.Env = map[string]string{"A": "b"} })}, []string{"environment /bin/a → /bin/a"}},
		"two of one": {[]fleet.Job{base}, []fleet.Job{with(func(j *fleet.Job) { j.Timezone, j.Enabled = "UTC", false })},
			[]string{"timezone,enabled /bin/a → /bin/a"}},
		"verdict":                  {[]fleet.Job{base}, []fleet.Job{with(func(j *fleet.Job) { j.Verdict = fleet.Verdict{Code: fleet.Denied, Why: "x"} })}, []string{"verdict /bin/a → /bin/a"}},
		"the line alone":           {[]fleet.Job{base}, []fleet.Job{line(one, 6, "root", "1 * * * *", "/bin/a")}, nil},
		"the package alone":        {[]fleet.Job{base}, []fleet.Job{with(func(j *fleet.Job) { j.Package = "cron" })}, nil},
		"appeared":                 {nil, []fleet.Job{base}, []string{"appeared  → /bin/a"}},
		"vanished":                 {[]fleet.Job{base}, nil, []string{"vanished /bin/a → "}},
		"edited on its line":       {[]fleet.Job{base}, []fleet.Job{line(one, 5, "root", "9 * * * *", "/bin/b")}, []string{"schedule,command /bin/a → /bin/b"}},
		"edited on a shifted line": {[]fleet.Job{base}, []fleet.Job{line(one, 7, "root", "1 * * * *", "/bin/b")}, []string{"command /bin/a → /bin/b"}},
		"another user":             {[]fleet.Job{base}, []fleet.Job{line(one, 5, "www", "1 * * * *", "/bin/a")}, []string{"user /bin/a → /bin/a"}},
		"moved":                    {[]fleet.Job{base}, []fleet.Job{line(other, 1, "root", "1 * * * *", "/bin/a")}, []string{"moved /bin/a → /bin/a"}},
		"moved, and another in its place": {[]fleet.Job{base}, []fleet.Job{line(one, 5, "root", "1 * * * *", "/bin/b"), line(other, 1, "root", "1 * * * *", "/bin/a")},
			[]string{"appeared  → /bin/b", "moved /bin/a → /bin/a"}},
		"nothing alike": {[]fleet.Job{base}, []fleet.Job{line(other, 9, "www", "7 * * * *", "/bin/b")}, []string{"appeared  → /bin/b", "vanished /bin/a → "}},
		"could not be read": {[]fleet.Job{base}, []fleet.Job{with(func(j *fleet.Job) {
			j.Stale, j.Verdict = &stale, fleet.Verdict{Code: fleet.Unreadable}
		})}, nil},
		"the rest of a file that could not be read": {[]fleet.Job{base, line(one, 6, "root", "1 * * * *", "/bin/c")}, []fleet.Job{with(func(j *fleet.Job) { j.Stale = &stale })}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			l.must(&RegisterHost{Host: testHost(1), At: noon}, testReport(1, step.before...))
			then := testReport(1, step.after...)
			then.At, then.Hash = noon.Add(time.Hour), "then"
			l.must(then)
			var got []string
			for _, change := range l.changes(api.ChangeQuery{Since: then.At}) {
				words := make([]string, len(change.What))
				for i, what := range change.What {
					words[i] = string(what)
				}
				command := func(job *fleet.Job) string {
					if job == nil {
						return ""
					}
					return job.Command
				}
				got = append(got, fmt.Sprintf("%s %s → %s", strings.Join(words, ","), command(change.Before), command(change.After)))
				if !change.Seen.Equal(then.At) || change.HostName != "host-1" || change.After != nil && change.Job != change.After.ID || change.After == nil && change.Job != change.Before.ID {
					t.Errorf("%+v", change)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Error(diff)
			}
			if n := len(l.changes(api.ChangeQuery{Until: then.At})); n != len(step.before) {
				t.Errorf("%d appeared at first, want %d", n, len(step.before))
			}
		})
	}
}

func TestAMovedJobKeepsWhatIsKnownOfIt(t *testing.T) {
	l := newLedger(t)
	old, moved := line("/etc/crontab", 5, "root", "@daily", "/bin/a"), line("/etc/cron.d/a", 1, "root", "@daily", "/bin/a")
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testReport(1, old), sight(1, noon, map[fleet.JobID]fleet.Evidence{old.ID: seenAt(noon)}))
	report := testReport(1, moved)
	report.At = noon.Add(time.Hour)
	l.must(report)
	if job := l.job(1, moved.ID); job.Evidence == nil || !job.FirstSeen.Equal(noon) || !job.Changed.Equal(report.At) {
		t.Errorf("%+v", job)
	}
}

func TestHistoryFollowsAJobThroughItsIds(t *testing.T) {
	l := newLedger(t)
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	var ids []fleet.JobID
	for n, command := range []string{"/bin/a", "/bin/b", "/bin/c"} {
		job := line("/etc/crontab", 5, "root", "@daily", command)
		ids = append(ids, job.ID)
		report := testReport(1, job, line("/etc/crontab", 9, "www", fmt.Sprintf("%d * * * *", n), "/bin/other"))
		report.At = noon.Add(time.Duration(n) * time.Hour)
		l.must(report)
	}
	for _, id := range ids {
		var got []string
		for _, change := range l.changes(api.ChangeQuery{Host: "host-1", Job: id}) {
			got = append(got, change.After.Command)
		}
		if diff := cmp.Diff([]string{"/bin/c", "/bin/b", "/bin/a"}, got); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	if got := l.changes(api.ChangeQuery{Host: "host-1"}); len(got) != 6 {
		t.Errorf("all: %d", len(got))
	}
}

func TestChangesAreFiltered(t *testing.T) {
	l := newLedger(t)
	for n := range 3 {
		l.must(&RegisterHost{Host: testHost(n, "n", fmt.Sprint(n)), At: noon})
		report := testReport(n, line("/etc/crontab", 1, "root", "@daily", fmt.Sprintf("/bin/Job-%d", n)))
		report.At = noon.Add(time.Duration(n) * time.Hour)
		l.must(report)
	}
	for name, one := range map[string]struct {
		q    api.ChangeQuery
		want int
	}{
		"all": {api.ChangeQuery{}, 3}, "host": {api.ChangeQuery{Host: "host-1"}, 1}, "label": {api.ChangeQuery{Label: "n!=1"}, 2},
		"what": {api.ChangeQuery{What: fleet.ChangeAppeared}, 3}, "other what": {api.ChangeQuery{What: fleet.ChangeVanished}, 0},
		"text": {api.ChangeQuery{Text: "job-2"}, 1}, "since": {api.ChangeQuery{Since: noon.Add(time.Hour)}, 2},
		"until": {api.ChangeQuery{Until: noon.Add(time.Hour)}, 1}, "both": {api.ChangeQuery{Since: noon.Add(1), Until: noon.Add(2 * time.Hour)}, 1},
		"host since": {api.ChangeQuery{Host: "host-1", Since: noon.Add(2 * time.Hour)}, 0}, "host until": {api.ChangeQuery{Host: "host-1", Until: noon.Add(time.Hour)}, 0},
		"long ago": {api.ChangeQuery{Until: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)}, 0}, "far ahead": {api.ChangeQuery{Until: time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)}, 3},
	} {
		if got := l.changes(one.q); len(got) != one.want {
			t.Errorf("%s: %d, want %d", name, len(got), one.want)
		}
	}
	for _, q := range []api.ChangeQuery{{Host: "none"}, {Label: "=="}, {Page: api.Page{After: "x"}}, {Page: api.Page{After: "AAAAAAAAAAAA.x"}}} {
		if _, err := l.Changes(everywhere, q); err == nil {
			t.Errorf("%+v was answered", q)
		}
	}
}

// past is what a replay of the reports knows: what each host had from when on.
type past map[int][]struct {
	from time.Time
	jobs map[fleet.JobID]fleet.Job
}

// bare leaves of a job what history keeps.
func bare(job fleet.Job) fleet.Job {
	return fleet.Job{
		ID: job.ID, Source: job.Source, User: job.User, Schedule: job.Schedule, Timezone: job.Timezone, Command: job.Command,
		Env: job.Env, Enabled: job.Enabled, Verdict: job.Verdict, Fingerprint: job.Fingerprint,
	}
}

// TestTheLedgerKnowsThePast draws histories and compares jobs at any instant
// with a replay of the reports; and changes, page by page, with what leads from
// one to the next. Pruning takes nothing of what is younger.
func TestTheLedgerKnowsThePast(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 7))
		l, know := newLedger(t), past{}
		for n := range 3 {
			l.must(&RegisterHost{Host: testHost(n), At: noon})
		}
		at := noon
		for range 60 {
			n := random.IntN(3)
			at = at.Add(time.Duration(random.IntN(3)) * time.Minute) // zero: two in one instant
			var jobs []fleet.Job
			for i := range 6 {
				if random.IntN(3) == 0 {
					continue
				}
				job := line([]string{"/etc/crontab", "/etc/cron.d/a"}[random.IntN(2)], i+1+random.IntN(2), []string{"root", "www"}[random.IntN(2)],
					fmt.Sprintf("%d * * * *", random.IntN(2)), fmt.Sprintf("/bin/%d-%d", i, random.IntN(2)))
				job.Enabled = random.IntN(4) > 0
				jobs = append(jobs, job)
			}
			report := testReport(n, jobs...)
			report.At = at
			l.must(report)
			host, _ := l.Host(everywhere, hostID(n))
			had := map[fleet.JobID]fleet.Job{}
			for _, job := range jobs {
				had[job.ID] = bare(job)
			}
			know[n] = append(know[n], struct {
				from time.Time
				jobs map[fleet.JobID]fleet.Job
			}{host.Reported, had})
			if host.Reported.After(at) {
				at = host.Reported
			}
		}
		compare := func(since time.Time) {
			t.Helper()
			for range 40 {
				instant := since.Add(time.Duration(random.Int64N(int64(at.Sub(since)) + int64(time.Minute))))
				n := random.IntN(3)
				want := map[fleet.JobID]fleet.Job{}
				for _, state := range know[n] {
					if !state.from.After(instant) {
						want = state.jobs
					}
				}
				if diff := cmp.Diff(want, l.past(n, instant, 1+random.IntN(3))); diff != "" {
					t.Fatalf("seed %d, host %d at %s: %s", seed, n, instant, diff)
				}
			}
		}
		compare(noon)
		l.leads(know, 1+random.IntN(4))
		cut := noon.Add(at.Sub(noon) / 2)
		for l.must(&Prune{At: at, ChangesBefore: cut, Limit: 5}).(Pruned).More {
		}
		compare(cut)
		if _, err := l.PastJobs(everywhere, api.JobQuery{At: cut.Add(-time.Minute)}, nil); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("what was forgotten: %v", err)
		}
		for name, k := range map[string]string{"changes": "changes/", "its index": "changes_host/"} {
			for key := range dump(t, l.Ledger) {
				if rest, found := strings.CutPrefix(key, k); found && k == "changes/" && number([]byte(rest)[:8]) < uint64(cut.UnixNano()) {
					t.Errorf("%s: %q is left", name, key)
				}
			}
		}
	}
}

// past returns the jobs of a host at an instant, read in small pages.
func (b *bench) past(host int, at time.Time, limit int) map[fleet.JobID]fleet.Job {
	b.t.Helper()
	jobs := map[fleet.JobID]fleet.Job{}
	q := api.JobQuery{Host: string(hostID(host)), At: at, Page: api.Page{Limit: limit}}
	for {
		list, err := b.PastJobs(everywhere, q, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, job := range list.Items {
			if _, twice := jobs[job.ID]; twice || job.Changed.After(at) {
				b.t.Errorf("%+v", job)
			}
			jobs[job.ID] = bare(job.Job)
		}
		if q.After = list.Next; q.After == "" {
			return jobs
		}
	}
}

// leads follows all changes, the oldest first, from nothing to what is there.
func (b *bench) leads(know past, limit int) {
	b.t.Helper()
	var all []api.ChangeView
	q := api.ChangeQuery{Page: api.Page{Limit: limit}}
	for {
		list, err := b.Changes(everywhere, q)
		if err != nil {
			b.t.Fatal(err)
		}
		if all = append(all, list.Items...); list.Next == "" {
			break
		}
		q.After = list.Next
	}
	has := map[fleet.HostID]map[fleet.JobID]fleet.Job{}
	for i := len(all) - 1; i >= 0; {
		first := i
		for first > 0 && all[first-1].Seen.Equal(all[i].Seen) && all[first-1].Host == all[i].Host {
			first--
		}
		jobs := has[all[i].Host]
		if jobs == nil {
			jobs = map[fleet.JobID]fleet.Job{}
			has[all[i].Host] = jobs
		}
		for _, change := range all[first : i+1] {
			if change.Before == nil {
				continue
			}
			if diff := cmp.Diff(jobs[change.Before.ID], bare(*change.Before)); diff != "" {
				b.t.Errorf("before %v: %s", change.What, diff)
			}
			delete(jobs, change.Before.ID)
		}
		for _, change := range all[first : i+1] {
			if change.After != nil {
				jobs[change.After.ID] = bare(*change.After)
			}
		}
		i = first - 1
	}
	for n, states := range know {
		if diff := cmp.Diff(states[len(states)-1].jobs, has[hostID(n)]); diff != "" && len(states[len(states)-1].jobs)+len(has[hostID(n)]) > 0 {
			b.t.Errorf("host %d: %s", n, diff)
		}
		single := 0
		for _, change := range all {
			if change.Host == hostID(n) {
				single++
			}
		}
		if got := len(b.changes(api.ChangeQuery{Host: string(hostID(n)), Page: api.Page{Limit: 1000}})); got != single {
			b.t.Errorf("host %d alone: %d changes, among all %d", n, got, single)
		}
	}
}
