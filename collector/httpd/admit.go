package httpd

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// admit finds out who asks and refuses who may not. What a request says of its
// author is believed of a collector alone, that has asked already.
func (s *Server) admit(r *request, route *Route) error {
	if r.plane != pki.PlanePeer {
		r.Header.Del(api.HeaderForwarded)
		r.Header.Del(api.HeaderPrincipal)
	}
	caller, err := s.identify(r, route)
	if err == nil && r.plane != pki.PlanePeer { // what another collector passes on was counted there
		err = s.limits.calls(&caller)
	}
	if err == nil {
		err = allow(r, route, &caller)
	}
	r.exchange.caller = caller
	r.Request = r.WithContext(As(r.Context(), caller))
	if err != nil {
		s.refused(r, route, err)
	}
	return err
}

// identify says who asks. Nobody is asked on the way to what is public.
func (s *Server) identify(r *request, route *Route) (fleet.Principal, error) {
	from := addressOf(r.Request)
	if r.plane != pki.PlaneOperator {
		return s.Authenticator.Authenticate(r.Request, r.plane)
	}
	if route.Permission == Public {
		return fleet.Principal{Via: viaAPI, Address: from}, nil
	}
	said, _ := bearer(r.Header)
	id := tokenID(said)
	if wait := s.limits.blocked(from, id); wait > 0 {
		return fleet.Principal{Via: viaAPI, Address: from}, tooOften(wait)
	}
	caller, err := s.Authenticator.Authenticate(r.Request, r.plane)
	if id != "" && stranger(err) {
		if behind := s.current(r.Context()); behind != nil {
			return caller, behind
		}
		caller, err = s.Authenticator.Authenticate(r.Request, r.plane)
	}
	if err == nil && caller.Kind == "" {
		err = badToken()
	}
	if fleet.KindOf(err) == fleet.Unauthenticated && err != nil {
		if wait := s.limits.failed(from, id); wait > 0 {
			err = tooOften(wait)
		}
	}
	return caller, err
}

// allow refuses a caller that may not use the route, and an agent that speaks
// for another host.
func allow(r *request, route *Route, caller *fleet.Principal) error {
	if caller.Kind == "" && route.Permission != Public {
		return badToken()
	}
	if err := refuseUnpermitted(caller, route.Permission); err != nil {
		return err
	}
	if route.Permission != BeAgent || !strings.Contains(route.Path, "{host}") {
		return nil
	}
	host, err := r.agent()
	if err == nil && string(host) != caller.Name {
		err = fleet.Errorf(fleet.Refused, "the certificate is that of host %s, the path that of host %s", caller.Name, host).WithCode(api.CodeAgentID)
	}
	return err
}

// challenge adds to an answer what a caller that is not known needs.
func challenge(header http.Header, err error) {
	if e, ok := errors.AsType[*fleet.Error](err); ok && e.Kind == fleet.Unauthenticated {
		header.Set("WWW-Authenticate", `Bearer realm="fleetcron"`)
	}
	if slow, ok := errors.AsType[*tooFast](err); ok {
		header.Set("Retry-After", strconv.Itoa(slow.seconds()))
	}
}
