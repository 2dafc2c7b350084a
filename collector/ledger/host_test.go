package ledger

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestRegisterHost(t *testing.T) {
	l := newLedger(t)
	l.refused("invalid", &RegisterHost{Host: fleet.Host{ID: "short", Name: "a"}, At: noon})
	l.must(&RegisterHost{Host: testHost(1), At: noon})
	before := dump(t, l.Ledger)
	l.must(&RegisterHost{Host: testHost(1), At: noon.Add(time.Hour)})
	after := dump(t, l.Ledger)
	delete(before, "meta/applied")
	delete(after, "meta/applied")
	if diff := diffDumps(before, after); diff != "" {
		t.Errorf("the same description was written again: %s", diff)
	}
	l.must(testReport(1, testJob(1)))
	renamed := testHost(1)
	renamed.Name = "another"
	l.must(&RegisterHost{Host: renamed, At: noon.Add(2 * time.Hour)})
	host, found := l.Host(everywhere, hostID(1))
	if !found || host.Name != "another" || !host.FirstSeen.Equal(noon) || !host.Changed.Equal(noon.Add(2*time.Hour)) || host.Jobs != 1 {
		t.Errorf("%+v", host)
	}
	if len(l.AllHosts(everywhere)) != 1 || len(l.HostsNamed(everywhere, "host-1")) != 0 || len(l.HostsNamed(everywhere, "another")) != 1 {
		t.Errorf("%v", l.AllHosts(everywhere))
	}
}

func TestFindHost(t *testing.T) {
	l := newLedger(t)
	for n, name := range []string{"web", "web", "web-1", "db"} {
		host := testHost(n)
		host.Name = name
		l.must(&RegisterHost{Host: host, At: noon})
	}
	if named := l.HostsNamed(everywhere, "web"); len(named) != 2 || named[0].ID != hostID(0) || named[1].ID != hostID(1) {
		t.Errorf("%v", named)
	}
	for text, want := range map[string]fleet.HostID{"db": hostID(3), string(hostID(1)): hostID(1), "web-1": hostID(2)} {
		if host, err := l.FindHost(everywhere, text); err != nil || host.ID != want {
			t.Errorf("%q: %v, %v", text, host, err)
		}
	}
	for text, want := range map[string]fleet.Kind{"web": fleet.Conflict, "we": fleet.NotFound, "": fleet.NotFound} {
		if _, err := l.FindHost(everywhere, text); fleet.KindOf(err) != want {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func TestHosts(t *testing.T) {
	l := newLedger(t)
	for n := range 7 {
		host := testHost(n, "role", []string{"web", "db"}[n%2])
		host.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})}
		l.must(&RegisterHost{Host: host, At: noon})
	}
	for name, c := range map[string]struct {
		q    api.HostQuery
		keep func(*Host) bool
		want []string
	}{
		"all":     {api.HostQuery{}, nil, []string{"host-0", "host-1", "host-2", "host-3", "host-4", "host-5", "host-6"}},
		"text":    {api.HostQuery{Text: "HOST-3"}, nil, []string{"host-3"}},
		"address": {api.HostQuery{Text: "0.0.5"}, nil, []string{"host-5"}},
		"label":   {api.HostQuery{Label: "role=db"}, nil, []string{"host-1", "host-3", "host-5"}},
		"keep":    {api.HostQuery{}, func(h *Host) bool { return h.Name > "host-4" }, []string{"host-5", "host-6"}},
		"none":    {api.HostQuery{Text: "nobody"}, nil, nil},
	} {
		q := c.q
		q.Limit = 2
		var got []string
		for {
			page, err := l.Hosts(everywhere, q, c.keep)
			if err != nil || page.Total != len(c.want) || page.Index != 7 {
				t.Fatalf("%s: %+v, %v", name, page, err)
			}
			for _, host := range page.Hosts {
				got = append(got, host.Name)
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := l.Hosts(everywhere, api.HostQuery{Label: "=x"}, nil); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a broken selector: %v", err)
	}
}

func TestCluster(t *testing.T) {
	l := newLedger(t)
	if _, found, err := l.Cluster(); found || err != nil {
		t.Errorf("an empty ledger has a cluster: %v", err)
	}
	l.refused("invalid", &InitCluster{At: noon})
	l.must(&InitCluster{ID: "c1", At: noon})
	l.refused("other_cluster", &InitCluster{ID: "c2", At: noon})
	if again := l.must(&InitCluster{ID: "c1", At: noon.Add(time.Hour)}); again != (Cluster{ID: "c1", Created: noon}) {
		t.Errorf("%+v", again)
	}
	if got, found, err := l.Cluster(); err != nil || !found || got.ID != "c1" {
		t.Errorf("%+v, %v", got, err)
	}

	l.refused("invalid", &PutCollector{ID: "No Name", At: noon})
	l.refused("not_found", &DropCollector{ID: "a"})
	l.must(&PutCollector{ID: "b", API: "http://127.0.0.1:2", At: noon}, &PutCollector{ID: "a", API: "http://127.0.0.1:1", At: noon})
	l.must(&PutCollector{ID: "a", API: "http://127.0.0.1:1", At: noon.Add(time.Hour)}) // the same again
	want := []Collector{{ID: "a", API: "http://127.0.0.1:1", Changed: noon}, {ID: "b", API: "http://127.0.0.1:2", Changed: noon}}
	if got, err := l.Collectors(); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	l.must(&DropCollector{ID: "a"})
	if got, err := l.Collectors(); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
