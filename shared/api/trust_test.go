package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// secured is a collector that speaks TLS with the given credentials.
func secured(t *testing.T, shows *pki.Credentials, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.TLS = shows.ServerTLS(nil, pki.PlaneOperator)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func trusting(t *testing.T, f *pkitest.Fleet, addresses ...string) *api.Client {
	t.Helper()
	c, err := api.NewClient(api.Config{Addresses: addresses, Rounds: 3, Token: "secret", TLS: pki.RootTLS(f.Root.Certificate, f.Cluster, pki.PlaneOperator)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAttack09_TheTokenGoesToACollectorOfTheFleetOnly(t *testing.T) {
	f, foreign := pkitest.New(t), pkitest.New(t)
	asked := func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{"hosts":3}`) }
	never := func(http.ResponseWriter, *http.Request) { t.Error("a stranger was asked") }
	good := secured(t, f.Collector("c1"), asked)
	strange := secured(t, foreign.Collector("c1"), never)
	if _, err := trusting(t, f, good).Overview(t.Context()); err != nil {
		t.Error(err)
	}
	for address, code := range map[string]string{
		strange: pki.CodeForeignCA,
		secured(t, f.Agent(pkitest.HostID()), never): pki.CodeNotCollector, // attack 9
	} {
		_, err := trusting(t, f, address).Overview(t.Context())
		if e, ok := err.(*fleet.Error); !ok || e.Kind != fleet.Refused || e.Code != code {
			t.Errorf("want %s: %v", code, err)
		}
	}
	for range 4 { // whichever of the two is asked first
		if _, err := trusting(t, f, strange, good).Overview(t.Context()); err != nil {
			t.Errorf("one stranger among them: %v", err)
		}
	}
}

func statement(t *testing.T) *seal.Envelope {
	t.Helper()
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	e, err := seal.Sign(&seal.Statement{Version: 1, Cluster: strings.Repeat("0f", 16), Kind: seal.KindTask, Namespace: "data", Name: "backup",
		Serial: uint64(now.UnixMilli()), Issued: now, Task: &seal.Task{State: fleet.TaskRetired}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSubmitSendsTheEnvelopeAsItIs(t *testing.T) {
	var got []string
	sealed := statement(t)
	c := client(t, 1, collector(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != string(sealed.Marshal()) || r.Header.Get("Content-Type") != api.MediaSealed || r.Header.Get(api.HeaderIdempotency) == "" {
			t.Errorf("%s: %v", body, r.Header)
		}
		got = append(got, fmt.Sprintf("%s %s %s|%s|%s", r.Method, r.URL, r.Header.Get("If-Match"), r.Header.Get("If-None-Match"), r.Header.Get(api.HeaderReason)))
		_ = json.NewEncoder(w).Encode(api.Sealed{Index: 7})
	}))
	none, some := uint64(0), uint64(42)
	for _, options := range []api.SubmitOptions{{}, {IfIndex: &none, Unmatched: true}, {IfIndex: &some, Queue: true, Reason: "so & so"}} {
		if answer, err := c.Submit(t.Context(), sealed, options); err != nil || answer.Index != 7 {
			t.Errorf("%+v, %v", answer, err)
		}
	}
	if _, err := c.Approve(t.Context(), "00ff", 42, sealed, ""); err != nil {
		t.Error(err)
	}
	want := []string{
		"POST /v1/sealed ||", "POST /v1/sealed?unmatched=allow |*|", `POST /v1/sealed?queue=allow "42"||so+%26+so`,
		`POST /v1/requests/00ff/approval "42"||`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChainWalksEveryPage(t *testing.T) {
	c := client(t, 1, collector(t, func(w http.ResponseWriter, r *http.Request) {
		page := api.List[fleet.AuditEntry]{Items: []fleet.AuditEntry{{Seq: 1}, {Seq: 2}}, Next: "b"}
		switch r.URL.Query().Get("after") {
		case "b":
			page = api.List[fleet.AuditEntry]{Items: []fleet.AuditEntry{{Seq: 3}}, Next: "c"}
		case "c":
			problem(w, fleet.Errorf(fleet.Refused, "enough"))
			return
		}
		_ = json.NewEncoder(w).Encode(page)
	}))
	var seqs []uint64
	var last error
	for entry, err := range c.Chain(t.Context()) {
		if last = err; err == nil {
			seqs = append(seqs, entry.Seq)
		}
	}
	if fmt.Sprint(seqs) != "[1 2 3]" || fleet.KindOf(last) != fleet.Refused {
		t.Errorf("%v, %v", seqs, last)
	}
	for range c.Chain(t.Context()) {
		break
	}
}
