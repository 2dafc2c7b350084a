package search

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestFollowsTheLedger goes the whole way: a report is applied, and the next
// question finds its jobs; a snapshot is restored, and they are gone.
func TestFollowsTheLedger(t *testing.T) {
	l, err := ledger.Open(filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x := New(l)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	index := uint64(0)
	apply := func(command ledger.Command) {
		t.Helper()
		data, err := ledger.Encode(command)
		if err != nil {
			t.Fatal(err)
		}
		index++
		if refusal, refused := ledger.IsRefusal(l.Apply([]ledger.Entry{{Index: index, Term: 1, Data: data}})[0]); refused {
			t.Fatal(refusal)
		}
	}
	total := func(text string, want int) {
		t.Helper()
		list, err := x.Query(everywhere, api.JobQuery{Text: text})
		if err != nil || list.Total != want || len(list.Items) != want || list.Index != index {
			t.Errorf("%q: %d of %d at %d, %v; want %d at %d", text, len(list.Items), list.Total, list.Index, err, want, index)
		}
	}
	host := fleet.Host{ID: "0123456789abcdef0123456789abcdef", Name: "db-1"}
	apply(&ledger.RegisterHost{Host: host, At: now})
	var empty bytes.Buffer
	snapshot, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.WriteTo(&empty); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}

	report := fleet.Report{Host: "db-1", Scanned: now, Jobs: []fleet.Job{
		job("/etc/crontab", 4, "root", "@daily", "/bin/one"), job("/etc/crontab", 5, "root", "@daily", "/bin/two"),
	}}
	apply(&ledger.RecordReport{Host: host.ID, Report: report, Hash: report.ContentHash(), At: now})
	total("/bin/", 2)
	report.Jobs = report.Jobs[1:]
	apply(&ledger.RecordReport{Host: host.ID, Report: report, Hash: report.ContentHash(), At: now})
	total("/bin/one", 0)
	total("/bin/", 1)
	host.Name = "db-one"
	apply(&ledger.RegisterHost{Host: host, At: now})
	total("host:db-one", 1)

	if err := l.Restore(&empty); err != nil {
		t.Fatal(err)
	}
	index = 1
	total("", 0)
}
