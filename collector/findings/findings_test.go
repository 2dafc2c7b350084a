package findings

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// noon is when the tests look; installed is when their hosts were first seen.
var (
	noon      = time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC) // a Wednesday
	installed = noon.AddDate(0, -1, 0)
)

func newHost(n int, labels ...string) Host {
	host := Host{HostView: api.HostView{
		Host:     fleet.Host{ID: fleet.HostID(fmt.Sprintf("%032x", n)), Name: fmt.Sprintf("web-%d", n), Cron: "debian", Timezone: "Europe/Berlin", Labels: map[string]string{}},
		Presence: fleet.Alive, FirstSeen: installed, Reported: installed,
	}}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		host.Labels[key] = value
	}
	return host
}

// newJob returns a job that has nothing wrong with it: a package answers for it.
func newJob(command string, change ...func(*api.JobView)) api.JobView {
	job := api.JobView{FirstSeen: installed, Changed: installed, Job: fleet.Job{
		Kind: fleet.KindCron, Source: "/etc/cron.d/x", Line: 3, User: "root", Schedule: "30 4 * * *", Timezone: "Europe/Berlin", Command: command,
		Enabled: true, Verdict: fleet.Verdict{Runs: true}, Package: "x", Fingerprint: fleet.CommandFingerprint(command),
	}}
	for _, f := range change {
		f(&job)
	}
	job.ID = fleet.NewJobID(job.Kind, job.Source, job.User, job.Command, job.Line)
	return job
}

// byHand makes it a job that nobody answers for, but that would be heard of.
func byHand(job *api.JobView) {
	job.Package, job.Env = "", map[string]string{"MAILTO": "ops@example.net"}
}

func due(schedule string) func(*api.JobView) {
	return func(job *api.JobView) { job.Schedule = schedule }
}

func from(source string, line int) func(*api.JobView) {
	return func(job *api.JobView) { job.Source, job.Line = source, line }
}

func broken(code fleet.VerdictCode) func(*api.JobView) {
	return func(job *api.JobView) { job.Verdict = fleet.Verdict{Code: code, Why: "reason " + string(code)} }
}

// one returns a fleet of one host with these jobs.
func one(jobs ...api.JobView) Fleet { return fleetOf(map[int][]api.JobView{1: jobs}) }

func fleetOf(jobs map[int][]api.JobView, labels ...string) Fleet {
	f := Fleet{Found: map[fleet.HostID]Inventory{}}
	for n, list := range jobs {
		host := newHost(n, labels...)
		f.Hosts = append(f.Hosts, host)
		f.Found[host.ID] = Inventory{Jobs: list}
	}
	return f
}

// shown returns findings as lines: severity, kind, where and what.
func shown(list []fleet.Finding) (lines []string) {
	for _, f := range list {
		where := f.HostName
		if len(f.Hosts) > 0 {
			where = strings.Join(f.Hosts, ",")
		}
		if f.Source != "" {
			where += fmt.Sprintf(" %s:%d", f.Source, f.Line)
		}
		lines = append(lines, fmt.Sprintf("%s %s %s: %s", f.Severity, f.Kind, where, f.Summary))
	}
	return lines
}

func expect(t *testing.T, f Fleet, want ...string) []fleet.Finding {
	t.Helper()
	list := Evaluate(f, noon)
	if diff := cmp.Diff(want, shown(list)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	return list
}

func TestEveryKindHasAnEntryThatHoldsTogether(t *testing.T) {
	kinds := []fleet.FindingKind{
		fleet.FindIgnored, fleet.FindProblem, fleet.FindPercent, fleet.FindPath, fleet.FindWritable, fleet.FindExposed, fleet.FindSecret, fleet.FindOverdue,
		fleet.FindFailed, fleet.FindStale, fleet.FindUnexpected, fleet.FindNewcomer, fleet.FindTwice, fleet.FindEverywhere, fleet.FindOutlier, fleet.FindOrphan,
		fleet.FindNoOwner, fleet.FindCollision, fleet.FindDST, fleet.FindNoSignal, fleet.FindClockSkew, fleet.FindSilentHost, fleet.FindAdoption, fleet.FindRefused, fleet.FindProof,
	}
	if len(kinds) != len(table) {
		t.Errorf("%d kinds, %d entries", len(kinds), len(table))
	}
	job := newJob("/usr/bin/it's")
	for _, kind := range kinds {
		says, known := table[kind]
		if !known || says.explain == "" || !strings.HasSuffix(says.explain, ".") {
			t.Errorf("%s: %+v", kind, says)
			continue
		}
		fix := says.fix("web-1", &job)
		if _, ranked := rank[says.severity]; !ranked || fix == "" || !strings.HasPrefix(fix, "fleetctl ") && !strings.HasSuffix(fix, "# on web-1") {
			t.Errorf("%s: severity %q, fix %q", kind, says.severity, fix)
		}
	}
}

// TestAnOrdinaryHostIsQuiet: what Debian ships, switched off or not, is nothing
// to look at.
func TestAnOrdinaryHostIsQuiet(t *testing.T) {
	timer := func(job *api.JobView) { job.Kind, job.Line = fleet.KindTimer, 0 }
	jobs := []api.JobView{
		newJob("cd / && run-parts --report /etc/cron.hourly", from("/etc/crontab", 8), due("17 * * * *")),
		newJob("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", from("/etc/crontab", 9), due("25 6 * * *")),
		newJob("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }", from("/etc/crontab", 10), due("47 6 * * 7")),
		newJob("test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/e2fsprogs/e2scrub_all_cron", from("/etc/cron.d/e2scrub_all", 1), due("30 3 * * 0")),
		newJob("test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r", from("/etc/cron.d/e2scrub_all", 2), due("10 3 * * *")),
		newJob("/usr/lib/apt/apt.systemd.daily update", timer, from("/usr/lib/systemd/system/apt-daily.timer", 0), due("*-*-* 06,18:00:00")),
		newJob("/sbin/fstrim --listed-in /etc/fstab", timer, from("/usr/lib/systemd/system/fstrim.timer", 0), due("Mon *-*-* 00:00:00"), broken(fleet.Disabled)),
		newJob("/usr/lib/e2fsprogs/e2scrub_all", timer, from("/usr/lib/systemd/system/e2scrub_all.timer", 0), due("Sun *-*-* 03:10:00")),
		newJob("/etc/cron.daily/dpkg", from("/etc/cron.daily/dpkg", 0), due("25 6 * * *"), func(job *api.JobView) { job.Kind = fleet.KindRunParts }),
		newJob("/etc/cron.daily/0anacron", from("/etc/cron.daily/0anacron", 0), due("25 6 * * *"), func(job *api.JobView) { job.Kind = fleet.KindRunParts }),
		newJob("run-parts --report /etc/cron.daily", from("/etc/anacrontab", 9), due("1 5"), broken(fleet.NoScheduler), func(job *api.JobView) { job.Kind = fleet.KindAnacron }),
	}
	expect(t, one(jobs...))
}

func TestWhatDoesNotRun(t *testing.T) {
	expect(t, one(
		newJob("/bin/a", byHand, from("/etc/cron.d/refused", 1), broken(fleet.FileRefused)),
		newJob("/bin/b", byHand, from("/etc/cron.d/refused", 2), broken(fleet.FileRefused)),
		newJob("/bin/c", byHand, from("/etc/cron.d/mode", 1), broken(fleet.BadMode)),
		newJob("/bin/d", byHand, from("/etc/cron.d/back.up", 1), broken(fleet.BadName)),
		newJob("/bin/e", byHand, from("/var/spool/cron/crontabs/gone", 1), broken(fleet.UnknownUser)),
		newJob("/bin/f", from("/etc/cron.d/left", 1), broken(fleet.NoCommand)), // of a package
		newJob("/bin/g", byHand, from("/etc/cron.d/own", 1), broken(fleet.NoCommand)),
		newJob("/bin/h", byHand, from("/etc/cron.d/off", 1), broken(fleet.Disabled)),
	),
		"critical ignored web-1 /etc/cron.d/refused:0: 2 jobs in /etc/cron.d/refused do not run: reason file_refused",
		"warning ignored web-1 /etc/cron.d/mode:0: 1 job in /etc/cron.d/mode does not run: reason file_mode",
		"warning ignored web-1 /etc/cron.d/own:1: does not run: reason missing_command",
		"warning orphan web-1 /var/spool/cron/crontabs/gone:1: does not run: reason unknown_user",
		"notice ignored web-1 /etc/cron.d/back.up:0: 1 job in /etc/cron.d/back.up does not run: reason file_name",
		"notice no_owner web-1: 7 jobs of its own that nobody answers for: /bin/d, /bin/c, /bin/h and 4 more",
		"notice orphan web-1 /etc/cron.d/left:1: does not run: reason missing_command",
	)
}

// TestARefusedFileIsToldOnce: its jobs tell it; the lines that are wrong in it
// are told beside.
func TestARefusedFileIsToldOnce(t *testing.T) {
	f := one(newJob("/bin/c", from("/etc/cron.d/mode", 1), broken(fleet.BadMode)))
	id := f.Hosts[0].ID
	inventory := f.Found[id]
	inventory.Problems = []fleet.Problem{{Source: "/etc/cron.d/mode", Reason: "INSECURE MODE"}, {Source: "/etc/cron.d/mode", Line: 9, Text: "61 * * * * root x", Reason: "minute 61"}}
	f.Found[id] = inventory
	expect(t, f,
		"warning ignored web-1 /etc/cron.d/mode:0: 1 job in /etc/cron.d/mode does not run: reason file_mode",
		"warning problem web-1 /etc/cron.d/mode:9: minute 61",
	)
}

// TestCallsOfRunPartsAreNobodysConcern where no package is known to have
// brought them: what they start is.
func TestCallsOfRunPartsAreNobodysConcern(t *testing.T) {
	plain := func(job *api.JobView) { job.Package = "" }
	expect(t, one(
		newJob("cd / && run-parts --report /etc/cron.hourly", plain, from("/etc/crontab", 8)),
		newJob("[ -x /etc/init.d/anacron ] && /usr/sbin/anacron -s", plain, from("/etc/cron.d/anacron", 8)),
		newJob("/etc/cron.hourly/mine", plain, kind(fleet.KindRunParts), from("/etc/cron.hourly/mine", 0)),
	), "notice no_owner web-1 /etc/cron.hourly/mine:0: no package, configuration management or person answers for it")
}

// TestADeadSchedulerIsOneFinding, however many jobs it leaves.
func TestADeadSchedulerIsOneFinding(t *testing.T) {
	var jobs []api.JobView
	for i := range 30 {
		jobs = append(jobs, newJob(fmt.Sprintf("/bin/%d", i), broken(fleet.SchedulerDown)))
	}
	jobs[7].Package, jobs[7].ManagedBy = "", "ansible"
	list := expect(t, one(jobs...), "critical ignored web-1: 30 jobs do not run: reason scheduler_down")
	if list[0].Fix != "systemctl enable --now cron  # on web-1" {
		t.Error(list[0].Fix)
	}
}

func TestWhatTheHostSees(t *testing.T) {
	at := noon.Add(-time.Hour)
	f := one(
		newJob("date +%F", from("/etc/cron.d/a", 1), func(job *api.JobView) {
			job.Risks = []fleet.Risk{{Kind: fleet.FindPercent, Why: "cut at %"}, {Kind: fleet.FindWritable, Why: "others can write /opt"}, {Kind: fleet.FindSecret, Why: "secret"}}
		}),
		newJob("/bin/b", from("/etc/cron.d/b", 1), func(job *api.JobView) { job.Stale = &at }),
		newJob("/bin/c", from("/etc/cron.d/c", 1), func(job *api.JobView) {
			job.Evidence = &fleet.Evidence{Last: at, Grade: fleet.GradeEnded, Result: "exit 3"}
		}),
		newJob("/bin/d", from("/etc/cron.d/d", 1), func(job *api.JobView) {
			job.Evidence = &fleet.Evidence{Last: at, Grade: fleet.GradeEnded, Result: "success"}
		}),
	)
	id := f.Hosts[0].ID
	inventory := f.Found[id]
	inventory.Problems = []fleet.Problem{
		{Source: "/etc/cron.d/e", Line: 2, Text: "61 * * * * root x", Reason: "minute 61"}, {Source: "/etc/cron.d/e", Line: 5, Text: "nonsense", Reason: "no job"},
		{Source: "/etc/cron.daily/f", Reason: "symbolic link: not found"},
	}
	f.Found[id] = inventory
	skew := fleet.Offset(-2 * time.Minute)
	f.Hosts[0].Skew = &skew
	silent := newHost(2)
	silent.Presence, silent.Quiet = fleet.Silent, noon.Add(-6*time.Minute)
	left, fresh := silent, silent
	left.ID, left.Presence = "left", fleet.Left
	fresh.ID, fresh.Quiet = "fresh", noon.Add(-time.Minute)
	f.Hosts = append(f.Hosts, silent, left, fresh)
	expect(t, f,
		"critical writable web-1 /etc/cron.d/a:1: others can write /opt",
		"warning clock_skew web-1: its clock is 2m0s behind",
		"warning failed web-1 /etc/cron.d/c:1: its last run ended with exit 3",
		"warning percent web-1 /etc/cron.d/a:1: cut at %",
		"warning problem web-1 /etc/cron.d/e:2: minute 61; and 1 line more",
		"warning silent_host web-2: nothing was heard of its agent since 2026-06-10T11:54:00Z",
		"warning stale web-1 /etc/cron.d/b:0: /etc/cron.d/b could not be read since 2026-06-10T11:00:00Z",
		"notice problem web-1 /etc/cron.daily/f:0: symbolic link: not found",
		"notice secret web-1 /etc/cron.d/a:1: a secret stands in its command or environment",
	)
}

func TestAnExposedFileIsToldOnce(t *testing.T) {
	exposed := func(job *api.JobView) {
		job.Risks = []fleet.Risk{{Kind: fleet.FindExposed, Why: "everybody may read it"}}
	}
	f := one(
		newJob("/bin/a --token x", from("/etc/cron.d/two", 1), exposed), newJob("/bin/b --token x", from("/etc/cron.d/two", 2), exposed),
		newJob("/bin/c --token x", from("/etc/cron.d/one", 4), exposed),
	)
	list := expect(t, f,
		"warning exposed web-1 /etc/cron.d/one:4: everybody may read it",
		"warning exposed web-1 /etc/cron.d/two:0: everybody may read it",
	)
	if want := "chmod o-r /etc/cron.d/two  # on web-1"; list[1].Fix != want || list[0].Job == "" || list[1].Job != "" {
		t.Errorf("%+v", list)
	}
}

func TestWhatIsMute(t *testing.T) {
	for command, want := range map[string]bool{
		"/bin/x": true, "/bin/x >/dev/null 2>&1": true, "/bin/x &> /dev/null": true, "/bin/x >>/var/log/x.log 2>&1": false, "/bin/x | logger -t x": false,
		"/bin/x && curl -fsS https://hc-ping.com/1234": false, "chronic /bin/x": false, "/bin/x 2>&1": true, "/bin/x > \"/var/log/my log\"": false,
		"curl https://cronitor.link/x": false, "/bin/x | tee /var/log/x": false, "wget -q https://kuma.example/api/push/AbC": false, "/usr/bin/logger-rotate": true, "/bin/x || /usr/sbin/sendmail root": false,
	} {
		job := fleet.Job{Kind: fleet.KindCron, Command: command}
		if isMute(&job) != want {
			t.Errorf("%s: mute %v", command, !want)
		}
	}
	for env, want := range map[string]bool{"ops@example.net": false, "": true} {
		if isMute(&fleet.Job{Kind: fleet.KindCron, Command: "/bin/x", Env: map[string]string{"MAILTO": env}}) != want {
			t.Errorf("MAILTO=%q", env)
		}
	}
	if !isMute(&fleet.Job{Kind: fleet.KindCron, Command: "/bin/x >/dev/null", Env: map[string]string{"MAILTO": "ops"}}) {
		t.Error("its output goes nowhere")
	}
	if isMute(&fleet.Job{Kind: fleet.KindTimer, Command: "/bin/x"}) {
		t.Error("the state of a service tells")
	}
}

// TestNoticesAreGathered: one for a command on many hosts, one for what a host
// alone has.
func TestNoticesAreGathered(t *testing.T) {
	mine := func(n int) []api.JobView {
		return []api.JobView{
			newJob("/opt/shared", byHand, from("/etc/cron.d/s", 1)),
			newJob(fmt.Sprintf("/opt/own-%d-a", n), byHand, from("/etc/cron.d/o", 1)),
			newJob(fmt.Sprintf("/opt/own-%d-b", n), byHand, from("/etc/cron.d/o", 2)),
		}
	}
	f := fleetOf(map[int][]api.JobView{1: mine(1), 2: mine(2), 3: {newJob("/opt/own-3", byHand)}})
	f.Owners = map[string]string{fleet.CommandFingerprint("/opt/own-2-a"): "anna"}
	list := expect(t, f,
		"notice no_owner web-1,web-2: no package, configuration management or person answers for it on 2 hosts",
		"notice no_owner web-1: 2 jobs of its own that nobody answers for: /opt/own-1-a, /opt/own-1-b",
		"notice no_owner web-2 /etc/cron.d/o:2: no package, configuration management or person answers for it",
		"notice no_owner web-3 /etc/cron.d/x:3: no package, configuration management or person answers for it",
	)
	fixes := []string{
		"fleetctl annotate " + fleet.CommandFingerprint("/opt/shared") + " --owner TEAM", "fleetctl jobs --host web-1 --owner none",
		"fleetctl annotate " + fleet.CommandFingerprint("/opt/own-2-b") + " --owner TEAM", "fleetctl annotate " + fleet.CommandFingerprint("/opt/own-3") + " --owner TEAM",
	}
	for i, f := range list {
		if f.Fix != fixes[i] {
			t.Errorf("fix %s, want %s", f.Fix, fixes[i])
		}
	}
}

func TestNewcomers(t *testing.T) {
	appeared := func(ago time.Duration) func(*api.JobView) {
		return func(job *api.JobView) { byHand(job); job.FirstSeen = noon.Add(-ago) }
	}
	list := expect(t, one(
		newJob("/bin/base"),
		newJob("/bin/fresh", appeared(time.Hour), from("/etc/cron.d/n", 1)),
		newJob("/bin/older", appeared(8*24*time.Hour), from("/etc/cron.d/n", 2)),
		newJob("/bin/managed", appeared(time.Hour), func(job *api.JobView) { job.ManagedBy = "puppet" }),
	),
		"notice newcomer web-1 /etc/cron.d/n:1: first seen at 2026-06-10T11:00:00Z, and nobody answers for it",
		"notice no_owner web-1 /etc/cron.d/n:2: no package, configuration management or person answers for it",
	)
	if !list[0].Since.Equal(noon.Add(-time.Hour)) {
		t.Error(list[0].Since)
	}
}

func TestTwiceOnOneHost(t *testing.T) {
	expect(t, one(
		newJob("/bin/a", from("/etc/cron.d/a", 1), due("0 4 * * *")), newJob("/bin/a", from("/etc/cron.d/b", 9), due("0 */4 * * 3")),
		newJob("/bin/b", from("/etc/cron.d/a", 2), due("5 4 * * *")), newJob("/bin/b", from("/etc/cron.d/b", 2), due("6 4 * * *")),
		newJob("/bin/c", from("/etc/cron.d/a", 3), due("7 4 * * *")), newJob("/bin/c", from("/etc/cron.d/b", 3), due("7 4 * * *"), func(job *api.JobView) { job.User = "www" }),
	), "warning twice web-1 /etc/cron.d/b:9: the same command of root starts at the same time as in /etc/cron.d/a line 1, as at 2026-06-10T02:00:00Z")
}

func TestCollision(t *testing.T) {
	var jobs []api.JobView
	for i := range 12 {
		jobs = append(jobs, newJob(fmt.Sprintf("/bin/%02d", i), from("/etc/cron.d/x", i+1), due("15 */6 * * *")))
	}
	expect(t, one(jobs...), "notice collision web-1: 12 jobs start in the same minute, 04:15 UTC: /bin/00; /bin/01; /bin/02; …")
	expect(t, one(jobs[:9]...))
}

func TestEverywhere(t *testing.T) {
	jobs := map[int][]api.JobView{}
	for n := range 25 {
		jobs[n] = []api.JobView{
			newJob("/opt/backup", byHand, func(job *api.JobView) { job.ManagedBy = "ansible" }),
			newJob("/opt/often", due("*/5 * * * *"), func(job *api.JobView) {
				job.Package, job.ManagedBy = "", "ansible"
				job.Env = map[string]string{"MAILTO": "x"}
			}),
			newJob("/opt/shipped"),
		}
	}
	list := expect(t, fleetOf(jobs), "notice everywhere "+strings.Join(first20(jobs), ",")+": starts at the same instant on 25 hosts, next at 2026-06-11T02:30:00Z")
	if list[0].Fix != "fleetctl when --spread" || list[0].Host != "" {
		t.Errorf("%+v", list[0])
	}
	delete(jobs, 0)
	if again := Evaluate(fleetOf(jobs), noon); len(again) != 1 || again[0].ID != list[0].ID {
		t.Error("another id for the same thing")
	}
}

func first20(jobs map[int][]api.JobView) (list []string) {
	for n := range jobs {
		list = append(list, fmt.Sprintf("web-%d", n))
	}
	slices.Sort(list)
	return list[:20]
}

func TestOutliers(t *testing.T) {
	managed := func(job *api.JobView) { job.Package, job.ManagedBy = "", "ansible" }
	loud := func(job *api.JobView) { job.Env = map[string]string{"MAILTO": "x"} }
	jobs := map[int][]api.JobView{}
	for n := range 10 {
		jobs[n] = []api.JobView{newJob("/opt/rotate", managed, loud), newJob("/usr/bin/shipped")}
		if n != 7 {
			jobs[n] = append(jobs[n], newJob("/opt/backup", managed, loud))
		}
	}
	jobs[3] = append(jobs[3][:1], newJob("/opt/odd", byHand), jobs[3][2])
	expect(t, fleetOf(jobs, "role=web", "env=prod"),
		"notice no_owner web-3 /etc/cron.d/x:3: no package, configuration management or person answers for it",
		"notice outlier web-3 /etc/cron.d/x:3: of the 10 hosts of env=prod only web-3 has it",
		"notice outlier web-7: 9 of 10 hosts of env=prod have it, web-7 does not",
	)
	calls := map[int][]api.JobView{}
	for n := range 10 {
		calls[n] = []api.JobView{newJob("/opt/rotate", managed, loud), newJob("cd / && run-parts --report /etc/cron.hourly", func(job *api.JobView) { job.Package = "" })}
	}
	calls[3] = calls[3][:1] // of another distribution
	expect(t, fleetOf(calls, "role=web"))
	four := map[int][]api.JobView{1: jobs[1], 2: jobs[2], 3: jobs[4], 7: jobs[7]}
	expect(t, fleetOf(four, "role=web")) // too few to be a kind
}

func TestPins(t *testing.T) {
	f := fleetOf(map[int][]api.JobView{1: {newJob("/bin/a"), newJob("/bin/b", from("/etc/cron.d/b", 2))}}, "role=web")
	f.Pins = []fleet.Pin{
		{Name: "web", Labels: "role=web", Allow: []fleet.Allowed{{Fingerprint: fleet.CommandFingerprint("/bin/a"), User: "root", Command: "shown"}}},
		{Name: "db", Labels: "role=db"},
	}
	list := expect(t, f, "warning unexpected web-1 /etc/cron.d/b:2: pin web does not allow it on web-1")
	if !strings.HasPrefix(list[0].Fix, "fleetctl history web-1:") {
		t.Error(list[0].Fix)
	}
}

func TestAdoptions(t *testing.T) {
	line := newJob("/bin/a")
	f := one(line)
	adoption := func(state fleet.AdoptionState, ago time.Duration) fleet.Adoption {
		return fleet.Adoption{Task: "found/a", Host: f.Hosts[0].ID, Job: line.Job, State: state, Why: "the file changed", At: noon.Add(-ago)}
	}
	for want, one := range map[string]fleet.Adoption{
		"critical adoption web-1 /etc/cron.d/x:3: its release is stuck: the file changed":                                         adoption(fleet.AdoptionStuck, 0),
		"notice adoption web-1 /etc/cron.d/x:3: the host refused the adoption: the file changed":                                  adoption(fleet.AdoptionRefused, 0),
		"warning adoption web-1 /etc/cron.d/x:3: the host has not answered for 2h0m0s":                                            adoption(fleet.AdoptionWanted, 2*time.Hour),
		"critical adoption web-1 /etc/cron.d/x:3: the adopted line is back in /etc/cron.d/x, so that it runs beside task found/a": adoption(fleet.AdoptionAdopted, time.Hour),
		"": adoption(fleet.AdoptionReleased, time.Hour),
	} {
		f.Adoptions = []fleet.Adoption{one}
		if got := strings.Join(shown(Evaluate(f, noon)), "\n"); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

func TestAcksCountUntilTheyExpire(t *testing.T) {
	f := one(newJob("/bin/a", broken(fleet.BadMode)))
	id := Evaluate(f, noon)[0].ID
	for _, c := range []struct {
		expires time.Time
		counts  bool
	}{{time.Time{}, true}, {noon.Add(1), true}, {noon, false}} {
		f.Acks = map[string]fleet.Ack{id: {Finding: id, Reason: "known", Expires: c.expires}}
		if got := Evaluate(f, noon)[0].Ack; (got != nil) != c.counts {
			t.Errorf("expires %v: %v", c.expires, got)
		}
	}
}
