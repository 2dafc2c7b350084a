package httpd

import (
	"context"
	"net/netip"
	"time"

	"github.com/fleetcron/fleetcron/collector/identity"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// whoami tells callers who they are here.
func (s *Server) whoami(ctx context.Context, _ struct{}) (api.WhoAmI, error) {
	me := api.WhoAmI{Principal: *callerOf(ctx)}
	if token, err := s.Ledger.Token(everywhere, me.Token); err == nil {
		me.Expires = token.Expires
	}
	return me, nil
}

// session makes a link that logs a browser in, once, as a viewer of what its
// maker sees.
func (s *Server) session(ctx context.Context, _ struct{}) (api.Session, error) {
	if s.Sessions == nil {
		return api.Session{}, fleet.Errorf(fleet.Unavailable, "this collector has no web page")
	}
	code, expires, err := s.Sessions.Offer(visitor(callerOf(ctx)), time.Now())
	if err != nil {
		return api.Session{}, err
	}
	return api.Session{Web: s.Web, Path: "/login#" + code, Expires: expires.UTC()}, nil
}

// visitor is a person as the web page knows them: there nothing can be changed.
func visitor(person *fleet.Principal) fleet.Principal {
	return fleet.Principal{Kind: fleet.PersonKind, Name: person.Name, Token: person.Token, Roles: []fleet.Role{fleet.Viewer}, Scope: person.Scope, Via: viaWeb}
}

// LogIn takes a code of a link, or a token, and returns the cookie of a session.
func (s *Server) LogIn(secret string, from netip.Addr) (cookie string, expires time.Time, err error) {
	if s.Sessions == nil {
		return "", expires, fleet.Errorf(fleet.Unavailable, "this collector has no sessions")
	}
	now := time.Now()
	id, hash, err := identity.ParseToken(secret)
	if err == nil {
		return s.logInWithToken(id, hash, from, now)
	}
	if cookie, expires, err = s.Sessions.Open(secret, now); err != nil {
		if wait := s.limits.failed(from, ""); wait > 0 {
			return "", expires, tooOften(wait)
		}
		return "", expires, err
	}
	person, _ := s.Sessions.Who(cookie, now)
	person.Address = from
	s.noteLogIn(person)
	return cookie, expires, nil
}

func (s *Server) logInWithToken(id string, hash []byte, from netip.Addr, now time.Time) (cookie string, expires time.Time, err error) {
	if wait := s.limits.blocked(from, id); wait > 0 {
		return "", expires, tooOften(wait)
	}
	token, err := s.Ledger.Admit(id, hash, now)
	if err != nil {
		if wait := s.limits.failed(from, id); wait > 0 {
			return "", expires, tooOften(wait)
		}
		return "", expires, err
	}
	person := visitor(&fleet.Principal{Name: token.Name, Token: token.ID, Scope: token.Namespaces})
	if len(token.Roles) == 0 {
		return "", expires, fleet.Errorf(fleet.Refused, "the token has no role").WithCode(api.CodePermission)
	}
	code, _, err := s.Sessions.Offer(person, now)
	if err != nil {
		return "", expires, err
	}
	if cookie, expires, err = s.Sessions.Open(code, now); err != nil {
		return "", expires, err
	}
	person.Address = from
	s.noteLogIn(person)
	return cookie, expires, nil
}

// noteLogIn writes a login down as soon as that can be.
func (s *Server) noteLogIn(person fleet.Principal) {
	s.remarks.note(fleet.AuditEntry{At: time.Now().UTC(), By: person, Action: "login", Decision: "done"})
}

// LogOut ends the session of a cookie.
func (s *Server) LogOut(cookie string) {
	if s.Sessions != nil {
		s.Sessions.Close(cookie)
	}
}

// Visit returns a context in which the services answer the person whose session
// the cookie is, and the person's name; an empty one: nobody's. A session ends
// with the token that it was made with.
func (s *Server) Visit(ctx context.Context, cookie string, from netip.Addr) (visit context.Context, name string) {
	if s.Sessions == nil || cookie == "" {
		return ctx, ""
	}
	person, is := s.Sessions.Who(cookie, time.Now())
	if !is {
		return ctx, ""
	}
	token, err := s.Ledger.Token(everywhere, person.Token)
	if err != nil || !token.Revoked.IsZero() || !token.Expires.After(time.Now()) {
		s.Sessions.Close(cookie)
		return ctx, ""
	}
	person.Address = from
	return As(ctx, person), person.Name
}
