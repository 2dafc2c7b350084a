package fleet

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCountIsWhatNextWalks holds Count to the instants one by one.
func TestCountIsWhatNextWalks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
		instant := rapid.Custom(func(t *rapid.T) time.Time {
			return from.Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "at")))
		})
		task := Task{Name: "t"}
		if rapid.Bool().Draw(t, "every") {
			task.On.Every = Duration(rapid.Int64Range(int64(time.Minute), int64(5*time.Hour)).Draw(t, "period"))
			task.On.Anchor = rapid.Ptr(instant, true).Draw(t, "anchor")
		} else {
			task.On.Cron, task.On.Timezone = rapid.SampledFrom([]string{"*/7 * * * *", "30 2 * * *"}).Draw(t, "cron"), "Europe/Berlin"
		}
		task.On.Starts, task.On.Ends = rapid.Ptr(instant, true).Draw(t, "starts"), rapid.Ptr(instant, true).Draw(t, "ends")
		task.On.Spread = Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "spread"))
		clock, err := task.Clock("0123456789abcdef0123456789abcdef")
		if err != nil {
			t.Fatal(err)
		}
		after, until := instant.Draw(t, "after"), instant.Draw(t, "until")
		want := 0
		for at, ok := clock.Next(after); ok && !at.After(until); at, ok = clock.Next(at) {
			want++
		}
		if got := clock.Count(after, until); got != want {
			t.Fatalf("%d instants after %s up to %s, want %d", got, after, until, want)
		}
	})
}
