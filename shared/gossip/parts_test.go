package gossip

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestLinesOfTheLibraryBecomeRecords(t *testing.T) {
	for line, want := range map[string]struct {
		level              slog.Level
		component, message string
	}{
		"[WARN] memberlist: refuting a suspect":  {slog.LevelWarn, "memberlist", "refuting a suspect"},
		"[ERR] memberlist: no luck\n":            {slog.LevelError, "memberlist", "no luck"},
		"[ERROR] serf: Failed":                   {slog.LevelError, "serf", "Failed"},
		"[INFO] serf: EventMemberJoin: a 1.2":    {slog.LevelDebug, "serf", "EventMemberJoin: a 1.2"},
		"[DEBUG] memberlist: Stream connection":  {slog.LevelDebug, "memberlist", "Stream connection"},
		"[NEW] serf: a level nobody heard of":    {slog.LevelWarn, "serf", "[NEW] serf: a level nobody heard of"},
		"nothing in brackets":                    {slog.LevelWarn, "serf", "nothing in brackets"},
		"[ERR] Failed to shutdown transport: no": {slog.LevelError, "serf", "Failed to shutdown transport: no"},
		"":                                       {slog.LevelWarn, "serf", ""},
	} {
		level, component, message := parseLine(line)
		if level != want.level || component != want.component || message != want.message {
			t.Errorf("%q: got %v %q %q, want %+v", line, level, component, message, want)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, line := range []string{"[WARN] memberlist: x", "[", "[]", "[ERR] ", "serf: ", "[WARN] serf: memberlist: \n"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		_, component, message := parseLine(line)
		if component != "serf" && component != "memberlist" || !strings.Contains(line, message) {
			t.Errorf("%q became %q %q", line, component, message)
		}
	})
}

func TestAddressThatIsShown(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  Config
		want string // the address; empty: that of Bind
	}{
		"one address":            {Config{Bind: "10.1.2.3:7772"}, "invalid AddrPort"},
		"told":                   {Config{Bind: "0.0.0.0:7772", Advertise: "192.0.2.1:99"}, "192.0.2.1:99"},
		"every one, by the seed": {Config{Bind: "0.0.0.0:7772", Seeds: []string{"nonsense", "127.0.0.1:7772"}}, "127.0.0.1:0"},
		"every one, IPv6":        {Config{Bind: "[::]:7772", Seeds: []string{"127.0.0.1:7772"}}, "127.0.0.1:0"},
	} {
		if got, err := test.cfg.shown(); err != nil || got.String() != test.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, test.want)
		}
	}
	nowhere := Config{Bind: "0.0.0.0:7772", Seeds: []string{"nonsense"}}
	if _, err := nowhere.shown(); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("no way to any seed: %v", err)
	}
}

func TestKnocksArePacked(t *testing.T) {
	m := &Mesh{knockNames: make(map[string]struct{}), knocks: make(chan struct{}, 1)}
	for i := range knocksAtMost {
		m.Knock(fmt.Sprint("host-", i), "host-0")
	}
	payloads := m.takeKnocks()
	if len(payloads) != knocksAtMost/knocksEach {
		t.Fatalf("%d payloads", len(payloads))
	}
	for i := range knocksAtMost {
		name := fmt.Sprint("host-", i)
		if !slices.ContainsFunc(payloads, func(p []byte) bool { return means(p, name) }) {
			t.Errorf("%s is not meant", name)
		}
	}
	if slices.ContainsFunc(payloads, func(p []byte) bool { return means(p, "another") }) {
		t.Error("another is meant")
	}
	for i := range knocksAtMost + 1 {
		m.Knock(fmt.Sprint("host-", i))
	}
	if payloads := m.takeKnocks(); len(payloads) != 1 || !means(payloads[0], "another") {
		t.Errorf("too many names are not everyone: %v", payloads)
	}
	if payloads := m.takeKnocks(); len(payloads) != 0 {
		t.Errorf("knocks went twice: %v", payloads)
	}
}

func TestWaitingKeepsTheLatest(t *testing.T) {
	w := waiting{last: make(map[string]Event)}
	for _, step := range []struct {
		name string
		kind EventKind
	}{{"a", Joined}, {"b", Joined}, {"a", Updated}, {"b", Failed}, {"c", Updated}, {"b", Joined}} {
		w.add(step.name, Event{Kind: step.kind, Member: Member{Name: step.name}})
	}
	var got []string
	for {
		event, taken, some := w.next(false)
		if !some {
			break
		}
		taken()
		got = append(got, event.Member.Name+" "+event.Kind.String())
	}
	if diff := cmp.Diff([]string{"a joined", "b joined", "c updated"}, got); diff != "" {
		t.Error(diff)
	}
}
