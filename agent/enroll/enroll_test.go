package enroll

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/gossip"
	"github.com/fleetcron/fleetcron/shared/pki"
	"github.com/fleetcron/fleetcron/shared/pki/pkitest"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func codeOf(err error) string {
	if coded, is := errors.AsType[*fleet.Error](err); is {
		return coded.Code
	}
	return ""
}

func TestMachineBecomesAHost(t *testing.T) {
	c := newCollector(t)
	home := Home{StateDir: t.TempDir()}
	if _, err := home.Load(); codeOf(err) != "not_enrolled" || !strings.Contains(errHint(err), "fleetcron-agent enroll") {
		t.Errorf("before: %v", err)
	}
	made := c.enroll(home)
	loaded, err := home.Load()
	if err != nil || loaded.ID() != made.ID() || loaded.ID().Name != c.node || loaded.ID().Cluster != c.fleet.Cluster {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
	for name, want := range map[string]string{"host-id": c.node + "\n", "cluster": c.fleet.Cluster + "\n", "labels": `{"role":"db"}` + "\n"} {
		text, err := os.ReadFile(filepath.Join(home.StateDir, name))
		info, _ := os.Stat(filepath.Join(home.StateDir, name))
		if string(text) != want || err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s holds %q, %v", name, text, err)
		}
	}
	for _, name := range []string{"identity/key.pem", "net/ring", "net/ticket", "net/collectors"} {
		if info, err := os.Stat(filepath.Join(home.StateDir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
	have, complete, err := home.LoadGossip()
	if err != nil || !complete || have.Ring.Digest() != c.ring.Digest() || !slices.Equal(have.Seeds, []string{"192.0.2.7:7772"}) {
		t.Errorf("gossip: %v, %v, seeds %v", complete, err, have.Seeds)
	}
	if err := gossip.NewTickets(c.fleet.Cluster, c.fleet.Root.Certificate).Admit(c.node, "agent", have.Ticket); err != nil {
		t.Error(err)
	}
	if addresses, err := home.Collectors(); err != nil || !slices.Equal(addresses, []string{c.url}) {
		t.Errorf("collectors %v, %v", addresses, err)
	}
	if left, _ := os.ReadDir(home.Identity()); len(left) != 3 {
		t.Errorf("left behind: %v", left)
	}

	asked := len(c.heard())
	_, err = c.request(home).Run(t.Context())
	if codeOf(err) != "enrolled_already" || len(c.heard()) != asked {
		t.Errorf("a second time: %v, and the token may be used up", err)
	}
}

func errHint(err error) string {
	if coded, is := errors.AsType[*fleet.Error](err); is {
		return coded.Hint
	}
	return ""
}

// TestAttack15_PinOfAnotherFleet: whoever answers instead of the fleet gets not
// one byte of the token.
func TestAttack15_PinOfAnotherFleet(t *testing.T) {
	ours, theirs := newCollector(t), newCollector(t)
	request := ours.request(Home{StateDir: t.TempDir()})
	request.Addresses = []string{theirs.url}
	_, err := request.Run(t.Context())
	if codeOf(err) != pki.CodePin || !strings.Contains(err.Error(), "CA fingerprint mismatch") {
		t.Errorf("got %v", err)
	}
	if heard := theirs.heard(); len(heard) != 0 {
		t.Errorf("it heard %v", heard)
	}
	if strings.Contains(err.Error(), strings.Split(request.Token, ".")[2]) {
		t.Error("the error tells the secret")
	}
}

// TestAttack9_AgentThatPlaysACollector has a certificate of the very fleet.
func TestAttack9_AgentThatPlaysACollector(t *testing.T) {
	c := newCollector(t)
	c.shows = c.fleet.Agent(pkitest.HostID())
	c.listen()
	if _, err := c.request(Home{StateDir: t.TempDir()}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "not a collector") {
		t.Errorf("got %v", err)
	}
	if heard := c.heard(); len(heard) != 0 {
		t.Errorf("it heard %v", heard)
	}
}

func TestTokenThatIsNone(t *testing.T) {
	c := newCollector(t)
	request := c.request(Home{StateDir: t.TempDir()})
	request.Token = "fcj1.secret"
	if _, err := request.Run(t.Context()); codeOf(err) != "join_token_format" || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	request.Token = ""
	if _, err := request.Run(t.Context()); fleet.KindOf(err) != fleet.Usage {
		t.Errorf("without any: %v", err)
	}
	if len(c.heard()) != 0 {
		t.Errorf("heard %v", c.heard())
	}
}

func TestTokenThatDoesNotCount(t *testing.T) {
	c := newCollector(t)
	home := Home{StateDir: t.TempDir()}
	c.refusal = &fleet.Error{Kind: fleet.Unauthenticated, Code: "join_token_invalid", Message: "the join token does not count"}
	if _, err := c.request(home).Run(t.Context()); codeOf(err) != "join_token_invalid" {
		t.Errorf("got %v", err)
	}
	c.refusal = nil
	c.enroll(home) // with another one
}

// TestApprovalIsAwaited: both sides see one fingerprint, and a wait that was cut
// short goes on without the token, which is used up.
func TestApprovalIsAwaited(t *testing.T) {
	c := newCollector(t)
	c.pending = true
	home := Home{StateDir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	request, shown := c.request(home), ""
	request.Waiting = func(node, fingerprint string) {
		if shown = fingerprint; node != c.node {
			t.Errorf("it waits for %s", node)
		}
		cancel()
	}
	if _, err := request.Run(ctx); codeOf(err) != "node_pending" {
		t.Fatalf("got %v", err)
	}
	if theirs := c.enrolled(c.node, false).Fingerprint; theirs != shown || len(shown) != 64 {
		t.Errorf("here %s, there %s", shown, theirs)
	}

	again := &Request{Home: home, ask: 1}
	again.Waiting = func(_, fingerprint string) {
		if fingerprint != shown {
			t.Errorf("now it is %s", fingerprint)
		}
		c.mu.Lock()
		c.pending = false
		c.mu.Unlock()
	}
	credentials, err := again.Run(t.Context())
	if err != nil || credentials.Fingerprint() != shown || credentials.ID().Name != c.node {
		t.Fatalf("%v, %v", credentials, err)
	}
	if left, _ := os.ReadDir(home.Identity()); len(left) != 3 {
		t.Errorf("left behind: %v", left)
	}
}

func TestApprovalThatIsRefused(t *testing.T) {
	c := newCollector(t)
	c.pending = true
	home := Home{StateDir: t.TempDir()}
	request := c.request(home)
	request.Waiting = func(string, string) {
		c.mu.Lock()
		c.refusal = &fleet.Error{Kind: fleet.Refused, Code: "node_revoked", Message: "no"}
		c.mu.Unlock()
	}
	if _, err := request.Run(t.Context()); codeOf(err) != "node_revoked" {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(home.Identity()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReadmission(t *testing.T) {
	c := newCollector(t)
	home := Home{StateDir: t.TempDir()}
	if _, err := (&Request{Home: home, Readmit: true, Token: c.token(), Addresses: []string{c.url}}).Run(t.Context()); codeOf(err) != "not_enrolled" {
		t.Errorf("one that was never enrolled: %v", err)
	}
	before := c.enroll(home)
	request := c.request(home)
	request.Readmit = true
	after, err := request.Run(t.Context())
	if err != nil || after.ID() != before.ID() || after.Fingerprint() == before.Fingerprint() {
		t.Fatalf("%v, %v", after, err)
	}
	c.node = pkitest.HostID()
	request = c.request(home)
	request.Readmit = true
	if _, err := request.Run(t.Context()); codeOf(err) != "another_host" {
		t.Errorf("with another's token: %v", err)
	}
	if loaded, err := home.Load(); err != nil || loaded.Serial() != after.Serial() {
		t.Errorf("the identity is gone: %v", err)
	}
}
