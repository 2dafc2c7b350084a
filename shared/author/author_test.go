package author

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// house is a collector that keeps one task, and what came in.
type house struct {
	t       *testing.T
	fleet   *pkitest.Fleet
	address string
	records map[string]fleet.TaskRecord // by path
	hosts   []api.Resolved
	run     api.RunView
	got     []*seal.Statement
	asked   []string // of what was submitted: URL and conditions
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, fleet: pkitest.New(t), records: map[string]fleet.TaskRecord{}}
	server := httptest.NewUnstartedServer(h)
	server.TLS = h.fleet.Collector("c1").ServerTLS(nil, pki.PlaneOperator)
	server.StartTLS()
	t.Cleanup(server.Close)
	h.address = server.URL
	return h
}

func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer fct1_test" {
		h.t.Errorf("token %q", r.Header.Get("Authorization"))
	}
	var answer any
	record, known := h.records[r.URL.Path]
	switch {
	case r.URL.Path == api.PathSealed:
		body, _ := io.ReadAll(r.Body)
		e, err := seal.Parse(body)
		if err != nil {
			h.t.Errorf("what came in: %v", err)
		}
		s, err := e.Statement()
		if err != nil {
			h.t.Errorf("what came in: %v", err)
		}
		h.got = append(h.got, s)
		h.asked = append(h.asked, strings.TrimSpace(r.URL.RawQuery+" "+r.Header.Get("If-Match")+r.Header.Get("If-None-Match")))
		answer = api.Sealed{Index: 9, Orders: make([]fleet.Order, len(s.Hosts))}
	case strings.HasSuffix(r.URL.Path, "/hosts"):
		answer = api.List[api.Resolved]{Items: h.hosts}
	case strings.HasPrefix(r.URL.Path, api.PathRuns):
		answer = h.run
	case known:
		answer = api.TaskView{TaskRecord: record}
	default:
		p := api.ProblemOf(fleet.Errorf(fleet.NotFound, "there is no such thing"))
		w.Header().Set("Content-Type", api.MediaProblem)
		w.WriteHeader(p.Status)
		answer = p
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// kit writes what init gives its first person, and reads it.
func (h *house) kit(key seal.Key) *Author {
	h.t.Helper()
	dir := h.t.TempDir()
	for name, text := range map[string]string{
		"config.yaml": fmt.Sprintf("address: %s\nca_file: ca.pem\ntoken_file: token\nkey_file: operator.key\n", h.address),
		"ca.pem":      string(pki.EncodeCertificates(h.fleet.Root.Certificate)),
		"token":       "fct1_test\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := key.Save(filepath.Join(dir, "operator.key")); err != nil {
		h.t.Fatal(err)
	}
	client, author, err := Kit(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(client.Close)
	return author
}

func newKey(t *testing.T) seal.Key {
	t.Helper()
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keeps makes the collector keep a task that a key signed.
func (h *house) keeps(key seal.Key, state fleet.TaskState, spoil func(s *seal.Statement)) fleet.TaskRecord {
	h.t.Helper()
	now := time.Now().UTC()
	s := &seal.Statement{Version: 1, Cluster: h.fleet.Cluster, Kind: seal.KindTask, Namespace: "data", Name: "backup", Serial: uint64(now.UnixMilli()) + 5000, Issued: now,
		Task: &seal.Task{State: state, Document: document, MediaType: api.MediaYAML, Definition: &fleet.Task{Name: "backup", Namespace: "data",
			On: fleet.Trigger{Manual: true}, Run: fleet.Execute{Command: fleet.Command{Argv: []string{"/bin/true"}}}, Where: fleet.Where{Labels: "role=db"}}}}
	if spoil != nil {
		spoil(s)
	}
	e, err := seal.Sign(s, key)
	if err != nil {
		h.t.Fatal(err)
	}
	record := fleet.TaskRecord{Task: *s.Task.Definition, State: state, Index: 42, Serial: s.Serial, Envelope: e.Marshal()}
	record.Task.Name, record.Task.Namespace = "backup", "data"
	record.Task.Run.Command = fleet.Command{Argv: []string{"/tmp/evil"}} // what a collector says beside it
	h.records["/v1/tasks/data/backup"] = record
	return record
}

const document = "task: backup\nnamespace: data\non: {manual: true}\nrun: {command: [/bin/true]}\nwhere: {labels: role=db}\n"

func TestATaskIsSignedAboveTheOneBefore(t *testing.T) {
	h, key := newHouse(t), newKey(t)
	a := h.kit(key)
	if _, err := a.Task(t.Context(), []byte(document), api.MediaYAML, "", Options{Unmatched: true}); err != nil {
		t.Fatal(err)
	}
	before := h.keeps(key, fleet.TaskPaused, nil)
	lie := before
	lie.State = fleet.TaskEnabled // what a collector says beside the statement
	h.records["/v1/tasks/data/backup"] = lie
	if _, err := a.Task(t.Context(), []byte(document), api.MediaYAML, "", Options{IfIndex: &before.Index}); err != nil {
		t.Fatal(err)
	}
	first, second := h.got[0], h.got[1]
	if first.Task.State != fleet.TaskEnabled || first.Task.Document != document || first.Task.Definition.ID() != "data/backup" || first.Cluster != h.fleet.Cluster || !first.Expires.IsZero() {
		t.Errorf("%+v", first)
	}
	if second.Task.State != fleet.TaskPaused || second.Serial != before.Serial+1 {
		t.Errorf("after %d: %+v", before.Serial, second)
	}
	if fmt.Sprint(h.asked) != `[unmatched=allow "42"]` {
		t.Errorf("%s", h.asked)
	}
	if _, err := a.Task(t.Context(), []byte("task: x"), api.MediaYAML, "", Options{}); fleet.KindOf(err) != fleet.Invalid || strings.Contains(err.Error(), "definition") {
		t.Errorf("%v", err)
	}
}

// TestPausingSignsWhatWasSigned and not what a collector says a task is.
func TestPausingSignsWhatWasSigned(t *testing.T) {
	h, key := newHouse(t), newKey(t)
	a := h.kit(key)
	h.keeps(key, fleet.TaskEnabled, nil)
	if _, err := a.State(t.Context(), "data/backup", fleet.TaskPaused, Options{}); err != nil {
		t.Fatal(err)
	}
	if got := h.got[0].Task; got.State != fleet.TaskPaused || got.Definition.Run.Command.Argv[0] != "/bin/true" || h.asked[0] != `unmatched=allow "42"` {
		t.Errorf("%+v, %s", got, h.asked)
	}
	h.keeps(newKey(t), fleet.TaskEnabled, nil)
	if _, err := a.State(t.Context(), "data/backup", fleet.TaskPaused, Options{}); code(err) != CodeUntrusted {
		t.Errorf("signed by a stranger: %v", err)
	}
	for what, spoil := range map[string]func(*seal.Statement){
		"of another cluster": func(s *seal.Statement) { s.Cluster = strings.Repeat("00", 16) },
		"of another task":    func(s *seal.Statement) { s.Name, s.Task.Definition.Name = "other", "other" },
	} {
		h.keeps(key, fleet.TaskEnabled, spoil)
		if _, err := a.State(t.Context(), "data/backup", fleet.TaskPaused, Options{}); code(err) != CodeUntrusted {
			t.Errorf("%s: %v", what, err)
		}
	}
	none := h.records["/v1/tasks/data/backup"]
	none.Envelope = nil
	h.records["/v1/tasks/data/backup"] = none
	if _, err := a.State(t.Context(), "data/backup", fleet.TaskEnabled, Options{}); code(err) != CodeUntrusted {
		t.Errorf("no statement: %v", err)
	}
	if _, err := a.State(t.Context(), "data/backup", fleet.TaskRetired, Options{}); err != nil || h.got[1].Task.Definition != nil {
		t.Errorf("retired: %v", err) // needs nobody's word
	}
	if len(h.got) != 2 {
		t.Errorf("%d statements came in", len(h.got))
	}
}

func code(err error) string {
	if e, ok := err.(*fleet.Error); ok {
		return e.Code
	}
	return ""
}

func TestOrders(t *testing.T) {
	h, key := newHouse(t), newKey(t)
	a := h.kit(key)
	for i := range seal.MaxHosts + 5 {
		h.hosts = append(h.hosts, api.Resolved{Host: fleet.HostID(fmt.Sprintf("%032x", i)), Name: fmt.Sprint("db-", i)})
	}
	all, err := a.Run(t.Context(), "data/backup", nil, Options{Reason: "by hand"})
	if err != nil || len(all.Orders) != len(h.hosts) || len(h.got) != 2 || h.got[0].Order.ID == h.got[1].Order.ID {
		t.Fatalf("%d orders of %d statements, %v", len(all.Orders), len(h.got), err)
	}
	if s := h.got[0]; s.Expires.Sub(s.Issued) != time.Hour || s.Order.Reason != "by hand" || !s.Order.Due.Equal(s.Issued) {
		t.Errorf("%+v", s)
	}
	if _, err := a.Run(t.Context(), "data/backup", []string{"db-3", fmt.Sprintf("%032x", 3)}, Options{Queue: true, Life: 2 * time.Hour}); err != nil || len(h.got[2].Hosts) != 1 || h.asked[2] != "queue=allow" {
		t.Errorf("%+v, %v", h.got, err)
	}
	if _, err := a.Run(t.Context(), "data/backup", []string{"web-1"}, Options{}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("another host: %v", err)
	}
	if _, err := a.Run(t.Context(), "data/backup", nil, Options{Life: 48 * time.Hour}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("two days: %v", err)
	}
	h.hosts = nil
	if _, err := a.Run(t.Context(), "data/backup", nil, Options{}); code(err) != api.CodeUnmatched {
		t.Errorf("no hosts: %v", err)
	}
	h.run = api.RunView{Run: fleet.Run{ID: "0197a8f0-0000-7000-8000-000000000001", Task: "data/backup", Host: "000102030405060708090a0b0c0d0e0f", State: fleet.RunPending}}
	if _, err := a.Cancel(t.Context(), h.run.ID, Options{}); err != nil {
		t.Fatal(err)
	}
	if s := h.got[len(h.got)-1]; s.Order.Run != h.run.ID || s.Hosts[0] != h.run.Host || s.Expires.Sub(s.Issued) != seal.MaxOrderLife {
		t.Errorf("%+v", s)
	}
	if _, err := a.Event(t.Context(), "deployed", `{}`, Options{}); err != nil || h.got[len(h.got)-1].Event.Payload != "{}" {
		t.Errorf("%v", err)
	}
}

func TestApproveSignsTheSameBytes(t *testing.T) {
	h, anna, ben := newHouse(t), newKey(t), newKey(t)
	record := h.keeps(anna, fleet.TaskEnabled, nil)
	e, err := h.kit(ben).countersigned(record.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := seal.Parse(record.Envelope)
	if e.Digest() != before.Digest() || len(e.Signers([]ed25519.PublicKey{anna.Public(), ben.Public()})) != 2 {
		t.Error("other bytes were signed")
	}
	if _, err := h.kit(anna).countersigned(record.Envelope); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("twice by one key: %v", err)
	}
	record = h.keeps(anna, fleet.TaskEnabled, func(s *seal.Statement) { s.Cluster = strings.Repeat("00", 16) })
	if _, err := h.kit(ben).countersigned(record.Envelope); code(err) != api.CodeOtherCluster {
		t.Errorf("another cluster's: %v", err)
	}
}

func TestAccess(t *testing.T) {
	h, key := newHouse(t), newKey(t)
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", string(pki.EncodeCertificates(h.fleet.Root.Certificate)), 0o644)
	good := Access{Addresses: []string{h.address}, CAFile: ca, Token: "fct1_test", KeyFile: filepath.Join(dir, "key")}
	if err := key.Save(good.KeyFile); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(a *Access){
		"no CA":            func(a *Access) { a.CAFile = "" },
		"an absent CA":     func(a *Access) { a.CAFile = filepath.Join(dir, "none") },
		"a CA that is not": func(a *Access) { a.CAFile = good.KeyFile },
		"a leaf as CA": func(a *Access) {
			a.CAFile = write("leaf", string(pki.EncodeCertificates(h.fleet.Collector("c1").Chain()...)), 0o644)
		},
		"a loose token":  func(a *Access) { a.Token, a.TokenFile = "", write("loose", "fct1_x", 0o644) },
		"a split token":  func(a *Access) { a.Token = "fct1_x fct1_y" },
		"plain HTTP":     func(a *Access) { a.Addresses = []string{"http://127.0.0.1:7770"} },
		"no key":         func(a *Access) { a.KeyFile = "" },
		"two keys":       func(a *Access) { a.Key = "ssh-agent" },
		"a key in words": func(a *Access) { a.KeyFile, a.Key = "", "fcs1.x" },
		"no agent":       func(a *Access) { a.KeyFile, a.Key = "", "ssh-agent" },
		"open trusted":   func(a *Access) { a.TrustedKeys = write("open", "", 0o600); _ = os.Chmod(a.TrustedKeys, 0o666) },
		"wrong trusted":  func(a *Access) { a.TrustedKeys = write("wrong", "ssh-ed25519 AAAA", 0o600) },
	} {
		a := good
		spoil(&a)
		client, err := a.Client()
		if err == nil {
			client.Close()
			_, err = a.Author(client)
		}
		if err == nil || strings.Contains(err.Error(), "fcs1.x") {
			t.Errorf("%s: %v", what, err)
		}
	}
	good.TrustedKeys = write("trusted", "# others\n\n"+seal.PublicText(newKey(t).Public())+" ben of data\n", 0o600)
	client, err := good.Client()
	if err != nil {
		t.Fatal(err)
	}
	a, err := good.Author(client)
	if err != nil || len(a.trusted) != 2 {
		t.Errorf("%v", err)
	}
	if keys, err := good.Trusted(); err != nil || keys[0].Name != "ben of data" {
		t.Errorf("%v, %v", keys, err)
	}
	if _, err := client.Overview(context.Background()); fleet.KindOf(err) != fleet.NotFound { // it got there
		t.Error(err)
	}
}
