package web

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/visible"
)

func TestEveryPageIsListed(t *testing.T) {
	mux := http.NewServeMux()
	for _, p := range pages {
		mux.HandleFunc("GET "+p.path, func(http.ResponseWriter, *http.Request) {})
	}
	reached := map[string]bool{}
	for _, target := range everyPage {
		request, _ := http.NewRequest(http.MethodGet, target, nil)
		_, pattern := mux.Handler(request)
		reached[pattern] = true
	}
	for _, p := range pages {
		if !reached["GET "+p.path] {
			t.Errorf("no test asks for %s", p.path)
		}
	}
}

// hostileTexts are what a stranger may put into any field.
var hostileTexts = map[string]string{
	"plain":     "backup",
	"empty":     "",
	"script":    `<script>alert(1)</script>`,
	"attribute": `" onmouseover="alert(1)" x="`,
	"single":    `' onfocus='alert(1)' autofocus='`,
	"tags":      `</title></textarea></pre><!-- <svg onload=alert(1)> ]]>`,
	"address":   `javascript:alert(1)`,
	"template":  `{{.}}{{define "status"}}`,
	"terminal":  "\x1b]0;pwn\x07\x1b[2J\u009b1m\r\x7f",
	"bidi":      "gpj.\u202eexe\u2066\u2069\u200f\u2028\u2029\ufeff",
	"broken":    "\xff\xfe\x80\x00",
	"long":      strings.Repeat("0123456789", 200),
	"wide":      strings.Repeat("鐘", 700),
}

func TestAttack58And59_EveryPageRendersWhateverItIsGiven(t *testing.T) {
	amounts := []struct {
		n     int
		state fleet.RunState
	}{{0, fleet.RunRan}, {1, fleet.RunRunning}, {1, fleet.RunMissed}, {rowsPerPage + 5, fleet.RunRan}}
	for name, text := range hostileTexts {
		for _, amount := range amounts {
			if amount.n > 1 {
				text = text[:min(len(text), 400)] // pages of many megabytes tell no more than these
			}
			handler := Handler(&fake{n: amount.n, text: text, lead: "c1", state: amount.state}, Options{Login: everybody{}, Version: text})
			for _, target := range everyPage {
				t.Run(fmt.Sprintf("%s/%d/%s%s", name, amount.n, amount.state, target), func(t *testing.T) {
					got := get(handler, target)
					want := http.StatusOK
					if amount.n == 0 && strings.Contains(target, "/jobs/") {
						want = http.StatusNotFound // a job is not one of none
					}
					if got.Code != want {
						t.Fatalf("status %d: %s", got.Code, got.Body)
					}
					checkPage(t, got.Body.Bytes())
				})
			}
		}
	}
}

// checkPage fails when a page is not whole, holds a character that should have
// been made visible, or an element or attribute that we did not write.
func checkPage(t *testing.T, body []byte) {
	t.Helper()
	if at := visible.First(body); at >= 0 {
		t.Errorf("byte %d is hidden: %q", at, body[max(0, at-40):min(len(body), at+20)])
	}
	if !bytes.HasSuffix(bytes.TrimSpace(body), []byte("</html>")) {
		t.Error("the page is cut off")
	}
	open, scripts := 0, 0
	decoder := xml.NewDecoder(bytes.NewReader(body))
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page does not parse: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open++
			if token.Name.Local == "script" {
				scripts++
			}
			checkElement(t, token)
		case xml.EndElement:
			open--
		}
	}
	if open != 0 || scripts != 1 {
		t.Errorf("%d elements are not closed, %d scripts", open, scripts)
	}
}

func checkElement(t *testing.T, element xml.StartElement) {
	t.Helper()
	for _, attribute := range element.Attr {
		name := strings.ToLower(attribute.Name.Local)
		switch {
		case strings.HasPrefix(name, "on"), name == "style", name == "autofocus", name == "srcdoc":
			t.Errorf("<%s> has the attribute %s=%q", element.Name.Local, name, attribute.Value)
		case name == "href" || name == "src" || name == "action":
			if !strings.HasPrefix(attribute.Value, "/") && !strings.HasPrefix(attribute.Value, "#") || strings.HasPrefix(attribute.Value, "//") {
				t.Errorf("<%s> leads away: %s=%q", element.Name.Local, name, attribute.Value)
			}
		}
	}
}

func TestHeadersAreOnEveryAnswer(t *testing.T) {
	handler := Handler(&fake{n: 1, text: "x"}, opened)
	for _, target := range append([]string{"/nowhere", "/assets/style.css", "/runs?no=1", "//runs"}, everyPage...) {
		header := get(handler, target).Header()
		for _, want := range headers {
			if got := header.Get(want[0]); got != want[1] && !(want[0] == "Cache-Control" && strings.HasPrefix(target, "/assets/")) {
				t.Errorf("%s: %s is %q, want %q", target, want[0], got, want[1])
			}
		}
	}
	policy := get(handler, "/").Header().Get("Content-Security-Policy")
	if strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("the policy is lax: %s", policy)
	}
}

func TestOnlyReadingIsAnswered(t *testing.T) {
	handler := Handler(&fake{n: 1, text: "x"}, opened)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"} {
		for _, target := range append([]string{"/nowhere", "/assets/style.css"}, everyPage...) {
			got := do(handler, method, "localhost", target)
			if got.Code != http.StatusMethodNotAllowed || got.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: status %d, Allow %q", method, target, got.Code, got.Header().Get("Allow"))
			}
		}
	}
	for _, target := range everyPage {
		if got := do(handler, http.MethodHead, "localhost", target); got.Code != http.StatusOK {
			t.Errorf("HEAD %s: status %d", target, got.Code)
		}
	}
}

func TestHostMustBeOurs(t *testing.T) {
	handler := Handler(&fake{n: 1, text: "x"}, Options{Login: everybody{}, AllowedHosts: []string{"cron.example.org", ""}})
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:7780": 200, "127.0.0.1": 200, "127.8.9.10:80": 200, "[::1]:7780": 200, "[::1]": 200,
		"[::ffff:127.0.0.1]": 200, "cron.example.org": 200, "Cron.Example.org:443": 200,
		"evil.example": 421, "127.0.0.1.nip.io": 421, "localhost.evil.example": 421, "xcron.example.org": 421, "cron.example.org.": 421,
		"10.0.0.1": 421, "[::]": 421, "0.0.0.0": 421, "": 421, ":7780": 421, "2130706433": 421, "<script>": 421,
	} {
		if got := do(handler, http.MethodGet, host, "/hosts"); got.Code != want {
			t.Errorf("Host %q: status %d, want %d", host, got.Code, want)
		} else if want == 421 {
			checkPage(t, got.Body.Bytes())
		}
	}
	if got := do(handler, http.MethodPost, "evil.example", "/"); got.Code != 421 {
		t.Errorf("a wrong host comes before a wrong method: status %d", got.Code)
	}
}

func TestErrorsArePagesToo(t *testing.T) {
	noLeader := fleet.Errorf(fleet.Unavailable, "no leader (2 of 3 collectors unreachable)").WithHint("fleetctl collectors")
	for _, c := range []struct {
		target string
		err    error
		status int
		says   []string
	}{
		{"/nowhere", nil, 404, []string{"There is no page /nowhere.", "Overview"}},
		{"/hosts/", nil, 404, []string{"There is no page /hosts/."}},
		{"/runs/x/y", nil, 404, []string{"There is no page"}},
		{"/assets/../handler.go", nil, 307, nil},
		{"/assets/none.css", nil, 404, []string{"There is no page"}},
		{"/tasks/UPPER/x", nil, 404, []string{"There is no task UPPER/x.", "fleetctl tasks"}},
		{"/hosts/gone", fleet.Errorf(fleet.NotFound, "there is no host %q", "gone").WithHint("fleetctl hosts"), 404, []string{"There is no host &#34;gone&#34;.", "fleetctl hosts"}},
		{"/hosts?x=1", nil, 422, []string{"<code>x</code> there is no such filter on this page.", `href="/hosts">Without filters`}},
		{"/hosts?presence=asleep", nil, 422, []string{"presence", "asleep", "want alive, silent, left."}},
		{"/runs?task=UP", nil, 422, []string{"task", "UP", "namespace/name"}},
		{"/hosts/h/timeline?after=zz", nil, 422, []string{"is no place in this list"}},
		{"/hosts/h/timeline?from=soon", nil, 422, []string{"from", "soon", "want an instant as"}},
		{"/hosts/h/jobs/x?q=1", nil, 422, []string{"there is no such filter"}},
		{"/jobs?at=2199-01-01", nil, 422, []string{"at", "want an instant of the past"}},
		{"/jobs?changed_since=yesterday", nil, 422, []string{"changed_since", "want an instant as"}},
		{"/jobs?at=1h&overdue=true", nil, 422, []string{"overdue", "is known of the present only"}},
		{"/jobs?overdue=maybe", nil, 422, []string{"overdue", "want true"}},
		{"/findings?kind=gossip", nil, 422, []string{"kind", "gossip", "want ignored, overdue"}},
		{"/findings?severity=mild", nil, 422, []string{"severity", "want warning, critical"}},
		{"/findings?acked=perhaps", nil, 422, []string{"acked", "want only, all"}},
		{"/history?what=mood", nil, 422, []string{"what", "want appeared, vanished"}},
		{"/history?until=9999999999999d", nil, 422, []string{"until", "want an instant as"}},
		{"/when?zone=../../etc/passwd", nil, 422, []string{"zone", "there is no such time zone"}},
		{"/upcoming?from=2026-11-20&until=2026-11-19", nil, 422, []string{"until", "must be after from"}},
		{"/upcoming?from=2026-11-20&until=2026-11-22", nil, 422, []string{"until", "at most 24 hours"}},
		{"/hosts?q=%zz", nil, 422, []string{"cannot be read"}},
		{"/jobs?q=" + strings.Repeat("x", 501), nil, 422, []string{"longer than 500 bytes"}},
		{"/", noLeader, 503, []string{"No leader (2 of 3 collectors unreachable).", "fleetctl collectors", "Try again"}},
		{"/jobs?q=x", fmt.Errorf("bucket page 17 is torn"), 500, []string{"log says more"}},
	} {
		got := get(Handler(&fake{n: 1, text: "x", err: c.err}, opened), c.target)
		if got.Code != c.status {
			t.Errorf("%s: status %d, want %d", c.target, got.Code, c.status)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(got.Body.String(), text) {
				t.Errorf("%s: does not say %q:\n%s", c.target, text, got.Body)
			}
		}
		if strings.Contains(got.Body.String(), "bucket") {
			t.Errorf("%s: tells its inside", c.target)
		}
		if c.status != 307 {
			checkPage(t, got.Body.Bytes())
		}
	}
}

func TestUnavailableSaysWhenToComeBack(t *testing.T) {
	got := get(Handler(&fake{err: fleet.Errorf(fleet.Unavailable, "no leader")}, opened), "/")
	if got.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestAssetsAreKeptByTheirContent(t *testing.T) {
	handler := Handler(&fake{n: 1, text: "x"}, opened)
	page := get(handler, "/").Body.String()
	for name, a := range loadAssets() {
		if a.media == "" {
			t.Errorf("%s has no media type", name)
		}
		if len(a.packed) > 30<<10 {
			t.Errorf("%s is %d bytes packed, more than the budget", name, len(a.packed))
		}
		address := "/assets/" + name + "?v=" + a.version
		if !strings.Contains(page, address) {
			t.Errorf("the page does not use %s", address)
		}
		got := get(handler, address)
		if !bytes.Equal(got.Body.Bytes(), a.plain) || !strings.Contains(got.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: other bytes, or Cache-Control %q", name, got.Header().Get("Cache-Control"))
		}
		for encoding, etag := range map[string]string{"": `"` + a.version + `"`, "gzip, br": `"` + a.version + `-gz"`} {
			request, _ := http.NewRequest(http.MethodGet, "/assets/"+name, nil)
			request.Host = "localhost"
			request.Header.Set("Accept-Encoding", encoding)
			request.Header.Set("If-None-Match", etag)
			answer := serve(handler, request)
			if answer.Code != http.StatusNotModified || answer.Body.Len() != 0 || answer.Header().Get("ETag") != etag {
				t.Errorf("%s %q: status %d, ETag %s", name, encoding, answer.Code, answer.Header().Get("ETag"))
			}
		}
	}
}
