package httpd_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// put sends JSON and wants it taken.
func (h *house) put(t *testing.T, target, body string, header ...string) *http.Response {
	t.Helper()
	reply := h.do(t, http.MethodPut, target, body, append([]string{"Content-Type", api.MediaJSON}, header...)...)
	if reply.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %d %s", target, reply.StatusCode, text(t, reply))
	}
	return reply
}

func TestWhatIsKnownCostsNoEntry(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	report := h.addReport(t, 1, "/bin/a")
	report.Jobs[0].Evidence = &fleet.Evidence{Last: report.Scanned, Grade: fleet.GradeStarted}
	report.Jobs[0].Next = []time.Time{report.Scanned.Add(time.Hour)}
	report.Scanned = report.Scanned.Add(time.Minute)
	said := fleet.Sightings{
		Since: map[fleet.JobKind]time.Time{fleet.KindCron: report.Scanned},
		Jobs:  map[fleet.JobID]fleet.Evidence{report.Jobs[0].ID: {Last: report.Scanned, Grade: fleet.GradeStarted, From: "journal"}},
	}
	h.put(t, api.AgentPath(hostID(1))+"/sightings", asJSON(t, said))
	before, _ := h.ledger.Applied()
	h.put(t, api.AgentPath(hostID(1))+"/report", asJSON(t, report))
	h.put(t, api.AgentPath(hostID(1))+"/sightings", asJSON(t, said))
	said.Jobs = nil
	h.put(t, api.AgentPath(hostID(1))+"/sightings", asJSON(t, said))
	if after, _ := h.ledger.Applied(); after != before {
		t.Errorf("%d entries for what was known", after-before)
	}
	jobs, err := h.Jobs(as(t, "admin"), api.JobQuery{})
	if err != nil || jobs.Items[0].Evidence == nil || jobs.Items[0].Evidence.From != "journal" || jobs.Items[0].Dialect != "debian" {
		t.Errorf("%+v, %v", jobs.Items, err)
	}
}

func TestJobsOfThePast(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, map[string]string{"role": "db"})
	h.addHost(t, 2, map[string]string{"role": "web"})
	h.addReport(t, 1, "/bin/old", "/bin/stays")
	h.addReport(t, 2, "/bin/old")
	then := time.Unix(1_700_000_300, 0).UTC()
	next := fleet.Report{Host: "host-1", Scanned: then, Jobs: []fleet.Job{{
		ID: "0123456789abcdef", Kind: fleet.KindCron, Source: "/etc/cron.d/x", Line: 1, User: "www", Schedule: "@daily", Command: "/bin/new",
	}}}
	h.propose(t, &ledger.RecordReport{Host: hostID(1), Report: next, Hash: "next", At: then.Add(time.Second)})
	for query, want := range map[string]int{
		"at=" + then.Format(time.RFC3339):                                            3,
		"at=" + then.Format(time.RFC3339) + "&q=old":                                 2,
		"at=" + then.Format(time.RFC3339) + "&q=host:host-1":                         2,
		"at=" + then.Format(time.RFC3339) + "&label=role%3Dweb&user=root":            1,
		"at=" + then.Format(time.RFC3339) + "&host=host-1&verdict=broken":            0,
		"at=" + then.Add(-time.Hour).Format(time.RFC3339):                            0,
		"at=" + then.Add(2*time.Second).Format(time.RFC3339):                         2,
		"changed_since=" + then.Format(time.RFC3339):                                 1,
		"changed_since=" + then.Format(time.RFC3339) + "&kind=timer":                 0,
		"changed_since=" + then.Add(-time.Hour).Format(time.RFC3339):                 2,
		"changed_since=" + then.Add(2*time.Second).Format(time.RFC3339):              0,
		"changed_since=" + then.Add(-time.Hour).Format(time.RFC3339) + "&owner=none": 2,
	} {
		found := 0
		for after := ""; ; {
			list := decoded[api.List[api.JobView]](t, h.do(t, http.MethodGet, api.PathJobs+"?limit=1&"+query+"&after="+url.QueryEscape(after), ""), http.StatusOK)
			found += len(list.Items)
			if after = list.Next; after == "" {
				break
			}
		}
		if found != want {
			t.Errorf("%s: %d, want %d", query, found, want)
		}
	}
	changes := decoded[api.List[api.ChangeView]](t, h.do(t, http.MethodGet, api.PathChanges+"?limit=1&host=host-1", ""), http.StatusOK)
	if len(changes.Items) != 1 || changes.Next == "" || changes.Items[0].HostName != "host-1" {
		t.Errorf("%+v", changes)
	}
	rest := decoded[api.List[api.ChangeView]](t, h.do(t, http.MethodGet, api.PathChanges+"?host=host-1&after="+changes.Next, ""), http.StatusOK)
	if len(rest.Items) != 3 || rest.Next != "" {
		t.Errorf("%+v", rest)
	}
}

func TestPinsAreResolvedWhenTheyArePut(t *testing.T) {
	h := newHouse(t)
	for n := range 3 {
		h.addHost(t, n, map[string]string{"role": "db"})
		h.addReport(t, n, "/bin/a", "/bin/b")
	}
	pin := decoded[fleet.Pin](t, h.put(t, api.PathPins+"/db", `{"labels":"role=db"}`, "Authorization", "Bearer anna", api.HeaderReason, "hard"), http.StatusOK)
	if len(pin.Allow) != 2 || pin.Allow[0].Command != "/bin/a" || pin.Allow[0].User != "root" || pin.By != "anna" || pin.Reason != "hard" {
		t.Errorf("%+v", pin)
	}
	h.addReport(t, 1, "/bin/a", "/bin/c", "/bin/d")
	view := decoded[api.PinView](t, h.do(t, http.MethodGet, api.PathPins+"/db", ""), http.StatusOK)
	if view.Hosts != 3 || view.Unexpected != 2 {
		t.Errorf("%+v", view)
	}
	if none := decoded[fleet.Pin](t, h.put(t, api.PathPins+"/none", `{"labels":"role=web","allow":[]}`), http.StatusOK); none.Allow == nil || len(none.Allow) != 0 {
		t.Errorf("a pin that allows nothing: %+v", none)
	}
	pins := decoded[api.List[api.PinView]](t, h.do(t, http.MethodGet, api.PathPins, ""), http.StatusOK)
	if pins.Total != 2 || pins.Items[0].Unexpected != 2 {
		t.Errorf("%+v", pins)
	}
}

func TestOnlyAFindingIsAcknowledged(t *testing.T) {
	const there, gone = "0123456789abcdef", "fedcba9876543210"
	h := newHouse(t, func(d *httpd.Deps) {
		d.HasFinding = func(_ context.Context, id string) (bool, error) { return id == there, nil }
	})
	ack := decoded[fleet.Ack](t, h.put(t, api.PathFindings+"/"+there+"/ack", `{"reason":" known "}`, "Authorization", "Bearer anna"), http.StatusOK)
	if ack.Finding != there || ack.By != "anna" || ack.Reason != "known" || ack.At.IsZero() {
		t.Errorf("%+v", ack)
	}
	reply := h.do(t, http.MethodPut, api.PathFindings+"/"+gone+"/ack", `{"reason":"x"}`, "Content-Type", api.MediaJSON)
	decoded[api.Problem](t, reply, http.StatusNotFound)
	if acks, err := h.ledger.Acks(everywhere); err != nil || len(acks) != 1 {
		t.Errorf("%v, %v", acks, err)
	}
}

func TestAnnotationsReachJobs(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	print := h.addReport(t, 1, "/bin/a").Jobs[0].Fingerprint
	client := newClient(t, h.serve(t).URL)
	said, err := client.Annotate(t.Context(), print, api.AnnotationRequest{Owner: " team-data ", Note: "ask first"})
	if err != nil || said.Owner != "team-data" || said.By != "anna" {
		t.Fatalf("%+v, %v", said, err)
	}
	jobs, err := client.Jobs(t.Context(), api.JobQuery{})
	if err != nil || jobs.Items[0].Owner != "team-data" || jobs.Items[0].Note != "ask first" {
		t.Errorf("%+v, %v", jobs.Items, err)
	}
	if got, err := client.Annotation(t.Context(), print); err != nil || got != said {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := client.Annotate(t.Context(), print, api.AnnotationRequest{}); err != nil {
		t.Fatal(err)
	}
	if list, err := client.Annotations(t.Context(), api.Page{}); err != nil || list.Total != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
