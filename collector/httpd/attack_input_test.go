package httpd_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/collector/httpd"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/pki"
)

func TestAttack40_TooLargeAnInventory(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	h.addReport(t, 1, "/bin/true")
	huge := `{"host":"host-1","scanned":"2026-01-01T00:00:00Z","jobs":[],"problems":[{"source":"` + strings.Repeat("x", 9<<20) + `"}]}`
	p := decoded[api.Problem](t, h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/report", huge, "Content-Type", api.MediaJSON), http.StatusRequestEntityTooLarge)
	if p.Code != "too_large" {
		t.Errorf("%+v", p)
	}
	if jobs, err := h.ledger.Jobs(everywhere, hostID(1)); err != nil || len(jobs) != 1 {
		t.Errorf("the last good inventory is gone: %v, %v", jobs, err)
	}
}

// TestAttack41_NothingIsUnpacked: a body comes as it is, so that no bomb is
// opened.
func TestAttack41_NothingIsUnpacked(t *testing.T) {
	h := newHouse(t)
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	for range 16 { // twice what may be read
		if _, err := packed.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	check(t, packed.Close())
	reply := h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/report", bomb.String(), "Content-Type", api.MediaJSON, "Content-Encoding", "gzip")
	decoded[api.Problem](t, reply, http.StatusUnsupportedMediaType)
	decoded[api.Problem](t, h.do(t, http.MethodPut, api.AgentPath(hostID(1))+"/report", bomb.String(), "Content-Type", api.MediaJSON), http.StatusBadRequest)
}

// TestAttack42_OneAgentHoldsNobodyUp: it gets its share of a second, and the
// others theirs.
func TestAttack42_OneAgentHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.addHost(t, 1, nil)
		h.addHost(t, 2, nil)
		codes := map[int]int{}
		for range 1000 {
			reply := h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", "")
			if codes[reply.StatusCode]++; reply.StatusCode == http.StatusTooManyRequests && reply.Header.Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		}
		if codes[200] != 200 || codes[429] != 800 {
			t.Errorf("1000 requests at once: %v", codes)
		}
		if reply := h.do(t, http.MethodGet, api.AgentPath(hostID(2))+"/plan", ""); reply.StatusCode != http.StatusOK {
			t.Errorf("another agent: %d", reply.StatusCode)
		}
		time.Sleep(time.Second)
		if reply := h.do(t, http.MethodGet, api.AgentPath(hostID(1))+"/plan", ""); reply.StatusCode != http.StatusOK {
			t.Errorf("after a second: %d", reply.StatusCode)
		}
		check(t, h.Close())
	})
}

// TestAttack43_OtherSpellingsOfAPath asks without a token.
func TestAttack43_OtherSpellingsOfAPath(t *testing.T) {
	h := guarded(t)
	server := httptest.NewServer(h.planes[pki.PlaneOperator])
	defer server.Close()
	for _, path := range []string{"/API/v1/tasks", "/V1/tasks", "//v1/tasks", "/v1//tasks", "/v1/tasks/", "/v1/%74asks", "/v1/./tasks", "/v1/x/../tasks", "/v1/tasks;x=1", "/v1/tasks%00", "/v1/tasks%2f", "/.//v1/tasks", "/v1/tasks?x=1", "/livez/../v1/tasks", "/v1\\tasks"} {
		reply := raw(t, server.Listener.Addr().String(), "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if code := reply[0].StatusCode; code != http.StatusUnauthorized && code != http.StatusNotFound && code != http.StatusBadRequest {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// raw sends bytes as they are and returns every answer to them.
func raw(t testing.TB, address, text string) (replies []*http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	for {
		reply, err := http.ReadResponse(reader, nil)
		if err != nil {
			break
		}
		body, _ := io.ReadAll(reply.Body)
		reply.Body = io.NopCloser(bytes.NewReader(body))
		replies = append(replies, reply)
	}
	if len(replies) == 0 {
		t.Fatalf("no answer to %q", text)
	}
	return replies
}

func TestAttack44_PathsThatLeadOut(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	server := httptest.NewServer(h.handler)
	defer server.Close()
	for _, path := range []string{
		"/v1/runs/../../etc/passwd", "/v1/runs/..%2f..%2fetc%2fpasswd/output", "/v1/runs/%252e%252e%252fetc", "/v1/runs/a%00b", "/v1/runs/a%00b/output", "/v1/hosts/..%2f..%2fetc",
		"/v1/tasks/..%2f../x", "/v1/tasks/data/%2e%2e", "/v1/agents/..%2f..%2fetc%2fpasswd/plan", "/v1/nodes/..%2f..%2froot.key", "/v1/tokens/..%2f..%2ftoken",
		"/v1/requests/..%2f..%2f..%2fx", "/v1/rules/..%2f..%2fx", "/v1/rules/data%2f..%2f*", "/v1/tasks/data/x%2f..%2fy/envelope", "/v1/calendars/%2e%2e%2fx", "/v1/findings/%2fetc", "/v1/runs/\u202e",
	} {
		reply := raw(t, server.Listener.Addr().String(), "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0]
		body, _ := io.ReadAll(reply.Body)
		if reply.StatusCode != http.StatusNotFound && reply.StatusCode != http.StatusBadRequest && reply.StatusCode != http.StatusForbidden && reply.StatusCode != http.StatusMethodNotAllowed || strings.Contains(string(body), "root:") {
			t.Errorf("%s: %d %s", path, reply.StatusCode, body)
		}
	}
}

func TestAttack45_OneSourceForEachThing(t *testing.T) {
	h := newHouse(t)
	for target, body := range map[string]string{
		api.PathTokens + "?role=admin":            `{"name":"a","roles":["viewer"],"namespaces":["red"]}`,
		api.PathTokens + "?name=root":             `{"name":"a","roles":["viewer"],"namespaces":["red"]}`,
		api.PathSealed + "?namespace=red":         signed(t, tasked(t, backup, "enabled")),
		api.PathJoinTokens + "?collector=c9":      `{}`,
		api.PathAdoptions + "?dry_run=true&x=y":   `{"host":"h","job":"1234"}`,
		api.PathResolve + "?where=all":            backup,
		"/v1/hooks/data/backup?payload=x":         `{}`,
		api.AgentPath(hostID(1)) + "/runs?host=x": `{}`,
	} {
		media := api.MediaJSON
		if strings.HasPrefix(target, api.PathSealed) {
			media = api.MediaSealed
		}
		if p := decoded[api.Problem](t, h.do(t, http.MethodPost, target, body, "Content-Type", media), http.StatusBadRequest); p.Code != "unknown_parameter" {
			t.Errorf("%s: %+v", target, p)
		}
	}
}

// TestAttack46to48_JSONIsTakenInOneWay tries each trick on each route that reads
// JSON of a fixed shape.
func TestAttack46to48_JSONIsTakenInOneWay(t *testing.T) {
	h := newHouse(t)
	for plane, caller := range certified {
		for _, route := range h.Routes() {
			if !route.On(plane) || route.Body != "json" && route.Body != "report" || plane == pki.PlanePeer {
				continue
			}
			open, end := `{`, `}`
			if route.Path == api.PathAgentAdopt || route.Path == api.PathRefusals {
				open, end = `[{`, `}]`
			}
			for body, codes := range map[string]string{
				open + `"uid":0` + end:                "unknown_field",
				open + `"Uid":0,"uid":0` + end:        "unknown_field",
				`{} {}`:                               "json_trailing",
				`{}x`:                                 "json_trailing",
				"{\"a\":\"\xff\"}":                    "json_utf8",
				`{"a":"\ud800"}`:                      "json_utf8",
				`{"a":"\ud800\u0041"}`:                "json_utf8",
				`{"a":` + strings.Repeat("[", 10_000): "malformed",
				`{"a":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + `}`: "json_depth unknown_field",
				``:      "malformed",
				`nul`:   "malformed",
				`{"a":`: "malformed",
			} {
				if open == `[{` && strings.HasPrefix(body, "{") && !strings.Contains(codes, "json") && codes != "malformed" {
					continue
				}
				p := decoded[api.Problem](t, h.on(t, plane, route.Method, filled(route.Path), body, append(caller, "Content-Type", api.MediaJSON)...), http.StatusBadRequest)
				if !strings.Contains(codes, p.Code) {
					t.Errorf("%s %s with %.40q: %+v, want %s", route.Method, route.Path, body, p, codes)
				}
			}
		}
	}
	for body, code := range map[string]string{
		`{"name":"a","NAME":"root"}`:                         "json_case",
		`{"name":"a","name":"root"}`:                         "json_duplicate_key",
		`{"name":"a","\u006eame":"root"}`:                    "json_duplicate_key",
		`{"name":"a","roles":["viewer"],"Namespaces":["*"]}`: "json_case",
	} {
		if p := decoded[api.Problem](t, h.do(t, http.MethodPost, api.PathTokens, body, "Content-Type", api.MediaJSON), http.StatusBadRequest); p.Code != code {
			t.Errorf("%s: %+v", body, p)
		}
	}
	reply := h.do(t, http.MethodPost, api.PathTokens, `{"name":"a","life":1e999}`, "Content-Type", api.MediaJSON)
	if reply.StatusCode != http.StatusBadRequest && reply.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("1e999: %d", reply.StatusCode)
	}
}

// TestAttack50_BodiesWithoutAnEnd sends more than there may be, in pieces whose
// number nobody says beforehand.
func TestAttack50_BodiesWithoutAnEnd(t *testing.T) {
	h := newHouse(t)
	server := httptest.NewServer(h.handler)
	defer server.Close()
	request, err := http.NewRequest(http.MethodPost, server.URL+api.PathTokens, endless{})
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", api.MediaJSON)
	reply, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return // it hung up, which is an answer as well
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", reply.StatusCode)
	}
}

// endless is a body of spaces.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// pipes is a listener of connections in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7770} }

// TestAttack51_WhoNeverEndsIsCutOff sends headers one byte in a second, and
// bodies as slowly.
func TestAttack51_WhoNeverEndsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		listener := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := httpd.NewHTTPServer("127.0.0.1:7770", h.handler)
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		for name, c := range map[string]struct {
			at   string // sent at once
			most time.Duration
		}{
			"headers":                  {"GET /livez HTTP/1.1\r\nHost: localhost\r\n", 6 * time.Second},
			"a body that nobody reads": {"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", 40 * time.Second},
			"a body":                   {"POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n", 40 * time.Second},
		} {
			client, inside := net.Pipe()
			listener.conns <- inside
			began := time.Now()
			var reading sync.WaitGroup
			reading.Go(func() { _, _ = io.Copy(io.Discard, client) })
			_, err := io.WriteString(client, c.at)
			for err == nil && time.Since(began) < time.Hour {
				time.Sleep(time.Second)
				_, err = io.WriteString(client, "x")
			}
			if took := time.Since(began); took > c.most {
				t.Errorf("%s: it is cut off after %s", name, took)
			}
			client.Close()
			reading.Wait()
		}
		check(t, server.Close())
		serving.Wait()
		check(t, h.Close())
	})
}

func TestAttack52_OtherMethods(t *testing.T) {
	h := newHouse(t)
	h.addHost(t, 1, nil)
	server := httptest.NewServer(h.handler)
	defer server.Close()
	for _, method := range []string{"TRACE", "CONNECT", "BREW", "get", "PROPFIND"} {
		reply := raw(t, server.Listener.Addr().String(), method+" /v1/hosts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0]
		if reply.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, reply.StatusCode)
		}
	}
	for _, name := range []string{"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"} {
		reply := h.do(t, http.MethodGet, api.PathHosts, "", name, "DELETE")
		if reply.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", name, reply.StatusCode)
		}
	}
}

// TestAttack53_OneRequestIsOneRequest sends what two servers might cut in two
// ways.
func TestAttack53_OneRequestIsOneRequest(t *testing.T) {
	h := newHouse(t)
	server := httptest.NewServer(h.handler)
	defer server.Close()
	const hidden = "GET /v1/hosts HTTP/1.1\r\nHost: localhost\r\n\r\n"
	post := func(header, body string) string {
		return "POST /v1/resolve HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n" + header + "\r\n" + body
	}
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"two lengths":          {post("Content-Length: 2\r\nContent-Length: 60\r\n", "{}"+hidden), 400},
		"two hosts":            {"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400},
		"no host":              {"GET /livez HTTP/1.1\r\n\r\n", 400},
		"an odd encoding":      {post("Transfer-Encoding: xchunked\r\n", "{}"), 501},
		"length and chunks":    {post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"+hidden), 0},
		"a length with a +":    {post("Content-Length: +2\r\n", "{}"), 400},
		"a blank before the :": {post("Content-Length : 2\r\n", "{}"), 400},
		"a bare line feed":     {"GET /livez HTTP/1.1\nHost: localhost\nX: a\rb\n\n", 400},
	} {
		replies := raw(t, server.Listener.Addr().String(), c.text)
		if len(replies) != 1 || c.want != 0 && replies[0].StatusCode != c.want {
			t.Errorf("%s: %d answers, the first %d, want %d", name, len(replies), replies[0].StatusCode, c.want)
		}
	}
}

func TestAttack54_OtherNamesOfThisMachine(t *testing.T) {
	h := newHouse(t)
	for _, host := range []string{"evil.example", "127.0.0.1.nip.io", "localhost.evil.example", "10.9.8.7"} {
		r := httptest.NewRequest(http.MethodGet, api.PathHosts, nil)
		r.Host = host
		r.Header.Set("Authorization", "Bearer anna")
		w := httptest.NewRecorder()
		h.planes[pki.PlaneOperator].ServeHTTP(w, r)
		if p := decoded[api.Problem](t, w.Result(), http.StatusMisdirectedRequest); p.Code != api.CodeMisdirected {
			t.Errorf("%s: %+v", host, p)
		}
	}
	server := httptest.NewServer(h.handler) // by the address that it listens at
	defer server.Close()
	reply, err := http.Get(server.URL + api.PathLivez)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Errorf("its own address: %v, %v", reply, err)
	}
	reply.Body.Close()
}

// TestAttack62_LogLinesStayOneLine puts a line of a log into each place that
// comes from outside.
func TestAttack62_LogLinesStayOneLine(t *testing.T) {
	h := newHouse(t)
	fake := "x\n" + `{"level":"error","message":"forged"}`
	host := h.addHost(t, 1, nil)
	h.do(t, http.MethodGet, "/v1/hosts/"+strings.ReplaceAll(strings.ReplaceAll(fake, "\n", "%0a"), `"`, "%22"), "", api.HeaderRequestID, "a b", "User-Agent", "x\tforged", "X-Forwarded-For", "forged")
	host.Name = "x\nforged"
	h.do(t, http.MethodPut, api.AgentPath(host.ID), asJSON(t, host), "Content-Type", api.MediaJSON)
	for line := range strings.Lines(h.logged.String()) {
		if !strings.HasPrefix(line, `{"timestamp":`) || strings.HasPrefix(line, `{"level":"error","message":"forged"`) {
			t.Errorf("a line of the log is %s", line)
		}
	}
}

// TestAttack63_SeriesAreNotMadeFromOutside asks for ten thousand different
// things and counts the series.
func TestAttack63_SeriesAreNotMadeFromOutside(t *testing.T) {
	h := newHouse(t)
	count := func() int { return strings.Count(text(t, h.do(t, http.MethodGet, api.PathMetrics, "")), "\n") }
	h.do(t, http.MethodGet, "/v1/nothing", "")
	h.do(t, "BREW", "/v1/nothing", "")
	h.do(t, http.MethodGet, "/v1/hosts/nobody", "")
	count()
	before := count()
	for n := range 10_000 {
		switch n % 3 {
		case 0:
			h.do(t, http.MethodGet, "/v1/nothing-"+itoa(n)+"%22%0a", "")
		case 1:
			h.do(t, "BREW"+itoa(n), "/v1/nothing", "")
		default:
			h.do(t, http.MethodGet, "/v1/hosts/nobody-"+itoa(n), "", "Authorization", "Bearer p"+itoa(n%10)+":viewer:*") // one alone would be slowed down
		}
	}
	if after := count(); after != before {
		t.Errorf("%d lines of metrics, %d before", after, before)
	}
}
