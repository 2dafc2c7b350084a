package httpd

import (
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// Handler returns what the API answers on one plane: no other route than those
// of the plane is there. This file is all that knows echo: it finds routes and
// path parameters, and nothing of a request is bound by it.
func (s *Server) Handler(plane pki.Plane) http.Handler {
	router := echo.New()
	router.IPExtractor = echo.ExtractIPDirect()
	router.HTTPErrorHandler = s.answerError(plane)
	for i := range s.table {
		route := &s.table[i]
		if !route.On(plane) {
			continue
		}
		router.Add(route.Method, echoPath(route.Path), func(c echo.Context) error {
			r := &request{Request: c.Request(), parameter: c.Param, plane: plane, exchange: exchangeOf(c.Request().Context())}
			r.exchange.route = route
			return s.serve(c.Response(), r, route)
		})
	}
	if plane != pki.PlaneOperator {
		return s.observe(headAsGet(router)) // no browser speaks these protocols
	}
	return s.observe(s.guardHost(headAsGet(router)))
}

// echoPath writes {name} as :name.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// answerError answers whatever a route returned, and echo's own errors.
func (s *Server) answerError(plane pki.Plane) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		r := c.Request()
		if e, ok := errors.AsType[*echo.HTTPError](err); ok {
			err = routeError(e, c)
			if plane == pki.PlaneAgent && e.Code == http.StatusNotFound {
				err = agentRefused() // what there is beside its own routes is not an agent's business
			}
		}
		exchangeOf(r.Context()).problem = err
		if c.Response().Committed {
			panic(http.ErrAbortHandler) // the answer broke off, and must be seen to
		}
		writeProblem(c.Response(), r, err)
	}
}

// routeError says that there is no such route, or not for this method.
func routeError(e *echo.HTTPError, c echo.Context) error {
	r := c.Request()
	switch e.Code {
	case http.StatusMethodNotAllowed:
		allowed, _ := c.Get(echo.ContextKeyHeaderAllow).(string)
		allowed = strings.TrimPrefix(allowed, "OPTIONS, ") // nothing answers it
		c.Response().Header().Set("Allow", allowed)
		return fleet.Errorf(fleet.Usage, "%s does not take %s", clip(r.URL.Path), clip(r.Method)).
			WithCode(api.CodeMethod).WithHint("use %s", allowed)
	case http.StatusNotFound:
		return fleet.Errorf(fleet.NotFound, "no route %s", clip(r.URL.Path)).
			WithCode(api.CodeNoRoute).WithHint("GET %s tells what there is", api.PathOpenAPI)
	}
	return fleet.Errorf(fleet.Internal, "router: %v", e)
}

// serve does for every route what every route needs: who asks and whether they
// may, limits, the leader, and then the route itself.
func (s *Server) serve(w http.ResponseWriter, r *request, route *Route) error {
	if err := s.admit(r, route); err != nil {
		return err
	}
	if err := checkBody(w, r, route.Body); err != nil {
		return err
	}
	if err := s.limits.body(&r.exchange.caller, r.ContentLength, route.Body); err != nil {
		return err
	}
	if route.Permission == BeAgent {
		defer s.noteCall(r)()
		if s.Ring != nil {
			r.exchange.ring = s.Ring.Digest
		}
	}
	deadline := http.NewResponseController(w)
	if route.Body == stream {
		_ = deadline.SetReadDeadline(time.Time{}) // a test's recorder has none
	}
	_ = deadline.SetWriteDeadline(time.Time{}) // of the answer before on this connection
	if passed, err := s.passOn(w, r, route); passed || err != nil {
		return err
	}
	s.fresh(w)
	if route.Leader && r.Method != http.MethodGet {
		r.exchange.applied = s.ledgerIndex // a change answers with the index it is read at
	}
	if route.Body != none && route.Body != stream {
		var err error
		if r.body, err = readBody(r); err != nil {
			return err
		}
	}
	return route.handle(w, r)
}

const (
	// bodyLimit is how long a body may take to come in; answerTime is how long
	// an answer that is whole may take to go out. Streams take what they need.
	bodyLimit  = 30 * time.Second
	answerTime = time.Minute
)

// limitBody gives a request's body its time, also where nobody reads it: the
// rest of it is read before the connection is used again. With the body's end
// the limit ends, for an answer may be waited for much longer.
func limitBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyLimit)) // a test's recorder has none
	r.Body = &timedBody{r.Body, func() { _ = control.SetReadDeadline(time.Time{}) }}
}

// timedBody calls ended at its end.
type timedBody struct {
	io.ReadCloser
	ended func()
}

// Read reads on.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended()
	}
	return n, err
}

// noteCall notes that a known host's agent calls, and returns what notes the end.
func (s *Server) noteCall(r *request) (end func()) {
	host := fleet.HostID(r.exchange.caller.Name)
	if _, known := s.Ledger.Host(everywhere, host); !known {
		return func() {}
	}
	end = s.calls.begin(host)
	if says, err := time.Parse(time.RFC3339Nano, r.Header.Get(api.HeaderTime)); err == nil {
		s.calls.clock(host, says)
	}
	return end
}

// checkBody refuses a body by what its headers say, and bounds what is read.
func checkBody(w http.ResponseWriter, r *request, body content) error {
	if body == none {
		r.Body = http.MaxBytesReader(w, r.Body, 0)
		return nil
	}
	allowed := contents[body]
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(allowed.media, media) {
		return fleet.Errorf(fleet.Invalid, "the Content-Type is %q", clip(r.Header.Get("Content-Type"))).
			WithCode(api.CodeMediaType).WithHint("send %s", strings.Join(allowed.media[:min(2, len(allowed.media))], " or "))
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fleet.Errorf(fleet.Invalid, "the Content-Encoding is %q", clip(encoding)).
			WithCode(api.CodeMediaType).WithHint("send the body as it is")
	}
	r.media = media
	if body == stream {
		return nil
	}
	if r.ContentLength > allowed.limit {
		return tooLarge(allowed.limit)
	}
	r.Body = http.MaxBytesReader(w, r.Body, allowed.limit)
	return nil
}

func tooLarge(limit int64) error {
	return fleet.Errorf(fleet.TooLarge, "the body is larger than %s", fleet.Bytes(limit)).WithHint("send less at once")
}

func readBody(r *request) ([]byte, error) {
	text, err := io.ReadAll(r.Body)
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(e.Limit)
	}
	if err != nil {
		return nil, malformed("the body broke off")
	}
	return text, nil
}

// headAsGet answers HEAD as GET; net/http leaves out the body.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.WithContext(r.Context())
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

// guardHost refuses a Host header that names somebody else, so that a name an
// attacker points at this machine reaches nothing.
func (s *Server) guardHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ours(r, s.AllowedHosts) {
			err := fleet.Errorf(fleet.Invalid, "this is not %q", clip(r.Host)).
				WithCode(api.CodeMisdirected).WithHint("add the name to allowed_hosts, or use the address that the collector listens at")
			exchangeOf(r.Context()).problem = err
			writeProblem(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ours reports whether the Host header names this machine: its loopback, the
// address that the connection came in at, or a name that it was given.
func ours(r *http.Request, allowed []string) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(strings.TrimSuffix(host, "."), "[]"))
	if slices.ContainsFunc(allowed, func(name string) bool { return host != "" && strings.EqualFold(name, host) }) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost"
	}
	return ip.IsLoopback() || ip.Unmap() == localOf(r)
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
