package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

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
// a method that changes nothing.
func (s *site) guard(next http.Handler, allowed []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, header := range headers {
			w.Header().Set(header[0], header[1])
		}
		switch {
		case !servedUnder(r.Host, allowed):
			s.refuse(w, failure{
				Status:  http.StatusMisdirectedRequest,
				Message: fmt.Sprintf("these pages are not served under the name %q", clip(r.Host, 120)),
				Hint:    "add the name to allowed_hosts in collector.yaml",
			})
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
// loopback, or one of the allowed names; the port does not matter.
func servedUnder(host string, allowed []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if addr, err := netip.ParseAddr(name); err == nil && addr.Unmap().IsLoopback() {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(allowed, func(a string) bool { return name != "" && strings.EqualFold(a, name) })
}

// unknownFilter says that an address carries a parameter the page has no use
// for; to ignore it would show more than was asked for.
func unknownFilter(name string) error {
	return fleet.Invalidf(name, "", "there is no such filter on this page")
}
