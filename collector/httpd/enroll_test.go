package httpd_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

func authority(t testing.TB) *identity.Authority {
	t.Helper()
	made, _, err := identity.Make("c1", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// newKey returns a key and its certificate request.
func newKey(t testing.TB) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request, err := pki.Request(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(request)
}

// joinToken makes one as an admin does.
func (h *house) joinToken(t testing.TB, want api.NewJoinToken) api.MadeJoinToken {
	t.Helper()
	return decoded[api.MadeJoinToken](t, h.do(t, http.MethodPost, api.PathJoinTokens, asJSON(t, want), "Content-Type", api.MediaJSON), http.StatusOK)
}

// enroll brings a request on the plane of newcomers, from an address.
func (h *house) enroll(t testing.TB, from string, body api.Enroll) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, api.PathEnroll, strings.NewReader(asJSON(t, body)))
	r.Header.Set("Content-Type", api.MediaJSON)
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	h.planes[pki.PlaneEnroll].ServeHTTP(w, r)
	return w
}

const here = "127.0.0.1:4711"

func problemIn(t testing.TB, w *httptest.ResponseRecorder, status int) api.Problem {
	t.Helper()
	return decoded[api.Problem](t, w.Result(), status)
}

func TestAHostEnrolsAndRenews(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{Namespaces: []string{"data"}, Labels: map[string]string{"zone": "a"}})
	key, request := newKey(t)
	got := decoded[api.Enrolled](t, h.enroll(t, here, api.Enroll{Token: token.Secret, Request: request, Name: "web-1"}).Result(), http.StatusCreated)
	first := credentials(t, key, got.Chain, got.CA)
	if id := first.ID(); id.Name != got.Node || id.Role != pki.RoleAgent || got.State != fleet.NodeActive || got.Fingerprint != first.Fingerprint() {
		t.Errorf("enrolled as %v: %+v", id, got)
	}
	if got.Gossip == nil || len(got.Gossip.Keys) != 1 {
		t.Fatalf("gossip %+v", got.Gossip)
	}
	if _, err := pki.VerifyTicket(got.Gossip.Ticket, first.ID(), first.Root(), time.Now()); err != nil {
		t.Error(err)
	}
	node, err := h.ledger.Node(fleet.ScopeOf(fleet.Everywhere), got.Node)
	if err != nil || node.Name != "web-1" || !slices.Equal(node.Namespaces, []string{"data"}) || node.Labels["zone"] != "a" || node.Serial != first.Serial() {
		t.Errorf("%+v, %v", node, err)
	}
	next, again := newKey(t)
	path := api.AgentPath(fleet.HostID(got.Node)) + "/certificate"
	renewed := decoded[api.Enrolled](t, h.renewal(t, path, first, api.Renew{Request: again, Serial: first.Serial()}), http.StatusCreated)
	second := credentials(t, next, renewed.Chain, renewed.CA)
	if second.ID() != first.ID() || second.Serial() == first.Serial() || renewed.Gossip == nil {
		t.Errorf("renewed %+v", renewed)
	}
	if err := h.ledger.AdmitNode(fleet.AgentKind, got.Node, second.Serial()); err != nil {
		t.Error(err)
	}
}

// renewal asks on the plane of agents, over the connection of these credentials.
func (h *house) renewal(t testing.TB, path string, as *pki.Credentials, body api.Renew) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(asJSON(t, body)))
	r.Header.Set("Content-Type", api.MediaJSON)
	r.Header.Set(headerAgent, as.ID().Name)
	r.TLS = &tls.ConnectionState{PeerCertificates: as.Chain()}
	w := httptest.NewRecorder()
	h.planes[pki.PlaneAgent].ServeHTTP(w, r)
	return w.Result()
}

func credentials(t testing.TB, key *ecdsa.PrivateKey, chain, ca string) *pki.Credentials {
	t.Helper()
	certs, err := pki.ParseCertificates([]byte(chain))
	if err != nil {
		t.Fatal(err)
	}
	root, err := pki.ParseCertificates([]byte(ca))
	if err != nil {
		t.Fatal(err)
	}
	c, err := pki.NewCredentials(key, certs, root[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAttack12_JoinTokensThatDoNotCount(t *testing.T) {
	h := newHouse(t)
	_, request := newKey(t)
	used := h.joinToken(t, api.NewJoinToken{})
	h.enroll(t, here, api.Enroll{Token: used.Secret, Request: request})
	good := h.joinToken(t, api.NewJoinToken{})
	wrong, err := pki.ParseJoinSecret(good.Secret)
	if err != nil {
		t.Fatal(err)
	}
	wrong.Secret[0] ^= 1
	expired := pki.NewJoinSecret(strings.Repeat("ab", 32))
	h.propose(t, &ledger.PutJoinToken{Token: fleet.JoinToken{
		ID: expired.ID, Hash: expired.Hash(), Namespaces: []string{"*"}, Created: time.Now().Add(-time.Hour), Expires: time.Now().Add(-time.Minute),
	}})
	bodies := map[string]bool{}
	for name, token := range map[string]string{
		"unknown": pki.NewJoinSecret(strings.Repeat("ab", 32)).Text(), "used": used.Secret, "expired": expired.Text(),
		"wrong secret": wrong.Text(), "malformed": "fcj1.x", "none": "",
	} {
		w := h.enroll(t, here, api.Enroll{Token: token, Request: request})
		bodies[strings.Replace(w.Body.String(), w.Header().Get(api.HeaderRequestID), "", 1)] = true
		if p := problemIn(t, w, http.StatusUnauthorized); p.Code != "join_token_invalid" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if len(bodies) != 1 {
		t.Errorf("%d different answers: %v", len(bodies), bodies)
	}
}

func TestAttack13_OneJoinTokenByFifty(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{})
	_, request := newKey(t)
	var mu sync.Mutex
	statuses := map[int]int{}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			w := h.enroll(t, here, api.Enroll{Token: token.Secret, Request: request})
			mu.Lock()
			defer mu.Unlock()
			statuses[w.Code]++
		})
	}
	all.Wait()
	if statuses[http.StatusCreated] != 1 || statuses[http.StatusUnauthorized] != 49 {
		t.Errorf("statuses %v", statuses)
	}
}

func TestAttack14_JoinTokenOfAnotherNetwork(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{Network: "10.0.0.0/8"})
	_, request := newKey(t)
	p := problemIn(t, h.enroll(t, "192.0.2.1:1", api.Enroll{Token: token.Secret, Request: request}), http.StatusForbidden)
	if p.Code != "join_token_scope" {
		t.Errorf("%+v", p)
	}
	if w := h.enroll(t, "10.1.2.3:1", api.Enroll{Token: token.Secret, Request: request}); w.Code != http.StatusCreated {
		t.Errorf("from within: %d %s", w.Code, w.Body)
	}
}

func TestAttack16to19_BadRequestsLeaveTheTokenUnused(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{})
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"another key": {string(pemOf(der)), http.StatusUnprocessableEntity, "csr_key_type"},
		"no PEM":      {"hello", http.StatusUnprocessableEntity, "csr_parse"},
		"large":       {strings.Repeat("x", 9<<10), http.StatusRequestEntityTooLarge, "csr_too_large"},
		"1 MiB":       {strings.Repeat("x", 1<<20), http.StatusRequestEntityTooLarge, ""},
	} {
		p := problemIn(t, h.enroll(t, here, api.Enroll{Token: token.Secret, Request: c.request}), c.status)
		if c.code != "" && p.Code != c.code {
			t.Errorf("%s: %+v", name, p)
		}
	}
	_, request := newKey(t)
	if w := h.enroll(t, here, api.Enroll{Token: token.Secret, Request: request}); w.Code != http.StatusCreated {
		t.Errorf("the token is used: %d %s", w.Code, w.Body)
	}
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestAttack18_ExtrasAreIgnoredAndNoted(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{})
	key, _ := newKey(t)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"c1"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	if w := h.enroll(t, here, api.Enroll{Token: token.Secret, Request: string(pemOf(der))}); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	list, err := h.ledger.Audit(fleet.ScopeOf(fleet.Everywhere), api.AuditQuery{Action: "node.enroll"})
	if err != nil || len(list.Items) != 1 || !strings.Contains(list.Items[0].Why, "csr_extras_ignored: extensions") {
		t.Errorf("%+v, %v", list.Items, err)
	}
}

func TestAttack20_JoinTokensOfAnotherRole(t *testing.T) {
	h := newHouse(t)
	_, own := newKey(t)
	_, issuer := newKey(t)
	agents, collectors := h.joinToken(t, api.NewJoinToken{}), h.joinToken(t, api.NewJoinToken{Collector: "c2"})
	for name, body := range map[string]api.Enroll{
		"a collector with an agent's": {Token: agents.Secret, Request: own, Intermediate: issuer, Name: "c2"},
		"an agent with a collector's": {Token: collectors.Secret, Request: own},
		"another collector with c2's": {Token: collectors.Secret, Request: own, Intermediate: issuer, Name: "c3"},
		"one key for both of c2's":    {Token: collectors.Secret, Request: own, Intermediate: own, Name: "c2"},
		"a name for browsers with @":  {Token: collectors.Secret, Request: own, Intermediate: issuer, Name: "c2", Hosts: []string{"a@b"}},
	} {
		if w := h.enroll(t, here, body); w.Code/100 != 4 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		} else if p := problemIn(t, w, w.Code); strings.Contains(name, "with a") && p.Code != "role_not_allowed" && p.Code != "csr_hosts" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if w := h.enroll(t, here, api.Enroll{Token: collectors.Secret, Request: own, Intermediate: issuer, Name: "c2", Hosts: []string{"127.0.0.2"}}); w.Code != http.StatusCreated {
		t.Errorf("the right one: %d %s", w.Code, w.Body)
	}
}

func TestAttack21_ANameIsNoIdentity(t *testing.T) {
	h := newHouse(t)
	var ids []string
	for range 2 {
		token := h.joinToken(t, api.NewJoinToken{})
		_, request := newKey(t)
		got := decoded[api.Enrolled](t, h.enroll(t, here, api.Enroll{Token: token.Secret, Request: request, Name: "web-1"}).Result(), http.StatusCreated)
		ids = append(ids, got.Node)
	}
	if ids[0] == ids[1] {
		t.Errorf("two machines of one name got one id %s", ids[0])
	}
}

func TestAttack22_TwoRenewOneCertificate(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{})
	key, request := newKey(t)
	got := decoded[api.Enrolled](t, h.enroll(t, here, api.Enroll{Token: token.Secret, Request: request}).Result(), http.StatusCreated)
	first := credentials(t, key, got.Chain, got.CA)
	path := api.AgentPath(fleet.HostID(got.Node)) + "/certificate"
	_, one := newKey(t)
	_, other := newKey(t)
	for _, request := range []string{one, one} { // the answer was lost
		if reply := h.renewal(t, path, first, api.Renew{Request: request, Serial: first.Serial()}); reply.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", reply.StatusCode, text(t, reply))
		}
	}
	if reply := h.renewal(t, path, first, api.Renew{Request: other, Serial: strings.Repeat("0", 32)}); reply.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a serial that is not the connection's: %d", reply.StatusCode)
	}
	p := decoded[api.Problem](t, h.renewal(t, path, first, api.Renew{Request: other, Serial: first.Serial()}), http.StatusConflict)
	if p.Code != "renewal_replay" {
		t.Errorf("%+v", p)
	}
	node, err := h.ledger.Node(fleet.ScopeOf(fleet.Everywhere), got.Node)
	if err != nil || node.State != fleet.NodeSuspended || !strings.Contains(node.Why, "two machines") {
		t.Errorf("%+v, %v", node, err)
	}
}

func TestAPersonApprovesAFingerprint(t *testing.T) {
	h := newHouse(t)
	token := h.joinToken(t, api.NewJoinToken{Approve: true})
	key, request := newKey(t)
	got := decoded[api.Enrolled](t, h.enroll(t, here, api.Enroll{Token: token.Secret, Request: request}).Result(), http.StatusOK)
	if got.State != fleet.NodePending || got.Chain != "" || got.Gossip != nil || got.Fingerprint != pki.Fingerprint(&key.PublicKey) {
		t.Fatalf("%+v", got)
	}
	approve := func(fingerprint string) *http.Response {
		return h.do(t, http.MethodPatch, api.PathNodes+"/"+got.Node, asJSON(t, api.NodeChange{State: fleet.NodeActive, Fingerprint: fingerprint}), "Content-Type", api.MediaJSON)
	}
	if p := decoded[api.Problem](t, approve(strings.Repeat("a", 64)), http.StatusConflict); p.Code != "fingerprint_mismatch" {
		t.Errorf("another fingerprint: %+v", p)
	}
	if reply := approve(""); reply.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("no fingerprint: %d", reply.StatusCode)
	}
	if node := decoded[fleet.Node](t, approve(got.Fingerprint), http.StatusOK); node.State != fleet.NodeActive || node.Request != nil {
		t.Errorf("%+v", node)
	}
	now := decoded[api.Enrolled](t, h.do(t, http.MethodGet, api.PathEnroll+"/"+got.Node, ""), http.StatusOK)
	if c := credentials(t, key, now.Chain, now.CA); c.ID().Name != got.Node || now.Gossip != nil {
		t.Errorf("%v, gossip keys for whoever knows the id: %v", c.ID(), now.Gossip)
	}
}

func TestACollectorJoinsAsItself(t *testing.T) {
	h := newHouse(t)
	join := `{"id":"c2","raft":"127.0.0.1:7781","api":"https://127.0.0.1:7780"}`
	p := decoded[api.Problem](t, h.do(t, http.MethodPost, api.PathCollectors, join, "Content-Type", api.MediaJSON, headerPeer, "c3"), http.StatusForbidden)
	if p.Code != pki.CodeIdentity {
		t.Errorf("%+v", p)
	}
}

// The root key is on c2, and c1 leads.
func TestTheRootKeyNeedNotBeWithTheLeader(t *testing.T) {
	root, other, err := identity.Make("c2", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	without, err := identity.Load(stripped(t, root, other), other)
	if err != nil {
		t.Fatal(err)
	}
	authorities := []*identity.Authority{without, root}
	houses := newHouses(t, 2, func(d *httpd.Deps) { d.Authority, authorities = authorities[0], authorities[1:] })
	token := houses[0].joinToken(t, api.NewJoinToken{Collector: "c3"})
	_, own := newKey(t)
	_, issuer := newKey(t)
	body := api.Enroll{Token: token.Secret, Request: own, Intermediate: issuer, Name: "c3"}
	if p := problemIn(t, houses[0].enroll(t, here, body), http.StatusServiceUnavailable); p.Code != "root_key_offline" {
		t.Errorf("before c2 is known: %+v", p)
	}
	second := houses[1].serve(t)
	houses[0].propose(t, &ledger.PutCollector{ID: "c2", API: second.URL, At: time.Now()})
	got := decoded[api.Enrolled](t, houses[0].enroll(t, here, body).Result(), http.StatusCreated)
	chain, err := pki.ParseCertificates([]byte(got.Chain))
	if err != nil || len(chain) != 1 || chain[0].CheckSignatureFrom(root.Root()) != nil || got.Intermediate == "" {
		t.Errorf("%v: %+v", err, got)
	}
}

// stripped saves an authority without its root key.
func stripped(t *testing.T, a *identity.Authority, c *pki.Credentials) string {
	t.Helper()
	dir := t.TempDir()
	check(t, a.Save(dir))
	check(t, c.Save(dir))
	check(t, os.Remove(filepath.Join(dir, identity.RootKeyFile)))
	return dir
}

// enrolInRound plays the machines' part of the round through the whole API.
func enrolInRound(t *testing.T, do func(method, path, target, body string, header ...string) *http.Response) {
	do("GET", api.PathTrust, api.PathTrust, "")
	token := decoded[api.MadeJoinToken](t, do("POST", api.PathJoinTokens, api.PathJoinTokens, `{"labels":{"a":"b"},"network":"192.0.2.0/24","life":"1h"}`), http.StatusOK)
	do("GET", api.PathJoinTokens, api.PathJoinTokens, "")
	_, request := newKey(t)
	got := decoded[api.Enrolled](t, do("POST", api.PathEnroll, api.PathEnroll, asJSON(t, api.Enroll{Token: token.Secret, Request: request})), http.StatusCreated)
	do("GET", api.PathEnrolled, api.PathEnroll+"/"+got.Node, "")
	leaf, err := pki.ParseCertificates([]byte(got.Chain))
	if err != nil {
		t.Fatal(err)
	}
	_, next := newKey(t)
	do("POST", api.PathAgentRenew, api.AgentPath(fleet.HostID(got.Node))+"/certificate", asJSON(t, api.Renew{Request: next, Serial: pki.Serial(leaf[0])}), headerPeer, "c2",
		api.HeaderPrincipal, asJSON(t, fleet.Principal{Kind: fleet.AgentKind, Name: got.Node, Token: pki.Serial(leaf[0])}))
	do("GET", api.PathGossipKey, api.PathGossipKey, "", headerAgent, got.Node)
	do("POST", api.PathGossipKey, api.PathGossipKey, "", api.HeaderReason, "yearly")
	do("GET", api.PathNodes, api.PathNodes, "")
	do("GET", api.PathNode, api.PathNodes+"/"+got.Node, "")
	do("PATCH", api.PathNode, api.PathNodes+"/"+got.Node, `{"state":"suspended","reason":"lost"}`)
	do("PATCH", api.PathNode, api.PathNodes+"/"+got.Node, `{"state":"revoked"}`)
	other := decoded[api.MadeJoinToken](t, do("POST", api.PathJoinTokens, api.PathJoinTokens, `{"collector":"c4"}`), http.StatusOK)
	_, issuer := newKey(t)
	do("POST", api.PathCollectorSign, "/v1/collectors/c4/certificate", asJSON(t, api.Enroll{Token: other.Secret, Request: next, Intermediate: issuer, Name: "c4"}), headerPeer, "c1")
	do("DELETE", api.PathJoinToken, api.PathJoinTokens+"/"+other.ID, "")
}
