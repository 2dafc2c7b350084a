package taskfile

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var equal = []cmp.Option{cmpopts.EquateComparable(netip.Prefix{})}

func instantOf(t *testing.T, s string) *time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return &at
}

func full(t *testing.T) fleet.Task {
	return fleet.Task{
		Name: "nightly-backup", Namespace: "data", Owner: "team-data", Description: "dump every database",
		On: fleet.Trigger{
			Cron: "30 2 * * *", Timezone: "Europe/Berlin",
			Spread: fleet.Duration(5 * time.Minute), Deadline: fleet.Duration(30 * time.Second),
			Starts: instantOf(t, "2026-01-01T00:00:00Z"), Ends: instantOf(t, "2027-01-01T00:00:00Z"),
			Missed:   fleet.Missed{Policy: fleet.MissedOnce, Within: fleet.Duration(2 * time.Hour)},
			Blackout: []string{"year-end", "inventory"},
		},
		Run: fleet.Execute{
			Command: fleet.Command{Argv: []string{"/usr/local/bin/backup", "--all", "--level=5"}},
			User:    "backup", Dir: "/var/lib/backup", Env: map[string]string{"LEVEL": "full", "PORT": "8080"},
			Stdin: "yes\n", Group: "backup", Groups: []string{"adm", "disk"}, Login: true, Umask: "0027", NoNewPrivs: true, PrivateTmp: true,
		},
		Where: fleet.Where{
			Labels: "role=db,env!=dev", Hosts: []string{"db-1", "web-*"},
			Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Pick: fleet.PickAll,
		},
		Limits: fleet.Limits{
			Timeout: fleet.Duration(30 * time.Minute), Grace: fleet.Duration(10 * time.Second),
			Overlap: fleet.OverlapSkip, PerHost: 1, Fleet: 20, Wait: fleet.Duration(time.Hour), Nice: 10, Output: 10 << 20,
			Stall: fleet.Duration(time.Minute), Keep: fleet.Keep{Runs: 14, Age: fleet.Duration(14 * 24 * time.Hour), Size: 100 << 20},
			Memory: 2 << 30, CPU: 1.5, Processes: 100, IOWeight: 50, IONice: "best-effort:7", Rlimits: map[string]uint64{"core": 0, "nofile": 4096},
		},
		WaitFor: fleet.WaitFor{
			TCP: []string{"db-1:5432", "[::1]:6379"}, HTTP: []string{"http://127.0.0.1:8080/ready"}, File: []string{"/run/db.ready"},
			Unit: []string{"postgresql.service"}, Command: []string{"/usr/bin/pg_isready", "--quiet"},
			Every: fleet.Duration(2 * time.Second), Timeout: fleet.Duration(10 * time.Minute),
		},
		Retry: fleet.Retry{
			Attempts: 3, Base: fleet.Duration(time.Second), Factor: 1.5, Cap: fleet.Duration(5 * time.Minute), Jitter: 0.2,
			Budget: fleet.Duration(time.Hour), On: []string{"75", "SIGTERM", "timeout", "unknown"},
		},
		Breaker: fleet.Breaker{Failures: 5, Rate: 0.5, Window: fleet.Duration(time.Hour), Open: fleet.Duration(30 * time.Minute), Key: "database"},
	}
}

// fullDaemon has what full cannot have beside its trigger.
func fullDaemon() fleet.Task {
	return fleet.Task{
		Name: "api", On: fleet.Trigger{Daemon: true},
		Run:   fleet.Execute{Command: fleet.Command{Shell: "exec api | tee log"}, Shell: fleet.ShellStrict},
		Where: fleet.Where{Labels: "role=api"},
		Restart: fleet.Restart{
			Policy: fleet.RestartOnFailure, Base: fleet.Duration(500 * time.Millisecond), Cap: fleet.Duration(5 * time.Minute), Reset: fleet.Duration(10 * time.Minute),
			GiveUp: fleet.Frequency{Times: 10, Per: fleet.Duration(time.Hour)},
			When:   fleet.Excess{Memory: 1 << 30, CPU: 3.5, Files: 1000, For: fleet.Duration(2 * time.Minute)},
		},
		Health: fleet.Health{
			HTTP: "http://127.0.0.1:8080/health", Every: fleet.Duration(5 * time.Second), Timeout: fleet.Duration(2 * time.Second), Fail: 5, Start: fleet.Duration(time.Minute),
		},
		Needs: []string{"postgres", "redis"},
	}
}

func TestParseReadsEveryField(t *testing.T) {
	for _, name := range []string{"full.yaml", "full.json"} {
		t.Run(name, func(t *testing.T) {
			doc, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(doc, "application/"+strings.TrimPrefix(filepath.Ext(name), "."))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]fleet.Task{full(t), fullDaemon()}, got, equal...); diff != "" {
				t.Errorf("the task differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFormatIsCanonical(t *testing.T) {
	var got []byte
	for _, task := range []fleet.Task{full(t), fullDaemon()} {
		doc, err := Format(task)
		if err != nil {
			t.Fatal(err)
		}
		got = append(append(got, "---\n"...), doc...)
	}
	want, err := os.ReadFile("testdata/canonical.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("canonical form differs (-want +got):\n%s", diff)
	}
}

const minimal = `task: t
on: {every: 10m}
run: {command: [/bin/true]}
where: {labels: "*"}
`

func TestSplitKeepsTheBytesOfEachDocument(t *testing.T) {
	doc := "# the header stands before the first document\n---\n" + minimal +
		"--- # and this begins the second\n" + strings.Replace(minimal, "task: t", "task: u", 1) + "---\n# nothing here\n"
	documents, err := Split([]byte(doc), "application/yaml; charset=utf-8")
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) != 2 || documents[0].Task.Name != "t" || documents[1].Task.Name != "u" {
		t.Fatalf("got %+v", documents)
	}
	if documents[0].Line != 3 || documents[1].Line != 8 {
		t.Errorf("documents begin in lines %d and %d, want 3 and 8", documents[0].Line, documents[1].Line)
	}
	for _, document := range documents {
		again, err := ParseOne(document.Bytes, "application/yaml")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(document.Task, again, equal...); diff != "" {
			t.Errorf("the bytes of %s say something else:\n%s", document.Task.Name, diff)
		}
	}
}

func TestSplitReadsAListOfJSONTasks(t *testing.T) {
	const one = `{"task":"a","on":{"manual":true},"run":{"command":"true"},"where":{"labels":"*"}}`
	two := strings.Replace(one, `"a"`, `"b"`, 1)
	documents, err := Split([]byte("[ "+one+",\n  "+two+" ]\n"), "application/json")
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) != 2 || string(documents[0].Bytes) != one || string(documents[1].Bytes) != two {
		t.Errorf("got %+v", documents)
	}
}

func TestParseOneWantsOne(t *testing.T) {
	_, err := ParseOne([]byte(minimal+"---\n"+strings.Replace(minimal, "task: t", "task: u", 1)), "application/yaml")
	if err == nil || !strings.Contains(err.Error(), "want one task here, found 2") {
		t.Errorf("got %v", err)
	}
}

// TestMistakes says for every mistake people make what they are told.
func TestMistakes(t *testing.T) {
	tests := []struct {
		name, doc string
		want      []string
		hint      string
	}{
		{"empty", "", []string{"line 1, column 1: document: holds no task"}, ""},
		{"comments only", "# nothing\n---\n...\n", []string{"line 1, column 1: document: holds no task"}, ""},
		{"misspelt", strings.Replace(minimal, "every:", "evry:", 1), []string{"line 2, column 6: on.evry: is no field; did you mean every?"}, ""},
		{"elsewhere", minimal + "command: [/bin/true]\n", []string{"line 5, column 1: command: is no field here; did you mean command under run?"}, ""},
		{"other word", strings.Replace(minimal, "every: 10m", "schedule: '* * * * *'", 1), []string{"line 2, column 6: on.schedule: is no field; did you mean cron?"}, ""},
		{"stranger", minimal + "colour: red\n", []string{"line 5, column 1: colour: is no field; want one of task, namespace, owner, description, params, on, run, where, limits, wait_for, retry, breaker, restart, health, needs"}, ""},
		{"outer field", strings.Replace(minimal, "every: 10m", "every: 10m, owner: me", 1), []string{"line 2, column 18: on.owner: is no field here; did you mean owner, one level further out?"}, ""},
		{"later trigger", strings.Replace(minimal, "every: 10m", "after: x", 1), []string{"line 2, column 6: on.after: is not supported by this version"}, "not supported by this version: leave on.after out"},
		{"pick a number", strings.Replace(minimal, `"*"`, `"*", pick: 1`, 1), []string{`line 4, column 28: where.pick "1": only all is supported: a number needs leases, which this version does not grant`}, "not supported by this version: use pick: all, or name one host"},
		{"twice", minimal + "task: u\n", []string{`line 5, column 1: document "task": is written twice, first in line 1, column 1`}, ""},
		{"anchor and alias", strings.Replace(minimal, "on: {every: 10m}", "on: &o {every: 10m}\nlimits: *o", 1), []string{
			`line 2, column 5: document "&o": an anchor is not accepted: every value stands for itself`,
			`line 3, column 9: document "*o": an alias is not accepted: write the value here again`,
		}, ""},
		{"merge key", "<<: {task: t}\n" + minimal, []string{"line 1, column 1: <<: is no field; want one of task, namespace, owner, description, params, on, run, where, limits, wait_for, retry, breaker, restart, health, needs"}, ""},
		{"tag", strings.Replace(minimal, "task: t", "task: !!str 5", 1), []string{`line 1, column 7: document "!!str": a tag is not accepted: write the value without it`}, ""},
		{"bare star", strings.Replace(minimal, `"*"`, "*", 1), []string{"line 4, column 1: document: is not YAML: did not find expected alphabetic or numeric character"}, `a bare * or & means something else in YAML: write it in quotes, "*"`},
		{"tab", strings.Replace(minimal, "on: {every: 10m}", "on:\n\tevery: 10m", 1), []string{"line 3, column 1: document: is not YAML: a tab cannot indent YAML"}, "indent with spaces"},
		{"misindented", "task: t\non:\n  every: 10m\n manual: true\n", []string{"line 4, column 2: document: is not YAML: did not find expected key"}, ""},
		{"unclosed quote", "task: t\nowner: \"me\n", []string{"line 2, column 1: document: is not YAML: found unexpected end of stream"}, ""},
		{"two without a marker", minimal + "...\n" + minimal, []string{"line 6, column 1: document: is not YAML: a document begins with a line ---"}, ""},
		{"not UTF-8", "task: t\nowner: M\xfcller\n", []string{"line 2, column 9: document: is not UTF-8"}, "save the file as UTF-8"},
		{"after a wide character", "{owner: Zoë, colour: red, " + strings.TrimSpace(strings.ReplaceAll(minimal, "\n", ", ")) + "}\n", []string{"line 1, column 15: colour: is no field; want one of task, namespace, owner, description, params, on, run, where, limits, wait_for, retry, breaker, restart, health, needs"}, ""},
		{"number for text", strings.Replace(minimal, "task: t", "task: 5", 1), []string{`line 1, column 7: task "5": is read as a number; want text: write it in quotes, "5"`}, ""},
		{"octal", strings.Replace(minimal, "task: t", "task: 010", 1), []string{`line 1, column 7: task "010": is read as a number; want text: write it in quotes, "010"`}, ""},
		{"exponent", strings.Replace(minimal, "task: t", "task: 1e3", 1), []string{`line 1, column 7: task "1e3": is read as a number; want text: write it in quotes, "1e3"`}, ""},
		{"truth for text", strings.Replace(minimal, "[/bin/true]", "[/bin/echo, true]", 1), []string{`line 3, column 28: run.command "true": is read as true or false; want text: write it in quotes, "true"`}, ""},
		{"date for text", strings.Replace(minimal, "task: t", "task: 2026-01-01", 1), []string{`line 1, column 7: task "2026-01-01": is read as a date; want text: write it in quotes, "2026-01-01"`}, ""},
		{"Norway", strings.Replace(minimal, "every: 10m", "manual: yes", 1), []string{`line 2, column 14: on.manual "yes": is read as text; want true or false`}, ""},
		{"number in env", strings.Replace(minimal, "[/bin/true]", "[/bin/true], env: {PORT: 8080}", 1), []string{`line 3, column 41: run.env.PORT "8080": is read as a number; want text: write it in quotes, "8080"`}, ""},
		{"no unit", minimal + "limits: {timeout: 30}\n", []string{`line 5, column 19: limits.timeout "30": has no unit; want a duration such as 90s, 5m, 1h30m or 2d`}, ""},
		{"strange unit", minimal + "limits: {timeout: 3w}\n", []string{`line 5, column 19: limits.timeout "3w": want a duration such as 90s, 5m, 1h30m or 2d`}, ""},
		{"size without unit", minimal + "limits: {output: 1000}\n", []string{`line 5, column 18: limits.output "1000": has no unit; want a size with its unit, such as 512KiB, 10MB or 2GiB`}, ""},
		{"hexadecimal", minimal + "limits: {nice: 0x10}\n", []string{`line 5, column 16: limits.nice "0x10": want a whole number in plain decimal digits`}, ""},
		{"half", minimal + "limits: {nice: 1.5}\n", []string{`line 5, column 16: limits.nice "1.5": is read as a number; want a whole number`}, ""},
		{"a day is no instant", strings.Replace(minimal, "every: 10m", "at: 2026-12-01", 1), []string{`line 2, column 10: on.at "2026-12-01": want an instant with date, time and zone, such as 2026-12-01T02:00:00Z or 2026-12-01T03:00:00+01:00`}, ""},
		{"no zone", strings.Replace(minimal, "every: 10m", "at: 2026-12-01 02:00:00", 1), []string{`line 2, column 10: on.at "2026-12-01 02:00:00": want an instant with date, time and zone, such as 2026-12-01T02:00:00Z or 2026-12-01T03:00:00+01:00`}, ""},
		{"no value", strings.Replace(minimal, "task: t", "task: t\nowner:", 1), []string{"line 2, column 7: owner: has no value; want text, or leave the line out"}, ""},
		{"empty text", strings.Replace(minimal, "task: t", "task: t\nowner: ''", 1), []string{"line 2, column 8: owner: is empty; write a value or leave the line out"}, ""},
		{"list for mapping", strings.Replace(minimal, "{every: 10m}", "[every, 10m]", 1), []string{"line 2, column 5: on: is a list; want a mapping of fields"}, ""},
		{"mapping for text", strings.Replace(minimal, "task: t", "task: {a: b}", 1), []string{"line 1, column 7: task: is a mapping; want text"}, ""},
		{"a scalar for a document", "backup\n", []string{`line 1, column 1: document "backup": is text; want a mapping of fields`}, ""},
		{"cron as a number", strings.Replace(minimal, "every: 10m", "cron: 5", 1), []string{`line 2, column 12: on.cron "5": is read as a number; want text: write it in quotes, "5"`}, ""},
		{"bad cron", strings.Replace(minimal, "every: 10m", `cron: "61 * * * *"`, 1), []string{`line 2, column 12: on.cron "61 * * * *": cron expression "61 * * * *": minute "61" at column 1: out of range: minute goes from 0 to 59`}, ""},
		{"two triggers", strings.Replace(minimal, "every: 10m", "every: 10m, manual: true", 1), []string{`line 2, column 5: on "every, manual": want exactly one of cron, every, at, event, file, webhook, startup, manual, daemon`}, ""},
		{"nowhere", strings.Replace(minimal, `{labels: "*"}`, "{}", 1), []string{`line 4, column 8: where: names no host; every host is spelled labels: "*"`}, ""},
		{"bad host pattern", strings.Replace(minimal, `labels: "*"`, `hosts: [db-1, "["]`, 1), []string{`line 4, column 23: where.hosts "[": want a host name, an id, or a pattern with * and ?`}, ""},
		{"a trigger of later", strings.Replace(minimal, "every: 10m", "after: {}", 1), []string{`line 2, column 6: on.after: is not supported by this version`}, "not supported by this version: leave on.after out"},
		{"a delay", strings.Replace(minimal, "every: 10m", "delay: 10m", 1), []string{`line 2, column 6: on.delay: is no field; did you mean at?`}, ""},
		{"broken address", strings.Replace(minimal, `labels: "*"`, "networks: [10.1.2.300]", 1), []string{`line 4, column 20: where.networks "10.1.2.300": want an address range such as 10.0.0.0/8, or one address such as 10.1.2.3`}, ""},
		{"env name", strings.Replace(minimal, "[/bin/true]", "[/bin/true], env: {A-B: x}", 1), []string{`line 3, column 35: run.env "A-B": want a name of A-Z a-z 0-9 _`}, ""},
		{"missing parts", "task: t\n", []string{
			"line 1, column 1: on: want exactly one of cron, every, at, event, file, webhook, startup, manual, daemon",
			"line 1, column 1: run.command: is missing",
			`line 1, column 1: where: names no host; every host is spelled labels: "*"`,
		}, ""},
		{"the same task twice", minimal + "---\n" + minimal, []string{`line 6, column 1: task "default/t": is defined twice in this file, first in line 1`}, ""},
		{"deep", strings.Replace(minimal, "[/bin/true]", strings.Repeat("[", 20)+strings.Repeat("]", 20), 1), []string{
			"line 3, column 17: run.command: is a list; want text",
			"line 3, column 23: document: is nested too deeply",
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.doc), "application/yaml")
			e, ok := errors.AsType[*fleet.Error](err)
			if !ok || e.Kind != fleet.Invalid {
				t.Fatalf("got %v, want an Invalid error", err)
			}
			var got []string
			for _, p := range e.Fields {
				got = append(got, p.String())
				if p.Line == 0 {
					t.Errorf("no line: %s", p)
				}
			}
			if test.want != nil {
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("problems differ (-want +got):\n%s", diff)
				}
			}
			if e.Hint != test.hint {
				t.Errorf("hint %q, want %q", e.Hint, test.hint)
			}
		})
	}
}

func TestMistakesInJSON(t *testing.T) {
	tests := []struct{ name, doc, want string }{
		{"empty", "", "line 1, column 1: document: is not JSON: unexpected end of JSON input"},
		{"broken", "{\n  \"task\": ,\n}", `line 2, column 11: document: is not JSON: invalid character ',' looking for beginning of value`},
		{"trailing", "{} {}", `line 1, column 4: document: is not JSON: invalid character '{' after top-level value`},
		{"twice", "{\"task\":\"a\",\n \"task\":\"b\"}", `line 2, column 2: document "task": is written twice, first in line 1, column 2`},
		{"number", `{"task": 5}`, `line 1, column 10: task "5": is read as a number; want text: write it in quotes, "5"`},
		{"null", `{"task": null}`, "line 1, column 10: task: has no value; want text, or leave the line out"},
		{"unknown", `{"taks": "x"}`, "line 1, column 2: taks: is no field; did you mean task?"},
		{"no object", `"x"`, `line 1, column 1: document "x": is text; want a mapping of fields`},
		{"empty list", `[]`, "line 1, column 1: document: holds no task"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.doc), "application/json")
			e, ok := errors.AsType[*fleet.Error](err)
			if !ok || len(e.Fields) == 0 {
				t.Fatalf("got %v, want an error with fields", err)
			}
			if !strings.Contains(e.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", e, test.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	big := minimal + "description: " + strings.Repeat("x", 300<<10) + "\n"
	tests := []struct {
		name, doc, media string
		kind             fleet.Kind
	}{
		{"a task of 300 KB", big, "application/yaml", fleet.TooLarge},
		{"a JSON task of 300 KB", `{"task":"t","description":"` + strings.Repeat("x", 300<<10) + `"}`, "application/json", fleet.TooLarge},
		{"a huge file", strings.Repeat("#\n", MaxFile), "application/yaml", fleet.TooLarge},
		{"too many documents", strings.Repeat("---\n", MaxTasks+2), "application/yaml", fleet.TooLarge},
		{"too many JSON tasks", "[" + strings.Repeat("{},", MaxTasks) + "{}]", "application/json", fleet.TooLarge},
		{"another media type", minimal, "text/html", fleet.Invalid},
		{"no media type", minimal, "", fleet.Invalid},
		{"YAML as JSON", minimal, "application/json", fleet.Invalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Parse([]byte(test.doc), test.media); fleet.KindOf(err) != test.kind || err == nil {
				t.Errorf("got %v, want kind %v", err, test.kind)
			}
		})
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	var doc strings.Builder
	doc.WriteString(minimal)
	for i := range 300 {
		doc.WriteString("stranger" + strings.Repeat("x", i) + ": 1\n")
	}
	_, err := Parse([]byte(doc.String()), "application/yaml")
	e, _ := errors.AsType[*fleet.Error](err)
	if len(e.Fields) != maxProblems+1 || e.Fields[maxProblems].Reason != "and 250 more problems" {
		t.Errorf("got %d problems, the last: %v", len(e.Fields), e.Fields[len(e.Fields)-1])
	}
}

func TestTaskInShort(t *testing.T) {
	want := fleet.Task{
		Name: "report", On: fleet.Trigger{Cron: "0 2 * * *"}, Run: fleet.Execute{Command: fleet.Command{Shell: "make report"}},
		Where: fleet.Where{Pick: fleet.PickNone},
	}
	everywhere := want
	everywhere.Where = fleet.Where{Labels: "*"}
	for name, c := range map[string]struct {
		doc  string
		want fleet.Task
	}{
		"minimal":     {`{"id":"report","cron_expr":"0 2 * * *","command":"make report"}`, want},
		"other words": {`{"taskId":"report","cron":"0 2 * * *","command":"make report"}`, want},
		"with where":  {`{"id":"report","cron_expr":"0 2 * * *","command":"make report","where":{"labels":"*"}}`, everywhere},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseOne([]byte(c.doc), "application/json")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, equal...); diff != "" {
				t.Error(diff)
			}
			long, err := Format(got)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseOne(long, "application/yaml")
			if diff := cmp.Diff(got, again, equal...); diff != "" || err != nil {
				t.Errorf("its long form says something else: %v\n%s", err, diff)
			}
		})
	}
}

func TestTaskInShortIsCheckedAlike(t *testing.T) {
	for name, c := range map[string]struct{ doc, want string }{
		"bad expression":  {`{"id":"x","cron_expr":"61 * * * *","command":"true"}`, `line 1, column 23: on.cron "61 * * * *"`},
		"unknown field":   {`{"id":"x","cron_expr":"* * * * *","command":"true","colour":"red"}`, "colour: is no field"},
		"an empty where":  {`{"id":"x","cron_expr":"* * * * *","command":"true","where":{}}`, "where: names no host"},
		"said twice":      {`{"id":"x","taskId":"y","cron_expr":"* * * * *","command":"true"}`, "id: is no field; did you mean task?"},
		"half long":       {`{"task":"x","cron_expr":"* * * * *","command":"true"}`, "cron_expr: is no field here; did you mean cron under on?"},
		"none with hosts": {`{"task":"x","on":{"manual":true},"run":{"command":"true"},"where":{"hosts":["a"],"pick":"none"}}`, `where.pick "none": stands alone`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseOne([]byte(c.doc), "application/json")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestNetworksTakeSingleAddresses(t *testing.T) {
	task, err := ParseOne([]byte(strings.Replace(minimal, `labels: "*"`, `networks: [10.1.2.3, "fd00::1", 10.0.0.0/8]`, 1)), "application/yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("fd00::1/128"), netip.MustParsePrefix("10.0.0.0/8")}
	if diff := cmp.Diff(want, task.Where.Networks, equal...); diff != "" {
		t.Error(diff)
	}
}
