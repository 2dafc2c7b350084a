package api_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// slowed answers only every third request; the others are told to wait.
type slowed struct{ asked, seconds int }

// RoundTrip answers without a network, whose waits no bubble knows.
func (s *slowed) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	if s.asked++; s.asked%3 == 0 {
		answer.Header().Set("Content-Type", api.MediaJSON)
		_, _ = answer.Write([]byte("{}")) // a recorder takes all
	} else {
		answer.Header().Set("Retry-After", strconv.Itoa(s.seconds))
		problem(answer, fleet.Errorf(fleet.TooMany, "asked too often"))
	}
	return answer.Result(), nil
}

// TestWhoIsSlowedDownAsksAgain: a wait of moments is the client's own business, a
// longer one is for whoever asked.
func TestWhoIsSlowedDownAsksAgain(t *testing.T) {
	for _, test := range []struct{ seconds, asked int }{{1, 3}, {2, 3}, {3, 1}, {60, 1}} {
		synctest.Test(t, func(t *testing.T) {
			door := &slowed{seconds: test.seconds}
			c, err := api.NewClient(api.Config{Addresses: []string{"https://c1:7770"}, Transport: door})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Overview(t.Context())
			said, is := errors.AsType[*fleet.Error](err)
			if patient := test.asked > 1; door.asked != test.asked || (err == nil) != patient || is && (said.Kind != fleet.TooMany || err.Error() != "asked too often") {
				t.Errorf("wait %d s: asked %d times, %v", test.seconds, door.asked, err)
			}
		})
	}
}
