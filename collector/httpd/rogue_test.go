package httpd_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// TestACollectorThatPassesARenewalOnHasNotLooked: the serial that a renewal
// names is that of the connection, whichever collector the host called.
func TestACollectorThatPassesARenewalOnHasNotLooked(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{})
	key, request := newKey(t)
	got := decoded[api.Enrolled](t, h.enroll(t, here, api.Enroll{Token: token.Secret, Request: request}).Result(), http.StatusCreated)
	mine := credentials(t, key, got.Chain, got.CA)
	_, next := newKey(t)
	path := api.AgentPath(fleet.HostID(got.Node)) + "/certificate"
	passed := asJSON(t, fleet.Principal{Kind: fleet.AgentKind, Name: got.Node, Token: "an older one"})
	reply := h.on(t, pki.PlanePeer, http.MethodPost, path, asJSON(t, api.Renew{Request: next, Serial: mine.Serial()}), headerPeer, "c2", api.HeaderPrincipal, passed, "Content-Type", api.MediaJSON)
	if reply.StatusCode != http.StatusUnprocessableEntity && reply.StatusCode != http.StatusBadRequest {
		t.Errorf("%d %s", reply.StatusCode, text(t, reply))
	}
	if node, err := h.ledger.Node(everywhere, got.Node); err != nil || node.Serial != mine.Serial() || node.State != fleet.NodeActive {
		t.Errorf("%+v, %v", node, err)
	}
}

// TestAStrangerHearsNothingOfCollectors: their names can be guessed.
func TestAStrangerHearsNothingOfCollectors(t *testing.T) {
	h := newHouse(t)
	h.propose(t, &ledger.PutNode{Node: fleet.Node{ID: "c1", Role: fleet.CollectorKind, Serial: "01", Fingerprint: "ff"}, At: time.Now().UTC()})
	is, not := h.on(t, pki.PlaneEnroll, http.MethodGet, api.PathEnroll+"/c1", ""), h.on(t, pki.PlaneEnroll, http.MethodGet, api.PathEnroll+"/c7", "")
	if a, b := text(t, is), text(t, not); is.StatusCode != http.StatusNotFound || not.StatusCode != http.StatusNotFound || strings.Contains(a, "ff") || len(a) != len(b) {
		t.Errorf("%d %s, %d %s", is.StatusCode, a, not.StatusCode, b)
	}
}

// doors asks people for their tokens and takes the test's word for agents.
type doors struct{ people httpd.Authenticator }

func (d doors) Authenticate(r *http.Request, plane pki.Plane) (fleet.Principal, error) {
	if plane == pki.PlaneAgent {
		return callers{}.Authenticate(r, plane)
	}
	return d.people.Authenticate(r, plane)
}

// TestAWaitEndsWithItsToken: who waits for news, and follows output, does so no
// longer than the token counts.
func TestAWaitEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(d *httpd.Deps) { d.Authenticator = doors{&httpd.Gate{Register: d.Ledger}} })
		h.addHost(t, 1, nil)
		id, anna := h.token(t, nil)
		first := h.call(t, here, http.MethodGet, api.PathTasks, anna)
		index := first.Header.Get(api.HeaderIndex)
		answered := make(chan int)
		go func() {
			answered <- h.call(t, here, http.MethodGet, api.PathTasks+"?wait=1m&index="+index, anna).StatusCode
		}()
		run := newRun(1, fleet.RunRunning)
		h.record(t, 1, run)
		go h.on(t, pki.PlaneAgent, http.MethodGet, api.AgentPath(hostID(1))+"/asks?wait=10s", "", headerAgent, string(hostID(1)))
		synctest.Wait()
		followed := make(chan int)
		go func() {
			reply := h.call(t, here, http.MethodGet, api.RunPath(run.ID)+"/output?follow=true", anna)
			followed <- reply.StatusCode
		}()
		synctest.Wait()
		began := time.Now()
		h.propose(t, &ledger.RevokeToken{ID: id, At: time.Now().UTC()})
		<-followed
		if took := time.Since(began); took > time.Second {
			t.Errorf("output was followed %s longer than the token counted", took)
		}
		if status := <-answered; status != http.StatusUnauthorized {
			t.Errorf("who waited was answered %d", status)
		}
		check(t, h.Close())
	})
}

// TestAttack42_AnAgentSendsSoMuchAndNoMore bounds what one host can have every
// collector keep.
func TestAttack42_AnAgentSendsSoMuchAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.addHost(t, 1, nil)
		h.addHost(t, 2, nil)
		junk := strings.Repeat(" ", 7<<20)
		report := func(host int) int {
			return h.do(t, http.MethodPut, api.AgentPath(hostID(host))+"/report", junk, "Content-Type", api.MediaJSON).StatusCode
		}
		sent := 0
		for ; sent < 100 && report(1) != http.StatusTooManyRequests; sent++ {
		}
		if sent < 5 || sent > 10 {
			t.Errorf("%d reports of 7 MiB were taken on end", sent)
		}
		if report(2) == http.StatusTooManyRequests {
			t.Error("another host waits, too")
		}
		time.Sleep(time.Minute)
		if report(1) == http.StatusTooManyRequests {
			t.Error("a minute later it still waits")
		}
		check(t, h.Close())
	})
}

// TestNobodyHidesInACrowd: whoever is refused in many ways at once does not keep
// what others do out of the chain.
func TestNobodyHidesInACrowd(t *testing.T) {
	h := newHouse(t)
	for n := range 1000 {
		h.do(t, http.MethodDelete, api.PathTokens+"/aaaaa"+itoa(100+n%900), "", "Authorization", "Bearer vera:viewer:*")
	}
	h.do(t, http.MethodGet, api.PathTokens, "", "Authorization", "Bearer walter:viewer:*")
	taken := h.do(t, http.MethodGet, api.PathBackup, "", "Authorization", "Bearer mallory")
	if taken.StatusCode != http.StatusOK {
		t.Fatal(text(t, taken))
	}
	h.Remark(t.Context())
	list, err := h.ledger.Audit(everywhere, api.AuditQuery{Page: api.Page{Limit: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	by, counted := map[string]int{}, 0
	for _, link := range list.Items {
		by[link.By.Name]++
		if link.By.Name == "vera" {
			counted += max(1, link.Count)
		}
	}
	if by["vera"] != 21 || counted != 1000 || by["walter"] != 1 || by["mallory"] != 1 {
		t.Errorf("%v, of which %d by vera", by, counted)
	}
}

// TestABackupIsTakenByNobodyUnseen, not even while nobody leads.
func TestABackupIsTakenByNobodyUnseen(t *testing.T) {
	h := newHouse(t)
	h.member.lead("c9")
	reply := h.do(t, http.MethodGet, api.PathBackup, "", "Authorization", "Bearer mallory")
	if p := decoded[api.Problem](t, reply, http.StatusServiceUnavailable); p.Code != "audit_unavailable" {
		t.Errorf("%+v", p)
	}
}

// TestWhoServesWhatIsNotToldByATrial: a host of mine may serve others, whom I do
// not know.
func TestWhoServesWhatIsNotToldByATrial(t *testing.T) {
	h := newHouse(t)
	h.propose(t, &ledger.PutNode{Node: fleet.Node{ID: string(hostID(1)), Role: fleet.AgentKind, Namespaces: []string{"red", "blue"}, Serial: "01", Fingerprint: "ff"}, At: time.Now().UTC()})
	h.addHost(t, 1, map[string]string{"role": "db"})
	try := func(namespace string) *http.Response {
		document := strings.Replace(backup, `"namespace":"data"`, `"namespace":"`+namespace+`"`, 1)
		return h.do(t, http.MethodPost, api.PathResolve, document, "Content-Type", api.MediaJSON, "Authorization", "Bearer rita:viewer:red")
	}
	if got := decoded[api.Resolution](t, try("red"), http.StatusOK); len(got.Hosts) != 1 {
		t.Errorf("%+v", got)
	}
	for _, namespace := range []string{"blue", "green"} {
		if p := decoded[api.Problem](t, try(namespace), http.StatusNotFound); strings.Contains(p.Detail, "host") {
			t.Errorf("%s: %+v", namespace, p)
		}
	}
}

// TestALeaderKeepsNoCertificateForItself: a join token that another collector
// passes on is signed for one key.
func TestALeaderKeepsNoCertificateForItself(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{Collector: "c4"})
	sign := func(request, issuer string) *http.Response {
		return h.on(t, pki.PlanePeer, http.MethodPost, "/v1/collectors/c4/certificate",
			asJSON(t, api.Enroll{Token: token.Secret, Request: request, Intermediate: issuer, Name: "c4"}), headerPeer, "c2", "Content-Type", api.MediaJSON)
	}
	_, own := newKey(t)
	_, theirs := newKey(t)
	_, issuer := newKey(t)
	for range 2 { // the answer may have been lost
		decoded[api.Enrolled](t, sign(theirs, issuer), http.StatusOK)
	}
	if p := decoded[api.Problem](t, sign(own, issuer), http.StatusUnauthorized); p.Code != "join_token_invalid" {
		t.Errorf("%+v", p)
	}
}
