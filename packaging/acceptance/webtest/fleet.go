package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/cron"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/web"
)

// role is a kind of machine in the rich fleet.
type role struct {
	name  string
	hosts int
	os    string
	cron  string
	jobs  []string // "user|schedule|source|command"
}

const (
	debian = "Debian GNU/Linux 12 (bookworm)"
	alma   = "AlmaLinux 9.4 (Seafoam Ocelot)"
	alpine = "Alpine Linux v3.20"
)

// everywhere stands on each host.
var everywhere = []string{
	"root|17 * * * *|/etc/crontab|cd / && run-parts --report /etc/cron.hourly",
	"root|25 6 * * *|/etc/crontab|test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
	"root|30 3 * * 0|/etc/cron.d/e2scrub_all|test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/x86_64-linux-gnu/e2fsprogs/e2scrub_all_cron",
	"root|*/10 * * * *|/etc/cron.d/node-metrics|/usr/local/bin/node-textfile > /var/lib/node_exporter/host.prom",
}

var roles = []role{
	{"web", 14, debian, "debian", []string{
		"www-data|*/5 * * * *|/etc/cron.d/shop|/usr/bin/php /srv/shop/bin/console messenger:consume --time-limit=280",
		"root|0 4 * * *|/etc/cron.d/certbot|test -x /usr/bin/certbot && perl -e 'sleep int(rand(43200))' && certbot -q renew",
		"www-data|30 1 * * 1-5|/var/spool/cron/crontabs/www-data|/srv/shop/bin/sitemap --out /srv/shop/public/sitemap.xml.gz",
	}},
	{"db", 6, debian, "debian", []string{
		"postgres|30 2 * * 1-5|/var/spool/cron/crontabs/postgres|pg_dump -Fc shop | zstd -q > /backup/shop-$(date +\\%F).zst",
		"postgres|*/15 * * * *|/etc/cron.d/pgbadger|/usr/bin/pgbadger --incremental -q /var/log/postgresql/*.log",
		"root|0 5 1 * *|/etc/cron.d/mdadm|/usr/share/mdadm/checkarray --cron --all --idle --quiet",
	}},
	{"queue", 4, alma, "cronie", []string{
		"rabbitmq|*/2 * * * *|/etc/cron.d/queue-depth|/usr/local/bin/queue-depth --alert 5000",
		"root|0 0 * * *|/etc/cron.d/0hourly|run-parts /etc/cron.hourly",
	}},
	{"cache", 4, alpine, "busybox", []string{"redis|40 3 * * *|/etc/crontabs/redis|redis-cli --rdb /var/backup/dump.rdb"}},
	{"mail", 2, debian, "debian", []string{
		"vmail|12 * * * *|/etc/cron.d/dovecot-expunge|doveadm expunge -A mailbox Trash savedbefore 30d",
		"root|50 23 * * *|/etc/cron.d/mailgraph|/usr/local/sbin/mail-report --to postmaster@example.org",
	}},
	{"legacy", 2, "Debian GNU/Linux 7 (wheezy)", "debian", []string{
		"root|5 4 * * *|/etc/crontab|/opt/billing/export.pl --all >/dev/null 2>&1",
		"anna|0 9 * * 1|/var/spool/cron/crontabs/anna|/home/anna/weekly-numbers.sh | mail -s numbers finance@example.org",
		"nobody7|10 2 * * *|/etc/cron.d/old-sync|rsync -a /data/ backup-old:/data/",
		"root|0 0 30 2 *|/etc/cron.d/never|/usr/local/bin/leap",
	}},
	{"batch", 3, alma, "cronie", []string{"etl|*/20 * * * *|/var/spool/cron/etl|/opt/etl/bin/load --source s3://events --window 20m"}},
}

// plan is a task of the rich fleet: name|namespace|owner|cron|zone|user|labels|command.
var plans = []string{
	"nightly-backup|data|team-data|30 2 * * 1-5|Europe/Berlin|backup|role=db|/usr/local/bin/backup --all",
	"vacuum-analyze|data|team-data|15 */6 * * *|UTC|postgres|role=db|/usr/bin/vacuumdb --all --analyze-only",
	"export-orders|data|team-data|*/10 * * * *|UTC|etl|role=batch|/opt/etl/bin/export --orders",
	"reindex-search|shop|team-shop|0 1 * * *|Europe/Berlin|www-data|role=web|/srv/shop/bin/console search:reindex",
	"warm-cache|shop|team-shop|*/5 * * * *|UTC|www-data|role=web|/srv/shop/bin/console cache:warm",
	"send-invoices|billing|finance|0 7 1 * *|Europe/Berlin|billing|role=legacy|/opt/billing/invoice --month previous",
	"dunning|billing|finance|0 8 * * 1-5|Europe/Berlin|billing|role=legacy|/opt/billing/dun",
	"rotate-keys|ops||0 3 * * 0|UTC|root|*|/usr/local/sbin/rotate-keys",
	"check-disks|ops|team-ops|*/15 * * * *|UTC|root|*|/usr/local/bin/check-disks --warn 80",
	"queue-janitor|ops|team-ops|7 * * * *|UTC|rabbitmq|role=queue|/usr/local/bin/queue-janitor --older-than 3d",
}

// richFleet looks like an installation that has been busy for a while.
func richFleet(now time.Time) web.Source {
	f := &invented{outputs: map[fleet.RunID]map[string]string{}}
	for _, r := range roles {
		for n := 1; n <= r.hosts; n++ {
			f.hosts = append(f.hosts, newHost(&r, n, now))
		}
	}
	for _, text := range plans {
		f.tasks = append(f.tasks, newTask(text, now))
	}
	f.tasks[6].State = fleet.TaskPaused
	for i := range f.tasks {
		f.assign(&f.tasks[i])
	}
	f.history(now)
	f.upcoming(now)
	f.describe(now)
	f.inspect(now)
	f.chronicle(now)
	f.keepUp(now)
	f.cluster = cluster()
	return f
}

func cluster() api.Cluster {
	contact := fleet.Duration(38 * time.Millisecond)
	member := func(n int) api.Collector {
		return api.Collector{ID: fleet.CollectorID(fmt.Sprint("c", n)), Raft: fmt.Sprintf("127.0.0.%d:7771", n), API: fmt.Sprintf("http://127.0.0.%d:7770", n),
			Voter: true, Reachable: true, Applied: 48211, Term: 7, Version: "0.1.0", LastContact: &contact}
	}
	c := api.Cluster{ID: id("cluster", 32), Answered: "c2", Leader: "c1", Term: 7, Applied: 48211, Committed: 48211,
		Collectors: []api.Collector{member(1), member(2), member(3)}}
	c.Collectors[0].Leader = true
	return c
}

func newHost(r *role, n int, now time.Time) api.HostDetail {
	name := fmt.Sprintf("%s-%d", r.name, n)
	host := fleet.Host{ID: fleet.HostID(id(name, 32)), Name: name, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 20, byte(len(r.name)), byte(n)})},
		Labels: map[string]string{"role": r.name, "env": "prod", "zone": string(rune('a' + n%3))}, OS: r.os, Arch: "amd64", CPUs: 8,
		Timezone: "Europe/Berlin", Cron: r.cron, AgentVersion: "0.1.0"}
	out := api.HostDetail{HostView: api.HostView{Host: host, Presence: fleet.Alive, FirstSeen: now.Add(-63 * 24 * time.Hour), Reported: now.Add(-time.Duration(n*7) * time.Hour)}}
	if name == "batch-3" || name == "legacy-2" {
		out.Presence = fleet.Silent
	}
	if name == "cache-4" {
		out.Presence = fleet.Left
	}
	out.Inventory = fleet.Report{Host: name, Scanned: now.Add(-9 * time.Minute)}
	for i, text := range slices.Concat(everywhere, r.jobs) {
		out.Inventory.Jobs = append(out.Inventory.Jobs, newJob(text, i, now))
	}
	if r.name == "legacy" {
		out.Inventory.Problems = []fleet.Problem{
			{Source: "/etc/cron.d/old-sync", Line: 4, Text: "10 25 * * * root /usr/local/bin/tidy", Reason: "hour 25 is out of range 0–23"},
			{Source: "/var/spool/cron/crontabs/anna", Line: 9, Text: "@evry 5m /home/anna/poll", Reason: "there is no word @evry"},
		}
	}
	out.Jobs, out.Problems = len(out.Inventory.Jobs), len(out.Inventory.Problems)
	out.Applied = fleet.Applied{Host: host.ID, Generations: map[fleet.TaskID]uint64{}, At: now}
	return out
}

func newJob(text string, line int, now time.Time) fleet.Job {
	part := strings.SplitN(text, "|", 4)
	command := part[3]
	job := fleet.Job{ID: fleet.NewJobID(fleet.KindCron, part[2], part[0], command, line), Kind: fleet.KindCron, Source: part[2], Line: 3 + line*2,
		User: part[0], Schedule: part[1], Timezone: "Europe/Berlin", Command: command, Enabled: true, Verdict: fleet.Verdict{Runs: true},
		Fingerprint: fleet.CommandFingerprint(command)}
	if strings.HasPrefix(part[2], "/etc/cron") {
		job.Env = map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin"}
	}
	switch {
	case part[0] == "nobody7":
		job.Verdict = fleet.Verdict{Code: fleet.UnknownUser, Why: "user nobody7 does not exist, so cron ignores the whole file"}
	case part[1] == "0 0 30 2 *":
		job.Verdict = fleet.Verdict{Code: fleet.NeverDue, Why: "30 February never comes"}
	default:
		job.Evidence = &fleet.Evidence{Last: now.Add(-time.Duration(line+1) * 17 * time.Minute), Grade: fleet.GradeStarted, From: "journal"}
	}
	switch {
	case strings.Contains(command, "certbot"):
		job.Evidence.Grade, job.Evidence.Result = fleet.GradeEnded, "success"
	case strings.Contains(command, "sitemap"):
		job.Evidence.Grade, job.Evidence.Result = fleet.GradeEnded, "exit 3"
	case strings.Contains(command, "anacron"):
		job.Evidence.Grade, job.Evidence.From = fleet.GradeStamp, "/var/spool/anacron/cron.daily"
	case strings.Contains(command, "e2scrub"):
		job.Package = "e2fsprogs"
	case strings.Contains(command, "node-textfile"):
		job.ManagedBy = "Ansible"
	case strings.Contains(command, "export.pl"):
		job.Risks = []fleet.Risk{{Kind: fleet.FindWritable, Why: "members of group staff can write /opt/billing"}}
	case strings.Contains(command, "rabbit"), strings.Contains(command, "queue-depth"):
		job.Container = "4f1c2d7a9be0"
	}
	return job
}

func newTask(text string, now time.Time) api.TaskView {
	p := strings.Split(text, "|")
	task := fleet.Task{Name: p[0], Namespace: p[1], Owner: p[2], On: fleet.Trigger{Cron: p[3], Timezone: p[4], Spread: fleet.Duration(40 * time.Second)},
		Run: fleet.Execute{Command: fleet.Command{Argv: strings.Fields(p[7])}, User: p[5]}, Where: fleet.Where{Labels: p[6]},
		Limits: fleet.Limits{Timeout: fleet.Duration(30 * time.Minute)}}
	if p[0] == "nightly-backup" {
		task.Description = "Dumps every database to the backup store and verifies the newest dump."
		task.Run.Env = map[string]string{"LEVEL": "full", "TARGET": "s3://backup/db"}
	}
	document := fmt.Sprintf("task: %s\nnamespace: %s\non:\n  cron: %q\n  timezone: %s\n  spread: 40s\nrun:\n  command: [%s]\n  user: %s\nwhere:\n  labels: %q\nlimits:\n  timeout: 30m\n",
		p[0], p[1], p[3], p[4], strings.Join(strings.Fields(p[7]), ", "), p[5], p[6])
	view := api.TaskView{TaskRecord: fleet.TaskRecord{Task: task, State: fleet.TaskEnabled, Generation: 3, Document: []byte(document), MediaType: api.MediaYAML,
		Created: now.Add(-40 * 24 * time.Hour), Changed: now.Add(-52 * time.Hour), ChangedBy: "anna", Reason: "longer timeout after the move", Index: 40112}}
	if next := instants(&task.On, now, 1); len(next) > 0 {
		view.Next = &next[0]
	}
	return view
}

// instants returns the next n instants of a cron trigger, in UTC.
func instants(on *fleet.Trigger, from time.Time, n int) []time.Time {
	schedule, err := cron.Parse(on.Cron)
	if err != nil {
		return nil
	}
	zone, err := cron.Load(on.Timezone)
	if err != nil {
		return nil
	}
	var out []time.Time
	for at := from.In(zone); len(out) < n; {
		next, ok := schedule.Next(at)
		if !ok {
			break
		}
		at = next
		out = append(out, next.UTC())
	}
	return out
}

func (f *invented) assign(task *api.TaskView) {
	for i := range f.hosts {
		host := &f.hosts[i]
		if !task.Task.Where.Matches(&host.Host) {
			continue
		}
		task.Hosts++
		host.Tasks++
		host.Assignments = append(host.Assignments, fleet.Assignment{Task: task.Task, State: task.State, Generation: task.Generation,
			Document: task.Document, MediaType: task.MediaType, Since: task.Changed})
		host.Applied.Generations[task.Task.ID()] = task.Generation
		if host.Presence == fleet.Silent {
			host.Applied.Generations[task.Task.ID()] = task.Generation - 1
		}
	}
}

// history invents the runs of the last 26 hours.
func (f *invented) history(now time.Time) {
	random := rand.New(rand.NewPCG(7, 11))
	for i := range f.hosts {
		host := &f.hosts[i]
		for _, a := range host.Assignments {
			away := now.Add(time.Hour)
			if host.Presence != fleet.Alive {
				away = now.Add(-150 * time.Minute)
			}
			for _, due := range instants(&a.Task.On, now.Add(-26*time.Hour), 400) {
				if !due.Before(now) {
					break
				}
				if due.After(away) {
					f.miss(host, &a, due)
					continue
				}
				f.runs = append(f.runs, f.newRun(host, &a, due, now, random))
			}
		}
	}
	slices.SortFunc(f.runs, func(a, b api.RunView) int { return strings.Compare(string(b.ID), string(a.ID)) })
	for i := len(f.runs) - 1; i >= 0; i-- {
		for t := range f.tasks {
			if f.tasks[t].Task.ID() == f.runs[i].Task {
				f.tasks[t].Last = &f.runs[i].Run
			}
		}
	}
}

// miss records an instant that a host away missed: one record for all of them.
func (f *invented) miss(host *api.HostDetail, a *fleet.Assignment, due time.Time) {
	if n := len(f.runs); n > 0 && f.runs[n-1].State == fleet.RunMissed && f.runs[n-1].Host == host.ID && f.runs[n-1].Task == a.Task.ID() {
		last := &f.runs[n-1]
		last.Until, last.Count = &due, last.Instants()+1
		return
	}
	f.runs = append(f.runs, api.RunView{HostName: host.Name, Run: fleet.Run{ID: runID(due, len(f.runs)), Task: a.Task.ID(), Generation: a.Generation,
		Host: host.ID, Due: due, State: fleet.RunMissed, Reason: fleet.MissedHostDown, Detail: "the host was off when it was due"}})
}

func (f *invented) newRun(host *api.HostDetail, a *fleet.Assignment, due, now time.Time, random *rand.Rand) api.RunView {
	run := fleet.Run{ID: runID(due, len(f.runs)), Task: a.Task.ID(), Generation: a.Generation, Host: host.ID, Due: due, State: fleet.RunRan}
	started := due.Add(time.Duration(random.IntN(1800)) * time.Millisecond)
	took := time.Duration(800+random.IntN(9000)) * time.Millisecond
	if a.Task.Name == "nightly-backup" {
		took = time.Duration(11+random.IntN(6))*time.Minute + took
	}
	ended, exit := started.Add(took), 0
	switch luck := random.IntN(1000); {
	case luck < 4:
		exit, run.Tail = 1, "connect: connection refused (10.20.2.4:5432)\nbackup: giving up after 3 attempts\n"
	case luck < 6:
		exit, run.TimedOut, run.Signal = -1, true, "SIGKILL"
		run.Detail = "still running after 30m; TERM, then KILL"
	case luck < 12:
		run.State, run.Reason = fleet.RunSkipped, fleet.SkippedOverlap
		run.Detail = "the run before was still going on"
		return api.RunView{Run: run, HostName: host.Name}
	}
	run.Started, run.PID = &started, 2000+random.IntN(30000)
	if ended.After(now) {
		run.State = fleet.RunRunning
		return api.RunView{Run: run, HostName: host.Name}
	}
	run.Ended = &ended
	if run.Signal == "" {
		run.Exit = &exit
	}
	stdout := fmt.Sprintf("%s starting on %s\nreading configuration\nworking …\ndone in %s\n", a.Task.Name, host.Name, took)
	run.Stdout, run.Stderr = int64(len(stdout)), int64(len(run.Tail))
	if host.Presence == fleet.Alive {
		f.outputs[run.ID] = map[string]string{"stdout": stdout, "stderr": run.Tail}
	}
	return api.RunView{Run: run, HostName: host.Name}
}

// upcoming invents what starts within a day and some hours before, found and
// given.
func (f *invented) upcoming(now time.Time) {
	now = now.Add(-4 * time.Hour)
	for i := range f.hosts {
		host := &f.hosts[i]
		for _, job := range host.Inventory.Jobs {
			if !job.Verdict.Runs {
				continue
			}
			for _, at := range instants(&fleet.Trigger{Cron: job.Schedule, Timezone: "Europe/Berlin"}, now, 900) {
				if at.Sub(now) < 28*time.Hour {
					f.coming = append(f.coming, api.Upcoming{At: at, Host: host.ID, HostName: host.Name, Job: job.ID, Command: job.Command, User: job.User})
				}
			}
		}
		for _, a := range host.Assignments {
			if a.State != fleet.TaskEnabled {
				continue
			}
			for _, at := range instants(&a.Task.On, now, 500) {
				if at.Sub(now) < 28*time.Hour {
					f.coming = append(f.coming, api.Upcoming{At: at, Host: host.ID, HostName: host.Name, Task: a.Task.ID(), Command: a.Task.Run.Command.String(), User: a.Task.Run.User})
				}
			}
		}
	}
	slices.SortStableFunc(f.coming, func(a, b api.Upcoming) int { return a.At.Compare(b.At) })
}

// describe invents what people say of jobs, and what the collectors make of
// them.
func (f *invented) describe(now time.Time) {
	f.people = map[fleet.JobID]api.JobView{}
	late := now.Add(-76 * time.Hour)
	for i := range f.hosts {
		for _, job := range f.hosts[i].Inventory.Jobs {
			view := api.JobView{}
			switch {
			case strings.Contains(job.Command, "pg_dump"):
				view.Owner, view.Note, view.Overdue = "team-data", "The store keeps 30 dumps. Ask before you move it: the standby reads them at 04:00.", &late
			case strings.Contains(job.Command, "messenger:consume"):
				view.Owner = "team-shop"
			case strings.Contains(job.Command, "weekly-numbers"):
				view.Owner, view.Overdue = "finance", &late
			case strings.Contains(job.Command, "mail-report"):
				view.Adopted = "ops/check-disks"
			default:
				continue
			}
			f.people[job.ID] = view
		}
	}
}

// hostileFleet is one host whose every text was written by an attacker.
func hostileFleet(now time.Time) web.Source {
	f := &invented{outputs: map[fleet.RunID]map[string]string{}, cluster: cluster()}
	const script = `<script>document.title="owned"</script><img src=x onerror="document.title='owned'">`
	const terminal = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2066\x9b\xff\x00\r"
	long := "/usr/bin/long " + strings.Repeat("argument-without-a-break-", 400)
	host := newHost(&role{name: "evil", hosts: 1, os: script, cron: "debian"}, 1, now)
	host.Name = script[:60] + `" onmouseover="document.title='owned'`
	host.Labels = map[string]string{"javascript:alert(1)": script}
	for i, command := range []string{script, terminal, long, `javascript:document.title="owned"`, "{{.}} ${{ }} <!-- --> ]]> &lt;"} {
		job := newJob("root|* * * * *|/etc/cron.d/x|"+command, i, now)
		job.Source, job.User, job.Env = script+terminal, terminal, map[string]string{script: terminal}
		job.Verdict = fleet.Verdict{Why: script}
		host.Inventory.Jobs = append(host.Inventory.Jobs, job)
	}
	host.Inventory.Problems = []fleet.Problem{{Source: script, Text: long, Reason: terminal}}
	host.Jobs = len(host.Inventory.Jobs)
	f.hosts = []api.HostDetail{host}
	f.inspectHostile(&host, script, terminal, long, now)
	f.keepUpHostile(&host, script, terminal, long, now)
	task := newTask("evil|default|"+script+"|* * * * *|UTC|root|*|/bin/true", now)
	task.Task.Description, task.Document, task.Reason = script, []byte(terminal+script), script
	task.Task.Run.Command = fleet.Command{Shell: long + script}
	f.tasks = []api.TaskView{task}
	f.assign(&f.tasks[0])
	ended, exit := now.Add(-time.Minute), 1
	run := fleet.Run{ID: runID(now, 1), Task: "default/evil", Host: host.ID, Due: ended, Started: &ended, Ended: &ended, Exit: &exit, State: fleet.RunRan, Detail: script, Tail: terminal}
	f.runs = []api.RunView{{Run: run, HostName: host.Name}}
	f.outputs[run.ID] = map[string]string{"stdout": script + terminal, "stderr": strings.Repeat(long+"\n", 60)}
	f.coming = []api.Upcoming{{At: now.Add(time.Minute), Host: host.ID, HostName: host.Name, Command: script + terminal, User: script}}
	return f
}

// inspectHostile lets the attacker write what is found, said and changed.
func (f *invented) inspectHostile(host *api.HostDetail, script, terminal, long string, now time.Time) {
	f.people = map[fleet.JobID]api.JobView{}
	for i, job := range host.Inventory.Jobs {
		f.people[job.ID] = api.JobView{Owner: script, Note: terminal + long, Adopted: "default/evil"}
		before := job
		before.Command, before.Schedule, before.Env = long, terminal, map[string]string{terminal: script}
		f.changes = append(f.changes, api.ChangeView{HostName: host.Name, Change: fleet.Change{Host: host.ID, Job: job.ID, Seen: now.Add(-time.Duration(i) * time.Hour),
			What: []fleet.ChangeKind{fleet.ChangeCommand, fleet.ChangeEnvironment}, Before: &before, After: &host.Inventory.Jobs[i]}})
		f.findings = append(f.findings, fleet.Finding{ID: id(fmt.Sprint(i), 16), Kind: fleet.FindIgnored, Severity: fleet.Critical, Host: host.ID, HostName: host.Name, Job: job.ID,
			Source: script, User: terminal, Command: job.Command, Owner: script, Summary: script, Explain: long, Fix: terminal + script, Hosts: []string{script, terminal},
			Ack: &fleet.Ack{By: script, Reason: terminal, At: now}})
	}
	f.findings[0].Ack = nil
	f.pins = []api.PinView{{Pin: fleet.Pin{Name: script, Labels: "*"}, Unexpected: 2}}
}
