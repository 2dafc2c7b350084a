package httpd

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// Authenticator says who calls on a plane. Nobody, without an error, is who
// shows nothing where nothing need be shown. The error is Unauthenticated, or
// Refused where it is known who calls and that it counts for nothing.
type Authenticator interface {
	Authenticate(r *http.Request, plane pki.Plane) (fleet.Principal, error)
}

// Register is what is known of those who may call: a *ledger.Ledger.
type Register interface {
	// Admit returns the token with this id if the hash of its text is right and
	// it counts now.
	Admit(id string, hash []byte, now time.Time) (fleet.Token, error)
	// AdmitNode returns nil while a machine's certificate counts.
	AdmitNode(kind fleet.PrincipalKind, id, serial string) error
	// Token returns a token without its hash.
	Token(scope fleet.Scope, id string) (fleet.Token, error)
}

// Gate tells callers apart by what they can prove: on the planes of agents and
// collectors by the certificate of the connection, on the operators' plane by
// a token, on the plane of newcomers not at all.
type Gate struct{ Register Register }

// The ways in which a request comes.
const (
	viaAPI    = "api"
	viaWeb    = "web"
	viaAgent  = "agent"
	viaEnroll = "enroll"
	viaPeer   = "peer"
)

// Authenticate says who calls.
func (g *Gate) Authenticate(r *http.Request, plane pki.Plane) (fleet.Principal, error) {
	switch plane {
	case pki.PlaneAgent:
		return g.machine(r, pki.RoleAgent, fleet.AgentKind, viaAgent)
	case pki.PlanePeer:
		return g.peer(r)
	case pki.PlaneEnroll:
		return fleet.Principal{Via: viaEnroll, Address: addressOf(r)}, nil
	default:
		return g.person(r)
	}
}

// machine takes the identity of the connection's certificate. TLS has verified
// the chain; whether the node still counts is asked with each request.
func (g *Gate) machine(r *http.Request, role pki.Role, kind fleet.PrincipalKind, via string) (fleet.Principal, error) {
	nobody := fleet.Principal{Via: via, Address: addressOf(r)}
	if r.TLS == nil {
		return nobody, fleet.Errorf(fleet.Unauthenticated, "no certificate").WithCode(pki.CodeMissing)
	}
	id, serial, err := pki.PeerOf(*r.TLS)
	if err != nil {
		return nobody, &fleet.Error{Kind: fleet.Unauthenticated, Code: pki.CodeIdentity, Message: "the certificate names nobody", Err: err}
	}
	if id.Role != role {
		return nobody, fleet.Errorf(fleet.Refused, "the certificate is that of a %s", id.Role).WithCode(pki.CodeIdentity)
	}
	if err := g.Register.AdmitNode(kind, id.Name, serial); err != nil && !vouchedFor(kind, err) {
		return nobody, err
	}
	return fleet.Principal{Kind: kind, Name: id.Name, Token: serial, Via: via, Address: nobody.Address}, nil
}

// vouchedFor reports whether a collector is welcome all the same: the root has
// signed it, so that the ledger does not know it yet, or knows an earlier
// certificate, is no refusal.
func vouchedFor(kind fleet.PrincipalKind, err error) bool {
	refusal, is := errors.AsType[*fleet.Error](err)
	return is && kind == fleet.CollectorKind && (refusal.Code == "node_unknown" || refusal.Code == "node_serial")
}

// peer is a collector, or who asked the collector that passes the request on:
// it is believed that word, because it has asked the caller as we do, as far as
// this collector knows nothing else.
func (g *Gate) peer(r *http.Request) (fleet.Principal, error) {
	collector, err := g.machine(r, pki.RoleCollector, fleet.CollectorKind, viaPeer)
	said := r.Header.Get(api.HeaderPrincipal)
	if err != nil || said == "" {
		return collector, err
	}
	var caller fleet.Principal
	if err := json.Unmarshal([]byte(said), &caller); err != nil || caller.Kind == fleet.SystemKind {
		return collector, fleet.Errorf(fleet.Refused, "collector %s passes on a request of nobody who could be", collector.Name).WithCode(api.CodePermission)
	}
	return g.passedOn(caller)
}

// person looks the token up by its id. Unknown, wrong and malformed get one
// answer.
func (g *Gate) person(r *http.Request) (fleet.Principal, error) {
	nobody := fleet.Principal{Via: viaAPI, Address: addressOf(r)}
	said, brought := bearer(r.Header)
	if !brought {
		return nobody, nil
	}
	id, hash, err := identity.ParseToken(said)
	if err != nil {
		return nobody, badToken()
	}
	token, err := g.Register.Admit(id, hash, time.Now())
	if e, ok := errors.AsType[*fleet.Error](err); ok && e.Code == api.CodeToken {
		return nobody, badToken()
	}
	if err != nil {
		return nobody, err
	}
	return fleet.Principal{
		Kind: fleet.PersonKind, Name: token.Name, Token: token.ID, Roles: token.Roles, Scope: token.Namespaces,
		Via: viaAPI, Address: nobody.Address,
	}, nil
}

// tokenID returns the id in a token's text; empty where it has no such form.
func tokenID(text string) string {
	id, _, _ := identity.ParseToken(text)
	return id
}

// bearer returns the token that a request brings.
func bearer(header http.Header) (token string, brought bool) {
	said := header.Values("Authorization")
	if len(said) == 0 {
		return "", false
	}
	scheme, token, _ := strings.Cut(said[0], " ")
	if len(said) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", true
	}
	return strings.TrimSpace(token), true
}

// badToken answers who shows no token, and who shows one that is none.
func badToken() error {
	return fleet.Errorf(fleet.Unauthenticated, "this is no token of this cluster").WithCode(api.CodeToken).
		WithHint("set FLEETCRON_TOKEN_FILE or token_file; an admin makes tokens: fleetctl token new")
}

// addressOf returns where the connection comes from. What a request says of
// that itself counts for nothing.
func addressOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}
