package collector

import (
	"errors"
	"strings"
	"testing"
	"time"

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
		{"memory in a group", func(c *Config) { c.Store = StoreMemory; c.Join = []string{"https://127.0.0.1:7770"} }, "join"},
		{"every interface", func(c *Config) { c.Listen.API = "0.0.0.0:7770"; c.Listen.Raft = "[::]:7771" }, "listen.api listen.raft"},
		{"every interface, and where", func(c *Config) { c.Listen.API = "0.0.0.0:7770"; c.Advertise = "10.0.0.1" }, ""},
		{"web on every interface", func(c *Config) { c.Listen.Web = "0.0.0.0:7780" }, ""},
		{"advertise nowhere", func(c *Config) { c.Advertise = "0.0.0.0" }, "advertise"},
		{"advertise a name", func(c *Config) { c.Advertise = "c1.example" }, "advertise"},
		{"no host", func(c *Config) { c.Listen.Raft = ":7771" }, "listen.raft"},
		{"a name", func(c *Config) { c.Listen.Gossip = "localhost:7772" }, "listen.gossip"},
		{"no port", func(c *Config) { c.Listen.Web = "127.0.0.1" }, "listen.web"},
		{"private network", func(c *Config) { c.Listen.API = "10.0.0.1:7770"; c.Listen.Web = "10.0.0.1:7780" }, ""},
		{"join", func(c *Config) { c.Join = []string{"127.0.0.1:7770"} }, "join"},
		{"join without TLS", func(c *Config) { c.Join = []string{"http://10.0.0.1:7770"} }, "join"},
		{"agent life", func(c *Config) { c.AgentLife = fleet.Duration(91 * 24 * time.Hour) }, "agent_life"},
		{"retention", func(c *Config) { c.Retention = Retention{} }, "retention.age retention.per_task retention.changes retention.proofs retention.proof_size"},
		{"several", func(c *Config) { c.ID = ""; c.DataDir = ""; c.Listen = Listen{API: "x", Raft: "y", Gossip: "z"} }, "id data_dir listen.api listen.raft listen.gossip listen.web"},
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

func TestWhereOthersReachACollector(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = Listen{API: "0.0.0.0:7770", Raft: "10.0.0.1:7771", Gossip: "[::]:7772", Web: "0.0.0.0:7780"}
	cfg.Advertise = "10.0.0.9"
	cfg.Hosts = []string{"fleet.example"}
	if api, web, raft := cfg.apiURL(), cfg.webURL(), cfg.reached(cfg.Listen.Raft); api != "https://10.0.0.9:7770" || web != "https://10.0.0.9:7780" || raft != "10.0.0.1:7771" {
		t.Errorf("API %s, web %s, raft %s", api, web, raft)
	}
	want := []string{"10.0.0.9", "127.0.0.1", "::1", "fleet.example", "localhost"}
	if diff := cmp.Diff(want, cfg.hosts()); diff != "" {
		t.Error(diff)
	}
	alone := DefaultConfig()
	alone.Advertise = "192.0.2.7"
	if err := alone.Validate(); err != nil || alone.apiURL() != "https://192.0.2.7:7770" || alone.Listen.Raft != "192.0.2.7:7771" || alone.Listen.Gossip != "192.0.2.7:7772" || !alone.plainWeb() {
		t.Errorf("advertise alone: %v, %+v", err, alone.Listen)
	}
	if local := DefaultConfig(); local.Validate() != nil || local.apiURL() != "https://127.0.0.1:7770" || local.webURL() != "http://127.0.0.1:7780" {
		t.Errorf("web on loopback is %s", local.webURL())
	}
}
