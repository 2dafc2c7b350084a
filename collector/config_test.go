package collector

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestConfigNamesEveryWrongField(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		fields string
	}{
		{"defaults", func(*Config) {}, ""},
		{"another loopback", func(c *Config) { c.Listen.API = "127.9.9.9:1"; c.Listen.Web = "[::1]:7780" }, ""},
		{"id", func(c *Config) { c.ID = "C 1" }, "id"},
		{"id that gossip refuses", func(c *Config) { c.ID = "c_1" }, "id"},
		{"relative directory", func(c *Config) { c.DataDir = "data" }, "data_dir"},
		{"store", func(c *Config) { c.Store = "redis" }, "store"},
		{"memory", func(c *Config) { c.Store = StoreMemory }, ""},
		{"memory in a group", func(c *Config) { c.Store = StoreMemory; c.Join = []string{"http://127.0.0.1:7770"} }, "join"},
		{"every interface", func(c *Config) { c.Listen.API = "0.0.0.0:7770" }, "listen.api"},
		{"no host", func(c *Config) { c.Listen.Raft = ":7771" }, "listen.raft"},
		{"a name", func(c *Config) { c.Listen.Gossip = "localhost:7772" }, "listen.gossip"},
		{"no port", func(c *Config) { c.Listen.Web = "127.0.0.1" }, "listen.web"},
		{"private network", func(c *Config) { c.Listen.Web = "10.0.0.1:7780" }, "listen.web"},
		{"join", func(c *Config) { c.Join = []string{"127.0.0.1:7770"} }, "join"},
		{"retention", func(c *Config) { c.Retention = Retention{} }, "retention.age retention.per_task retention.changes"},
		{"several", func(c *Config) { c.ID = ""; c.DataDir = ""; c.Listen = Listen{} }, "id data_dir listen.api listen.raft listen.gossip listen.web"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := DefaultConfig()
			test.change(&cfg)
			var got []string
			if err := cfg.Validate(); err != nil {
				e, is := errors.AsType[*fleet.Error](err)
				if !is || e.Kind != fleet.Usage {
					t.Fatalf("%v is no usage error", err)
				}
				for _, field := range e.Fields {
					got = append(got, field.Field)
				}
			}
			if strings.Join(got, " ") != test.fields {
				t.Errorf("wrong fields %q, want %q", got, test.fields)
			}
		})
	}
}

func TestParseMembers(t *testing.T) {
	got, err := ParseMembers("c1=127.0.0.1:7771, c2=127.0.0.2:7771")
	want := map[fleet.CollectorID]string{"c1": "127.0.0.1:7771", "c2": "127.0.0.2:7771"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{"", "c1", "c1=", "c1=10.0.0.1:7771", "C1=127.0.0.1:1", "c1=127.0.0.1:1,c1=127.0.0.2:1"} {
		if got, err := ParseMembers(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
