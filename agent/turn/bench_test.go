package turn

import (
	"context"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// BenchmarkStraight is what nearly every run pays for its turn.
func BenchmarkStraight(b *testing.B) {
	r := newRoom(newPlaces(0), func(c *Config) { c.Rate = 1 << 30 })
	defer r.Close()
	task := &fleet.Task{Name: "a"}
	ask := Ask{Run: fleet.Run{ID: "r", Task: task.ID()}, Task: task, Start: func(context.Context, Leave) error { return nil }}
	for b.Loop() {
		if err := r.Begin(b.Context(), ask); err != nil {
			b.Fatal(err)
		}
		r.over("r")
	}
}
