package search

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// give lets hosts of a fleet take tasks of these namespaces.
func (f *fleetOf) give(namespaces []string, ids ...fleet.HostID) {
	for _, id := range ids {
		host := *f.hosts[id]
		host.Namespaces = namespaces
		f.hosts[id] = &host
	}
}

// TestAttack27_SearchWithinAScope holds what is found within a scope to what is
// found where there is nothing else: jobs, groups, totals and cursors.
func TestAttack27_SearchWithinAScope(t *testing.T) {
	alone, beside := newFleet(), newFleet()
	for _, f := range []*fleetOf{alone, beside} {
		f.give([]string{"mine"}, f.put(1, "db-1", nil, job("/etc/crontab", 1, "root", "30 2 * * *", "/bin/backup"), job("/etc/crontab", 2, "root", "30 2 * * *", "/bin/own")), f.put(3, "db-3", nil, job("/etc/crontab", 1, "root", "30 2 * * *", "/bin/backup")))
	}
	for n := range 20 {
		id := beside.put(10+n, "db-2", map[string]string{"role": "db"}, job("/etc/crontab", 1, "root", "30 2 * * *", "/bin/backup"), job("/etc/crontab", 2, "root", "30 2 * * *", "/bin/theirs"))
		beside.give([][]string{{"theirs"}, {"min"}, nil, {"mine2"}}[n%4], id)
	}
	scope := fleet.ScopeOf("mine")
	want, got := New(alone), New(beside)
	for _, q := range []api.JobQuery{
		{}, {Text: "backup"}, {Text: "theirs"}, {Text: "-own"}, {Host: "db-2"}, {Label: "role=db"}, {User: "root", Page: api.Page{Limit: 1}},
		{Fingerprint: fleet.CommandFingerprint("/bin/theirs")}, {Fingerprint: fleet.CommandFingerprint("/bin/backup")},
	} {
		a, err := want.Query(everywhere, q)
		if err != nil {
			t.Fatal(err)
		}
		b, err := got.Query(scope, q)
		if a.Index, b.Index = 0, 0; err != nil || !cmp.Equal(a, b) {
			t.Errorf("%+v: %v %s", q, err, cmp.Diff(a, b))
		}
		groups, err := want.Groups(everywhere, q)
		if err != nil {
			t.Fatal(err)
		}
		within, err := got.Groups(scope, q)
		if groups.Index, within.Index = 0, 0; err != nil || !cmp.Equal(groups, within) {
			t.Errorf("groups of %+v: %v %s", q, err, cmp.Diff(groups, within))
		}
		if none, err := got.Query(fleet.Scope{}, q); err != nil || none.Total != 0 || len(none.Items) != 0 || none.Next != "" {
			t.Errorf("%+v within nothing: %+v, %v", q, none, err)
		}
		matches, err := got.Matcher(scope, q)
		if err != nil {
			t.Fatal(err)
		}
		for id, jobs := range beside.jobs {
			host := beside.hosts[id]
			for i := range jobs {
				if matches(host, &jobs[i]) && !scope.Meets(host.Namespaces) {
					t.Errorf("%+v matches a job of %v", q, host.Namespaces)
				}
			}
		}
	}
	if all, err := got.Query(everywhere, api.JobQuery{}); err != nil || all.Total != 43 {
		t.Errorf("%d jobs in all, %v", all.Total, err)
	}
	// A host that is given to others is gone at once.
	id := beside.put(1, "db-1", nil, job("/etc/crontab", 1, "root", "30 2 * * *", "/bin/backup"))
	beside.give([]string{"theirs"}, id)
	got.mark(id)
	if left, err := got.Query(scope, api.JobQuery{}); err != nil || left.Total != 1 {
		t.Errorf("%+v, %v", left, err)
	}
	var _ Source = (*ledger.Ledger)(nil)
}
