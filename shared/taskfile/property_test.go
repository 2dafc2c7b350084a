package taskfile

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// words are texts that YAML is known to read as something else, or to lose.
var words = []string{
	"no", "yes", "on", "off", "y", "true", "null", "~", "010", "0x1F", "1e3", "1_000", "12:30:45", "2026-12-01", ".inf", "=", "<<",
	"*", "&a", "!x", "- a", "a: b", "a #b", "#a", "[a", "{a", "%a", "@a", "`a", "'a'", `"a"`, "---", "...", "---\nb", "?", "? a", ":", "|", ">",
	" a", "a ", "\ta", "a\tb", "a\n", "\na", "a\nb", "a\n\n", "a\n b\n", " a\nb", "a \nb", "a\r\nb", "a\u0085b", "a\u2028b", "\ufeffa", "é", "日本", "\x1b[2J", "\u202e", "\n", " ", "a\n\tb",
}

func someText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom(words),
		rapid.StringN(1, 40, 200),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom(words), 1, 4), func(s []string) string { return strings.Join(s, "") }),
	).Filter(func(s string) bool { return s != "" && utf8.ValidString(s) && !strings.ContainsRune(s, 0) })
}

func someTime(t *rapid.T, label string) *time.Time {
	if !rapid.Bool().Draw(t, label+" set") {
		return nil
	}
	at := time.Unix(rapid.Int64Range(0, 253402300799).Draw(t, label), rapid.Int64Range(0, 999_999_999).Draw(t, label+" ns")).UTC()
	return &at
}

func someTask(t *rapid.T) fleet.Task {
	maybe := func(label string) string {
		return rapid.OneOf(rapid.Just(""), someText()).Draw(t, label)
	}
	seconds := func(label string, least int) fleet.Duration {
		return fleet.Duration(rapid.IntRange(least, 1_000_000).Draw(t, label)) * fleet.Duration(time.Second)
	}
	task := fleet.Task{
		Name: rapid.StringMatching(`[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?`).Draw(t, "name"), Namespace: rapid.SampledFrom([]string{"", "default", "no", "1e3", "data"}).Draw(t, "namespace"),
		Owner: maybe("owner"), Description: maybe("description"),
		Where:  fleet.Where{Labels: rapid.SampledFrom([]string{"", "*", "role=db,env!=dev", "!old"}).Draw(t, "labels"), Pick: rapid.SampledFrom([]fleet.Pick{"", "all"}).Draw(t, "pick")},
		Limits: fleet.Limits{Timeout: seconds("timeout", 0), Overlap: rapid.SampledFrom([]fleet.Overlap{"", "skip", "queue"}).Draw(t, "overlap"), PerHost: rapid.IntRange(0, 1000).Draw(t, "per host"), Nice: rapid.IntRange(-20, 19).Draw(t, "nice"), Output: fleet.Bytes(rapid.Int64Range(0, 1<<30).Draw(t, "output"))},
	}
	if rapid.Bool().Draw(t, "shell") {
		task.Run.Command.Shell = someText().Draw(t, "script")
	} else {
		task.Run.Command.Argv = append([]string{"/bin/x"}, rapid.SliceOfN(someText(), 0, 4).Draw(t, "words")...)
	}
	if env := rapid.MapOfN(rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_]{0,5}`), rapid.OneOf(rapid.Just(""), someText()), 0, 3).Draw(t, "env"); len(env) > 0 {
		task.Run.Env = env
	}
	task.Run.Stdin = maybe("stdin")
	someParams(t, &task)
	somePolicies(t, &task, seconds)
	switch rapid.IntRange(0, 9).Draw(t, "trigger") {
	case 0:
		task.On = fleet.Trigger{Cron: "*/5 * * * *", Timezone: "Europe/Berlin", Spread: seconds("spread", 0), Starts: someTime(t, "starts")}
	case 1:
		task.On = fleet.Trigger{Every: seconds("every", 1), Anchor: someTime(t, "anchor"), Missed: fleet.Missed{Policy: "once", Within: seconds("within", 0)}}
	case 2:
		task.On = fleet.Trigger{At: someTime(t, "at")}
	case 3:
		task.On = fleet.Trigger{Event: "deploy.finished", Merge: fleet.Duration(rapid.IntRange(0, 600).Draw(t, "merge")) * fleet.Duration(time.Second)}
		task.Limits.Fleet, task.Limits.Timeout, task.Limits.Wait = 3, seconds("timeout", 1), seconds("wait", 0)
	case 4:
		task.On = fleet.Trigger{File: "/in/*"}
	case 5:
		task.On = fleet.Trigger{Webhook: true}
	case 6:
		task.On = fleet.Trigger{Every: seconds("every", 1), AfterEnd: true, Blackout: []string{"year-end", "no"}}
	case 7:
		task.On = fleet.Trigger{Startup: rapid.SampledFrom([]fleet.Startup{fleet.StartupBoot, fleet.StartupAgent}).Draw(t, "startup")}
	case 8:
		task.On, task.Retry = fleet.Trigger{Daemon: true}, fleet.Retry{}
		someKeptUp(t, &task, seconds)
	default:
		task.On = fleet.Trigger{Manual: true}
	}
	if rapid.Bool().Draw(t, "hosts") {
		task.Where.Hosts = rapid.SliceOfN(someText(), 1, 3).Draw(t, "host names")
		task.Where.Networks = []netip.Prefix{netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("10.1.2.3/32")}
	}
	return task
}

// someParams draws parameters, or none.
func someParams(t *rapid.T, task *fleet.Task) {
	said := func(value string) *string { return &value }
	task.Params = rapid.SampledFrom([]map[string]fleet.Param{
		nil, nil, {"on": {Type: fleet.ParamBool, Default: said("true")}, "n": {Type: fleet.ParamInt, Default: said("-7"), Min: "-10", Max: "1000"}},
		{"a": {Type: fleet.ParamText, Description: "no: #1", Default: said(""), Pattern: `[a-z' "]*`, MaxLength: 7}},
		{"c": {Type: fleet.ParamChoice, Values: []string{"no", "1e3", "010"}, Default: said("no")}, "d": {Type: fleet.ParamDuration, Min: "1s", Default: said("2m")}},
	}).Draw(t, "params")
}

// somePolicies draws what goes with every trigger but daemon.
func somePolicies(t *rapid.T, task *fleet.Task, seconds func(string, int) fleet.Duration) {
	part := func(label string) float64 { return float64(rapid.IntRange(0, 1000).Draw(t, label)) / 1000 }
	task.Run.Umask = rapid.SampledFrom([]string{"", "0027", "0777"}).Draw(t, "umask")
	task.Run.Groups = rapid.SampledFrom([][]string{nil, {"adm"}, {"adm", "no"}}).Draw(t, "groups")
	task.Run.Login, task.Run.NoNewPrivs, task.Run.PrivateTmp = rapid.Bool().Draw(t, "login"), rapid.Bool().Draw(t, "privs"), rapid.Bool().Draw(t, "tmp")
	if task.Run.Command.Shell != "" {
		task.Run.Shell = rapid.SampledFrom([]fleet.Shell{"", fleet.ShellPlain, fleet.ShellStrict}).Draw(t, "kind of shell")
	}
	limits := &task.Limits
	limits.Stall, limits.Keep = seconds("stall", 1), fleet.Keep{Runs: rapid.IntRange(0, 10_000).Draw(t, "keep"), Age: seconds("age", 0), Size: 1 << 20}
	limits.Memory, limits.CPU = fleet.Bytes(rapid.Int64Range(1<<20, 1<<50).Draw(t, "memory")), 0.01+100*part("cpu")
	limits.Processes, limits.IOWeight, limits.IONice = rapid.IntRange(0, 1<<22).Draw(t, "processes"), rapid.IntRange(0, 10_000).Draw(t, "weight"), "idle"
	limits.Rlimits = rapid.SampledFrom([]map[string]uint64{nil, {"nofile": 1 << 62, "core": 0}}).Draw(t, "rlimits")
	task.WaitFor = rapid.SampledFrom([]fleet.WaitFor{
		{}, {TCP: []string{"[::1]:1"}}, {HTTP: []string{"https://a/b?c#d"}, Timeout: 1}, {File: []string{"/a b"}, Every: fleet.Duration(time.Second)},
		{Unit: []string{`a\x2d@b.service`}}, {Command: []string{"/a", "- b", "1e3"}},
	}).Draw(t, "wait for")
	task.Breaker = fleet.Breaker{Failures: rapid.IntRange(1, 1000).Draw(t, "failures"), Rate: part("rate"), Window: seconds("window", 0), Open: seconds("open", 0), Key: "1e3"}
	task.Retry = fleet.Retry{
		Attempts: rapid.IntRange(2, 100).Draw(t, "attempts"), Base: seconds("base", 0), Factor: 1 + part("factor"), Cap: seconds("cap", 0), Jitter: part("jitter"),
		Budget: seconds("budget", 0), On: rapid.SampledFrom([][]string{nil, {"75", "SIGTERM"}, {"failure", "timeout", "unknown"}}).Draw(t, "retry on"),
	}
}

// someKeptUp draws what goes with a daemon.
func someKeptUp(t *rapid.T, task *fleet.Task, seconds func(string, int) fleet.Duration) {
	task.Restart = fleet.Restart{
		Policy: rapid.SampledFrom([]fleet.RestartPolicy{"", fleet.RestartAlways, fleet.RestartOnFailure}).Draw(t, "restart"), Base: seconds("base", 1), Reset: seconds("reset", 0),
		GiveUp: fleet.Frequency{Times: rapid.IntRange(1, 60_000).Draw(t, "times"), Per: seconds("per", 1)},
		When:   rapid.SampledFrom([]fleet.Excess{{}, {Memory: 1 << 30}, {CPU: 0.5, Files: 7, For: 1}}).Draw(t, "when"),
	}
	task.Health = rapid.SampledFrom([]fleet.Health{
		{}, {Exec: []string{"/a", "true"}, Start: 1}, {HTTP: "http://a"}, {TCP: "a:1", Every: fleet.Duration(time.Minute), Timeout: 1, Fail: 100},
	}).Draw(t, "health")
	task.Needs = rapid.SampledFrom([][]string{nil, {"no"}, {"1e3", "b"}}).Draw(t, "needs")
}

func TestParseOfFormatIsTheSameTask(t *testing.T) {
	taken, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		task := someTask(t)
		if err := task.Validate(); err != nil {
			refused++
			return
		}
		taken++
		doc, err := Format(task)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseOne(doc, "application/yaml")
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		if diff := cmp.Diff(task, got, equal...); diff != "" {
			t.Fatalf("another task (-want +got):\n%s\n%s", diff, doc)
		}
		if again, _ := Format(got); string(again) != string(doc) {
			t.Fatalf("not deterministic:\n%s\n%s", doc, again)
		}
	})
	if taken < refused {
		t.Errorf("%d tasks were compared and %d were none", taken, refused)
	}
}

func TestFormatRefusesWhatNoFileHolds(t *testing.T) {
	if _, err := Format(fleet.Task{Name: "t", Owner: "M\xfcller"}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("got %v", err)
	}
}

// FuzzParse: whatever comes in, the answer is tasks that survive a round trip,
// or an error that says where.
func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal), false)
	f.Add([]byte("task: &a t\non: *a\n---\n<<: {a: b}\n? [x]\n: y\n"), false)
	f.Add([]byte("%YAML 1.1\n---\n\ttask: t\n"), false)
	f.Add([]byte(`{"task":"t","on":{"manual":true},"run":{"command":["/x"]},"where":{"labels":"*"}}`), true)
	f.Add([]byte(`[{"task":{"a":[1,2.5,null,true]}},{}]`), true)
	f.Fuzz(func(t *testing.T, doc []byte, isJSON bool) {
		media := "application/yaml"
		if isJSON {
			media = "application/json"
		}
		documents, err := Split(doc, media)
		if err != nil {
			if _, known := err.(*fleet.Error); !known || err.Error() == "" {
				t.Fatalf("not an error for people: %#v", err)
			}
			return
		}
		for _, document := range documents {
			canonical, err := Format(document.Task)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseOne(canonical, "application/yaml")
			if err != nil {
				t.Fatalf("%v\n%s", err, canonical)
			}
			if diff := cmp.Diff(document.Task, again, equal...); diff != "" {
				t.Fatal(diff)
			}
			if own, err := ParseOne(document.Bytes, media); err != nil || !cmp.Equal(own, document.Task, equal...) {
				t.Fatalf("the document's own bytes: %v %+v", err, own)
			}
		}
	})
}
