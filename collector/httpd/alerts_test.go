package httpd_test

import (
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
)

// TestAlertsAskForWhatThereIs holds the alerts that come with the packages to
// the metrics and the labels that there are.
func TestAlertsAskForWhatThereIs(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	reply := h.do(t, http.MethodGet, api.PathMetrics, "")
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (fleetcron_\S+) (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		kinds[line[1]] = line[2]
	}
	alerts, err := os.ReadFile("../../packaging/config/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, rule := range regexp.MustCompile(`(?m)expr: (.*)$`).FindAllStringSubmatch(string(alerts), -1) {
		for _, name := range regexp.MustCompile(`fleetcron_\w+`).FindAllString(rule[1], -1) {
			asked[name] = true
			counts := strings.Contains(rule[1], "increase("+name)
			if kind := kinds[name]; kind == "" || counts != (kind == "counter") {
				t.Errorf("%s asks for %s, which is a %q", rule[1], name, kind)
			}
		}
	}
	if len(asked) < 8 {
		t.Errorf("only %v are asked for", slices.Sorted(maps.Keys(asked)))
	}
}
