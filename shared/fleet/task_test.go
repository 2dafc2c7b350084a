package fleet

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func valid() Task {
	return Task{
		Name:  "nightly",
		On:    Trigger{Cron: "30 2 * * *", Timezone: "Europe/Berlin"},
		Run:   Execute{Command: Command{Argv: []string{"/bin/backup", "--all"}}, User: "backup"},
		Where: Where{Labels: "role=db"},
	}
}

func TestTaskValidateNamesEveryWrongField(t *testing.T) {
	instant := time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name   string
		change func(*Task)
		fields string // space-joined; empty: valid
	}{
		{"valid", func(*Task) {}, ""},
		{"six fields", func(t *Task) { t.On.Cron = "*/5 * * * * *" }, ""},
		{"every", func(t *Task) { t.On = Trigger{Every: Duration(time.Minute), Anchor: &instant} }, ""},
		{"at", func(t *Task) { t.On = Trigger{At: &instant} }, ""},
		{"daemon", func(t *Task) { t.On = Trigger{Daemon: true} }, ""},
		{"shell", func(t *Task) { t.Run.Command = Command{Shell: "true | false"} }, ""},
		{"name", func(t *Task) { t.Name = "Nightly Backup" }, "task"},
		{"namespace", func(t *Task) { t.Namespace = "-x" }, "namespace"},
		{"no trigger", func(t *Task) { t.On = Trigger{} }, "on"},
		{"two triggers", func(t *Task) { t.On.Manual = true }, "on"},
		{"expression", func(t *Task) { t.On.Cron = "61 * * * *" }, "on.cron"},
		{"reboot", func(t *Task) { t.On.Cron = "@reboot" }, "on.cron"},
		{"zone", func(t *Task) { t.On.Timezone = "Mars/Base" }, "on.timezone"},
		{"zone of every", func(t *Task) { t.On = Trigger{Every: Duration(time.Minute), Timezone: "UTC"} }, "on.timezone"},
		{"short period", func(t *Task) { t.On = Trigger{Every: Duration(time.Millisecond)} }, "on.every"},
		{"spread of a period", func(t *Task) { t.On = Trigger{Every: Duration(time.Minute), Spread: Duration(time.Hour)} }, "on.spread"},
		{"policy", func(t *Task) { t.On.Missed.Policy = "maybe" }, "on.missed.policy"},
		{"ends before it starts", func(t *Task) { e := instant.Add(-1); t.On.Starts, t.On.Ends = &instant, &e }, "on.ends"},
		{"no command", func(t *Task) { t.Run.Command = Command{} }, "run.command"},
		{"relative program", func(t *Task) { t.Run.Command.Argv[0] = "backup" }, "run.command"},
		{"NUL", func(t *Task) { t.Run.Command.Argv[1] = "a\x00b" }, "run.command"},
		{"user", func(t *Task) { t.Run.User = "a b" }, "run.user"},
		{"dir", func(t *Task) { t.Run.Dir = "tmp" }, "run.dir"},
		{"env name", func(t *Task) { t.Run.Env = map[string]string{"A-B": "1"} }, "run.env"},
		{"input too long", func(t *Task) { t.Run.Stdin = strings.Repeat("x", MaxCommandSize+1) }, "run.stdin"},
		{"NUL in the input", func(t *Task) { t.Run.Stdin = "a\x00b" }, "run.stdin"},
		{"our env", func(t *Task) { t.Run.Env = map[string]string{"FLEETCRON_TASK": "1"} }, "run.env"},
		{"nowhere", func(t *Task) { t.Where = Where{} }, "where"},
		{"selector", func(t *Task) { t.Where.Labels = "role==db=x" }, "where.labels"},
		{"host pattern", func(t *Task) { t.Where.Hosts = []string{"web-["} }, "where.hosts"},
		{"pick", func(t *Task) { t.Where.Pick = "1" }, "where.pick"},
		{"overlap", func(t *Task) { t.Limits.Overlap = "never" }, "limits.overlap"},
		{"nice", func(t *Task) { t.Limits.Nice = 40 }, "limits.nice"},
		{"event", func(t *Task) { t.On = Trigger{Event: "deploy.finished"} }, ""},
		{"event of two words", func(t *Task) { t.On = Trigger{Event: "deploy finished"} }, "on.event"},
		{"file", func(t *Task) { t.On = Trigger{File: "/var/spool/in/*.csv"} }, ""},
		{"relative file", func(t *Task) { t.On = Trigger{File: "in/*.csv"} }, "on.file"},
		{"directory", func(t *Task) { t.On = Trigger{File: "/var/spool/in/"} }, "on.file"},
		{"wildcard of a directory", func(t *Task) { t.On = Trigger{File: "/home/*/in.csv"} }, "on.file"},
		{"open wildcard", func(t *Task) { t.On = Trigger{File: "/in/[a"} }, "on.file"},
		{"way up", func(t *Task) { t.On = Trigger{File: "/in/../etc/x"} }, "on.file"},
		{"webhook", func(t *Task) { t.On = Trigger{Webhook: true} }, ""},
		{"event and webhook", func(t *Task) { t.On = Trigger{Webhook: true, Event: "e"} }, "on"},
		{"spread of an event", func(t *Task) { t.On = Trigger{Event: "e", Spread: Duration(time.Minute)} }, "on.spread"},
		{"fleet", func(t *Task) { t.Limits = Limits{Fleet: 3, Timeout: Duration(time.Minute), Wait: Duration(time.Hour)} }, ""},
		{"fleet without end", func(t *Task) { t.Limits = Limits{Fleet: 3} }, "limits.fleet"},
		{"fleet below zero", func(t *Task) { t.Limits = Limits{Fleet: -1, Timeout: 1} }, "limits.fleet"},
		{"wait for nothing", func(t *Task) { t.Limits.Wait = Duration(time.Hour) }, "limits.wait"},
		{"fleet of a daemon", func(t *Task) { t.On = Trigger{Daemon: true}; t.Limits = Limits{Fleet: 3, Timeout: 1} }, "limits.fleet"},
		{"several", func(t *Task) { t.Name = ""; t.Run.Dir = "x"; t.Where = Where{} }, "task run.dir where"},
	} {
		t.Run(test.name, func(t *testing.T) {
			task := valid()
			test.change(&task)
			var got []string
			if err := task.Validate(); err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Kind != Invalid {
					t.Fatalf("%v is no Invalid error", err)
				}
				for _, field := range e.Fields {
					if field.Reason == "" {
						t.Errorf("%s has no reason", field.Field)
					}
					got = append(got, field.Field)
				}
			}
			if strings.Join(got, " ") != test.fields {
				t.Errorf("wrong fields %q, want %q", got, test.fields)
			}
		})
	}
}

func TestTaskJSONIsTheTaskFile(t *testing.T) {
	task := valid()
	task.Limits = Limits{Timeout: Duration(90 * time.Minute), Output: 10 << 20}
	task.Where.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"task":"nightly","on":{"cron":"30 2 * * *","timezone":"Europe/Berlin"},"run":{"command":["/bin/backup","--all"],"user":"backup"},"where":{"labels":"role=db","networks":["10.0.0.0/8"]},"limits":{"timeout":"1h30m","output":"10MiB"}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	var back Task
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.Marshal(back); string(again) != want {
		t.Errorf("read back as %s", again)
	}
}

func TestWhereMatches(t *testing.T) {
	host := Host{ID: HostID(strings.Repeat("a", 32)), Name: "web-1", Labels: map[string]string{"role": "web", "env": "prod"},
		Addresses: []netip.Addr{netip.MustParseAddr("::ffff:10.1.2.3"), netip.MustParseAddr("fd00::1")}}
	network := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	for _, test := range []struct {
		where Where
		want  bool
	}{
		{Where{}, false},
		{Where{Labels: "*"}, true},
		{Where{Labels: "role=web"}, true},
		{Where{Labels: "role=web,env!=dev"}, true},
		{Where{Labels: "role=web,env!=prod"}, false},
		{Where{Labels: "zone!=a"}, true},
		{Where{Labels: "role"}, true},
		{Where{Labels: "!zone"}, true},
		{Where{Labels: "zone"}, false},
		{Where{Labels: "not a selector"}, false},
		{Where{Hosts: []string{"db-*", "web-?"}}, true},
		{Where{Hosts: []string{"web"}}, false},
		{Where{Hosts: []string{strings.Repeat("a", 32)}}, true},
		{Where{Networks: network("10.0.0.0/8")}, true},
		{Where{Networks: network("fd00::/8")}, true},
		{Where{Networks: network("192.168.0.0/16")}, false},
		{Where{Labels: "role=web", Hosts: []string{"db-1"}}, false},
		{Where{Labels: "role=web", Networks: network("10.1.0.0/16")}, true},
	} {
		if got := test.where.Matches(&host); got != test.want {
			t.Errorf("%+v: %v, want %v", test.where, got, test.want)
		}
	}
	for _, bad := range []string{"", " ", "a=b,", "=x", "a b", "A=b"} {
		if _, err := ParseSelector(bad); err == nil {
			t.Errorf("selector %q was accepted", bad)
		}
	}
}
