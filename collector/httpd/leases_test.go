package httpd_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestAPayloadForManyHostsIsSmall keeps an event for a whole fleet from becoming
// an entry that no collector can carry.
func TestAPayloadForManyHostsIsSmall(t *testing.T) {
	h := newHouse(t)
	const hosts = 300
	for n := range hosts {
		h.addHost(t, n, nil)
	}
	h.giveTask(t, `{"task":"w","on":{"event":"e"},"run":{"command":"true"},"where":{"labels":"*"}}`)
	raise := func(bytes int) *http.Response {
		return h.submit(t, raised("e", `"`+strings.Repeat("x", bytes-2)+`"`), "")
	}
	if reply := raise(16 << 10); reply.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("16 KiB for %d hosts: %d %s", hosts, reply.StatusCode, text(t, reply))
	}
	if sealed := decoded[api.Sealed](t, raise(8<<10), http.StatusOK); len(sealed.Orders) != hosts {
		t.Errorf("%d orders", len(sealed.Orders))
	}
}

const narrowTask = `{"task":"narrow","on":{"manual":true},"run":{"command":"true"},"where":{"labels":"*"},"limits":{"fleet":2,"timeout":"1m"}}`

// TestAPlaceGoesFromRunToRun lets many runs wait for few places, and ends those
// that have one until everybody had theirs.
func TestAPlaceGoesFromRunToRun(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	json := []string{"Content-Type", api.MediaJSON}
	h.giveTask(t, narrowTask)
	const runs = 7
	agent := api.AgentPath(hostID(1))
	granted := make(chan fleet.Lease, runs)
	for n := range runs {
		go func() {
			body := fmt.Sprintf(`{"task":"default/narrow","run":"r%d","wait":"30s"}`, n)
			reply := h.do(t, "POST", agent+"/leases", body, json...)
			if reply.StatusCode != http.StatusOK {
				t.Error(text(t, reply))
				granted <- fleet.Lease{}
				return
			}
			granted <- decoded[fleet.Lease](t, reply, http.StatusOK)
		}()
	}
	fences := map[uint64]bool{}
	for n := range runs {
		lease := <-granted
		held, err := h.ledger.LeasesOf(everywhere, "default/narrow")
		if err != nil || len(held) > 2 {
			t.Fatalf("%d runs hold one of 2 places (%v)", len(held), err)
		}
		if fences[lease.Fence] || lease.Run == "" {
			t.Fatalf("%+v has a fence of another", lease)
		}
		fences[lease.Fence] = true
		exit := 0
		run := newRun(1, fleet.RunRan)
		run.ID, run.Task, run.Exit = lease.Run, "default/narrow", &exit
		batch := asJSON(t, api.RunBatch{Journal: fleet.JournalID(strings.Repeat("c", 32)), Records: []api.RunRecord{{Sequence: uint64(n + 1), Run: run}}})
		if reply := h.do(t, "POST", agent+"/runs", batch, json...); reply.StatusCode != http.StatusOK {
			t.Fatal(text(t, reply))
		}
	}
	reply := h.do(t, "POST", agent+"/leases", `{"task":"default/narrow","run":"r0"}`, json...)
	if reply.StatusCode != http.StatusConflict {
		t.Errorf("a run that has ended gets a lease: %s", text(t, reply))
	}
}
