package ledger

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestJobRowKeepsEveryField fills every field that a job has, so that one that
// is added to it and forgotten here is missed.
func TestJobRowKeepsEveryField(t *testing.T) {
	since := noon.Add(time.Microsecond)
	whole := jobRow{FirstSeen: noon.Add(1), Changed: noon.Add(3), Job: fleet.Job{
		ID: "0123456789abcdef", Kind: fleet.KindTimer, Source: "/etc/x", Line: 3, User: "root", Schedule: "@daily", Timezone: "UTC",
		Command: "/bin/\xff", Env: map[string]string{"A": "b"}, Next: []time.Time{noon, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}, Enabled: true,
		Verdict: fleet.Verdict{Runs: true, Code: fleet.Denied, Why: "so"}, Risks: []fleet.Risk{{Kind: fleet.FindSecret, Why: "there"}},
		Container: "c", Stale: &since, Unseen: true, Unit: "u.service", Latin1: true, Package: "p", ManagedBy: "m", Fingerprint: "fedcba9876543210",
	}}
	for value, i := reflect.ValueOf(whole.Job), 0; i < value.NumField(); i++ {
		if name := value.Type().Field(i).Name; name != "Evidence" && value.Field(i).IsZero() {
			t.Errorf("this test leaves %s out", name)
		}
	}
	rows := []jobRow{whole, {FirstSeen: noon, Changed: noon}}
	for _, id := range []fleet.JobID{"0000000000000000", "0123456789ABCDEF", "123", "00000000000000000001", "j"} {
		other := whole
		other.Job.ID, other.Job.Fingerprint = id, string(id)
		rows = append(rows, other)
	}
	for _, want := range rows {
		got, err := decode[jobRow](encode(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	later := encode(map[int]any{1: 7, 99: "a field of a later version"})
	if row, err := decode[jobRow](later); err == nil {
		t.Errorf("an unknown field was dropped: %v", row)
	}
}

// BenchmarkJobRow encodes and decodes a job as most are.
func BenchmarkJobRow(b *testing.B) {
	row := jobRow{FirstSeen: noon, Changed: noon, Job: fleet.Job{
		ID: "0123456789abcdef", Kind: fleet.KindCron, Source: "/etc/cron.d/part-1", Line: 3, User: "root", Schedule: "17 3 * * *", Timezone: "Europe/Berlin",
		Command: "/srv/web-0017.example.net/jobs/maintain --set 31 --target web-0017.example.net", Enabled: true,
		Next: []time.Time{noon, noon.Add(24 * time.Hour), noon.Add(48 * time.Hour)}, Verdict: fleet.Verdict{Runs: true}, Fingerprint: "fedcba9876543210",
	}}
	data := encode(row)
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			encode(row)
		}
		b.ReportMetric(float64(len(data)), "bytes")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decode[jobRow](data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
