package main

import (
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestWhatARunSays(t *testing.T) {
	forty := 40.5
	for _, test := range []struct {
		run  api.LiveRun
		want string
	}{
		{api.LiveRun{}, ""},
		{api.LiveRun{Attempt: 2, Progress: &forty, Message: "loading"}, "attempt 2; 40.5 %; loading"},
		{api.LiveRun{Health: fleet.Healthy, HealthDetail: "refused"}, "healthy; refused"},
		{api.LiveRun{Unread: 2, UnreadBecause: `want HEARTBEAT: "hello"`}, `2 unreadable notes, the last: want HEARTBEAT: "hello"`},
	} {
		if got := says(&program{}, &test.run); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
