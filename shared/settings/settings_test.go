package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

type config struct {
	Name   string            `yaml:"name" help:"who it is"`
	Peers  []string          `yaml:"peers"`
	Labels map[string]string `yaml:"labels"`
	Listen struct {
		API     string         `yaml:"api"`
		Backlog int            `yaml:"backlog"`
		Idle    fleet.Duration `yaml:"idle_time"`
	} `yaml:"listen"`
	internal string
}

func defaults() *config {
	c := &config{Name: "default", internal: "untouched"}
	c.Listen.API = "127.0.0.1:1"
	c.Listen.Idle = fleet.Duration(time.Minute)
	return c
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func env(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, set := pairs[name]
		return value, set
	}
}

func TestEachLayerWinsOverTheOneBefore(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Register(flags, defaults())
	if err := flags.Parse([]string{"--listen-idle-time=5m", "--peers=a,b"}); err != nil {
		t.Fatal(err)
	}
	c := defaults()
	err := Load(c, Source{
		File:  write(t, "name: file\nlisten: {api: file, backlog: 3, idle_time: 2m}\nlabels: {role: db}\n"),
		Env:   env(map[string]string{"FLEETCRON_LISTEN_API": "env", "FLEETCRON_LISTEN_IDLE_TIME": "3m", "FLEETCRON_LABELS": "role=web, zone=a"}),
		Flags: flags,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Name, want.Peers, want.Labels = "file", []string{"a", "b"}, map[string]string{"role": "web", "zone": "a"}
	want.Listen.API, want.Listen.Backlog, want.Listen.Idle = "env", 3, fleet.Duration(5*time.Minute)
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(config{})); diff != "" {
		t.Error(diff)
	}
}

func TestWrongInputSaysWhere(t *testing.T) {
	for _, test := range []struct{ name, file, env, value, want string }{
		{"unknown key", "nam: x\n", "", "", "line 1, column 1: nam: is no known key"},
		{"unknown nested key", "listen:\n  apy: x\n", "", "", "line 2, column 1: apy: is no known key"},
		{"duplicate key", "name: a\nname: b\n", "", "", "already defined"},
		{"wrong type", "listen: {backlog: many}\n", "", "", "line 1, column 1: configuration: cannot unmarshal"},
		{"wrong duration", "listen: {idle_time: soon}\n", "", "", "90s"},
		{"two documents", "name: a\n---\nname: b\n", "", "", "more than one document"},
		{"no yaml", "\tname: a\n", "", "", "cannot start any token"},
		{"number in the environment", "", "FLEETCRON_LISTEN_BACKLOG", "many", `FLEETCRON_LISTEN_BACKLOG "many": want a whole number`},
		{"map in the environment", "", "FLEETCRON_LABELS", "role", `FLEETCRON_LABELS "role": want key=value`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Load(defaults(), Source{File: write(t, test.file), Env: env(map[string]string{test.env: test.value})})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if kind := fleet.KindOf(err); kind != fleet.Usage {
				t.Errorf("kind %v, want usage", kind)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	if err := Load(defaults(), Source{File: path, Optional: true}); err != nil {
		t.Errorf("optional: %v", err)
	}
	if err := Load(defaults(), Source{File: path}); err == nil {
		t.Error("a file that was asked for is missing, and nobody says so")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("name: x\nlisten: {api: y}")
	f.Add("labels: {a: b}\npeers: [x, y]")
	f.Add("&a [*a]")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := defaults()
		if err := Load(c, Source{File: path}); err == nil && c.internal != "untouched" {
			t.Error("an unexported field changed")
		}
	})
}

// colour is a type with words of its own about what is wrong.
type colour string

func (c *colour) UnmarshalText(text []byte) error {
	if string(text) != "red" {
		return fleet.Invalidf("colour", string(text), "want red")
	}
	*c = colour(text)
	return nil
}

// names is a list that a file may also write as one text.
type names []string

func (n *names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*n = names{node.Value}
		return nil
	}
	return node.Decode((*[]string)(n))
}

type painted struct {
	Colour colour         `yaml:"colour"`
	Names  names          `yaml:"names"`
	Wait   fleet.Duration `yaml:"wait"`
	Inside struct {
		Colour colour `yaml:"colour"`
	} `yaml:"inside"`
}

func TestTypesWithTheirOwnWords(t *testing.T) {
	c := &painted{}
	if err := Load(c, Source{File: write(t, "names: one\ncolour: red\n")}); err != nil || c.Colour != "red" || len(c.Names) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if err := Load(c, Source{Env: env(map[string]string{"FLEETCRON_NAMES": "a,[::1]:7770"})}); err != nil || len(c.Names) != 2 || c.Names[1] != "[::1]:7770" {
		t.Errorf("%+v, %v", c, err)
	}
	err := Load(&painted{}, Source{File: write(t, "colour: blue\nwait: 5\ninside: {colour: green}\n")})
	for _, want := range []string{
		`line 1, column 9: colour "blue": want red`, `line 2, column 7: wait "5": want a duration such as 90s or 5m`, `line 3, column 18: inside.colour "green": want red`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
	err = Load(&painted{}, Source{Env: env(map[string]string{"FLEETCRON_COLOUR": "blue"})})
	if err == nil || err.Error() != `FLEETCRON_COLOUR "blue": want red` {
		t.Error(err)
	}
}
