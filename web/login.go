package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Login lets people in: a collector's own service.
type Login interface {
	// LogIn takes the code of a link, or a token, and returns the cookie of a
	// session and when it ends. The error is Unauthenticated or TooMany.
	LogIn(secret string, from netip.Addr) (cookie string, expires time.Time, err error)
	// LogOut ends the session of a cookie.
	LogOut(cookie string)
	// Visit returns a context in which the Source answers the person whose
	// session the cookie is, and the person's name; an empty one: nobody's.
	Visit(ctx context.Context, cookie string, from netip.Addr) (visit context.Context, name string)
}

// The names of the cookie. What begins with __Host- a browser takes over TLS
// only, from this host only, and for the whole site; plain loopback has to do
// without.
const (
	secureCookie = "__Host-fc"
	plainCookie  = "fc"
)

// maxLogin bounds what is read of a login form.
const maxLogin = 4 << 10

func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return secureCookie
	}
	return plainCookie
}

// cookieOf returns the session's cookie that a browser shows; empty: none.
func cookieOf(r *http.Request) string {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// setCookie hands the browser a session, which no script can read and no other
// site can send; an empty one takes it back.
func setCookie(w http.ResponseWriter, r *http.Request, value string, expires time.Time) {
	cookie := &http.Cookie{Name: cookieName(r), Value: value, Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode, MaxAge: -1}
	if value != "" {
		cookie.MaxAge = max(1, int(time.Until(expires).Seconds()))
	}
	http.SetCookie(w, cookie)
}

// addressOf returns where the connection comes from.
func addressOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

type nameKey struct{}

// nameOf returns who visits.
func nameOf(ctx context.Context) string {
	name, _ := ctx.Value(nameKey{}).(string)
	return name
}

// members lets through who is logged in, and shows everybody else the door.
func (s *site) members(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.login == nil {
			s.refuse(w, failure{Status: http.StatusServiceUnavailable, Message: "nobody can log in to this collector"})
			return
		}
		ctx, name := s.login.Visit(r.Context(), cookieOf(r), addressOf(r))
		if name == "" {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, nameKey{}, name)))
	})
}

// door is what the login page says.
type door struct{ Message string }

func (s *site) serveDoor(w http.ResponseWriter, code int, message string) {
	s.render(w, code, "login", frame{Title: "Log in", Version: s.version, Now: time.Now().UTC(), Body: door{message}})
}

// serveLogin takes the code of a link, or a token.
func (s *site) serveLogin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxLogin)
	if r.ParseForm() != nil || len(r.PostForm["secret"]) != 1 || s.login == nil {
		s.serveDoor(w, http.StatusBadRequest, "Enter the code of a link, or a token.")
		return
	}
	cookie, expires, err := s.login.LogIn(r.PostForm.Get("secret"), addressOf(r))
	if err == nil {
		setCookie(w, r, cookie, expires)
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	message := "The collector's log says why this failed."
	known, is := errors.AsType[*fleet.Error](err)
	switch {
	case is && known.Kind == fleet.TooMany:
		w.Header().Set("Retry-After", "60")
		message = "Too many attempts from your address. Wait a minute."
	case is && known.Kind != fleet.Internal:
		message = sentence(known.Message) + " Run fleetctl web for a new link."
	default:
		s.log.Error("login failed", "error", err)
	}
	s.serveDoor(w, fleet.KindOf(err).Status(), message)
}

// serveLogout ends the session.
func (s *site) serveLogout(w http.ResponseWriter, r *http.Request) {
	if s.login != nil {
		s.login.LogOut(cookieOf(r))
	}
	setCookie(w, r, "", time.Time{})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// localOf returns the address that the connection came in at.
func localOf(r *http.Request) netip.Addr {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}
