package findings

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// divided is a motley fleet whose first hosts are of one namespace.
func divided(first int) Fleet {
	f := motley()
	slices.SortFunc(f.Hosts, func(a, b Host) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for i := range f.Hosts {
		if f.Hosts[i].Namespaces = []string{"theirs"}; i < first {
			f.Hosts[i].Namespaces = []string{"mine"}
		}
	}
	return f
}

// TestAttack27_FindingsWithinAScope holds what somebody sees in a fleet that is
// shared to what they see where there is no other: what comes of comparing hosts
// compares theirs alone.
func TestAttack27_FindingsWithinAScope(t *testing.T) {
	mine := fleet.ScopeOf("mine")
	whole, alone := divided(12), divided(12)
	others := map[fleet.HostID]bool{}
	for _, host := range whole.Hosts[12:] {
		others[host.ID] = true
	}
	alone.Hosts = alone.Hosts[:12]
	job := newJob("/bin/adopted").Job
	whole.Adoptions = []fleet.Adoption{{Task: "theirs/secret", Host: whole.Hosts[0].ID, Job: job, State: fleet.AdoptionStuck, Why: "theirs", At: noon}}
	engine, own := New(newShelf(whole)), New(newShelf(alone))
	for _, e := range []*Engine{engine, own} {
		if err := e.Look(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
	}
	seenAll, err := engine.List(t.Context(), everywhere, api.FindingQuery{Page: api.Page{Limit: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []api.FindingQuery{
		{Page: api.Page{Limit: 1000}}, {Page: api.Page{Limit: 3}}, {Text: "web-2"}, {Host: whole.Hosts[20].Name}, {Host: whole.Hosts[3].Name}, {Label: "role=web"}, {Kind: fleet.FindOutlier},
	} {
		got, err := engine.List(t.Context(), mine, q)
		want, otherwise := own.List(t.Context(), mine, q)
		if !cmp.Equal(got, want) || (err == nil) != (otherwise == nil) || err != nil && err.Error() != otherwise.Error() {
			t.Errorf("%+v: %v, %v: %s", q, err, otherwise, cmp.Diff(want, got))
		}
		for _, one := range got.Items {
			if others[one.Host] || strings.Contains(one.Summary, "30 hosts") || strings.Contains(one.Summary, "theirs") {
				t.Errorf("%+v", one)
			}
		}
	}
	got, err := engine.List(t.Context(), mine, api.FindingQuery{Page: api.Page{Limit: 1000}})
	if err != nil || got.Total == 0 || got.Total >= seenAll.Total {
		t.Fatalf("%d of %d, %v", got.Total, seenAll.Total, err)
	}
	unseen := 0
	for _, one := range seenAll.Items {
		found, err := engine.Finding(t.Context(), mine, one.ID)
		switch {
		case err == nil && (others[found.Host] || found.Kind == fleet.FindAdoption):
			t.Errorf("%+v", found)
		case err != nil:
			unseen++
			_, unknown := engine.Finding(t.Context(), mine, "0000000000000000")
			if got, want := strings.ReplaceAll(err.Error(), one.ID, "ID"), strings.ReplaceAll(unknown.Error(), "0000000000000000", "ID"); got != want {
				t.Errorf("%s and %s", got, want)
			}
		}
	}
	if unseen == 0 {
		t.Error("everything is seen")
	}
	none, err := engine.List(t.Context(), fleet.Scope{}, api.FindingQuery{})
	if err != nil || none.Total != 0 || len(none.Items)+len(none.Counts) != 0 {
		t.Errorf("who sees nothing is told %+v, %v", none, err)
	}
}

// TestViewsFollow shows that what a scope sees is worked out anew after a look,
// and that a finding about several hosts is acknowledged by each for themselves.
func TestViewsFollow(t *testing.T) {
	mine := fleet.ScopeOf("mine")
	source := newShelf(divided(12))
	engine := New(source)
	if err := engine.Look(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	several := func(scope fleet.Scope) (ids []string) {
		t.Helper()
		list, err := engine.List(t.Context(), scope, api.FindingQuery{Acked: "all", Page: api.Page{Limit: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range list.Items {
			if len(one.Hosts) > 0 {
				ids = append(ids, one.ID)
			}
		}
		return ids
	}
	own, all := several(mine), several(everywhere)
	if len(own) == 0 || slices.ContainsFunc(own, func(id string) bool { return slices.Contains(all, id) }) {
		t.Errorf("%d of one's own, %d of all, some are the same", len(own), len(all))
	}
	source.change(func(f *Fleet) {
		for i := range f.Hosts {
			f.Hosts[i].Namespaces = []string{"theirs"}
		}
	})
	if err := engine.Look(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	if left := several(mine); len(left) != 0 {
		t.Errorf("%d findings about hosts that are given away", len(left))
	}
	for n := range 3 * maxViews { // scopes come and go
		if list, err := engine.List(t.Context(), fleet.ScopeOf("theirs", string(rune('a'+n))), api.FindingQuery{}); err != nil || list.Total == 0 {
			t.Fatalf("%+v, %v", list, err)
		}
	}
	if n := len(engine.views); n > maxViews {
		t.Errorf("%d views are kept", n)
	}
}
