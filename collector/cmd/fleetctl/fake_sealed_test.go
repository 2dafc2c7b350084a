package main

import (
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// trustFake is what the fake knows of people.
type trustFake struct {
	clusterID string
	keys      []ed25519.PublicKey // that its hosts would trust
	cautious  bool                // every change of a task waits for approval
	requests  []fleet.Request

	tokens  []fleet.Token
	joins   []fleet.JoinToken
	nodes   []fleet.Node
	revoked []string // collectors that a signed statement revoked
	rules   []fleet.Rules
	edited  bool // somebody edited the audit chain
}

// serve lets a fake speak TLS, and returns the environment of a person it knows.
func serve(t testing.TB, fake *collectorFake, dir string) (env map[string]string, stop func()) {
	t.Helper()
	certificates := pkitest.New(t)
	server := httptest.NewUnstartedServer(fake)
	server.TLS = certificates.Collector("c1").ServerTLS(nil, pki.PlaneOperator)
	server.StartTLS()
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	fake.clusterID, fake.keys = certificates.Cluster, append(fake.keys, key.Public())
	ca, token, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token"), filepath.Join(dir, "operator.key")
	for path, text := range map[string]string{ca: string(pki.EncodeCertificates(certificates.Root.Certificate)), token: "fct1_anna\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := key.Save(keyFile); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"FLEETCRON_ADDRESS": server.URL, "FLEETCRON_CA_FILE": ca, "FLEETCRON_TOKEN_FILE": token, "FLEETCRON_KEY_FILE": keyFile, "HOME": dir,
	}, server.Close
}

// sealed takes every change that a person signs.
func (f *collectorFake) sealed(r *http.Request) (any, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	e, err := seal.Parse(text)
	if err != nil {
		return nil, err
	}
	s, err := e.Statement()
	switch {
	case err != nil:
		return nil, err
	case s.Cluster != f.clusterID || len(e.Signers(f.keys)) == 0 || r.Header.Get("Content-Type") != api.MediaSealed:
		return nil, fleet.Errorf(fleet.Refused, "the statement is for another cluster, or nobody signed it")
	case f.cautious && s.Kind == seal.KindTask:
		return f.request(e, s), nil
	}
	return f.carry(s, text, r)
}

func (f *collectorFake) carry(s *seal.Statement, envelope []byte, r *http.Request) (any, error) {
	id, queue := fleet.NewTaskID(s.Namespace, s.Name), r.URL.Query().Get("queue") == "allow"
	switch s.Kind {
	case seal.KindTask:
		if s.Task.State == fleet.TaskRetired {
			return f.deleteTask(id)
		}
		return f.putTask(s, envelope, r)
	case seal.KindOrder:
		switch s.Order.Kind {
		case fleet.OrderRun:
			return f.order(s, queue)
		case fleet.OrderCancel:
			return f.cancel(s)
		}
		return f.control(s, queue)
	case seal.KindEvent:
		return f.raise(s)
	case seal.KindCalendar:
		return f.putCalendar(s)
	case seal.KindAdopt:
		return f.adopt(s)
	case seal.KindNode:
		f.revoked = append(f.revoked, s.Name)
		return api.Sealed{}, nil
	}
	return f.release(s)
}

// request lets a change wait for another person.
func (f *collectorFake) request(e *seal.Envelope, s *seal.Statement) api.Sealed {
	request := fleet.Request{
		ID: e.Digest()[:16], Namespace: s.Namespace, Object: s.Object(), Dangers: []fleet.Danger{fleet.DangerRoot, fleet.DangerShell},
		Envelope: e.Marshal(), By: fleet.Principal{Kind: fleet.PersonKind, Name: "anna"}, Reason: "needs root", At: noon, Expires: noon.Add(24 * time.Hour), Needs: 1, Index: f.index,
	}
	f.requests = append(slices.DeleteFunc(f.requests, func(r fleet.Request) bool { return r.Object == request.Object }), request)
	return api.Sealed{Request: &request, Index: f.index}
}
