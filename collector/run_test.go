package collector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/replica"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/seal"
)

// place returns the configuration of a collector on an address of its own.
func place(t *testing.T, id string) Config {
	t.Helper()
	ip := fmt.Sprintf("127.%d.%d.%d", 100+rand.IntN(100), rand.IntN(256), 1+rand.IntN(254))
	cfg := DefaultConfig()
	cfg.ID, cfg.DataDir, cfg.Version = id, filepath.Join(t.TempDir(), id), "1.2.3"
	cfg.Listen = Listen{API: ip + ":7770", Raft: ip + ":7771", Gossip: ip + ":7772", Web: ip + ":7780"}
	cfg.timing = replica.Timing{Heartbeat: 300 * time.Millisecond, Election: 300 * time.Millisecond, Lease: 300 * time.Millisecond}
	return cfg
}

// founded makes a cluster.
func founded(t *testing.T) (Config, Kit) {
	t.Helper()
	cfg := place(t, "c1")
	kit, err := Init(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, kit
}

// start runs a collector until the test ends.
func start(t *testing.T, cfg Config) {
	t.Helper()
	t.Cleanup(begin(t, cfg))
}

// begin runs a collector until stop is called.
func begin(t *testing.T, cfg Config) (stop func()) {
	t.Helper()
	logged := &lines{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, slog.New(slog.NewTextHandler(logged, nil))) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("collector %s: %v", cfg.ID, err)
		}
		if t.Failed() {
			t.Logf("collector %s:\n%s", cfg.ID, logged)
		}
	}
}

// admin returns a client with what the kit holds.
func admin(t *testing.T, kit Kit) *api.Client {
	t.Helper()
	client, err := api.NewClient(api.Config{
		Addresses: []string{addressIn(t, kit)}, Token: strings.TrimSpace(read(t, kit.Dir, "token")), TLS: pki.RootTLS(rootIn(t, kit), kit.Cluster, pki.PlaneOperator),
		Rounds: 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func addressIn(t *testing.T, kit Kit) string {
	t.Helper()
	for line := range strings.Lines(read(t, kit.Dir, "config.yaml")) {
		if address, is := strings.CutPrefix(strings.TrimSpace(line), "address: "); is {
			return address
		}
	}
	t.Fatal("no address in the kit")
	return ""
}

func rootIn(t *testing.T, kit Kit) *x509.Certificate {
	t.Helper()
	certs, err := pki.ParseCertificates([]byte(read(t, kit.Dir, "ca.pem")))
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

// enrolAgent enrols a host over the network and returns who it is.
func enrolAgent(t *testing.T, cfg Config, client *api.Client) *pki.Credentials {
	t.Helper()
	token, err := client.MakeJoinToken(t.Context(), api.NewJoinToken{})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := pki.ParseJoinSecret(token.Secret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request, err := pki.Request(key)
	if err != nil {
		t.Fatal(err)
	}
	newcomer, err := api.NewClient(api.Config{Addresses: []string{cfg.apiURL()}, TLS: pki.PinnedTLS(secret.Pin, nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer newcomer.Close()
	got, err := newcomer.Enroll(t.Context(), api.Enroll{Token: token.Secret, Request: string(request)})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.ParseCertificates([]byte(got.Chain))
	if err != nil {
		t.Fatal(err)
	}
	root, err := pki.ParseCertificates([]byte(got.CA))
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := pki.NewCredentials(key, chain, root[0])
	if err != nil {
		t.Fatal(err)
	}
	return credentials
}

func codeOf(err error) string {
	if e, is := errors.AsType[*fleet.Error](err); is {
		return e.Code
	}
	return ""
}

func TestInitMakesTheWholeKit(t *testing.T) {
	cfg, kit := founded(t)
	for path, mode := range map[string]os.FileMode{
		"": 0o700, "admin": 0o700, "admin/token": 0o600, "admin/operator.key": 0o600, "admin/config.yaml": 0o600, "identity": 0o700,
		"identity/key.pem": 0o600, "identity/issuer.pem": 0o600, "identity/root.key": 0o600, "gossip.key": 0o600,
	} {
		if info, err := os.Stat(filepath.Join(cfg.DataDir, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", path, info.Mode(), err)
		}
	}
	key, err := seal.LoadKey(filepath.Join(kit.Dir, "operator.key"))
	if err != nil || seal.PublicText(key.Public())+"\n" != read(t, kit.Dir, "operator.pub") {
		t.Errorf("the key to sign with: %v", err)
	}
	if !strings.HasPrefix(read(t, kit.Dir, "token"), "fct1_") || addressIn(t, kit) != cfg.apiURL() || pki.Pin(rootIn(t, kit)) != kit.Pin {
		t.Errorf("kit %+v", kit)
	}
	if _, err := Init(t.Context(), cfg); codeOf(err) != "exists" {
		t.Errorf("a second init: %v", err)
	}
	start(t, cfg)
	client := admin(t, kit)
	cluster, err := client.Cluster(t.Context())
	if err != nil || cluster.ID != kit.Cluster || len(cluster.Collectors) != 1 {
		t.Errorf("%+v, %v", cluster, err)
	}
	nodes, err := client.Nodes(t.Context(), api.Page{})
	if err != nil || len(nodes.Items) != 1 || nodes.Items[0].ID != "c1" {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
}

func TestAnInitThatFailsLeavesNothing(t *testing.T) {
	cfg := place(t, "c1")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Init(ended, cfg); err == nil {
		t.Fatal("init went on without a context")
	}
	left, err := os.ReadDir(cfg.DataDir)
	if err != nil || len(left) != 1 || left[0].Name() != lockFile {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := Init(t.Context(), cfg); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestNobodyIsLetInUnknown(t *testing.T) {
	cfg, kit := founded(t)
	start(t, cfg)
	client := admin(t, kit)
	if _, err := client.MakeJoinToken(t.Context(), api.NewJoinToken{}); err != nil { // it leads, and knows who may ask
		t.Fatal(err)
	}
	for name, config := range map[string]api.Config{
		"no token":    {},
		"wrong token": {Token: "fct1_abcdefgh_" + strings.Repeat("A", 43)},
	} {
		config.Addresses, config.Rounds, config.TLS = []string{cfg.apiURL()}, 1, pki.RootTLS(rootIn(t, kit), kit.Cluster, pki.PlaneOperator)
		stranger, err := api.NewClient(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stranger.Hosts(t.Context(), api.HostQuery{}); fleet.KindOf(err) != fleet.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
		stranger.Close()
	}
}

func TestAttack06_RevokedInTheLedger(t *testing.T) {
	cfg, kit := founded(t)
	stop := sync.OnceFunc(begin(t, cfg))
	t.Cleanup(stop)
	client := admin(t, kit)
	credentials := enrolAgent(t, cfg, client)
	host := fleet.HostID(credentials.ID().Name)
	agent, err := api.NewClient(api.Config{Addresses: []string{cfg.apiURL()}, TLS: credentials.ClientTLS(pki.PlaneAgent, pki.RoleCollector), Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	if err := agent.Register(t.Context(), fleet.Host{ID: host, Name: "web-1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Plan(t.Context(), host, 0, 0); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := agent.Asks(t.Context(), host, time.Minute)
		ended <- err
	}()
	if _, err := client.ChangeNode(t.Context(), string(host), api.NodeChange{State: fleet.NodeRevoked, Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	if err := <-ended; err == nil || time.Since(revoked) > 5*time.Second {
		t.Errorf("the long poll ended %v after the revocation: %v", time.Since(revoked), err)
	}
	agent.Close()
	if _, err := agent.Plan(t.Context(), host, 0, 0); err == nil || !strings.Contains(err.Error(), "does not let this certificate in") {
		t.Errorf("a new connection: %v", err)
	}
	stop() // which writes down what there is to tell
	book, err := openLedger(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	list, err := book.Audit(fleet.ScopeOf(fleet.Everywhere), api.AuditQuery{Action: "connect"})
	if err != nil || len(list.Items) == 0 || list.Items[0].Code != pki.CodeRevoked || list.Items[0].By.Name != string(host) {
		t.Errorf("audit %+v, %v", list.Items, err)
	}
}

func TestAttack115_TwoOnOneDirectory(t *testing.T) {
	cfg, kit := founded(t)
	start(t, cfg)
	if _, err := admin(t, kit).Cluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("is in use by pid %d", os.Getpid())
	second := Run(t.Context(), cfg, slog.New(slog.DiscardHandler))
	_, surveyed := Survey(cfg)
	_, founded := Init(t.Context(), cfg)
	for name, err := range map[string]error{"run": second, "recover": surveyed, "init": founded} {
		if codeOf(err) != "in_use" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAttack114_WhatMustNotStart(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(cfg *Config) error
		want string
	}{
		"no identity":      {func(cfg *Config) error { return os.RemoveAll(cfg.identityDir()) }, "has no identity"},
		"key of all":       {func(cfg *Config) error { return os.Chmod(filepath.Join(cfg.identityDir(), "key.pem"), 0o644) }, "mode 0644"},
		"issuer of all":    {func(cfg *Config) error { return os.Chmod(filepath.Join(cfg.identityDir(), "issuer.pem"), 0o640) }, "mode 0640"},
		"root key of all":  {func(cfg *Config) error { return os.Chmod(filepath.Join(cfg.identityDir(), "root.key"), 0o604) }, "mode 0604"},
		"gossip of all":    {func(cfg *Config) error { return os.Chmod(cfg.keyFile(), 0o644) }, "mode 0644"},
		"another's id":     {func(cfg *Config) error { cfg.ID = "c2"; return nil }, "is of collector c1"},
		"no gossip key":    {func(cfg *Config) error { return os.Remove(cfg.keyFile()) }, "no such file"},
		"no issuer at all": {func(cfg *Config) error { return os.Remove(filepath.Join(cfg.identityDir(), "issuer.pem")) }, "issuer.pem"},
	} {
		cfg, _ := founded(t)
		if err := c.harm(&cfg); err != nil {
			t.Fatal(err)
		}
		if err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestWebBeyondLoopbackSpeaksTLSAlone(t *testing.T) {
	cfg := place(t, "c1")
	_, port, _ := strings.Cut(cfg.Listen.Web, ":")
	cfg.Listen.Web, cfg.Hosts = "0.0.0.0:"+port, []string{"fleet.example"}
	cfg.Listen.Web = fmt.Sprintf("0.0.0.0:%d", 20000+rand.IntN(10000))
	kit, err := Init(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	start(t, cfg)
	if _, err := admin(t, kit).Cluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	ip, _, _ := strings.Cut(cfg.Listen.API, ":")
	_, port, _ = strings.Cut(cfg.Listen.Web, ":")
	pool := x509.NewCertPool()
	pool.AddCert(rootIn(t, kit))
	for _, name := range []string{ip, "fleet.example"} { // as a browser verifies that has the root
		browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: name}}}
		answer, err := browser.Get("https://" + ip + ":" + port + "/login")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		answer.Body.Close()
		browser.CloseIdleConnections()
	}
	answer, err := http.Get("http://" + ip + ":" + port + "/")
	if err == nil {
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS: %d %s", answer.StatusCode, body)
		}
	}
}

func TestMemoryMakesIdentitiesToThrowAway(t *testing.T) {
	cfg := place(t, "memory-test")
	cfg.Store = StoreMemory
	start(t, cfg)
	kit := Kit{Dir: filepath.Join(memoryDir, fmt.Sprintf("fleetcron-memory-test-%d", os.Geteuid()), "admin")}
	for {
		if _, err := os.Stat(filepath.Join(kit.Dir, "token")); err == nil {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal("no kit")
		case <-time.After(20 * time.Millisecond):
		}
	}
	if cluster, err := admin(t, kit).Cluster(t.Context()); err != nil || len(cluster.Collectors) != 1 {
		t.Errorf("%+v, %v", cluster, err)
	}
}

func TestACertificateNamesWhatTheConfigurationNames(t *testing.T) {
	cfg, kit := founded(t)
	stop := begin(t, cfg)
	client := admin(t, kit)
	before, err := client.Node(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	cfg.Hosts = []string{"fleet.example"}
	start(t, cfg)
	eventually(t, "the node has the new certificate", func(ctx context.Context) bool {
		node, err := client.Node(ctx, "c1")
		return err == nil && node.Serial != before.Serial && node.State == fleet.NodeActive
	})
	loaded, err := pki.LoadCredentials(cfg.identityDir())
	if err != nil || loaded.Chain()[0].VerifyHostname("fleet.example") != nil || loaded.ID().Cluster != kit.Cluster {
		t.Errorf("%v", err)
	}
}

func TestCertificatesAreRenewedAtTwoThirds(t *testing.T) {
	cfg, _ := founded(t)
	me, err := loadSelf(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		at    time.Time
		fresh bool
	}{
		"today":           {time.Now(), false},
		"in seven months": {time.Now().Add(7 * 30 * 24 * time.Hour), false},
		"in nine months":  {time.Now().Add(9 * 30 * 24 * time.Hour), true},
	} {
		next, err := me.freshen(&cfg, c.at, quiet)
		if err != nil || (next.credentials != me.credentials) != c.fresh {
			t.Errorf("%s: renewed %v, %v", name, next.credentials != me.credentials, err)
		}
	}
	if err := os.Remove(filepath.Join(cfg.identityDir(), "root.key")); err != nil {
		t.Fatal(err)
	}
	if me, err = loadSelf(&cfg); err != nil {
		t.Fatal(err)
	}
	if next, err := me.freshen(&cfg, time.Now().Add(360*24*time.Hour), quiet); err != nil || next.credentials != me.credentials {
		t.Errorf("without the root key: %v", err)
	}
}

func TestACollectorMayMove(t *testing.T) {
	cfg, kit := founded(t)
	stop := begin(t, cfg)
	if _, err := admin(t, kit).Cluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	cfg.Listen = place(t, "c1").Listen
	start(t, cfg)
	client, err := api.NewClient(api.Config{
		Addresses: []string{cfg.apiURL()}, Token: strings.TrimSpace(read(t, kit.Dir, "token")), TLS: pki.RootTLS(rootIn(t, kit), kit.Cluster, pki.PlaneOperator), Rounds: 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, "the group knows where it is", func(ctx context.Context) bool {
		cluster, err := client.Cluster(ctx)
		return err == nil && cluster.Collectors[0].Raft == cfg.Listen.Raft && cluster.Collectors[0].API == cfg.apiURL()
	})
}
