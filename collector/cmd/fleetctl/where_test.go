package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

func someWhere(t *rapid.T, label string) fleet.Where {
	where, err := parseTargets("to", rapid.SliceOfN(rapid.SampledFrom([]string{
		"role=db", "role=web", "zone", "!old", "env!=dev", "host=db-1", "host=db-2,web-*", "host=web-1", "net=10.0.0.0/8", "net=10.1.0.0/16,192.168.0.1",
	}), 1, 3).Draw(t, label))
	if err != nil {
		t.Fatal(err)
	}
	return where
}

func someHost(t *rapid.T) *fleet.Host {
	labels := map[string]string{}
	for key, values := range map[string][]string{"role": {"", "db", "web"}, "zone": {"", "a"}, "old": {"", "x"}, "env": {"", "dev", "prod"}} {
		if value := rapid.SampledFrom(values).Draw(t, key); value != "" {
			labels[key] = value
		}
	}
	return &fleet.Host{
		Name: rapid.SampledFrom([]string{"db-1", "db-2", "web-1", "web-9", "other"}).Draw(t, "name"), Labels: labels,
		Addresses: []netip.Addr{netip.MustParseAddr(rapid.SampledFrom([]string{"10.1.2.3", "10.9.9.9", "192.168.0.1", "172.16.0.1"}).Draw(t, "address"))},
	}
}

// TestWidenAndNarrowKeepTheirWord compares with what the words mean: widening
// adds exactly the hosts named, narrowing takes them away and no others.
func TestWidenAndNarrowKeepTheirWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		where, other, host := someWhere(t, "where"), someWhere(t, "other"), someHost(t)
		if wider, err := widen(where, other); err == nil {
			if got, want := wider.Matches(host), where.Matches(host) || other.Matches(host); got != want {
				t.Fatalf("widen %+v by %+v = %+v matches %v, want %v", where, other, wider, got, want)
			}
		}
		narrower, err := narrow(where, other)
		if err != nil || dimensions(other) > 1 {
			return
		}
		if narrower.Matches(host) && !where.Matches(host) {
			t.Fatalf("narrow %+v by %+v = %+v matches a host that it did not match before", where, other, narrower)
		}
		if len(other.Hosts)+len(other.Networks) == 0 && narrower.Matches(host) && other.Matches(host) {
			t.Fatalf("narrow %+v by %+v = %+v still matches", where, other, narrower)
		}
	})
}

func TestNarrow(t *testing.T) {
	tests := []struct{ where, less, want string }{
		{"host=a,b", "host=a", "host=b"},
		{"host=a", "host=a", ""},
		{"net=10.0.0.0/8,10.1.0.1", "net=10.1.0.1", "net=10.0.0.0/8"},
		{"role=db", "role=db", ""},
		{"role=db", "zone=a", "role=db,zone!=a"},
		{"role=db", "zone", "role=db,!zone"},
		{"role=db", "!zone", "role=db,zone"},
		{"role=db", "zone!=a", "role=db,zone=a"},
		{"role=db,zone!=a", "zone=a", "role=db,zone!=a"},
		{"all", "zone=a", "zone!=a"},
		{"all", "all", ""},
		{"host=a", "role=db", "role!=db host=a"},
	}
	for _, test := range tests {
		where, err := parseTargets("to", []string{test.where})
		if err != nil {
			t.Fatal(err)
		}
		less, err := parseTargets("from", []string{test.less})
		if err != nil {
			t.Fatal(err)
		}
		got, err := narrow(where, less)
		if err != nil || whereText(&got) != test.want {
			t.Errorf("%s without %s is %q (%v), want %q", test.where, test.less, whereText(&got), err, test.want)
		}
	}
}

func TestWindow(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ now, from, to, wantFrom, wantTo string }{
		{"2026-03-27T12:00:00Z", "02:00", "04:00", "2026-03-28T02:00:00+01:00", "2026-03-28T04:00:00+01:00"},
		{"2026-03-27T02:00:00Z", "02:00", "04:00", "2026-03-27T02:00:00+01:00", "2026-03-27T04:00:00+01:00"}, // it goes on now
		{"2026-03-27T12:00:00Z", "22:00", "06:00", "2026-03-27T22:00:00+01:00", "2026-03-28T06:00:00+01:00"},
		{"2026-03-27T02:00:00Z", "22:00", "06:00", "2026-03-26T22:00:00+01:00", "2026-03-27T06:00:00+01:00"}, // over midnight, now
		{"2026-03-28T12:00:00Z", "01:00", "04:00", "2026-03-29T01:00:00+01:00", "2026-03-29T04:00:00+02:00"}, // over the change of the clock
		{"2026-03-27T12:00:00Z", "", "", "2026-03-27T13:00:00+01:00", "2026-03-27T14:00:00+01:00"},
		{"2026-03-27T12:00:00Z", "", "18:00", "2026-03-27T13:00:00+01:00", "2026-03-27T18:00:00+01:00"},
		{"2026-03-27T12:00:00Z", "2026-04-01 02:00", "04:00", "2026-04-01T02:00:00+02:00", "2026-04-01T04:00:00+02:00"},
		{"2026-03-27T12:00:00Z", "2026-04-01T00:00:00Z", "", "2026-04-01T02:00:00+02:00", "2026-04-01T03:00:00+02:00"},
	}
	for _, test := range tests {
		p := &program{zone: berlin, now: func() time.Time {
			now, _ := time.Parse(time.RFC3339, test.now)
			return now
		}}
		from, to, err := p.window(test.from, test.to)
		if got, want := from.In(berlin).Format(time.RFC3339)+" "+to.In(berlin).Format(time.RFC3339), test.wantFrom+" "+test.wantTo; err != nil || got != want {
			t.Errorf("at %s, --from %q --to %q: %s (%v), want %s", test.now, test.from, test.to, got, err, want)
		}
	}
}

func TestWidths(t *testing.T) {
	tests := []struct {
		text  string
		width int
		cut   string // to 5 columns
	}{
		{"abc", 3, "abc"},
		{"abcdef", 6, "abcd…"},
		{"東京都庁", 8, "東京…"},
		{"日本", 4, "日本"},
		{"e\u0301e\u0301", 2, "e\u0301e\u0301"},
		{"ｶﾅ", 2, "ｶﾅ"},
		{"한국어", 6, "한국…"},
		{"😀😀😀", 6, "😀😀…"},
		{"", 0, ""},
	}
	for _, test := range tests {
		if got := textWidth(test.text); got != test.width {
			t.Errorf("%q is %d wide, want %d", test.text, got, test.width)
		}
		if got := cut(test.text, 5); got != test.cut {
			t.Errorf("%q cut to 5 is %q, want %q", test.text, got, test.cut)
		}
	}
}

func TestExitCodeOfRuns(t *testing.T) {
	exit := func(code int) fleet.Run { return fleet.Run{State: fleet.RunRan, Exit: &code} }
	timedOut := exit(0)
	timedOut.TimedOut = true
	tests := []struct {
		runs []fleet.Run
		want int
	}{
		{[]fleet.Run{exit(0)}, 0},
		{[]fleet.Run{exit(3)}, 3},
		{[]fleet.Run{exit(0), exit(7), exit(3)}, 7},
		{[]fleet.Run{{State: fleet.RunRan, Signal: "SIGKILL"}}, 137},
		{[]fleet.Run{{State: fleet.RunMissed}}, 1},
		{[]fleet.Run{{State: fleet.RunMissed, Reason: fleet.MissedPrecondition}}, 124},
		{[]fleet.Run{{State: fleet.RunSkipped}, exit(0)}, 1},
		{[]fleet.Run{timedOut}, 1},
	}
	for _, test := range tests {
		views := make([]api.RunView, len(test.runs))
		for i, run := range test.runs {
			views[i].Run = run
		}
		if got := exitCode(views); got != test.want {
			t.Errorf("%+v: exit %d, want %d", test.runs, got, test.want)
		}
	}
}

// FuzzTargets: what --to accepts names hosts in a way that Validate accepts.
func FuzzTargets(f *testing.F) {
	for _, seed := range []string{"all", "role=db,env!=dev", "host=db-1,web-*", "net=10.0.0.0/8,::1", "!old", "host=", "net=", "*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		where, err := parseTargets("to", []string{value})
		if err != nil {
			if fleet.KindOf(err) != fleet.Usage {
				t.Fatalf("not a usage error: %v", err)
			}
			return
		}
		text := whereText(&where)
		if strings.ContainsFunc(text, visible.Hidden) {
			t.Fatalf("hostile text for people: %q", text)
		}
	})
}

// FuzzConfig: a config file is settings that hold, or an error for people.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"output: json\n", "address: [a, b]\ntimeout: 5s\n", "token: x\ntoken: y\n", "? [a]\n: b\n", "&a : *a\n", "- x", "\t"} {
		f.Add([]byte(seed))
	}
	file := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		p := &program{getenv: func(string) string { return "" }}
		root := newRoot(p)
		p.flags.config = file
		if err := p.configure(root); err != nil {
			if fleet.KindOf(err) != fleet.Usage {
				t.Fatalf("not a usage error: %v", err)
			}
			return
		}
		if p.settings.Timeout <= 0 || p.settings.Output > asYAML || len(p.settings.Addresses) == 0 {
			t.Fatalf("settings that do not hold: %+v", p.settings)
		}
	})
}
