package web

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// everybody is logged in, for tests that are not about that.
type everybody struct{}

func (everybody) LogIn(string, netip.Addr) (string, time.Time, error) { return "", time.Time{}, nil }
func (everybody) LogOut(string)                                       {}
func (everybody) Visit(ctx context.Context, _ string, _ netip.Addr) (context.Context, string) {
	return ctx, "anna"
}

// opened are the options of a handler that lets everybody in.
var opened = Options{Login: everybody{}}

// guests is a Login of one code and one session.
type guests struct {
	code  string
	open  bool
	times int
}

func (g *guests) LogIn(secret string, _ netip.Addr) (string, time.Time, error) {
	if g.times++; g.times > 10 {
		return "", time.Time{}, fleet.Errorf(fleet.TooMany, "asked too often")
	}
	if secret != g.code || secret == "" {
		return "", time.Time{}, fleet.Errorf(fleet.Unauthenticated, "this code does not count").WithCode("login_code_invalid")
	}
	g.code, g.open = "", true
	return "session", time.Now().Add(8 * time.Hour), nil
}

func (g *guests) LogOut(cookie string) { g.open = g.open && cookie != "session" }

type seen struct{}

func (g *guests) Visit(ctx context.Context, cookie string, _ netip.Addr) (context.Context, string) {
	if !g.open || cookie != "session" {
		return ctx, ""
	}
	return context.WithValue(ctx, seen{}, "data"), `<b>anna</b>`
}

// browser sends a form, or asks for a page where there is none.
func browser(handler http.Handler, method, target, secret string, secure bool, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(url.Values{"secret": {secret}}.Encode()))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secure {
		r.TLS = new(tls.ConnectionState)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return serve(handler, r)
}

func TestWhoIsNotLoggedInSeesTheDoorOnly(t *testing.T) {
	for name, login := range map[string]Login{"nobody can": nil, "nobody is": &guests{code: "x"}} {
		source := &fake{n: 1, text: "secret-of-a-host"}
		handler := Handler(source, Options{Login: login})
		for _, target := range append([]string{"/nowhere", "/runs/" + string(aRun) + "/stdout"}, everyPage...) {
			got := get(handler, target)
			if got.Code != http.StatusSeeOther && login != nil || got.Code != http.StatusServiceUnavailable && login == nil || strings.Contains(got.Body.String(), "secret-of-a-host") {
				t.Errorf("%s: %s: %d", name, target, got.Code)
			}
		}
		if len(source.asked) > 0 {
			t.Errorf("%s: the source was asked %v", name, source.asked)
		}
		for _, target := range []string{"/login", "/assets/style.css"} {
			if got := get(handler, target); got.Code != http.StatusOK {
				t.Errorf("%s: %s: %d", name, target, got.Code)
			}
		}
	}
}

func TestASessionFromItsBeginningToItsEnd(t *testing.T) {
	for _, secure := range []bool{false, true} {
		login := &guests{code: "c0de"}
		handler := Handler(&fake{n: 1, text: "x"}, Options{Login: login})
		checkPage(t, get(handler, "/login").Body.Bytes())
		in := browser(handler, "POST", "/login", "c0de", secure)
		cookie := in.Result().Cookies()
		want := map[bool]string{false: "fc", true: "__Host-fc"}[secure]
		if in.Code != http.StatusSeeOther || in.Header().Get("Location") != "/" || len(cookie) != 1 {
			t.Fatalf("%d %v %v", in.Code, in.Header(), cookie)
		}
		c := cookie[0]
		if c.Name != want || c.Value != "session" || !c.HttpOnly || c.Secure != secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge < 7*3600 || c.MaxAge > 8*3600 {
			t.Errorf("cookie %+v", c)
		}
		if hsts := in.Header().Get("Strict-Transport-Security"); (hsts != "") != secure {
			t.Errorf("HSTS %q", hsts)
		}
		page := browser(handler, "GET", "/", "", secure, "Cookie", want+"=session")
		if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "&lt;b&gt;anna&lt;/b&gt;") {
			t.Errorf("%d, the page does not say who is logged in", page.Code)
		}
		other := map[bool]string{false: "__Host-fc", true: "fc"}[secure]
		if got := browser(handler, "GET", "/", "", secure, "Cookie", other+"=session"); got.Code != http.StatusSeeOther {
			t.Errorf("the other cookie counts: %d", got.Code)
		}
		out := browser(handler, "POST", "/logout", "", secure, "Cookie", want+"=session")
		if left := out.Result().Cookies(); out.Code != http.StatusSeeOther || len(left) != 1 || left[0].MaxAge >= 0 || left[0].Value != "" {
			t.Errorf("logout: %d %v", out.Code, left)
		}
		if got := browser(handler, "GET", "/", "", secure, "Cookie", want+"=session"); got.Code != http.StatusSeeOther {
			t.Errorf("after the logout: %d", got.Code)
		}
	}
}

func TestAttack54_OtherNamesReachNothing(t *testing.T) {
	login := &guests{code: "c0de"}
	handler := Handler(&fake{n: 1, text: "x"}, Options{Login: login})
	for _, host := range []string{"evil.example", "127.0.0.1.nip.io"} {
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, "/login", strings.NewReader("secret=c0de"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Host = host
			if got := serve(handler, r); got.Code != http.StatusMisdirectedRequest {
				t.Errorf("%s %s: %d", method, host, got.Code)
			}
		}
	}
	if login.times != 0 {
		t.Error("a login was tried")
	}
}

func TestAttack55_OtherSitesCannotLogIn(t *testing.T) {
	login := &guests{code: "c0de"}
	handler := Handler(&fake{n: 1, text: "x"}, Options{Login: login})
	for _, path := range []string{"/login", "/logout"} {
		for _, header := range [][]string{{"Origin", "https://evil"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
			if got := browser(handler, "POST", path, "c0de", false, header...); got.Code != http.StatusForbidden || len(got.Result().Cookies()) > 0 {
				t.Errorf("%s with %v: %d", path, header, got.Code)
			}
		}
	}
	if login.times != 0 {
		t.Error("a login was tried")
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		for _, path := range []string{"/", "/tasks", "/login/x", "/assets/app.js"} {
			if got := browser(handler, method, path, "c0de", false); got.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, got.Code)
			}
		}
	}
	if got := browser(handler, "POST", "/login", "c0de", false, "Origin", "http://localhost", "Sec-Fetch-Site", "same-origin"); got.Code != http.StatusSeeOther {
		t.Errorf("our own page: %d", got.Code)
	}
}

func TestAttack56_ACodeCountsOnce(t *testing.T) {
	login := &guests{code: "c0de"}
	handler := Handler(&fake{n: 1, text: "x"}, Options{Login: login})
	if got := browser(handler, "POST", "/login", "c0de", false); got.Code != http.StatusSeeOther {
		t.Fatalf("the first time: %d", got.Code)
	}
	again := browser(handler, "POST", "/login", "c0de", false)
	if again.Code != http.StatusUnauthorized || len(again.Result().Cookies()) > 0 || strings.Contains(again.Body.String(), "c0de") {
		t.Errorf("the second time: %d %s", again.Code, again.Body)
	}
	checkPage(t, again.Body.Bytes())
	for range 8 {
		browser(handler, "POST", "/login", "wrong", false)
	}
	if got := browser(handler, "POST", "/login", "wrong", false); got.Code != http.StatusTooManyRequests || got.Header().Get("Retry-After") == "" {
		t.Errorf("the eleventh time: %d", got.Code)
	}
}

func TestAttack57_NoPageIsFramed(t *testing.T) {
	handler := Handler(&fake{n: 1, text: "x"}, Options{Login: &guests{}})
	for _, target := range []string{"/login", "/", "/assets/app.js"} {
		if header := get(handler, target).Header(); header.Get("X-Frame-Options") != "DENY" || !strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: %v", target, header)
		}
	}
}

func TestALoginFormIsBounded(t *testing.T) {
	login := &guests{code: "c0de"}
	handler := Handler(&fake{n: 1, text: "x"}, Options{Login: login})
	if got := browser(handler, "POST", "/login", strings.Repeat("x", 1<<20), false); got.Code != http.StatusBadRequest || login.times != 0 {
		t.Errorf("%d, %d times", got.Code, login.times)
	}
}
