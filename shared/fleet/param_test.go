package fleet_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// clearing is a task with a parameter of every type.
func clearing() fleet.Task {
	said := func(text string) *string { return &text }
	return fleet.Task{
		Name: "clear", On: fleet.Trigger{Manual: true}, Where: fleet.Where{Labels: "*"},
		Params: map[string]fleet.Param{
			"site":  {Type: fleet.ParamText},
			"word":  {Type: fleet.ParamText, Pattern: "[a-z ]*", MaxLength: 4, Default: said("")},
			"days":  {Type: fleet.ParamInt, Min: "1", Max: "30", Default: said("7")},
			"below": {Type: fleet.ParamInt, Min: "-5", Max: "5", Default: said("-1")},
			"ratio": {Type: fleet.ParamNumber, Max: "1.5", Default: said("0.5")},
			"force": {Type: fleet.ParamBool, Default: said("false")},
			"depth": {Type: fleet.ParamChoice, Values: []string{"fast", "--full"}, Default: said("fast")},
			"wait":  {Type: fleet.ParamDuration, Min: "10s", Max: "2d", Default: said("1m")},
			"dir":   {Type: fleet.ParamPath, Default: said("/srv")},
			"peer":  {Type: fleet.ParamHost, Default: said("db-1.example.org")},
		},
		Run: fleet.Execute{Command: fleet.Command{Argv: []string{"/usr/bin/clear", "--days={{days}}", "{{site}}", "{{{{raw}}"}}, Env: map[string]string{"PEER": "{{peer}}:{{days}}"}, Stdin: "{{dir}}\n"},
	}
}

func TestFilled(t *testing.T) {
	task := clearing()
	if err := task.Validate(); err != nil {
		t.Fatal(err)
	}
	run, err := task.Filled(fleet.Params{"site": "shop.example", "days": "30"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/usr/bin/clear", "--days=30", "shop.example", "{{raw}}"}; !slices.Equal(run.Command.Argv, want) || run.Env["PEER"] != "db-1.example.org:30" || run.Stdin != "/srv\n" {
		t.Errorf("%q %q %q", run.Command.Argv, run.Env, run.Stdin)
	}
	if open := task.Open(); !slices.Equal(open, []bool{false, false, true, false}) {
		t.Errorf("open %v", open)
	}
	if words := task.WithDefaults().Command.Argv; !slices.Equal(words, []string{"/usr/bin/clear", "--days=7", "{{site}}", "{{raw}}"}) {
		t.Errorf("with defaults %q", words)
	}
	plain := fleet.Task{Name: "x", Run: fleet.Execute{Command: fleet.Command{Argv: []string{"/bin/docker", "{{.Names}} {{site}} {{{{"}}}}
	if run, err := plain.Filled(nil); err != nil || !slices.Equal(run.Command.Argv, plain.Run.Command.Argv) {
		t.Errorf("a task without parameters: %q, %v", run.Command.Argv, err)
	}
	if _, err := plain.Filled(fleet.Params{"site": "x"}); err == nil || !strings.Contains(err.Error(), "has no parameters") {
		t.Errorf("values of a task without parameters: %v", err)
	}
}

func TestValues(t *testing.T) {
	task := clearing()
	for _, test := range []struct{ name, value, want string }{
		{"site", "a.b_c/d@e:f+g,h=i-j", ""}, {"site", "", "want letters"}, {"site", "-x", "begins with -"}, {"site", "a b", "want letters"}, {"site", "a;id", "want letters"}, {"site", "$(id)", "want letters"},
		{"site", "a\nb", "not seen"}, {"site", "a\x00", "not seen"}, {"site", "a\u2028", "not seen"}, {"site", "a\u202eb", "not seen"}, {"site", "a\u00adb", "not seen"}, {"site", "\xff", "not UTF-8"}, {"site", strings.Repeat("a", 257), "want at most 256"}, {"site", strings.Repeat("a", 256), ""},
		{"word", "", ""}, {"word", "a b", ""}, {"word", "a\n", "not seen"}, {"word", "A", "want what matches [a-z ]*"}, {"word", "aaaaa", "want at most 4"}, {"word", "-", "begins with -"},
		{"days", "1", ""}, {"days", "30", ""}, {"days", "0", "at least 1"}, {"days", "31", "at most 30"}, {"days", "07", "plain decimal"}, {"days", "+7", "plain decimal"}, {"days", "7.0", "plain decimal"}, {"days", "0x7", "plain decimal"}, {"days", "", "plain decimal"}, {"days", "9999999999999999999", "plain decimal"}, {"days", "٣", "plain decimal"}, {"days", "1e1", "plain decimal"},
		{"below", "-5", ""}, {"below", "-6", "at least -5"}, {"below", "-0", "plain decimal"},
		{"ratio", "1.5", ""}, {"ratio", "1.51", "at most 1.5"}, {"ratio", "-0.1", "at least 0"}, {"ratio", "NaN", "plain decimal"}, {"ratio", "Inf", "plain decimal"}, {"ratio", ".5", "plain decimal"}, {"ratio", "1e9", "plain decimal"},
		{"force", "true", ""}, {"force", "True", "want true or false"}, {"force", "1", "want true or false"}, {"force", "", "want true or false"},
		{"depth", "--full", ""}, {"depth", "full", "want one of fast, --full"}, {"depth", "", "want one of"},
		{"wait", "10s", ""}, {"wait", "2d", ""}, {"wait", "9s", "at least 10s"}, {"wait", "49h", "at most 2d"}, {"wait", "-1m", "want a duration"}, {"wait", "60", "want a duration"}, {"wait", "", "want a duration"}, {"wait", "+1m", "want a duration"},
		{"dir", "/srv/a-b", ""}, {"dir", "srv", "absolute path"}, {"dir", "/srv/../etc", "absolute path"}, {"dir", "/srv/", "absolute path"}, {"dir", "//srv", "absolute path"}, {"dir", "/a b", "want letters"}, {"dir", "/", ""},
		{"peer", "db-1", ""}, {"peer", "10.0.0.1", ""}, {"peer", "fd00::1", ""}, {"peer", "fe80::1%eth0", "name of a host"}, {"peer", "-o", "name of a host"}, {"peer", "a..b", "name of a host"}, {"peer", "a_b", "name of a host"}, {"peer", strings.Repeat("a.", 127) + "a", "name of a host"}, {"peer", "", "name of a host"},
		{"nope", "1", "is no parameter of the task; there are below, days, depth"},
		{"SITE", "1", "want a name of 1–32"},
	} {
		params := fleet.Params{"site": "shop"}
		params[test.name] = test.value
		_, err := task.Values(params)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s=%q: %v, want %q", test.name, test.value, err, test.want)
		}
	}
	all := fleet.Params{}
	for i := range 33 {
		all["p"+string(rune('a'+i%26))+string(rune('a'+i/26))] = "v"
	}
	if err := all.Validate(); err == nil {
		t.Error("33 values")
	}
	if err := (fleet.Params{"a": strings.Repeat("x", 4096)}).Validate(); err == nil {
		t.Error("4 KiB and one byte")
	}
}

// TestDeclarations spoils one thing after the other.
func TestDeclarations(t *testing.T) {
	said := func(text string) *string { return &text }
	param := func(p fleet.Param) func(*fleet.Task) {
		return func(t *fleet.Task) { t.Params["site"] = p }
	}
	argv := func(words ...string) func(*fleet.Task) {
		return func(t *fleet.Task) { t.Run.Command.Argv, t.Run.Stdin = words, "" }
	}
	for name, test := range map[string]struct {
		spoil func(*fleet.Task)
		field string // empty: it is right
		says  string
	}{
		"right":                    {func(*fleet.Task) {}, "", ""},
		"a bad name":               {func(t *fleet.Task) { t.Params["Site"] = fleet.Param{Type: "text"} }, "params", "want a name"},
		"no type":                  {param(fleet.Param{}), "params.site.type", "want text, int, number"},
		"an unknown type":          {param(fleet.Param{Type: "file"}), "params.site.type", "want text, int, number"},
		"a range of text":          {param(fleet.Param{Type: "text", Min: "1"}), "params.site.min", "belongs to"},
		"a pattern of int":         {param(fleet.Param{Type: "int", Pattern: "[0-9]"}), "params.site.pattern", "belongs to"},
		"values of text":           {param(fleet.Param{Type: "text", Values: []string{"a"}}), "params.site.values", "belongs to"},
		"a length of bool":         {param(fleet.Param{Type: "bool", MaxLength: 1}), "params.site.max_length", "belongs to"},
		"no values":                {param(fleet.Param{Type: "choice"}), "params.site.values", "want 1–100"},
		"a value twice":            {param(fleet.Param{Type: "choice", Values: []string{"a", "a"}}), "params.site.values", "stands twice"},
		"a value of two lines":     {param(fleet.Param{Type: "choice", Values: []string{"a\nb"}}), "params.site.values", "not seen"},
		"a range upside down":      {param(fleet.Param{Type: "int", Min: "5", Max: "4"}), "params.site.max", "is less than min"},
		"a range below nothing":    {param(fleet.Param{Type: "int", Max: "-1"}), "params.site.max", "is less than min"},
		"a bound that is none":     {param(fleet.Param{Type: "int", Min: "x"}), "params.site.min", "plain decimal"},
		"a pattern that is none":   {param(fleet.Param{Type: "text", Pattern: "("}), "params.site.pattern", "RE2"},
		"a pattern that escapes":   {param(fleet.Param{Type: "text", Pattern: "a)|(b"}), "params.site.pattern", "RE2"},
		"a default that fits not":  {param(fleet.Param{Type: "int", Default: said("x")}), "params.site.default", "plain decimal"},
		"a clock without default":  {func(t *fleet.Task) { t.On = fleet.Trigger{Cron: "@daily"} }, "params.site.default", "needs a default"},
		"an event without default": {func(t *fleet.Task) { t.On = fleet.Trigger{Event: "e"} }, "params.site.default", "needs a default"},
		"a daemon without default": {func(t *fleet.Task) { t.On = fleet.Trigger{Daemon: true} }, "params.site.default", "needs a default"},
		"an undeclared one":        {argv("/bin/x", "{{site}} {{host}}"), "run.command", "declare it"},
		"an open brace":            {argv("/bin/x", "{{site"), "run.command", "opens a parameter"},
		"a name with blanks":       {argv("/bin/x", "{{ site }}"), "run.command", "opens a parameter"},
		"a template of docker":     {argv("/bin/docker", "{{.Names}}"), "run.command", "itself is written {{{{"},
		"and as it is written":     {argv("/bin/docker", "{{{{.Names}}"), "", ""},
		"the program":              {argv("/bin/{{site}}"), "run.command", "chooses the program"},
		"a secret":                 {argv("/bin/x", "<redacted:1>"), "run.command", "masked secret"},
		"env":                      {func(t *fleet.Task) { t.Run.Env["PEER"] = "{{host}}" }, "run.env.PEER", "declare it"},
		"a shell text":             {func(t *fleet.Task) { t.Run.Command, t.Run.Stdin = fleet.Command{Shell: "rm {{ site }}"}, "" }, "run.command", `"$FLEETCRON_PARAM_`},
		"a shell text of docker": {func(t *fleet.Task) {
			t.Run.Command, t.Run.Stdin = fleet.Command{Shell: "docker ps --format {{.Names}}"}, ""
		}, "", ""},
		"stdin of a shell text": {func(t *fleet.Task) { t.Run.Command = fleet.Command{Shell: "bash -s"} }, "run.stdin", "may take it for a program"},
		"stdin of a shell":      {func(t *fleet.Task) { t.Run.Command.Argv = []string{"/bin/sh"} }, "run.stdin", "may take it for a program"},
		"stdin of python":       {func(t *fleet.Task) { t.Run.Command.Argv = []string{"/usr/bin/python3"} }, "run.stdin", "may take it for a program"},
		"dir":                   {func(t *fleet.Task) { t.Run.Dir = "/srv/{{site}}" }, "run.dir", "no parameter is filled in here"},
		"what it waits for":     {func(t *fleet.Task) { t.WaitFor.File = []string{"/run/{{site}}"} }, "wait_for.file", "no parameter is filled in here"},
		"what it is asked by":   {func(t *fleet.Task) { t.On, t.Health.Exec = fleet.Trigger{Daemon: true}, []string{"/bin/x", "{{site}}"} }, "health.exec", "no parameter is filled in here"},
	} {
		task := clearing()
		test.spoil(&task)
		err := task.Validate()
		if test.field == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wrong, _ := errors.AsType[*fleet.Error](err)
		if wrong == nil || !slices.ContainsFunc(wrong.Fields, func(f fleet.FieldError) bool { return f.Field == test.field && strings.Contains(f.Reason, test.says) }) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoValueIsReadAsAProgram: {{site}} stands where a program would read a
// program in it, or runs another one that would.
func TestNoValueIsReadAsAProgram(t *testing.T) {
	for line, ok := range map[string]bool{
		"/bin/sh -c {{site}}": false, "/bin/bash /opt/x.sh {{site}}": false, "/usr/bin/env sh -c {{site}}": false, "/usr/bin/env {{site}}": false, "/usr/bin/env A={{site}} /bin/x": false, "/usr/bin/env A=b /bin/x {{site}}": true,
		"/usr/bin/env -S /bin/x {{site}}": false, "/usr/bin/env -iS /bin/x {{site}}": false, "/usr/bin/env --split-string=/bin/x {{site}}": false,
		"/usr/bin/sudo -u alice /opt/x {{site}}": true, "/usr/bin/sudo -s /opt/x {{site}}": false, "/usr/bin/sudo {{site}}": false, "/usr/bin/sudo /usr/bin/env /bin/dash -c {{site}}": false, "/usr/bin/sudo /usr/bin/nice /opt/x {{site}}": true,
		"/usr/bin/nice -n 5 /usr/bin/python3 -c {{site}}": false, "/usr/bin/timeout {{site}} /opt/x": false,
		"/usr/bin/python3 /opt/x.py {{site}}": true, "/usr/bin/python3.12 -c {{site}}": false, "/usr/bin/python3 -Bc {{site}}": false, "/usr/bin/python3 {{site}}": false, "/usr/bin/python3 x.py {{site}}": false, "/usr/bin/python3 -m {{site}}": false, "/usr/bin/python3 -u /opt/x.py {{site}}": true,
		"/usr/bin/perl -e {{site}}": false, "/usr/bin/perl -lane {{site}} /f": false, "/usr/bin/perl /opt/x.pl -e {{site}}": true, "/usr/bin/ruby -e{{site}}": false, "/usr/bin/node --eval={{site}}": false, "/usr/bin/node -p {{site}}": false, "/usr/bin/php -r {{site}}": false,
		"/usr/bin/awk {{site}} /f": false, "/usr/bin/sed s/a/{{site}}/ /f": false, "/usr/bin/find /srv -name {{site}}": false, "/usr/bin/xargs /bin/echo {{site}}": false, "/usr/bin/ssh db-1 {{site}}": false, "/usr/bin/su - alice -c {{site}}": false, "/usr/bin/psql -c {{site}}": false, "/usr/bin/watch {{site}}": false,
		"/usr/bin/docker exec web sh -c {{site}}": false, "/usr/bin/docker exec web /app {{site}}": true, "/usr/bin/rsync -a {{site}} /srv": true, "/opt/find-site {{site}}": true, "/bin/busybox echo {{site}}": false,
	} {
		task := clearing()
		task.Run.Stdin, task.Run.Command.Argv = "", strings.Fields(line)
		if err := task.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", line, err)
		}
		for i, word := range task.Run.Command.Argv { // what stands for itself is nobody's business
			task.Run.Command.Argv[i] = strings.ReplaceAll(word, "{{site}}", "site")
		}
		if err := task.Validate(); err != nil {
			t.Errorf("%s without a value: %v", line, err)
		}
	}
	task := clearing()
	if why := task.ReadsValues("/usr/bin/dash"); why == "" {
		t.Error("a program that is a shell by another name")
	}
	if why := task.ReadsValues("/opt/clear-2.1"); why != "" {
		t.Error(why)
	}
}

// TestNoValueMakesAWord: whatever is given, the command has as many words, the
// same program, and each word that held no parameter as it was.
func TestNoValueMakesAWord(t *testing.T) {
	anything := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"{{site}}", "}}", "{{", "a b", "'", "\"; rm -rf /", "$(id)", "`id`", "\n", "--", "a\x00b"}))
	filled := 0
	rapid.Check(t, func(t *rapid.T) {
		task := clearing()
		task.Params["site"] = fleet.Param{Type: fleet.ParamText, Pattern: "(?s).*"}
		task.Params["word"] = fleet.Param{Type: fleet.ParamPath, Pattern: "(?s).*"}
		literal := rapid.StringMatching(`[^{}\x00]{0,5}`)
		words := []string{"/bin/x"}
		var held []bool
		for range rapid.IntRange(0, 4).Draw(t, "words") {
			word := literal.Draw(t, "before")
			parameter := rapid.SampledFrom([]string{"", "{{site}}", "{{word}}", "{{site}}{{word}}"}).Draw(t, "parameter")
			words = append(words, word+parameter+literal.Draw(t, "after"))
			held = append(held, parameter != "")
		}
		task.Run.Command.Argv = words
		params := fleet.Params{"site": anything.Draw(t, "site"), "word": "/" + anything.Draw(t, "word")}
		run, err := task.Filled(params)
		if err != nil {
			return
		}
		filled++
		if len(run.Command.Argv) != len(words) || run.Command.Shell != "" || run.Command.Argv[0] != "/bin/x" {
			t.Fatalf("%q with %q became %q", words, params, run.Command.Argv)
		}
		for i, word := range run.Command.Argv[1:] {
			want := strings.ReplaceAll(words[i+1], "{{word}}", "\x00")
			want = strings.ReplaceAll(strings.ReplaceAll(want, "{{site}}", params["site"]), "\x00", params["word"])
			if word != want || !held[i] && word != words[i+1] || strings.ContainsAny(word, "\n\x00") && held[i] && !strings.ContainsAny(words[i+1], "\n") {
				t.Fatalf("word %q with %q became %q", words[i+1], params, word)
			}
		}
	})
	if filled == 0 {
		t.Error("nothing was filled in")
	}
}

// FuzzPlaceholders: what is accepted has as many placeholders as were filled in,
// and filling does not read what it has put there.
func FuzzPlaceholders(f *testing.F) {
	for _, text := range []string{"", "{{site}}", "{{{{site}}", "{{{site}}}", "{{site}", "a{{days}}b{{site}}c", "{{{{{{site}}", "{{}}", "{{ site }}", "{{siteX}}", "}}{{"} {
		f.Add(text, "{{days}}")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		task := clearing()
		task.Run.Stdin, task.Run.Env = "", map[string]string{"X": text}
		task.Params["site"] = fleet.Param{Type: fleet.ParamText, Pattern: "(?s).*", MaxLength: 4096}
		if task.Validate() != nil {
			return
		}
		run, err := task.Filled(fleet.Params{"site": value})
		if err != nil {
			return
		}
		mark := "\x01"
		plain := strings.ReplaceAll(text, "{{{{", mark)
		for name, with := range map[string]string{"site": "\x02"} {
			plain = strings.ReplaceAll(plain, "{{"+name+"}}", with)
		}
		for name, param := range task.Params {
			if param.Default != nil {
				plain = strings.ReplaceAll(plain, "{{"+name+"}}", *param.Default)
			}
		}
		want := strings.ReplaceAll(strings.ReplaceAll(plain, mark, "{{"), "\x02", value)
		if !strings.ContainsAny(text, "\x01\x02") && run.Env["X"] != want {
			t.Fatalf("%q with %q became %q, want %q", text, value, run.Env["X"], want)
		}
	})
}

func TestParamsAsText(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"a":"b"}`: true, `{}`: true, `{"a":1}`: false, `{"a":null}`: false, `null`: false, `[]`: false, `"a"`: false, `{"a":["b"]}`: false,
	} {
		var p fleet.Params
		if err := p.UnmarshalJSON([]byte(text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	p := fleet.Params{"b": "two words", "a": "1"}
	if p.String() != "a=1 'b=two words'" {
		t.Error(p.String())
	}
	text, err := json.Marshal(fleet.Run{Params: p})
	var run fleet.Run
	if err != nil || json.Unmarshal(text, &run) != nil || !maps.Equal(run.Params, p) {
		t.Errorf("%s, %v", text, run.Params)
	}
}
