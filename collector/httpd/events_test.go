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
	documents := []string{
		`{"task":"e","on":{"event":"e"},"run":{"command":"true"},"where":{"labels":"*"}}`,
		`{"task":"w","on":{"webhook":true},"run":{"command":"true"},"where":{"labels":"*"}}`,
	}
	for _, step := range []struct {
		state       fleet.TaskState
		event, hook int
	}{{fleet.TaskEnabled, 200, 200}, {fleet.TaskPaused, 404, 409}, {fleet.TaskEnabled, 200, 200}} {
		for _, document := range documents {
			taskOf(t, h.submit(t, tasked(t, document, step.state), ""))
		}
		for cause, want := range map[string]int{"event e": step.event, "webhook": step.hook} {
			var reply *http.Response
			if cause == "webhook" {
				reply = h.do(t, "POST", "/v1/hooks/default/w", `{}`, "Content-Type", api.MediaJSON)
			} else {
				reply = h.submit(t, raised("e", "{}"), "")
			}
			if reply.StatusCode != want {
				t.Errorf("%s while %s: %d, want %d: %s", cause, step.state, reply.StatusCode, want, text(t, reply))
			}
			if want == http.StatusOK {
				if orders := decoded[api.Sealed](t, reply, want).Orders; len(orders) != 1 || orders[0].Cause != cause {
					t.Errorf("%s: %+v", cause, orders)
				}
			}
		}
	}
}
