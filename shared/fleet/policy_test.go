package fleet

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestPoliciesValidateNamesEveryWrongField has a row for each rule about how
// runs are kept up, where they run and what bounds them.
func TestPoliciesValidateNamesEveryWrongField(t *testing.T) {
	instant := time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC)
	minute, second := Duration(time.Minute), Duration(time.Second)
	daemon := Trigger{Daemon: true}
	for _, test := range []struct {
		name   string
		change func(*Task)
		fields string // space-joined; empty: valid
	}{
		{"startup", func(t *Task) { t.On = Trigger{Startup: StartupBoot} }, ""},
		{"startup of nothing", func(t *Task) { t.On = Trigger{Startup: "login"} }, "on.startup"},
		{"startup and daemon", func(t *Task) { t.On = Trigger{Startup: StartupAgent, Daemon: true} }, "on"},
		{"after its end", func(t *Task) { t.On = Trigger{Every: minute, AfterEnd: true} }, ""},
		{"merged without a cause", func(t *Task) { t.On.Merge = second }, "on.merge"},
		{"merged for too long", func(t *Task) { t.On = Trigger{Event: "e", Merge: 11 * minute} }, "on.merge"},
		{"after the end of nothing", func(t *Task) { t.On.AfterEnd = true }, "on.after_end"},
		{"after its end from an anchor", func(t *Task) { t.On = Trigger{Every: minute, AfterEnd: true, Anchor: &instant} }, "on.after_end"},
		{"after its end, spread", func(t *Task) { t.On = Trigger{Every: minute, AfterEnd: true, Spread: second} }, "on.after_end"},
		{"after its end, caught up", func(t *Task) { t.On = Trigger{Every: minute, AfterEnd: true, Missed: Missed{Policy: MissedAll}} }, "on.after_end"},
		{"blackout", func(t *Task) { t.On.Blackout = []string{"year-end", "inventory"} }, ""},
		{"blackout of an event", func(t *Task) { t.On = Trigger{Event: "e", Blackout: []string{"year-end"}} }, ""},
		{"blackout of a daemon", func(t *Task) { t.On = Trigger{Daemon: true, Blackout: []string{"year-end"}} }, "on.blackout"},
		{"blackout of a start", func(t *Task) { t.On = Trigger{Startup: StartupBoot, Blackout: []string{"year-end"}} }, "on.blackout"},
		{"blackout of an order", func(t *Task) { t.On = Trigger{Manual: true, Blackout: []string{"year-end"}} }, "on.blackout"},
		{"blackout by a sentence", func(t *Task) { t.On.Blackout = []string{"the end of the year"} }, "on.blackout"},
		{"too many calendars", func(t *Task) { t.On.Blackout = strings.Split(strings.Repeat("a", 21), "")[:21] }, "on.blackout"},

		{"strict shell", func(t *Task) { t.Run.Command, t.Run.Shell = Command{Shell: "a | b"}, ShellStrict }, ""},
		{"another shell", func(t *Task) { t.Run.Command, t.Run.Shell = Command{Shell: "a"}, "fish" }, "run.shell"},
		{"shell of a list", func(t *Task) { t.Run.Shell = ShellStrict }, "run.shell"},
		{"group", func(t *Task) { t.Run.Group = "a b" }, "run.group"},
		{"groups", func(t *Task) { t.Run.Groups = []string{"adm", "a:b"} }, "run.groups"},
		{"too many groups", func(t *Task) { t.Run.Groups = strings.Split(strings.Repeat("g", 65), "") }, "run.groups"},
		{"umask", func(t *Task) { t.Run.Umask = "0027" }, ""},
		{"umask in decimal", func(t *Task) { t.Run.Umask = "27" }, "run.umask"},
		{"umask with a nine", func(t *Task) { t.Run.Umask = "0029" }, "run.umask"},

		{"memory", func(t *Task) { t.Limits.Memory = 1000 }, "limits.memory"},
		{"processors", func(t *Task) { t.Limits.CPU = 0.001 }, "limits.cpu"},
		{"processors below zero", func(t *Task) { t.Limits.CPU = -1 }, "limits.cpu"},
		{"processes", func(t *Task) { t.Limits.Processes = -1 }, "limits.processes"},
		{"weight", func(t *Task) { t.Limits.IOWeight = 20_000 }, "limits.io_weight"},
		{"idle", func(t *Task) { t.Limits.IONice = "idle" }, ""},
		{"real time", func(t *Task) { t.Limits.IONice = "realtime:0" }, "limits.ionice"},
		{"limit of nothing", func(t *Task) { t.Limits.Rlimits = map[string]uint64{"nofile": 1, "files": 1} }, "limits.rlimits"},
		{"kept runs", func(t *Task) { t.Limits.Keep.Runs = 100_000 }, "limits.keep.runs"},
		{"short stall", func(t *Task) { t.Limits.Stall = second / 2 }, "limits.stall"},

		{"wait for all", func(t *Task) {
			t.WaitFor = WaitFor{TCP: []string{"db:5432", "[::1]:1"}, HTTP: []string{"https://a/b"}, File: []string{"/f"}, Unit: []string{"a@b.service"}, Command: []string{"/c", "d"}, Every: second}
		}, ""},
		{"wait for how long", func(t *Task) { t.WaitFor = WaitFor{Timeout: minute} }, "wait_for"},
		{"wait for a host", func(t *Task) { t.WaitFor.TCP = []string{"db", "db:0", ":1"} }, "wait_for.tcp wait_for.tcp wait_for.tcp"},
		{"wait for a page", func(t *Task) { t.WaitFor.HTTP = []string{"ftp://a", "http:///x"} }, "wait_for.http wait_for.http"},
		{"wait for a file somewhere", func(t *Task) { t.WaitFor.File = []string{"ready"} }, "wait_for.file"},
		{"wait for a service", func(t *Task) { t.WaitFor.Unit = []string{"postgresql"} }, "wait_for.unit"},
		{"wait for a word", func(t *Task) { t.WaitFor.Command = []string{"ready"} }, "wait_for.command"},
		{"wait for too much", func(t *Task) { t.WaitFor.File = strings.Split(strings.Repeat("/f ", 21), " ")[:21] }, "wait_for"},
		{"wait and look at once", func(t *Task) { t.WaitFor = WaitFor{File: []string{"/f"}, Every: 1} }, "wait_for.every"},

		{"retry", func(t *Task) { t.Retry = Retry{Attempts: 3, Jitter: 1, On: []string{"75", "SIGRTMIN+1", "unknown"}} }, ""},
		{"once is no retry", func(t *Task) { t.Retry.Attempts = 1 }, "retry.attempts"},
		{"retry for ever", func(t *Task) { t.Retry.Attempts = 101 }, "retry.attempts"},
		{"retry how often", func(t *Task) { t.Retry.Base = second }, "retry.attempts"},
		{"sooner and sooner", func(t *Task) { t.Retry = Retry{Attempts: 2, Factor: 0.5} }, "retry.factor"},
		{"jitter", func(t *Task) { t.Retry = Retry{Attempts: 2, Jitter: 1.5} }, "retry.jitter"},
		{"retry on success", func(t *Task) { t.Retry = Retry{Attempts: 2, On: []string{"0", "075", "256", "SIGterm", "always"}} }, "retry.on retry.on retry.on retry.on retry.on"},
		{"retry on twice the same", func(t *Task) { t.Retry = Retry{Attempts: 2, On: []string{"75", "75"}} }, "retry.on"},
		{"retry of a daemon", func(t *Task) { t.On, t.Retry = daemon, Retry{Attempts: 2} }, "retry"},
		{"retry of a start", func(t *Task) { t.On, t.Retry = Trigger{Startup: StartupBoot}, Retry{Attempts: 2} }, ""},

		{"breaker", func(t *Task) { t.Breaker = Breaker{Failures: 5, Rate: 0.5, Key: "database"} }, ""},
		{"breaker of no failures", func(t *Task) { t.Breaker.Open = minute }, "breaker.failures"},
		{"breaker of very many", func(t *Task) { t.Breaker.Failures = 1001 }, "breaker.failures"},
		{"rate", func(t *Task) { t.Breaker = Breaker{Failures: 1, Rate: 50} }, "breaker.rate"},
		{"key", func(t *Task) { t.Breaker = Breaker{Failures: 1, Key: "The DB"} }, "breaker.key"},

		{"restart", func(t *Task) {
			t.On, t.Restart = daemon, Restart{Policy: RestartOnFailure, Base: second, Cap: minute, GiveUp: Frequency{10, minute}}
		}, ""},
		{"restart of a start", func(t *Task) { t.On, t.Restart = Trigger{Startup: StartupBoot}, Restart{Policy: RestartAlways} }, ""},
		{"restart of a schedule", func(t *Task) { t.Restart.Policy = RestartAlways }, "restart"},
		{"restart sometimes", func(t *Task) { t.On, t.Restart.Policy = daemon, "sometimes" }, "restart.policy"},
		{"restart at once", func(t *Task) { t.On, t.Restart.Base = daemon, 1 }, "restart.base"},
		{"restart sooner", func(t *Task) { t.On, t.Restart = daemon, Restart{Base: minute, Cap: second} }, "restart.cap"},
		{"restart when it uses less", func(t *Task) { t.On, t.Restart.When = daemon, Excess{CPU: -1, Files: -1} }, "restart.when.cpu restart.when.files"},
		{"restart when, for how long", func(t *Task) { t.On, t.Restart.When.For = daemon, minute }, "restart.when.for"},

		{"health", func(t *Task) { t.On, t.Health = daemon, Health{Exec: []string{"/h"}, Every: second, Fail: 1} }, ""},
		{"health of a start", func(t *Task) {
			t.On, t.Restart.Policy, t.Health = Trigger{Startup: StartupBoot}, RestartAlways, Health{TCP: "a:1"}
		}, ""},
		{"health of what ends", func(t *Task) { t.On, t.Health = Trigger{Startup: StartupBoot}, Health{TCP: "a:1"} }, "health"},
		{"health of a schedule", func(t *Task) { t.Health.TCP = "a:1" }, "health"},
		{"health by two", func(t *Task) { t.On, t.Health = daemon, Health{TCP: "a:1", HTTP: "http://a"} }, "health"},
		{"health by nothing", func(t *Task) { t.On, t.Health = daemon, Health{Every: minute} }, "health"},
		{"health by a word", func(t *Task) { t.On, t.Health.Exec = daemon, []string{"h"} }, "health.exec"},
		{"health by a page", func(t *Task) { t.On, t.Health.HTTP = daemon, "a/health" }, "health.http"},
		{"health by a host", func(t *Task) { t.On, t.Health.TCP = daemon, "a" }, "health.tcp"},
		{"health all the time", func(t *Task) { t.On, t.Health = daemon, Health{TCP: "a:1", Every: 1} }, "health.every"},
		{"health never fails", func(t *Task) { t.On, t.Health = daemon, Health{TCP: "a:1", Fail: -1} }, "health.fail"},

		{"needs", func(t *Task) { t.On, t.Needs = daemon, []string{"postgres", "redis"} }, ""},
		{"needs of a schedule", func(t *Task) { t.Needs = []string{"postgres"} }, "needs"},
		{"needs itself", func(t *Task) { t.On, t.Needs = daemon, []string{"nightly"} }, "needs"},
		{"needs one twice", func(t *Task) { t.On, t.Needs = daemon, []string{"a", "a"} }, "needs"},
		{"needs of another namespace", func(t *Task) { t.On, t.Needs = daemon, []string{"data/a"} }, "needs"},
		{"needs everything", func(t *Task) { t.On, t.Needs = daemon, strings.Split("a b c d e f g h i j k l m n o p q r s t u", " ") }, "needs"},
		{"fleet of what is kept up", func(t *Task) {
			t.On, t.Restart.Policy, t.Limits = Trigger{Startup: StartupBoot}, RestartAlways, Limits{Fleet: 3, Timeout: minute}
		}, "limits.fleet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			task := valid()
			test.change(&task)
			if got := strings.Join(wrongFields(t, task.Validate()), " "); got != test.fields {
				t.Errorf("wrong fields %q, want %q", got, test.fields)
			}
		})
	}
}

// wrongFields lists the fields that an error names, each with a reason.
func wrongFields(t *testing.T, err error) (fields []string) {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) || e.Kind != Invalid {
		t.Fatalf("%v is no Invalid error", err)
	}
	for _, field := range e.Fields {
		if field.Reason == "" {
			t.Errorf("%s has no reason", field.Field)
		}
		fields = append(fields, field.Field)
	}
	return fields
}

func TestWhatIsKeptUp(t *testing.T) {
	for _, test := range []struct {
		on       Trigger
		restart  RestartPolicy
		kept, by bool // kept up; due by the clock
	}{
		{Trigger{Cron: "* * * * *"}, "", false, true},
		{Trigger{Every: Duration(time.Hour)}, "", false, true},
		{Trigger{Every: Duration(time.Hour), AfterEnd: true}, "", false, false},
		{Trigger{Daemon: true}, "", true, false},
		{Trigger{Daemon: true}, RestartNever, true, false},
		{Trigger{Startup: StartupBoot}, "", false, false},
		{Trigger{Startup: StartupBoot}, RestartNever, false, false},
		{Trigger{Startup: StartupAgent}, RestartOnFailure, true, false},
	} {
		task := Task{On: test.on, Restart: Restart{Policy: test.restart}}
		if task.Supervised() != test.kept || task.On.Clocked() != test.by {
			t.Errorf("%+v with restart %q: kept up %v, by the clock %v", test.on, test.restart, task.Supervised(), task.On.Clocked())
		}
	}
}
