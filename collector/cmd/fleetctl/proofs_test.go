package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// provedHost is a host whose proofs the fake has.
const provedHost = fleet.HostID("0123456789abcdef0123456789abcdef")

var proofKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))

// someProofs is three blocks of one line each: ran, failed, and of another's.
func someProofs() (blocks []api.ProofBlock) {
	cluster, chain := strings.Repeat("0", 32), strings.Repeat("c", 32)
	head := proof.Start(cluster, provedHost, chain)
	for n := range 3 {
		exit, ended := n, noon.Add(time.Duration(n)*time.Minute)
		b := proof.Block{Cluster: cluster, Host: provedHost, Chain: chain, First: uint64(n + 1), Before: head, At: ended, Journal: fleet.JournalID(strings.Repeat("d", 32)), Sequence: uint64(n)}
		line := proof.Line{Run: provedRun(n), Task: "data/backup", Due: noon, State: fleet.RunRan, Exit: &exit, Started: &noon, Ended: &ended}
		b.Lines = []proof.Entry{{Line: &line}}
		b.Sign(proofKey)
		head = b.After
		if n == 2 {
			b = *b.Within(func(fleet.TaskID) bool { return false })
		}
		blocks = append(blocks, api.ProofBlock{HostName: "db-1", Kept: proof.Kept{Block: b, Received: ended}})
	}
	return blocks
}

func provedRun(n int) fleet.RunID {
	return fleet.RunID(fmt.Sprintf("0190a000-0000-7000-8000-%012d", n))
}

// proofRoutes tells of the first run as its host does, and of the second what
// proofLie says.
func (f *collectorFake) proofRoutes() map[string]func(*http.Request) (any, error) {
	public := proof.PublicKey(proofKey.Public().(ed25519.PublicKey))
	return map[string]func(*http.Request) (any, error){
		"GET " + api.PathProofs: func(*http.Request) (any, error) { return listOf(someProofs()), nil },
		"GET " + api.PathProofHosts: func(*http.Request) (any, error) {
			key := proof.HostKey{Host: provedHost, Name: "db-1", Key: public, Fingerprint: public.Fingerprint(), Since: noon, How: proof.Enrolled}
			last := someProofs()[2]
			return listOf([]api.ProofHost{{Host: provedHost, Name: "db-1", Keys: []proof.HostKey{key}, Chain: last.Chain, Lines: 3, Head: last.After, Signed: last.At, Received: last.At, Blocks: 3, Bytes: 999}}), nil
		},
	}
}

// export writes what proofs export writes to a file.
func (s *session) exportProofs() (path, text string) {
	s.t.Helper()
	text = s.must("proofs", "export")
	return s.file(text), text
}

func (s *session) file(text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "proofs.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func TestAnExportOfProofsVerifies(t *testing.T) {
	s := newSession(t)
	path, text := s.exportProofs()
	fingerprint := proof.PublicKey(proofKey.Public().(ed25519.PublicKey)).Fingerprint()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{path}, 0, "db-1: lines 1 to 3 hold, signed from 2026-03-27T12:00:00Z to 2026-03-27T12:02:00Z, head " + someProofs()[2].After.String() + " (1 of them are not shown); by a key that nothing was compared with\n3 lines in 3 blocks of 1 hosts hold\n"},
		{[]string{path, "--key", "db-1=" + fingerprint, "--head", "db-1=" + someProofs()[1].After.String()}, 0, "by the key that you named"},
		{[]string{path, "--key", "db-1=" + strings.Repeat("0", 64)}, 1, "db-1: BROKEN: lines 1 to 1 are signed by key " + fingerprint + ", which is not one that was named for it"},
		{[]string{path, "--head", "db-1=" + strings.Repeat("0", 64)}, 1, "db-1: BROKEN: it does not come by a head that the host has shown"},
		{[]string{path, "--key", "web-1=" + fingerprint}, 1, "BROKEN: host web-1 is not in the file"},
		{[]string{s.file(strings.Replace(text, `"exit":1`, `"exit":0`, 1))}, 1, "db-1: BROKEN: lines 2 to 2: the block holds other lines than those that make its head"},
		{[]string{s.file(text[:len(text)/2])}, 1, "BROKEN: line 3 of the file is not as proofs export writes it"},
		{[]string{path, "--key", "db-1=x"}, 2, ""},
		{[]string{path, "--key", "=" + fingerprint}, 2, ""},
		{[]string{filepath.Join(t.TempDir(), "none")}, 2, ""},
	} {
		stdout, stderr, code := s.run(append([]string{"proofs", "verify"}, c.args...)...)
		if code != c.code || !strings.Contains(stdout, c.want) {
			t.Errorf("%v: exit %d, want %d\n%s%s\nwant %s", c.args, code, c.code, stdout, stderr, c.want)
		}
	}
	s.stdin = text
	if stdout := s.must("proofs", "verify", "-", "-o", "json"); !strings.Contains(stdout, `"whole": true`) {
		t.Error(stdout)
	}
}

func TestProofsAreListed(t *testing.T) {
	s := newSession(t)
	stdout := s.must("proofs")
	for _, want := range []string{" exit 0 ", " exit 1 ", "(not shown)", string(provedRun(1))} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if stdout := s.must("proofs", "--task", "data/backup", "--limit", "1"); strings.Count(stdout, "db-1") != 1 {
		t.Error(stdout)
	}
	if stdout := s.must("proofs", "hosts"); !strings.Contains(stdout, "db-1") {
		t.Error(stdout)
	}
	if _, _, code := s.run("proofs", "--limit", "0"); code != 2 {
		t.Errorf("exit %d", code)
	}
}

// TestACollectorThatTellsOtherwise shows that a run whose outcome the collectors
// have changed is named.
func TestACollectorThatTellsOtherwise(t *testing.T) {
	s := newSession(t)
	block := someProofs()[1]
	run := runOf(provedHost, block.Lines[0].Line)
	s.fake.mu.Lock()
	s.fake.runs = []api.RunView{{Run: run}}
	s.fake.mu.Unlock()
	if stdout := s.must("proofs", "check"); !strings.Contains(stdout, "1 lines compared, 0 told otherwise; of 1 the collectors keep no run any more, 1 are not shown") {
		t.Error(stdout)
	}
	lie := run
	lie.Exit = new(int)
	s.fake.mu.Lock()
	s.fake.runs[0].Run = lie
	s.fake.mu.Unlock()
	stdout, stderr, code := s.run("proofs", "check")
	if code != 1 || !strings.Contains(stdout, string(run.ID)) || !strings.Contains(stdout, "1 told otherwise") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}
