package httpd

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// Route is one line of the map.
type Route struct {
	Method     string
	Path       string // of package api, with {…} for parameters
	planes     planes
	Permission Permission
	Leader     bool    // carried out by the leader; others pass it on
	Body       content // what it reads; empty: nothing
	Request    string  // schema of the JSON it reads; empty: none
	Reply      string  // schema of the JSON it answers; empty: none

	handle handler
}

// content is what a body may be.
type content string

const (
	none     content = ""
	jsonBody content = "json"     // api.MediaJSON, at most api.MaxBody
	report   content = "report"   // api.MediaJSON, at most api.MaxReportBody
	document content = "document" // JSON or YAML, at most fleet.MaxTaskBytes
	calendar content = "calendar" // JSON, YAML or iCalendar, at most api.MaxBody
	sealed   content = "sealed"   // api.MediaSealed, at most seal.MaxEnvelope
	payload  content = "payload"  // any JSON, at most fleet.MaxPayload; no form of a web page can send it
	stream   content = "stream"   // api.MediaOutput, not read before the service does
)

// contents is what each content allows.
var contents = map[content]struct {
	media []string
	limit int64
}{
	jsonBody: {[]string{api.MediaJSON}, api.MaxBody},
	report:   {[]string{api.MediaJSON}, api.MaxReportBody},
	document: {[]string{api.MediaYAML, api.MediaJSON, "application/x-yaml", "text/yaml"}, fleet.MaxTaskBytes},
	calendar: {[]string{api.MediaYAML, api.MediaJSON, api.MediaCalendar, "application/x-yaml", "text/yaml"}, api.MaxBody},
	sealed:   {[]string{api.MediaSealed}, seal.MaxEnvelope},
	payload:  {[]string{api.MediaJSON}, fleet.MaxPayload},
	stream:   {[]string{api.MediaOutput}, 0},
}

// handler answers one request, or returns what is wrong with it.
type handler func(w http.ResponseWriter, r *request) error

// checkRoutes refuses a map with a hole in it.
func checkRoutes(routes []Route) error {
	seen := map[string]planes{}
	for _, route := range routes {
		name := route.Method + " " + route.Path
		switch {
		case !route.Permission.known():
			return fmt.Errorf("httpd: route %s names no permission that there is", name)
		case route.planes == 0:
			return fmt.Errorf("httpd: route %s stands on no plane", name)
		case (route.Permission == BeAgent || route.Permission == BeMember) && route.planes&toPeople != 0, route.Permission == BeCollector && route.planes != toPeers:
			return fmt.Errorf("httpd: route %s stands on a plane where nobody can hold %s", name, route.Permission)
		case route.handle == nil:
			return fmt.Errorf("httpd: route %s has no handler", name)
		case seen[name]&route.planes != 0:
			return fmt.Errorf("httpd: route %s stands on a plane twice", name)
		}
		if _, known := contents[route.Body]; !known && route.Body != none {
			return fmt.Errorf("httpd: route %s reads %q, which is no content", name, route.Body)
		}
		seen[name] |= route.planes
	}
	return nil
}

// request is what a route's parser reads: one source for each thing, so that
// no query parameter can stand in for a path and no body for a query.
type request struct {
	*http.Request
	parameter func(name string) string
	plane     pki.Plane
	body      []byte // of contents other than stream
	media     string // of the body, without parameters
	exchange  *exchange
}

// path returns a path parameter that matches the pattern.
func (r *request) path(name string, pattern *regexp.Regexp) (string, error) {
	value, err := url.PathUnescape(r.parameter(name))
	if err != nil || !pattern.MatchString(value) {
		noun := name
		if name == "namespace" || name == "name" {
			noun = "task named"
		}
		return "", fleet.Errorf(fleet.NotFound, "no %s %q", noun, clip(r.parameter(name)))
	}
	return value, nil
}

var (
	nameParameter = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
	hostParameter = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$`)
	idParameter   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	hexParameter  = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// clip shortens what a caller sent before it is shown.
func clip(s string) string { return clipTo(s, 80) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (r *request) taskID() (fleet.TaskID, error) {
	namespace, err := r.path("namespace", nameParameter)
	if err != nil {
		return "", err
	}
	name, err := r.path("name", nameParameter)
	return fleet.NewTaskID(namespace, name), err
}

func (r *request) runID() (fleet.RunID, error) {
	id, err := r.path("run", idParameter)
	return fleet.RunID(id), err
}

// agent returns the host that an agent speaks for.
func (r *request) agent() (fleet.HostID, error) {
	id, err := r.path("host", hexParameter)
	return fleet.HostID(id), err
}

// query reads the URL parameters into the query that into points at.
func (r *request) query(into any) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fleet.Invalidf("query", clip(r.URL.RawQuery), "is not percent-encoded as a URL is")
	}
	delete(values, "consistent")
	return api.ParseValues(values, into)
}

// change is what every change says beside its content.
type change struct {
	By     fleet.Principal
	Actor  string // the name of By
	Reason string
	Key    string // of idempotency; empty: none
	Digest string // of the whole request, so that a key is not used twice
	Sealed string // digest of the signed payload; empty: nothing is signed
	If     condition
}

// condition is what a change wants of the version that is there.
type condition struct {
	Given  bool
	Any    bool   // If-Match: *
	Absent bool   // If-None-Match: *
	Index  uint64 // If-Match: "n"
}

// index returns the condition as the ledger takes it.
func (c condition) index() *uint64 {
	switch {
	case c.Absent:
		return new(uint64)
	case c.Given && !c.Any:
		return &c.Index
	default:
		return nil
	}
}

func (r *request) change() (change, error) {
	c := change{By: r.exchange.caller, Actor: r.exchange.caller.Name, Digest: r.digest(), Key: r.Header.Get(api.HeaderIdempotency)}
	var err error
	if c.If, err = conditionOf(r.Header); err != nil {
		return c, err
	}
	if c.Reason, err = url.QueryUnescape(r.Header.Get(api.HeaderReason)); err != nil || len(c.Reason) > 1024 || !printable(c.Reason) {
		return c, fleet.Invalidf(api.HeaderReason, clip(c.Reason), "want at most 1024 bytes of text, percent-encoded")
	}
	if len(c.Key) > 128 || !printable(c.Key) {
		return c, fleet.Invalidf(api.HeaderIdempotency, clip(c.Key), "want at most 128 printable characters")
	}
	if c.Key != "" {
		c.Key = keyOf(&c.By, c.Key)
	}
	return c, nil
}

// keyOf returns an idempotency key that is the caller's own: nobody hears what
// was answered to another, nor that they used the key.
func keyOf(by *fleet.Principal, key string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{string(by.Kind), by.Name, by.Token, key}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func conditionOf(header http.Header) (condition, error) {
	match, noneMatch := header.Get("If-Match"), header.Get("If-None-Match")
	switch {
	case match == "" && noneMatch == "":
		return condition{}, nil
	case match == "*" && noneMatch == "":
		return condition{Given: true, Any: true}, nil
	case noneMatch == "*" && match == "":
		return condition{Given: true, Absent: true}, nil
	case noneMatch == "":
		index, err := strconv.ParseUint(strings.Trim(match, `"`), 10, 64)
		if err == nil && index > 0 && match == api.ETag(index) {
			return condition{Given: true, Index: index}, nil
		}
	}
	return condition{}, fleet.Invalidf("If-Match", clip(match+noneMatch), `want one ETag as it was read, such as "42", or If-None-Match: * for what must not exist`)
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == 0xfffd })
}
