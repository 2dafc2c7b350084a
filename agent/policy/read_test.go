package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

func TestAPolicyIsReadAsItIsWritten(t *testing.T) {
	anna, bert := newKey(t), newKey(t)
	p, err := Parse([]byte(`# ours
execute: on
threshold: 2
keys:
- key: ` + seal.PublicText(anna.Public()) + `
  name: "anna"
  namespaces: [data, web]
  not_before: 2026-01-01
  not_after: 2027-06-30T12:00:00+02:00
- {key: ` + seal.PublicText(bert.Public()) + `, namespaces: ["*"]}
users: {allow: ["*", backup], deny: [root, www-data], min_uid: 500}
groups: [adm]
commands:
  - path: /usr/local/bin/*
    args: ['--level=(full|diff)']
    rest: "/srv/[a-z]+"
    sha256: [e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855]
shell: allowed
login: allowed
env: [LEVEL, "BACKUP_*"]
dirs: [/srv, /var/tmp]
probes:
  files: [/srv/in]
  tcp: ["db-*:5432"]
  units: [postgresql.service]
max_timeout: 6h
max_parallel: 4
min_nice: -5
hours: ["22:00-06:00", "Sat,Sun 00:00-24:00"]
orders: {run: forbidden, every: 90s}
adoption: allowed
two_person: [root, everywhere]
unsigned_triggers: [webhook]
labels: {role: db, "rack": "3"}
`))
	if err != nil {
		t.Fatal(err)
	}
	after := time.Date(2027, 6, 30, 10, 0, 0, 0, time.UTC)
	if len(p.Keys) != 2 || !p.Keys[0].Public.Equal(anna.Public()) || p.Keys[0].Name != "anna" || !p.Keys[0].NotAfter.Equal(after) || p.Keys[0].NotBefore.Year() != 2026 || p.Keys[1].line != 10 {
		t.Errorf("keys %+v", p.Keys)
	}
	c := p.Commands[0]
	if c.Path != "/usr/local/bin/*" || c.Args[0].String() != "--level=(full|diff)" || c.Rest.String() != "/srv/[a-z]+" || len(c.SHA256) != 1 || c.line != 14 {
		t.Errorf("commands %+v", p.Commands)
	}
	if p.Hours.String() != "22:00-06:00, Sat,Sun 00:00-24:00" {
		t.Errorf("hours %s", p.Hours)
	}
	got := *p
	got.Hours = nil
	got.Keys, got.Commands, got.lines, got.Digest = nil, nil, nil, ""
	want := Policy{
		Execute: true, Threshold: 2, Users: Users{Allow: []string{"*", "backup"}, Deny: []string{"root", "www-data"}, MinUID: 500}, Groups: []string{"adm"},
		Shell: true, Login: true, Env: []string{"LEVEL", "BACKUP_*"}, Dirs: []string{"/srv", "/var/tmp"},
		Probes:     Probes{Files: []string{"/srv/in"}, TCP: []string{"db-*:5432"}, Units: []string{"postgresql.service"}},
		MaxTimeout: 6 * time.Hour, MaxParallel: 4, MinNice: -5, Every: 90 * time.Second, Adoption: true,
		TwoPerson: []fleet.Danger{fleet.DangerRoot, fleet.DangerEverywhere}, Unsigned: []string{"webhook"}, Labels: map[string]string{"role": "db", "rack": "3"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Policy{}, contents{})); diff != "" {
		t.Error(diff)
	}
}

func TestEveryMistakeIsToldWithItsLine(t *testing.T) {
	key := seal.PublicText(newKey(t).Public())
	for name, test := range map[string]struct{ text, want string }{
		"nothing":              {"", "line 1, column 1: policy"},
		"only comments":        {"# x\n", "line 1"},
		"null":                 {"~\n", "line 1"},
		"a list":               {"- execute\n", "want keys and values"},
		"an unknown key":       {"execute: off\nuser: {}\n", "line 2, column 1: user"},
		"another case":         {"Execute: on\n", "line 1, column 1: Execute"},
		"twice":                {"execute: off\nshell: allowed\nexecute: off\n", "line 3, column 1: execute: stands twice"},
		"true":                 {"execute: true\n", "want on or off"},
		"yes":                  {"execute: off\nshell: yes\n", "line 2"},
		"no keys":              {"execute: on\n", "needs keys"},
		"too few":              {"execute: on\nthreshold: 2\nkeys:\n  - {key: " + key + ", namespaces: [\"*\"]}\n", "line 2"},
		"no threshold":         {"threshold: 0\n", "from 1 to 8"},
		"a key twice":          {"keys:\n  - {key: " + key + ", namespaces: [a]}\n  - {key: " + key + ", namespaces: [b]}\n", "line 3"},
		"no key":               {"keys:\n  - {namespaces: [a]}\n", "keys[0].key: is missing"},
		"no namespaces":        {"keys:\n  - {key: " + key + "}\n", "keys[0].namespaces: is missing"},
		"another key":          {"keys:\n  - {key: ssh-ed25519 AAAA, namespaces: [a]}\n", "want a public key"},
		"a bad date":           {"keys:\n  - {key: " + key + ", namespaces: [a], not_after: tomorrow}\n", "want a date"},
		"a bad namespace":      {"keys:\n  - {key: " + key + ", namespaces: [A]}\n", "keys[0].namespaces[0]"},
		"a user":               {"users: {allow: [0]}\n", "users.allow[0]"},
		"a word for a list":    {"users: {allow: backup}\n", "want a list"},
		"an alias":             {"users: {allow: &a [x], deny: *a}\n", "aliases are not supported"},
		"a tag":                {"execute: !!str off\n", "tags are not supported"},
		"two documents":        {"execute: off\n---\nexecute: off\n", "more than one document"},
		"no YAML":              {"execute: off\nkeys: [\n", "line "},
		"no UTF-8":             {"execute: off # \xff\n", "not UTF-8"},
		"relative command":     {"commands: [{path: bin/true}]\n", "commands[0].path"},
		"dots":                 {"commands: [{path: /bin/../bin/true}]\n", "commands[0].path"},
		"a wild directory":     {"commands: [{path: /*/true}]\n", "last element"},
		"an open class":        {"commands: [{path: \"/bin/[a\"}]\n", "commands[0].path"},
		"no path":              {"commands: [{args: []}]\n", "commands[0].path: is missing"},
		"a bad expression":     {"commands:\n  - path: /bin/true\n    args: [\"(\"]\n", "line 3"},
		"a closing bracket":    {"commands: [{path: /bin/true, args: [\"a)|(b\"]}]\n", "is no regular expression"},
		"LD_PRELOAD":           {"env: [LD_PRELOAD]\n", "env[0]"},
		"an assignment":        {"env: [A=B]\n", "env[0]"},
		"a relative directory": {"dirs: [srv]\n", "dirs[0]"},
		"no port":              {"probes: {tcp: [db-1]}\n", "want host:port"},
		"an endless time":      {"max_timeout: -1s\n", "max_timeout"},
		"no hours":             {"hours: [9-17]\n", "hours[0]"},
		"a short digest":       {"commands: [{path: /bin/true, sha256: [abc]}]\n", "sha256sum"},
		"an unknown danger":    {"two_person: [sudo]\n", "two_person[0]"},
		"an unknown trigger":   {"unsigned_triggers: [event]\n", "nothing else may come unsigned"},
		"a bad label":          {"labels: {\"A B\": x}\n", "labels"},
	} {
		_, err := Parse([]byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
			continue
		}
		if e, ok := errors.AsType[*fleet.Error](err); !ok || e.Kind != fleet.Invalid || slices.ContainsFunc(e.Fields, func(f fleet.FieldError) bool { return f.Line == 0 }) {
			t.Errorf("%s: %#v", name, err)
		}
	}
	_, err := Parse([]byte("execute: maybe\nthreshold: x\nusers: {allow: [A B]}\nwhat: 1\n"))
	if e, _ := errors.AsType[*fleet.Error](err); e == nil || len(e.Fields) != 4 {
		t.Errorf("not all at once: %v", err)
	}
}

func TestADraftIsAPolicy(t *testing.T) {
	anna := Trusted{Public: newKey(t).Public(), Name: `anna "the boss" # 1`}
	bert := Trusted{Public: newKey(t).Public(), Namespaces: []string{"data"}}
	for name, draft := range map[string]Draft{
		"empty": {},
		"whole": {Keys: []Trusted{anna, bert}, Users: []string{"backup", "*"}, Commands: []string{"/usr/bin/x", "*"}, Shell: true, Adoption: true},
	} {
		p, err := Parse(draft.Text())
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, draft.Text())
		}
		if p.Execute != (len(draft.Keys) > 0) || p.Shell != draft.Shell || p.Adoption != draft.Adoption || len(p.Commands) != len(draft.Commands) || !slices.Equal(p.Users.Allow, draft.Users) && len(draft.Users) > 0 {
			t.Errorf("%s: %+v", name, p)
		}
		if len(draft.Keys) > 0 && (p.Keys[0].Name != anna.Name || p.Keys[1].Namespaces[0] != "data" || !p.Commands[1].matchesArgs([]string{"a\nb", ""}, nil)) {
			t.Errorf("%s: %+v", name, p.Keys)
		}
		if p.allowsEnv("PATH") != draft.Adoption || p.allowsEnv("LC_ALL") != draft.Adoption {
			t.Errorf("%s: env %q", name, p.Env)
		}
		// Every line that is a proposal is one that may be taken.
		for _, line := range strings.Split(string(draft.Text()), "\n") {
			proposal := strings.TrimPrefix(line, "# ")
			if k, _, is := strings.Cut(proposal, ":"); is && line != proposal && slices.Contains([]string{"login", "env", "dirs", "max_timeout", "max_parallel", "min_nice", "groups", "orders", "unsigned_triggers", "two_person", "labels"}, k) {
				if _, err := Parse([]byte(proposal + "\n")); err != nil {
					t.Errorf("%s: %v", proposal, err)
				}
			}
		}
	}
}

func TestAKeyIsAddedToWhatIsThere(t *testing.T) {
	first, second := newKey(t).Public(), Trusted{Public: newKey(t).Public(), Name: "bert", Namespaces: []string{"data"}}
	old := "- key: " + seal.PublicText(first) + "\n"
	for name, test := range map[string]struct{ text, want string }{
		"no keys":       {"execute: off\n", "execute: off\n\nkeys:\n@"},
		"empty":         {"keys: [] # none yet\nexecute: off\n", "keys:\n@execute: off\n"},
		"a block":       {"keys: # ours\n    " + old + "      namespaces: [a]\nexecute: off\n", "keys: # ours\n  @    " + old + "      namespaces: [a]\nexecute: off\n"},
		"flush":         {"keys:\n" + old + "  namespaces: [a]\n", "keys:\n@" + old + "  namespaces: [a]\n"},
		"in one line":   {"keys: [{key: " + seal.PublicText(first) + ", namespaces: [a]}]\n", ""},
		"there already": {"keys:\n  - {key: " + seal.PublicText(second.Public) + ", namespaces: [a]}\n", ""},
		"wrong":         {"keyes: []\n", ""},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "policy.yaml")
		if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		err := Trust(path, second)
		got, _ := os.ReadFile(path)
		if test.want == "" {
			if err == nil || string(got) != test.text {
				t.Errorf("%s: %v\n%s", name, err, got)
			}
			continue
		}
		indent := map[string]string{"a block": "    ", "flush": ""}
		spaces, known := indent[name]
		if !known {
			spaces = "  "
		}
		want := strings.Replace(strings.Replace(test.want, "  @", "@", 1), "@", second.item(spaces), 1)
		if info, _ := os.Stat(path); err != nil || string(got) != want || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
}

func TestAnInitialisedPolicyIsNotWrittenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etc", "policy.yaml")
	if err := Init(path, &Draft{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
	if err := Init(path, &Draft{Shell: true}); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("got %v", err)
	}
	if err := Init(filepath.Join(filepath.Dir(path), "other"), &Draft{Users: []string{"A B"}}); err == nil {
		t.Error("a policy with a mistake was written")
	}
}

func TestKeysAsPeopleHandThemOn(t *testing.T) {
	public := newKey(t).Public()
	file := filepath.Join(t.TempDir(), "operator.pub")
	if err := os.WriteFile(file, []byte(seal.PublicText(public)+" anna of data\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{file, seal.PublicText(public)} {
		if got, err := ParseTrusted(text, nil); err != nil || !got.Public.Equal(public) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "fck1.x", filepath.Join(t.TempDir(), "none"), "ssh-ed25519 AAAA"} {
		if _, err := ParseTrusted(text, nil); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

func TestDoubtsAboutAPolicy(t *testing.T) {
	p, err := Parse([]byte("users: {allow: [root]}\ncommands: [{path: \"*\"}]\ntwo_person: [root]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Doubts(); len(got) != 3 || !strings.HasPrefix(got[0], "line 2") {
		t.Errorf("%q", got)
	}
	if p, err = Parse([]byte("adoption: allowed\nusers: {allow: [a]}\ncommands: [{path: /bin/true}]\n")); err != nil || len(p.Doubts()) != 1 {
		t.Errorf("%v %q", err, p.Doubts())
	}
	if p, err = Parse([]byte("execute: off\n")); err != nil || len(p.Doubts()) != 2 {
		t.Errorf("%v %q", err, p.Doubts())
	}
}

// FuzzPolicy: whatever is read says what it says, and never panics.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(usual))
	f.Add((&Draft{Users: []string{"a"}, Commands: []string{"*"}}).Text())
	f.Add([]byte("keys: [{key: x, namespaces: &a [*a]}]\nexecute: on\n"))
	f.Add([]byte("a: !!binary x\n---\n? [b]: c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			if fleet.KindOf(err) != fleet.Invalid || err.Error() == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		if p.Threshold < 1 || p.Execute && len(p.Keys) < p.Threshold {
			t.Fatalf("%+v", p)
		}
		for _, c := range p.Commands {
			if c.Path != "*" && !filepath.IsAbs(c.Path) {
				t.Fatalf("%+v", c)
			}
		}
		if p.allowsEnv("PATH") && !slices.Contains(p.Env, "PATH") || slices.Contains(p.Env, "LD_PRELOAD") {
			t.Fatalf("%q", p.Env)
		}
		_ = fmt.Sprint(p.Doubts())
	})
}
