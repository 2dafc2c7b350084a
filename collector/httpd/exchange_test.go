package httpd

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
)

// TestAgentHearsOfTheRingAsItIsWhenTheAnswerBegins: a question may wait a minute
// for its answer, and a rotation goes on meanwhile.
func TestAgentHearsOfTheRingAsItIsWhenTheAnswerBegins(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"with a status": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		"at once":       func(w http.ResponseWriter) { w.Write([]byte("{}")) },
	} {
		now := "before"
		to := httptest.NewRecorder()
		w := &recorder{ResponseWriter: to, exchange: &exchange{ring: func() string { return now }}}
		now = "after"
		answer(w)
		if got := to.Result().Header.Get(api.HeaderRing); got != "after" {
			t.Errorf("%s: it hears %q", name, got)
		}
	}
}
