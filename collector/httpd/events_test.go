package httpd_test

import (
	"net/http"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAPausedTaskHearsNothing shows that a cause is no person's word: it runs
// no task that is paused.
func TestAPausedTaskHearsNothing(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	h.giveTask(t, `{"task":"e","on":{"event":"e"},"run":{"command":"true"},"where":{"labels":"*"}}`)
	h.giveTask(t, `{"task":"w","on":{"webhook":true},"run":{"command":"true"},"where":{"labels":"*"}}`)
	json := []string{"Content-Type", api.MediaJSON}
	for _, step := range []struct {
		state       fleet.TaskState
		event, hook int
	}{{fleet.TaskEnabled, 200, 200}, {fleet.TaskPaused, 404, 409}, {fleet.TaskEnabled, 200, 200}} {
		for _, name := range []string{"e", "w"} {
			h.do(t, "PATCH", "/v1/tasks/default/"+name, `{"state":"`+string(step.state)+`"}`, json...)
		}
		for target, want := range map[string]int{"/v1/events/e": step.event, "/v1/hooks/default/w": step.hook} {
			reply := h.do(t, "POST", target, `{}`, json...)
			if reply.StatusCode != want {
				t.Errorf("%s while %s: %d, want %d: %s", target, step.state, reply.StatusCode, want, text(t, reply))
			}
			if want == http.StatusOK {
				if ordered := decoded[api.Ordered](t, reply, want); len(ordered.Orders) != 1 || ordered.Orders[0].Cause == "" {
					t.Errorf("%s: %+v", target, ordered)
				}
			}
		}
	}
}
