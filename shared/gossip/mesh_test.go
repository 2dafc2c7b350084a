package gossip

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/serf/serf"
	"go.uber.org/goleak"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testKey = bytes.Repeat([]byte{7}, KeySize)

// hurry makes failures visible within a second instead of ten.
func hurry(conf *serf.Config) {
	conf.LeavePropagateDelay = 20 * time.Millisecond
	conf.ReconnectInterval = 200 * time.Millisecond
	list := conf.MemberlistConfig
	list.ProbeInterval, list.ProbeTimeout = 100*time.Millisecond, 50*time.Millisecond
	list.GossipInterval = 10 * time.Millisecond
	list.SuspicionMult, list.SuspicionMaxTimeoutMult = 2, 1
	list.TCPTimeout = time.Second
}

// admitAll is for tests about something else than tickets.
func admitAll(string, string, string) error { return nil }

// join starts a member that is closed, and its Run awaited, when the test ends.
func join(t *testing.T, name string, change func(*Config)) *Mesh {
	t.Helper()
	cfg := Config{
		Name: name, Bind: "127.0.0.1:0", Label: "fleetcron/test", Ring: NewRing(testKey), Admit: admitAll,
		Logger: slog.New(slog.DiscardHandler), tune: hurry,
	}
	if change != nil {
		change(&cfg)
	}
	m, err := Join(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

// mesh starts n members that know each other.
func mesh(t *testing.T, n int, change func(*Config)) []*Mesh {
	t.Helper()
	members := make([]*Mesh, n)
	for i := range members {
		members[i] = join(t, fmt.Sprintf("member-%d", i), func(cfg *Config) {
			if i > 0 {
				cfg.Seeds = []string{members[0].Addr().String()}
			}
			if change != nil {
				change(cfg)
			}
		})
	}
	for i, m := range members {
		want := make(map[string]EventKind)
		for j := range members {
			if j != i {
				want[fmt.Sprintf("member-%d", j)] = Joined
			}
		}
		await(t, m, want)
	}
	return members
}

// await reads m's events until each name in want had its event.
func await(t *testing.T, m *Mesh, want map[string]EventKind) {
	t.Helper()
	want = maps.Clone(want)
	late := time.After(2 * time.Minute)
	for len(want) > 0 {
		select {
		case event := <-m.Events():
			if want[event.Member.Name] == event.Kind {
				delete(want, event.Member.Name)
			}
		case <-late:
			t.Fatalf("%s still waits for %v; it knows %v", m.name, want, m.Members())
		}
	}
}

func statusOf(m *Mesh, name string) Status {
	members := m.Members()
	i := slices.IndexFunc(members, func(member Member) bool { return member.Name == name })
	if i < 0 {
		return ""
	}
	return members[i].Status
}

func TestMembersSeeEachOther(t *testing.T) {
	members := mesh(t, 5, func(cfg *Config) { cfg.Tags = map[string]string{"of": cfg.Name} })
	for _, m := range members {
		known := m.Members()
		if len(known) != 5 {
			t.Fatalf("%s knows %d members, want 5", m.name, len(known))
		}
		for i, member := range known {
			if member.Name != members[i].name || member.Addr != members[i].Addr() ||
				member.Status != StatusAlive || member.Tags["of"] != member.Name {
				t.Errorf("%s sees %+v", m.name, member)
			}
		}
	}
}

func TestGoodbyeIsLeftAndSilenceIsFailed(t *testing.T) {
	members := mesh(t, 4, nil)
	if err := members[1].Leave(); err != nil {
		t.Fatal(err)
	}
	await(t, members[0], map[string]EventKind{"member-1": Left})
	if got := statusOf(members[0], "member-1"); got != StatusLeft {
		t.Errorf("after a goodbye: %q", got)
	}
	members[2].Close()
	await(t, members[0], map[string]EventKind{"member-2": Failed})
	await(t, members[3], map[string]EventKind{"member-2": Failed})
	if got := statusOf(members[0], "member-2"); got != StatusFailed {
		t.Errorf("after a crash: %q", got)
	}
}

func TestChangedTagsReachTheOthers(t *testing.T) {
	members := mesh(t, 3, nil)
	if err := members[2].SetTags(map[string]string{"api": "http://127.0.0.1:7770"}); err != nil {
		t.Fatal(err)
	}
	await(t, members[0], map[string]EventKind{"member-2": Updated})
	for _, member := range members[0].Members() {
		if member.Name == "member-2" && member.Tags["api"] != "http://127.0.0.1:7770" {
			t.Errorf("tags are %v", member.Tags)
		}
	}
	if err := members[2].SetTags(map[string]string{"api": strings.Repeat("x", 600)}); err == nil {
		t.Error("600 bytes of tags were accepted")
	}
}

func TestKnockReachesWhomItMeans(t *testing.T) {
	members := mesh(t, 3, nil)
	members[0].Knock("member-1")
	await(t, members[1], map[string]EventKind{"": Knock})
	members[0].Knock()
	for _, m := range members {
		await(t, m, map[string]EventKind{"": Knock})
	}
}

func TestStrangersCannotJoin(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"other key":   func(cfg *Config) { cfg.Ring = NewRing(bytes.Repeat([]byte{8}, KeySize)) },
		"other label": func(cfg *Config) { cfg.Label = "fleetcron/other" },
	} {
		t.Run(name, func(t *testing.T) {
			here := join(t, "here", nil)
			stranger := join(t, "stranger", change)
			if stranger.joinSeed(here.Addr().String()) {
				t.Error("the stranger joined")
			}
			if here.joinSeed(stranger.Addr().String()) {
				t.Error("the stranger was joined")
			}
			if n := len(here.Members()) + len(stranger.Members()); n != 2 {
				t.Errorf("they know %d members, want each itself alone", n)
			}
		})
	}
}

func TestSeedThatComesLate(t *testing.T) {
	early := join(t, "early", nil)
	seed := early.Addr().String()
	early.Close()
	late := join(t, "late", func(cfg *Config) { cfg.Seeds = []string{seed} })
	again := join(t, "again", func(cfg *Config) { cfg.Bind = seed })
	await(t, late, map[string]EventKind{"again": Joined})
	await(t, again, map[string]EventKind{"late": Joined})
}

func TestMembersAreRememberedAcrossARestart(t *testing.T) {
	path := t.TempDir() + "/gossip/members"
	here := join(t, "here", nil)
	before := join(t, "comes-back", func(cfg *Config) {
		cfg.Seeds, cfg.Snapshot = []string{here.Addr().String()}, path
	})
	await(t, before, map[string]EventKind{"here": Joined})
	before.Close()
	after := join(t, "comes-back", func(cfg *Config) { cfg.Snapshot = path })
	await(t, after, map[string]EventKind{"here": Joined})
}

func TestSlowReaderStallsNobody(t *testing.T) {
	members := mesh(t, 3, nil)
	for i := range 3 * eventBuffer {
		members[0].serf.UserEvent(knockName, []byte(fmt.Sprint(i)), false)
		members[0].serf.UserEvent(knockName, nil, false)
	}
	if err := members[2].Leave(); err != nil {
		t.Fatal(err)
	}
	await(t, members[0], map[string]EventKind{"member-2": Left})
	await(t, members[1], map[string]EventKind{"member-2": Left})
}

func TestConfigThatIsWrong(t *testing.T) {
	good := Config{Name: "here", Bind: "127.0.0.1:0", Label: "fleetcron/test", Ring: NewRing(testKey), Admit: admitAll}
	for name, test := range map[string]struct {
		change func(*Config)
		field  string
	}{
		"no name":          {func(c *Config) { c.Name = "" }, "gossip.name"},
		"underscore":       {func(c *Config) { c.Name = "db_1" }, "gossip.name"},
		"no label":         {func(c *Config) { c.Label = "" }, "gossip.label"},
		"no key":           {func(c *Config) { c.Ring = nil }, "gossip.keyring"},
		"no tickets":       {func(c *Config) { c.Admit = nil }, "gossip.admit"},
		"two rings":        {func(c *Config) { c.Keyring = "/x" }, "gossip.keyring"},
		"no port":          {func(c *Config) { c.Bind = "127.0.0.1" }, "gossip.bind"},
		"one of many":      {func(c *Config) { c.Bind = "[::]:7772" }, "gossip.advertise"},
		"shown nowhere":    {func(c *Config) { c.Advertise = "0.0.0.0:7772" }, "gossip.advertise"},
		"shown at no port": {func(c *Config) { c.Advertise = "10.0.0.1:0" }, "gossip.advertise"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			test.change(&cfg)
			m, err := Join(cfg)
			if err == nil {
				m.Close()
				t.Fatal("it was accepted")
			}
			if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), test.field+":") && !strings.Contains(err.Error(), test.field+" \"") {
				t.Errorf("got %v, want an Invalid error about %s", err, test.field)
			}
		})
	}
}

// TestListenersOnEveryAddressMeet: each tells the others the address that it
// reaches them from.
func TestListenersOnEveryAddressMeet(t *testing.T) {
	here := join(t, "here", nil)
	there := join(t, "there", func(cfg *Config) {
		cfg.Bind, cfg.Seeds = "0.0.0.0:0", []string{here.Addr().String()}
	})
	await(t, here, map[string]EventKind{"there": Joined})
	if at := there.Addr(); !at.Addr().IsLoopback() || at.Port() == 0 {
		t.Errorf("it says that it is at %s", at)
	}
}

func TestPortInUse(t *testing.T) {
	here := join(t, "here", nil)
	_, err := Join(Config{Name: "there", Bind: here.Addr().String(), Label: "x", Ring: NewRing(testKey), Admit: admitAll, Logger: slog.New(slog.DiscardHandler)})
	if fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), here.Addr().String()) {
		t.Errorf("got %v", err)
	}
}
