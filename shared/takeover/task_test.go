package takeover

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func adoptHost(daemon string) *fleet.Host {
	return &fleet.Host{ID: "0123456789abcdef0123456789abcdef", Name: "db-1", Cron: daemon, Timezone: "Europe/Berlin"}
}

func adoptJob(change func(*fleet.Job)) *fleet.Job {
	job := &fleet.Job{
		ID: "1111111111111111", Kind: fleet.KindCron, Source: "/etc/cron.d/backup", Line: 7, User: "postgres", Schedule: "30 2 * * *",
		Timezone: "Europe/Berlin", Command: "pg_dumpall | gzip", Enabled: true, Verdict: fleet.Verdict{Runs: true},
	}
	if change != nil {
		change(job)
	}
	return job
}

func TestAdoptGivesWhatCronGives(t *testing.T) {
	here := fleet.Where{Hosts: []string{"0123456789abcdef0123456789abcdef"}}
	many := fleet.Limits{Overlap: fleet.OverlapAllow, PerHost: 100}
	for _, c := range []struct {
		name, daemon string
		change       func(*fleet.Job)
		on           string
		run          fleet.Execute
		limits       fleet.Limits
	}{
		{"plain", "debian", nil, "30 2 * * *",
			fleet.Execute{Command: fleet.Command{Shell: "pg_dumpall | gzip"}, User: "postgres", Env: map[string]string{"PATH": "/usr/bin:/bin"}}, many},
		{"all of it", "cronie", func(j *fleet.Job) {
			j.Command = `mail -s "$(date +\%F)" x%one%two\%`
			j.Env = map[string]string{"SHELL": "/bin/bash", "HOME": "/srv/db", "LOGNAME": "no", "USER": "no", "MAILTO": "", "PATH": "/opt/bin"}
		}, "30 2 * * *", fleet.Execute{
			Command: fleet.Command{Argv: []string{"/bin/bash", "-c", `mail -s "$(date +%F)" x`}}, User: "postgres", Dir: "/srv/db",
			Env: map[string]string{"SHELL": "/bin/bash", "HOME": "/srv/db", "MAILTO": "", "PATH": "/opt/bin"}, Stdin: "one\ntwo%\n",
		}, many},
		{"busybox knows no input", "busybox", func(j *fleet.Job) { j.Command, j.User = "cat%a", "root" }, "30 2 * * *",
			fleet.Execute{Command: fleet.Command{Shell: "cat%a"}, User: "root", Env: map[string]string{"PATH": "/sbin:/usr/sbin:/bin:/usr/bin"}}, fleet.Limits{}},
		{"script", "debian", func(j *fleet.Job) {
			j.Kind, j.Source, j.Command, j.User, j.Line = fleet.KindRunParts, "/etc/cron.daily/logrotate", "/etc/cron.daily/logrotate", "root", 0
		}, "30 2 * * *", fleet.Execute{
			Command: fleet.Command{Argv: []string{"/etc/cron.daily/.fleetcron/logrotate"}}, User: "root", Dir: "/", Env: map[string]string{"PATH": "/usr/bin:/bin"},
		}, fleet.Limits{}},
		{"timer", "none", func(j *fleet.Job) {
			j.Kind, j.Source, j.Command, j.User, j.Schedule = fleet.KindTimer, "/usr/lib/systemd/system/apt-daily.timer", "/usr/lib/apt/apt.systemd.daily", "root", "Mon..Fri *-*-* 06,18:00:00"
		}, "0 6,18 * * mon-fri", fleet.Execute{
			Command: fleet.Command{Argv: []string{"/usr/bin/systemctl", "start", "--wait", "apt-daily.service"}}, User: "root",
		}, fleet.Limits{}},
		{"timer of another unit", "none", func(j *fleet.Job) {
			j.Kind, j.Source, j.Command, j.User, j.Schedule = fleet.KindTimer, "/etc/systemd/system/drain.timer", "/usr/bin/drain", "root", "*-*-* 06:00:00"
			j.Unit = "queue@a.service"
		}, "0 6 * * *", fleet.Execute{
			Command: fleet.Command{Argv: []string{"/usr/bin/systemctl", "start", "--wait", "queue@a.service"}}, User: "root",
		}, fleet.Limits{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			task, err := Adopt(adoptJob(c.change), adoptHost(c.daemon), "data/dump", "")
			if err != nil {
				t.Fatal(err)
			}
			want := fleet.Task{Name: "dump", Namespace: "data", On: fleet.Trigger{Cron: c.on, Timezone: "Europe/Berlin"}, Run: c.run, Where: here, Limits: c.limits}
			task.Description = ""
			if diff := cmp.Diff(want, task); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAdoptRefuses(t *testing.T) {
	for _, c := range []struct {
		name, daemon string
		change       func(*fleet.Job)
		says         string
	}{
		{"container", "debian", func(j *fleet.Job) { j.Container = "web" }, "container"},
		{"bytes that are no text", "debian", func(j *fleet.Job) { j.Command, j.Latin1 = "grep \u00fc x", true }, "no UTF-8"},
		{"at", "debian", func(j *fleet.Job) { j.Kind = fleet.KindAt }, "at job"},
		{"anacron", "debian", func(j *fleet.Job) { j.Kind = fleet.KindAnacron }, "anacron"},
		{"scripts of anacron", "debian", func(j *fleet.Job) { j.Kind, j.Schedule = fleet.KindRunParts, "1 5" }, "anacron"},
		{"switched off", "debian", func(j *fleet.Job) { j.Enabled = false }, "switched off"},
		{"cron refuses it", "debian", func(j *fleet.Job) { j.Verdict = fleet.Verdict{Why: "the mode is wrong"} }, "the mode is wrong"},
		{"stale", "debian", func(j *fleet.Job) { j.Stale = new(time.Time) }, "could not be read"},
		{"reboot", "debian", func(j *fleet.Job) { j.Schedule = "@reboot" }, "@reboot"},
		{"random", "cronie", func(j *fleet.Job) { j.Schedule = "0~30 2 * * *" }, "anew"},
		{"random delay", "cronie", func(j *fleet.Job) { j.Env = map[string]string{"RANDOM_DELAY": "30"} }, "RANDOM_DELAY"},
		{"odd name", "debian", func(j *fleet.Job) { j.Env = map[string]string{"A B": "1"} }, `"A B"`},
		{"relative shell", "debian", func(j *fleet.Job) { j.Env = map[string]string{"SHELL": "bash"} }, "absolute"},
		{"junk", "debian", func(j *fleet.Job) { j.Schedule = "*15 2 * * *" }, "that host only"},
		{"even days", "busybox", func(j *fleet.Job) { j.Schedule = "0 0 */2 * *" }, "way of its own"},
		{"either day", "busybox", func(j *fleet.Job) { j.Schedule = "0 0 1-31/2 * */2" }, "way of its own"},
		{"no zone", "debian", func(j *fleet.Job) { j.Timezone = "" }, "zone"},
		{"no daemon", "none", nil, "none"},
		{"empty", "debian", func(j *fleet.Job) { j.Command = " " }, "no command"},
		{"user's timer", "none", func(j *fleet.Job) {
			j.Kind, j.Source, j.Schedule = fleet.KindTimer, "/home/x/.config/systemd/user/a.timer", "*-*-* 06:00:00"
		}, "lasting unit"},
		{"after boot", "none", func(j *fleet.Job) {
			j.Kind, j.Source, j.Schedule = fleet.KindTimer, "/etc/systemd/system/a.timer", "OnBootSec=5m"
		}, "counted from an event"},
		{"last of the month", "none", func(j *fleet.Job) {
			j.Kind, j.Source, j.Schedule = fleet.KindTimer, "/etc/systemd/system/a.timer", "*-*~01 06:00:00"
		}, "five fields"},
		{"both days", "none", func(j *fleet.Job) {
			j.Kind, j.Source, j.Schedule = fleet.KindTimer, "/etc/systemd/system/a.timer", "Mon *-*-01 06:00:00"
		}, "five fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			task, err := Adopt(adoptJob(c.change), adoptHost(c.daemon), "", "")
			if fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v of %+v, want a refusal that says %q", err, task, c.says)
			}
		})
	}
}

func TestAnotherScheduleIsWelcome(t *testing.T) {
	job := adoptJob(func(j *fleet.Job) { j.Schedule = "0 0 */2 * *" })
	task, err := Adopt(job, adoptHost("busybox"), "", "0 0 2-30/2 * *")
	if err != nil || task.On.Cron != "0 0 2-30/2 * *" {
		t.Errorf("%+v, %v", task.On, err)
	}
	if _, err := Adopt(job, adoptHost("busybox"), "", "61 * * * *"); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("%v", err)
	}
}
