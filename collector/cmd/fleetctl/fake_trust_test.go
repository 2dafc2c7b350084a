package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/chain"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// trustRoutes are the fake's answers about who may do what.
func (f *collectorFake) trustRoutes() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"GET " + api.PathWhoAmI: func(*http.Request) (any, error) {
			return api.WhoAmI{Principal: fleet.Principal{Kind: fleet.PersonKind, Name: "anna", Token: "k3v9x0ab", Roles: []fleet.Role{fleet.Operator, fleet.Auditor}, Scope: []string{"data", "web"}}, Expires: noon.Add(720 * time.Hour)}, nil
		},
		"POST " + api.PathSession: func(*http.Request) (any, error) {
			return api.Session{Path: "/login#code", Expires: noon.Add(time.Minute)}, nil
		},
		"POST " + api.PathGossipKey:   func(*http.Request) (any, error) { return map[string]int{"index": 7}, nil },
		"GET " + api.PathTokens:       func(*http.Request) (any, error) { return listOf(f.tokens), nil },
		"POST " + api.PathTokens:      f.change(f.makeToken),
		"DELETE " + api.PathToken:     f.change(f.revokeToken),
		"GET " + api.PathJoinTokens:   func(*http.Request) (any, error) { return listOf(f.joins), nil },
		"POST " + api.PathJoinTokens:  f.change(f.makeJoinToken),
		"DELETE " + api.PathJoinToken: f.change(func(*http.Request) (any, error) { f.joins = nil; return map[string]int{}, nil }),
		"GET " + api.PathNodes:        func(*http.Request) (any, error) { return listOf(f.nodes), nil },
		"PATCH " + api.PathNode:       f.change(f.changeNode),
		"GET " + api.PathRules:        func(*http.Request) (any, error) { return listOf(f.rules), nil },
		"PUT " + api.PathRule:         f.change(f.putRules),
		"DELETE " + api.PathRule:      f.change(func(*http.Request) (any, error) { f.rules = nil; return map[string]int{}, nil }),
		"GET " + api.PathRequests:     func(*http.Request) (any, error) { return listOf(f.requests), nil },
		"GET " + api.PathRequest:      func(r *http.Request) (any, error) { return f.oneRequest(r) },
		"DELETE " + api.PathRequest:   f.change(func(*http.Request) (any, error) { f.requests = nil; return map[string]int{}, nil }),
		"POST " + api.PathApproval:    f.change(f.approve),
		"PUT " + api.PathEnvelope:     f.change(f.countersign),
		"GET " + api.PathAudit:        func(*http.Request) (any, error) { return listOf(f.audit()), nil },
		"GET " + api.PathAuditAgent:   func(*http.Request) (any, error) { return listOf(somePolicies()), nil },
		"GET " + api.PathProofs:       f.proofRoutes()["GET "+api.PathProofs],
		"GET " + api.PathProofHosts:   f.proofRoutes()["GET "+api.PathProofHosts],
		"GET " + api.PathPolicies:     func(*http.Request) (any, error) { return listOf(somePolicies()), nil },
	}
}

func listOf[T any](items []T) api.List[T] {
	if items == nil {
		items = []T{}
	}
	return api.List[T]{Items: items, Total: len(items), Index: 10}
}

func body[T any](r *http.Request) (value T, err error) {
	return value, json.NewDecoder(r.Body).Decode(&value)
}

func (f *collectorFake) makeToken(r *http.Request) (any, error) {
	asked, err := body[api.NewToken](r)
	token := fleet.Token{ID: "k3v9x0ab", Name: asked.Name, Roles: asked.Roles, Namespaces: asked.Namespaces, Created: noon, Expires: noon.Add(720 * time.Hour), By: "person anna"}
	f.tokens = append(f.tokens, token)
	return api.MadeToken{Token: token, Secret: "fct1_k3v9x0ab_" + strings.Repeat("s", 43), Index: f.index}, err
}

func (f *collectorFake) revokeToken(r *http.Request) (any, error) {
	at := slices.IndexFunc(f.tokens, func(t fleet.Token) bool { return t.ID == r.PathValue("token") })
	if at < 0 {
		return nil, fleet.Errorf(fleet.NotFound, "there is no token %q", r.PathValue("token")).WithHint("fleetctl token list")
	}
	f.tokens[at].Revoked = noon
	return map[string]int{}, nil
}

func (f *collectorFake) makeJoinToken(r *http.Request) (any, error) {
	asked, err := body[api.NewJoinToken](r)
	if err != nil {
		return nil, err
	}
	token := fleet.JoinToken{ID: "j0in", Collector: asked.Collector, Node: asked.Node, Namespaces: asked.Namespaces, Labels: asked.Labels, Approve: asked.Approve, Created: noon, Expires: noon.Add(30 * time.Minute), By: "person anna"}
	if asked.Network != "" {
		if token.Network, err = netip.ParsePrefix(asked.Network); err != nil {
			return nil, fleet.Invalidf("network", asked.Network, "want a range such as 10.0.0.0/8")
		}
	}
	f.joins = append(f.joins, token)
	return api.MadeJoinToken{JoinToken: token, Secret: "fcj1.j0in." + strings.Repeat("s", 43) + ".pin", Index: f.index}, nil
}

func (f *collectorFake) changeNode(r *http.Request) (any, error) {
	to, err := body[api.NodeChange](r)
	for i := range f.nodes {
		if f.nodes[i].ID == r.PathValue("node") {
			f.nodes[i].State, f.nodes[i].Why = to.State, to.Reason
			return f.nodes[i], err
		}
	}
	return nil, fleet.Errorf(fleet.NotFound, "there is no node")
}

func (f *collectorFake) putRules(r *http.Request) (any, error) {
	rules, err := body[fleet.Rules](r)
	rules.Changed, rules.By = noon, "person anna"
	if rules.Within == 0 {
		rules.Within = fleet.Duration(24 * time.Hour)
	}
	f.rules = append(f.rules, rules)
	return rules, err
}

func (f *collectorFake) oneRequest(r *http.Request) (fleet.Request, error) {
	for _, request := range f.requests {
		if request.ID == r.PathValue("request") {
			return request, nil
		}
	}
	return fleet.Request{}, fleet.Errorf(fleet.NotFound, "there is no request %s", r.PathValue("request")).WithHint("fleetctl requests")
}

// added returns the statement of an envelope that has one signature more.
func added(r *http.Request, before []byte) (*seal.Statement, []byte, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, err
	}
	now, err := seal.Parse(text)
	if err != nil {
		return nil, nil, err
	}
	was, err := seal.Parse(before)
	if err == nil && (was.Digest() != now.Digest() || len(now.Signatures) != len(was.Signatures)+1) {
		err = fleet.Errorf(fleet.Refused, "want the same bytes and one signature more").WithCode(api.CodeApproval)
	}
	if err != nil {
		return nil, nil, err
	}
	s, err := now.Statement()
	return s, text, err
}

func (f *collectorFake) approve(r *http.Request) (any, error) {
	request, err := f.oneRequest(r)
	if err != nil {
		return nil, err
	}
	if r.Header.Get("If-Match") != api.ETag(request.Index) {
		return nil, fleet.Errorf(fleet.Conflict, "the request has changed").WithCode(api.CodeStale)
	}
	s, envelope, err := added(r, request.Envelope)
	if err != nil {
		return nil, err
	}
	r.Header.Del("If-Match")
	f.requests = slices.DeleteFunc(f.requests, func(r fleet.Request) bool { return r.ID == request.ID })
	return f.carry(s, envelope, r)
}

func (f *collectorFake) countersign(r *http.Request) (any, error) {
	record := f.tasks[taskOf(r)]
	if record == nil {
		return nil, fleet.Errorf(fleet.NotFound, "there is no task")
	}
	_, envelope, err := added(r, record.Envelope)
	record.Envelope = envelope
	return record, err
}

// audit returns a chain of three entries, the second of which was edited where
// somebody did.
func (f *collectorFake) audit() []fleet.AuditEntry {
	var entries []fleet.AuditEntry
	var head *fleet.AuditEntry
	anna := fleet.Principal{Kind: fleet.PersonKind, Name: "anna", Token: "k3v9x0ab", Roles: []fleet.Role{fleet.Operator}, Scope: []string{"*"}, Via: "api", Address: netip.MustParseAddr("192.0.2.7")}
	for i, e := range []fleet.AuditEntry{
		{Action: "task.put", Object: "data/backup", Decision: "done", Why: "ticket \x1b[31m4711", Digest: strings.Repeat("ab", 32)},
		{Action: "order.run", Object: "data/backup", Decision: "refused", Code: "permission_denied", Why: "wants tasks:run", Count: 3},
		{Action: "token.revoke", Object: "token k3v9x0ab", Decision: "done"},
	} {
		e.At, e.By = noon.Add(time.Duration(i)*time.Minute), anna
		entry := chain.Append(head, e)
		entries, head = append(entries, entry), &entry
	}
	if f.edited {
		entries[1].Decision = "done"
	}
	return entries
}

func somePolicies() []api.HostChain {
	return []api.HostChain{
		{Host: hostID(1), Name: "db-1", PolicyReport: fleet.PolicyReport{
			Execute: true, Keys: []string{"00112233445566ff"}, TwoPerson: []fleet.Danger{fleet.DangerRoot}, Digest: strings.Repeat("0d", 32), AuditSeq: 12, AuditHead: []byte{0xab, 0xcd}, At: noon,
			Refused: []fleet.Refusal{{Object: "task data/nightly-backup", Code: "policy:user", Why: "user root may not run anything\x1b[2J", Line: 7}},
		}},
		{Host: hostID(3), Name: "evil\x1b]0;pwn\x07", PolicyReport: fleet.PolicyReport{Problem: "policy.yaml can be written by others", At: noon}},
	}
}

func someNodes() []fleet.Node {
	return []fleet.Node{
		{ID: string(hostID(1)), Role: fleet.AgentKind, State: fleet.NodeActive, Namespaces: []string{"*"}, Labels: map[string]string{"role": "db"}, Serial: "0a", Fingerprint: strings.Repeat("91b4", 16), Expires: noon.Add(100 * time.Hour), Enrolled: noon.Add(-240 * time.Hour), Changed: noon.Add(-240 * time.Hour), By: "person anna"},
		{ID: strings.Repeat("ab", 16), Role: fleet.AgentKind, State: fleet.NodePending, Namespaces: []string{"data"}, Fingerprint: strings.Repeat("c07d", 16), Enrolled: noon, Changed: noon, By: "person anna"},
		{ID: "c1", Role: fleet.CollectorKind, State: fleet.NodeActive, Serial: "0b", Fingerprint: fmt.Sprintf("%064x", 5), Expires: noon.Add(8760 * time.Hour), Enrolled: noon.Add(-240 * time.Hour), Changed: noon.Add(-240 * time.Hour), By: "system init"},
	}
}
