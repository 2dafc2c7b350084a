package httpd_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// adoptable returns a house with a host that is alive and has jobs.
func adoptable(t *testing.T, change func(*fleet.Job)) (*house, fleet.Job) {
	t.Helper()
	h := newHouse(t)
	h.addHost(t, 1, nil)
	report := h.addReport(t, 1, "/usr/bin/dump --all", "/usr/bin/other")
	for i := range report.Jobs {
		report.Jobs[i].Timezone = "Europe/Berlin"
	}
	if change != nil {
		change(&report.Jobs[0])
	}
	h.propose(t, &ledger.RecordReport{Host: hostID(1), Report: report, Hash: report.ContentHash(), At: time.Unix(1_700_000_300, 0).UTC()})
	h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", "") // it is alive
	return h, report.Jobs[0]
}

func (h *house) adopt(t *testing.T, request api.AdoptRequest) *http.Response {
	t.Helper()
	return h.do(t, http.MethodPost, api.PathAdoptions, asJSON(t, request), "Content-Type", api.MediaJSON, "Authorization", "Bearer anna", api.HeaderReason, "central")
}

func (h *house) settle(t *testing.T, state fleet.AdoptionState, why string) {
	t.Helper()
	wish, err := h.ledger.Adoption(everywhere, "data/dump")
	if err != nil {
		t.Fatal(err)
	}
	word := fleet.Adoption{Asked: wish.Asked, Task: "data/dump", Host: hostID(1), State: state, Why: why, Handed: time.Unix(1_700_001_000, 0), At: time.Unix(1, 0)}
	reply := h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/adoptions", asJSON(t, []fleet.Adoption{word}), "Content-Type", api.MediaJSON)
	if reply.StatusCode != http.StatusOK {
		t.Fatal(text(t, reply))
	}
}

func TestAdoptionOverTheAPI(t *testing.T) {
	document := openDocument(t)
	h, job := adoptable(t, nil)
	host := fleet.Host{ID: hostID(1), Name: "host-1", Cron: "debian", Timezone: "Europe/Berlin"}
	reply := h.submit(t, adopted(t, host, job, "data/dump", false), "", "Authorization", "Bearer anna", api.HeaderReason, "central")
	conforms(t, "adopt", document.Paths.Find(api.PathSealed).Post, reply)
	sealed := decoded[api.Sealed](t, reply, http.StatusOK)
	if a := sealed.Adoption; a == nil || a.State != fleet.AdoptionWanted || a.Task != "data/dump" || a.By != "anna" || a.Reason != "central" || a.Job.ID != job.ID || len(a.Envelope) == 0 {
		t.Fatalf("%+v", a)
	}
	answer := decoded[api.TaskView](t, h.do(t, http.MethodGet, "/v1/tasks/data/dump", ""), http.StatusOK)
	for _, part := range []string{"cron: 30 2 * * *", "timezone: Europe/Berlin", "user: root", "command: /usr/bin/dump --all", "PATH: /usr/bin:/bin", string(hostID(1))} {
		if !strings.Contains(string(answer.Document), part) {
			t.Errorf("the document lacks %q:\n%s", part, answer.Document)
		}
	}
	plan := decoded[fleet.Plan](t, h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""), http.StatusOK)
	if len(plan.Assignments) != 1 || len(plan.Adoptions) != 1 {
		t.Errorf("plan %+v", plan)
	}
	if p := decoded[api.Problem](t, h.submit(t, adopted(t, host, job, "data/again", false), ""), http.StatusConflict); p.Code != api.CodeExists {
		t.Errorf("%+v", p)
	}
	h.settle(t, fleet.AdoptionAdopted, "")
	got := h.do(t, http.MethodGet, "/v1/adoptions/data/dump", "")
	conforms(t, "adoption", document.Paths.Find(api.PathAdoption).Get, got)
	if a := decoded[fleet.Adoption](t, got, http.StatusOK); a.State != fleet.AdoptionAdopted || a.Handed.IsZero() {
		t.Errorf("%+v", a)
	}
	if p := decoded[api.Problem](t, h.submit(t, retired("data/dump"), ""), http.StatusConflict); p.Code != "adopted" || !strings.Contains(p.Hint, "fleetctl release data/dump") {
		t.Errorf("%+v", p)
	}
	if p := decoded[api.Problem](t, h.submit(t, released("data/dump", hostID(2)), ""), http.StatusUnprocessableEntity); p.Field != "hosts" {
		t.Errorf("%+v", p)
	}
	if a := decoded[api.Sealed](t, h.submit(t, released("data/dump", hostID(1)), ""), http.StatusOK).Adoption; a == nil || a.State != fleet.AdoptionReleasing {
		t.Errorf("%+v", a)
	}
	h.settle(t, fleet.AdoptionReleased, "")
	if reply := h.do(t, http.MethodGet, "/v1/tasks/data/dump", ""); reply.StatusCode != http.StatusNotFound {
		t.Errorf("the task: %s", text(t, reply))
	}
	list := decoded[api.List[fleet.Adoption]](t, h.do(t, http.MethodGet, api.PathAdoptions, ""), http.StatusOK)
	if len(list.Items) != 1 || list.Items[0].State != fleet.AdoptionReleased {
		t.Errorf("%+v", list)
	}
}

func TestAdoptionIsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*fleet.Job)
		request api.AdoptRequest
		status  int
		says    string
	}{
		{"no host", nil, api.AdoptRequest{Host: "nobody", Job: "1234"}, 404, "nobody"},
		{"no job", nil, api.AdoptRequest{Host: "host-1", Job: "0000000000000000"}, 404, "no job"},
		{"no host given", nil, api.AdoptRequest{Job: "1234"}, 422, "host"},
		{"a short id", nil, api.AdoptRequest{Host: "host-1", Job: "1"}, 422, "first 4 digits"},
		{"bad task", nil, api.AdoptRequest{Host: "host-1", Task: "Data/X"}, 422, "task"},
		{"bad schedule", nil, api.AdoptRequest{Host: "host-1", Schedule: "61 * * * *"}, 422, "on.cron"},
		{"managed", func(j *fleet.Job) { j.ManagedBy = "Puppet" }, api.AdoptRequest{Host: "host-1"}, 403, "Puppet"},
		{"packaged", func(j *fleet.Job) { j.Package = "cron" }, api.AdoptRequest{Host: "host-1"}, 403, "package cron"},
		{"at", func(j *fleet.Job) { j.Kind = fleet.KindAt }, api.AdoptRequest{Host: "host-1"}, 403, "at job"},
		{"does not run", func(j *fleet.Job) { j.Verdict = fleet.Verdict{Why: "of its mode"} }, api.AdoptRequest{Host: "host-1"}, 403, "of its mode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, job := adoptable(t, c.change)
			if c.request.Job == "" {
				c.request.Job = job.ID
			}
			c.request.DryRun = true
			reply := h.adopt(t, c.request)
			if body := text(t, reply); reply.StatusCode != c.status || !strings.Contains(body, c.says) {
				t.Errorf("status %d: %s", reply.StatusCode, body)
			}
		})
	}
	h, job := adoptable(t, func(j *fleet.Job) { j.ManagedBy = "Puppet" })
	host := fleet.Host{ID: hostID(1), Name: "host-1", Cron: "debian", Timezone: "Europe/Berlin"}
	decoded[api.Sealed](t, h.submit(t, adopted(t, host, job, "data/x", true), ""), http.StatusOK)
	moved := job
	moved.Line++
	if p := decoded[api.Problem](t, h.submit(t, adopted(t, host, moved, "data/y", true), ""), http.StatusPreconditionFailed); p.Code != api.CodeStale {
		t.Errorf("%+v", p)
	}

	silent := newHouse(t)
	silent.addHost(t, 1, nil)
	r := silent.addReport(t, 1, "/bin/x")
	if p := decoded[api.Problem](t, silent.adopt(t, api.AdoptRequest{Host: "host-1", Job: r.Jobs[0].ID, DryRun: true}), http.StatusServiceUnavailable); p.Code != api.CodeSilent {
		t.Errorf("%+v", p)
	}
}

// TestAdoptionRehearsed asks the host itself, also where it polls another
// collector than the leader.
func TestAdoptionRehearsed(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer api.JobDiff
		status int
		says   string
	}{
		{"welcome", api.JobDiff{Diff: "-a\n+# a\n"}, 200, `-a\n+# a`},
		{"refused", api.JobDiff{Why: "the host forbids it"}, 403, "forbids it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			houses := newHouses(t, 2)
			leader, other := houses[0], houses[1]
			first, second := leader.serve(t), other.serve(t)
			leader.addHost(t, 1, nil)
			report := leader.addReport(t, 1, "/bin/x")
			report.Jobs[0].Timezone = "UTC"
			leader.propose(t, &ledger.RecordReport{Host: hostID(1), Report: report, Hash: report.ContentHash(), At: time.Unix(1_700_000_300, 0).UTC()})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			agent := newClient(t, second.URL)
			if _, err := newClient(t, first.URL).Plan(ctx, hostID(1), 0, 0); err != nil { // the leader knows it is alive
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for ctx.Err() == nil {
					asks, _ := agent.Asks(ctx, hostID(1), 5*time.Second)
					for _, ask := range asks {
						said, _ := json.Marshal(c.answer)
						if ask.Adopt == nil || ask.Adopt.Job.ID != report.Jobs[0].ID {
							said = []byte("what?")
						}
						_ = agent.Answer(ctx, hostID(1), ask.ID, 0, strings.NewReader(string(said)))
					}
				}
			}()
			var reply *http.Response
			for range 50 { // until the agent polls
				if reply = leader.adopt(t, api.AdoptRequest{Host: "host-1", Job: report.Jobs[0].ID, DryRun: true}); reply.StatusCode != http.StatusServiceUnavailable {
					break
				}
			}
			if body := text(t, reply); reply.StatusCode != c.status || !strings.Contains(body, c.says) {
				t.Errorf("status %d: %s", reply.StatusCode, body)
			}
			if all, err := leader.ledger.Adoptions(everywhere); err != nil || len(all) != 0 {
				t.Errorf("a rehearsal was recorded: %+v, %v", all, err)
			}
			cancel()
			<-ended
		})
	}
}

func TestAdoptionWordsAreBounded(t *testing.T) {
	h, _ := adoptable(t, nil)
	for body, status := range map[string]int{
		`[{"task":"a/b","host":"` + string(hostID(2)) + `","job":{},"state":"adopted","at":"2026-01-01T00:00:00Z"}]`:                                 403,
		`[{"task":"a/b","host":"` + string(hostID(1)) + `","job":{},"state":"adopted","handed":"9998-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}]`: 422,
		`{"task":"a/b"}`:     422,
		`[{"colour":"red"}]`: 400,
	} {
		if reply := h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/adoptions", body, "Content-Type", api.MediaJSON); reply.StatusCode != status {
			t.Errorf("%s: status %d, want %d: %s", body, reply.StatusCode, status, text(t, reply))
		}
	}
}
