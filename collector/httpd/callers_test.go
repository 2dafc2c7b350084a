package httpd_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// callers is a test's word for who calls. A person's token is name, roles and
// namespaces, such as "anna:viewer:data,web"; a name alone is an admin of
// everything. An agent is the host that it says in headerAgent.
type callers struct{}

// headerAgent stands for the certificate of an agent, headerPeer for that of a
// collector.
const (
	headerAgent = "X-Test-Agent"
	headerPeer  = "X-Test-Collector"
)

func (callers) Authenticate(r *http.Request, plane pki.Plane) (fleet.Principal, error) {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	caller := fleet.Principal{Address: from.Addr()}
	switch plane {
	case pki.PlaneAgent:
		caller.Kind, caller.Name, caller.Via = fleet.AgentKind, r.Header.Get(headerAgent), "agent"
		if r.TLS != nil {
			_, caller.Token, _ = pki.PeerOf(*r.TLS)
		}
	case pki.PlanePeer:
		caller.Kind, caller.Name, caller.Via = fleet.CollectorKind, r.Header.Get(headerPeer), "peer"
		if said := r.Header.Get(api.HeaderPrincipal); said != "" {
			caller = fleet.Principal{}
			return caller, json.Unmarshal([]byte(said), &caller)
		}
	case pki.PlaneEnroll:
		caller.Via = "enroll"
	default:
		caller.Via = "api"
		token, brought := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !brought {
			return caller, nil
		}
		return person(caller, token)
	}
	return caller, nil
}

func person(caller fleet.Principal, token string) (fleet.Principal, error) {
	parts := strings.Split(token, ":")
	if !fleet.ValidName(parts[0]) || parts[0] == "bad" {
		return caller, fleet.Errorf(fleet.Unauthenticated, "no token of a test")
	}
	caller.Kind, caller.Name, caller.Roles, caller.Scope = fleet.PersonKind, parts[0], []fleet.Role{fleet.Admin}, []string{fleet.Everywhere}
	if len(parts) == 3 {
		caller.Roles, caller.Scope = nil, nil
		for role := range strings.SplitSeq(parts[1], ",") {
			caller.Roles = append(caller.Roles, fleet.Role(role))
		}
		caller.Scope = strings.Split(parts[2], ",")
	}
	return caller, nil
}

// everyone is an admin of everything.
func everyone(name string) fleet.Principal {
	caller, _ := person(fleet.Principal{Via: "api"}, name)
	return caller
}

// as returns a context in which services are called by this person.
func as(t testing.TB, token string) context.Context { return httpd.As(t.Context(), everyone(token)) }

// planes is the API on all its planes, as a listener tells them apart: here by
// what stands for the certificate.
type planes map[pki.Plane]http.Handler

func planesOf(server *httpd.Server) planes {
	all := planes{}
	for _, plane := range []pki.Plane{pki.PlaneOperator, pki.PlaneAgent, pki.PlaneEnroll, pki.PlanePeer} {
		all[plane] = server.Handler(plane)
	}
	return all
}

func (p planes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, api.PathEnroll) && r.Header.Get(headerPeer) == "":
		p[pki.PlaneEnroll].ServeHTTP(w, r)
	case r.Header.Get(headerPeer) != "":
		p[pki.PlanePeer].ServeHTTP(w, r)
	case r.Header.Get(headerAgent) != "":
		p[pki.PlaneAgent].ServeHTTP(w, r)
	default:
		p[pki.PlaneOperator].ServeHTTP(w, r)
	}
}

// asAgent makes every call to a host's own path with its certificate, where the
// test does not say who calls.
func asAgent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, own := strings.CutPrefix(r.URL.Path, "/v1/agents/")
		switch {
		case r.Header.Get(headerAgent) != "" || r.Header.Get(headerPeer) != "":
		case own:
			host, _, _ := strings.Cut(path, "/")
			r.Header.Set(headerAgent, host)
		case len(r.Header["Authorization"]) == 0:
			r.Header.Set("Authorization", "Bearer admin")
		}
		next.ServeHTTP(w, r)
	})
}

// peers carries requests between the houses of a test, with a certificate.
type peers struct{ http.RoundTripper }

func (p peers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		return nil, errors.New("a secret is passed on")
	}
	r = r.Clone(r.Context())
	r.Header.Set(headerPeer, "c9")
	r.Header.Del(headerAgent)
	return p.RoundTripper.RoundTrip(r)
}
