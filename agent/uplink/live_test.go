package uplink

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
)

// TestWhatGoesOnIsAnswered: also where nobody knows, and where it cannot be
// written down.
func TestWhatGoesOnIsAnswered(t *testing.T) {
	for _, test := range []struct {
		name string
		live func() api.Live
		runs int
	}{
		{"one", func() api.Live { return api.Live{Runs: []api.LiveRun{{Run: "r", Task: "a/b"}}} }, 1},
		{"nobody knows", nil, 0},
		{"no number", func() api.Live { return api.Live{Runs: []api.LiveRun{{Sample: &api.Sample{CPU: math.NaN()}}}} }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if test.live != nil {
					w.config.Live = func(context.Context) (api.Live, error) { return test.live(), nil }
				}
				time.Sleep(time.Second)
				w.c.asks <- api.Ask{ID: "x", Live: true}
				answer, is := strings.CutPrefix(<-w.c.answers, "x 0 ")
				var live api.Live
				if err := json.Unmarshal([]byte(answer), &live); err != nil || !is || len(live.Runs) != test.runs {
					t.Errorf("%q: %v", answer, err)
				}
				w.stop()
			})
		})
	}
}
