package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// headers are on every answer, whatever it is.
var headers = [][2]string{
	{"Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
	{"Cache-Control", "no-store"},
}

// guard lets through what may be asked at all: a name we are served under, and
// a method that changes nothing but who is logged in, asked for by our own page.
func (s *site) guard(next http.Handler, allowed []string) http.Handler {
	ownPages := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, header := range headers {
			w.Header().Set(header[0], header[1])
		}
		if r.ContentLength != 0 { // also where nobody reads it
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(answerTime)) // a test's recorder has none
		}
		if r.TLS != nil {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		switch {
		case !servedUnder(r, allowed):
			s.refuse(w, failure{
				Status:  http.StatusMisdirectedRequest,
				Message: fmt.Sprintf("these pages are not served under the name %q", clip(r.Host, 120)),
				Hint:    "add the name to allowed_hosts in collector.yaml",
			})
		case r.Method == http.MethodPost && (r.URL.Path == "/login" || r.URL.Path == "/logout"):
			if err := ownPages.Check(r); err != nil {
				s.refuse(w, failure{Status: http.StatusForbidden, Message: "this was asked for by a page of somebody else", Hint: "fleetctl web"})
				return
			}
			next.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			s.refuse(w, failure{
				Status:  http.StatusMethodNotAllowed,
				Message: fmt.Sprintf("%s is not answered here; whatever changes something goes through fleetctl or the API", clip(r.Method, 40)),
				Hint:    "fleetctl help",
			})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// servedUnder reports whether the Host header names localhost, an address of
// loopback, the address that the connection came in at, or one of the allowed
// names; the port does not matter.
func servedUnder(r *http.Request, allowed []string) bool {
	name := r.Host
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if addr, err := netip.ParseAddr(name); err == nil && (addr.Unmap().IsLoopback() || addr.Unmap() == localOf(r)) {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(allowed, func(a string) bool { return name != "" && strings.EqualFold(a, name) })
}

// unknownFilter says that an address carries a parameter the page has no use
// for; to ignore it would show more than was asked for.
func unknownFilter(name string) error {
	return fleet.Invalidf(name, "", "there is no such filter on this page")
}
