package httpd_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// clearing is a task whose order says what to clear.
const clearing = `{"task":"clear","namespace":"data","on":{"manual":true},"params":{"site":{"type":"text","pattern":"[a-z]+"},"days":{"type":"int","default":"7","max":"30"}},
	"run":{"command":["/usr/bin/clear","--days={{days}}","{{site}}"]},"where":{"labels":"*"}}`

// with orders a run of the task with these values.
func with(host fleet.HostID, params fleet.Params) *seal.Statement {
	said := ordered(fleet.OrderRun, "data/clear", host)
	said.Order.Params = params
	return said
}

func TestAnOrderSaysItsValues(t *testing.T) {
	h := newHouse(t)
	host := h.addHost(t, 1, nil)
	h.giveTask(t, clearing)
	params := fleet.Params{"site": "shop"}
	order := h.order(t, with(host.ID, params), api.HeaderReason, "it is stale").Orders[0]
	if diff := cmp.Diff(params, order.Params); diff != "" {
		t.Error(diff)
	}
	run := decoded[api.RunView](t, h.do(t, http.MethodGet, api.RunPath(order.Run), ""), http.StatusOK)
	if diff := cmp.Diff(params, run.Params); diff != "" || run.State != fleet.RunPending {
		t.Errorf("the run that was promised: %s %+v", diff, run)
	}
	list, err := h.Audit(as(t, "admin"), api.AuditQuery{})
	if err != nil || len(list.Items) < 2 || !strings.Contains(list.Items[1].Why, "it is stale; with site=shop") {
		t.Errorf("%v, %+v", err, list.Items)
	}
}

func TestValuesThatDoNotFitAreRefusedAtOnce(t *testing.T) {
	h := newHouse(t)
	host := h.addHost(t, 1, nil)
	h.giveTask(t, clearing)
	for name, test := range map[string]struct {
		params fleet.Params
		want   string
	}{
		"nothing":     {nil, `params.site: must be given: text, as [a-z]+`},
		"unknown":     {fleet.Params{"site": "a", "sitee": "a"}, `params.sitee \"a\": is no parameter of the task; there are days, site`},
		"pattern":     {fleet.Params{"site": "A"}, `params.site \"A\": want what matches [a-z]+`},
		"range":       {fleet.Params{"site": "a", "days": "31"}, `params.days \"31\": want at most 30`},
		"not a value": {fleet.Params{"site": "a", "days": "$(id)"}, `params.days \"$(id)\": want a whole number`},
	} {
		reply := h.submit(t, with(host.ID, test.params), "?queue=allow")
		if body := text(t, reply); reply.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, test.want) {
			t.Errorf("%s: %s %s", name, reply.Status, body)
		}
	}
	other := ordered(fleet.OrderStop, "data/clear", host.ID)
	other.Order.Params = fleet.Params{"site": "a"}
	if _, err := seal.Sign(other, nil); err == nil || !strings.Contains(err.Error(), "order.params") {
		t.Errorf("values of an order to stop: %v", err)
	}
}

// TestARunnerOnlyRunsAndCancels tries every kind of statement as a runner: a
// help desk, that has tasks run which others made.
func TestARunnerOnlyRunsAndCancels(t *testing.T) {
	h := newHouse(t)
	host := h.addHost(t, 1, nil)
	h.giveTask(t, clearing)
	const desk, foreign = "Bearer desk:runner:data", "Bearer desk:runner:web"
	run := with(host.ID, fleet.Params{"site": "shop"})
	sealed := decoded[api.Sealed](t, h.submit(t, run, "?queue=allow", "Authorization", desk), http.StatusOK)
	promised := fleet.Run{ID: sealed.Orders[0].Run, Task: "data/clear", Host: host.ID}
	if reply := h.submit(t, with(host.ID, fleet.Params{"site": "shop"}), "?queue=allow", "Authorization", foreign); reply.StatusCode != http.StatusNotFound {
		t.Errorf("a runner of another namespace: %s", reply.Status)
	}
	if reply := h.submit(t, cancelled(promised), "", "Authorization", foreign); reply.StatusCode != http.StatusNotFound {
		t.Errorf("to cancel in another namespace: %s", reply.Status)
	}
	if reply := h.submit(t, cancelled(promised), "", "Authorization", desk); reply.StatusCode != http.StatusOK {
		t.Errorf("to cancel: %s %s", reply.Status, text(t, reply))
	}
	for needs, statements := range map[string][]*seal.Statement{
		"tasks:control": {
			ordered(fleet.OrderStart, "data/clear", host.ID), ordered(fleet.OrderStop, "data/clear", host.ID),
			ordered(fleet.OrderRestart, "data/clear", host.ID), ordered(fleet.OrderReset, "data/clear", host.ID), raised("deployed", "{}"),
		},
		"tasks:write": {tasked(t, clearing, fleet.TaskEnabled), tasked(t, clearing, fleet.TaskPaused), retired("data/clear"), closing(t, "year-end", `{"windows":[{"from":"2026-12-24T00:00:00Z","for":"2d"}]}`, api.MediaJSON)},
	} {
		for _, said := range statements {
			reply := h.submit(t, said, "?queue=allow", "Authorization", desk)
			if p := decoded[api.Problem](t, reply, http.StatusForbidden); !strings.Contains(p.Detail, needs) {
				t.Errorf("%s %s: %+v", said.Kind, said.Object(), p)
			}
		}
	}
	if reply := h.do(t, http.MethodGet, api.PathTasks, "", "Authorization", desk); reply.StatusCode != http.StatusOK {
		t.Errorf("a runner reads: %s", reply.Status)
	}
}
