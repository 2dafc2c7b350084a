package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestDottedKeysInTheFile(t *testing.T) {
	c := defaults()
	text := "listen.api: \"127.0.0.1:9\" # here\nname: file\nlisten:\n  backlog: 4\nlisten.idle_time: 2m\n"
	if err := Load(c, Source{File: write(t, text)}); err != nil {
		t.Fatal(err)
	}
	if c.Listen.API != "127.0.0.1:9" || c.Listen.Backlog != 4 || c.Listen.Idle != fleet.Duration(2*time.Minute) || c.Name != "file" {
		t.Errorf("%+v", c)
	}
	only := defaults()
	if err := Load(only, Source{File: write(t, "listen.backlog: 7\n")}); err != nil || only.Listen.Backlog != 7 {
		t.Errorf("%+v, %v", only, err)
	}
}

func TestDottedKeysAreStrictToo(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown":     {"name: x\nlisten.nothing: 1\n", "line 2, column 1: listen.nothing: is no known key"},
		"twice":       {"listen.api: a\nlisten.api: b\n", "line 2, column 1: listen.api: is set twice"},
		"wrong type":  {"name: x\nlisten.backlog: many\n", `line 2, column 1: listen.backlog "many": want a whole number`},
		"on two":      {"listen.api:\n  a: b\n", "listen.api: want its value on the same line"},
		"lines after": {"listen.api: a\nbogus: 1\n", "line 2, column 1: bogus: is no known key"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Load(defaults(), Source{File: write(t, c.text)})
			if fleet.KindOf(err) != fleet.Usage || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func FuzzLoadFile(f *testing.F) {
	for _, seed := range []string{
		"name: x\n", "listen.api: a\n", "listen.api: [a, b]\nname: x\n", "a: 1\r\rlisten.api: b\r", "x: 1\u0085listen.api: b\u2028",
		"listen.api: |\n  a\n", "? listen.api\n: a\n", "{listen.api: a}", "- listen.api", "listen: {api: a}\n---\nlisten.api: b\n", "&a listen.api: *a\n",
	} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Load(defaults(), Source{File: path}); err != nil && fleet.KindOf(err) != fleet.Usage {
			t.Errorf("%v is no usage error", err)
		}
	})
}
