package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestValuesAreShown: a task's page says what it takes, and a run's page what it
// was given; neither is ever more than text.
func TestValuesAreShown(t *testing.T) {
	const hostile = `<script>alert(1)</script>`
	handler := Handler(&fake{n: 1, text: hostile, lead: "c1", state: fleet.RunRan}, Options{Login: everybody{}})
	for target, want := range map[string][]string{
		"/tasks/" + string(aTask): {"<dt>Parameters</dt>", "text, one of &lt;script&gt;"},
		"/runs/" + string(aRun):   {"<dt>With</dt>", "<code>&lt;script&gt;alert(1)&lt;/script&gt;</code>"},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+target, nil))
		page := w.Body.String()
		for _, text := range want {
			if !strings.Contains(page, text) {
				t.Errorf("%s (%d) lacks %s", target, w.Code, text)
			}
		}
		if strings.Contains(page, hostile) {
			t.Errorf("%s holds a script", target)
		}
	}
}
