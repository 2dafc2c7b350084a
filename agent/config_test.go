package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/settings"
)

func TestDefaultsAreValid(t *testing.T) {
	cfg := DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEveryWrongFieldIsNamedAtOnce(t *testing.T) {
	cfg := Config{
		Collectors: []string{"http://10.0.0.1:7770", "ftp://x", "https://10.0.0.1:7770", "https://u@10.0.0.1"},
		StateDir:   "var", Root: "", Name: strings.Repeat("x", 300), Labels: map[string]string{"Role!": "x"},
		Gossip: Gossip{Bind: "localhost:7773"}, Output: Output{Age: -1},
	}
	err := cfg.Validate()
	e, is := errors.AsType[*fleet.Error](err)
	if !is || e.Kind != fleet.Usage {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, f := range e.Fields {
		fields = append(fields, f.Field)
	}
	slices.Sort(fields)
	want := "collectors collectors collectors gossip.bind labels.Role! name output.age output.runs output.size policy root runtime_dir slots start_rate state_dir"
	if got := strings.Join(fields, " "); got != want {
		t.Errorf("wrong fields %q, want %q", got, want)
	}
	if !strings.Contains(err.Error(), "collectors speak TLS only: want https://") {
		t.Errorf("%v", err)
	}
}

func TestWhichKeysAreHot(t *testing.T) {
	was := DefaultConfig()
	next := was
	next.Collectors, next.Name, next.Labels = []string{"https://127.0.0.2:7770"}, "x", map[string]string{"a": "b"}
	next.Slots, next.StartRate = 7, 7
	if cold := was.coldChanges(&next); cold != nil {
		t.Errorf("cold: %v", cold)
	}
	next.StateDir, next.Gossip.Bind, next.Log.Level = "/x", "127.0.0.1:1", "debug"
	if cold := strings.Join(was.coldChanges(&next), " "); cold != "state_dir gossip log" {
		t.Errorf("cold: %v", cold)
	}
}

func TestConfigurationFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	text := "collectors: ['https://127.0.0.1:1']\nname: a\nlabels: {role: db}\ngossip:\n  bind: 127.0.0.1:2\n  bindd: x\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	err := settings.Load(&cfg, settings.Source{File: path})
	if err == nil || !strings.Contains(err.Error(), "line 6, column 1: bindd: is no known key") {
		t.Errorf("got %v", err)
	}
}

func TestStatusOfNoAgent(t *testing.T) {
	cfg := DefaultConfig()
	cfg.StateDir = t.TempDir()
	if _, err := ReadStatus(cfg); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("got %v", err)
	}
	var out bytes.Buffer
	if err := new(Status).Write(&out); err != nil || !strings.Contains(out.String(), "not running") {
		t.Errorf("%s %v", out.String(), err)
	}
}
