package httpd_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/search"
	"github.com/fleetcron/fleetcron/shared/api"
)

// TestReadyOnceTheFleetIsRead: a collector that starts with a fleet in its
// ledger is not ready before it can tell what runs where, and when.
func TestReadyOnceTheFleetIsRead(t *testing.T) {
	var index *search.Index
	before := newHouse(t)
	before.addHost(t, 1, nil)
	before.found(t, 1, epoch, cronJob(1, "0 3 * * *", "/bin/backup"))
	h := newHouse(t, func(d *httpd.Deps) {
		index = search.New(before.ledger)
		d.Ledger, d.Search = before.ledger, index
	})
	if p := decoded[api.Problem](t, h.do(t, http.MethodGet, api.PathReadyz, ""), http.StatusServiceUnavailable); p.Code != "loading" {
		t.Errorf("problem %+v", p)
	}
	if body := text(t, h.do(t, http.MethodGet, api.PathHealth, "")); !strings.Contains(body, `"index":{"status":"DOWN"`) || !strings.Contains(body, `"raft":{"status":"UP"`) {
		t.Errorf("health %s", body)
	}
	if err := index.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if body := text(t, h.do(t, http.MethodGet, api.PathReadyz, "")); body != "ok\n" {
		t.Errorf("ready: %s", body)
	}
	if body := text(t, h.do(t, http.MethodGet, api.PathHealth, "")); !strings.Contains(body, `"index":{"status":"UP","details":{"jobs":1}}`) {
		t.Errorf("health %s", body)
	}
	from := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	if list, err := h.Upcoming(as(t, "admin"), api.UpcomingQuery{From: from, Until: from.Add(24 * time.Hour)}); err != nil || len(list.Items) != 1 {
		t.Errorf("when: %+v, %v", list, err)
	}
}
