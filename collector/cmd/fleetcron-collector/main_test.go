package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/collector"
	"github.com/fleetcron/fleetcron/shared/program"
)

// run runs the program as a shell does and returns what it printed.
func run(t *testing.T, stdin string, args ...string) (output string, code int) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(args)
	code = program.Main(root, &out)
	return out.String(), code
}

// config writes the configuration of a collector on an address of its own.
func config(t *testing.T) (file, data string) {
	t.Helper()
	dir := t.TempDir()
	file, data = filepath.Join(dir, "collector.yaml"), filepath.Join(dir, "data")
	ip := fmt.Sprintf("127.%d.%d.1", 100+rand.IntN(100), rand.IntN(256))
	text := fmt.Sprintf("data_dir: %s\nlisten: {api: %q, raft: %q, gossip: %q, web: %q}\n", data, ip+":7770", ip+":7771", ip+":7772", ip+":7780")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, data
}

func TestInitPrintsNoSecret(t *testing.T) {
	file, data := config(t)
	out, code := run(t, "", "init", "--config", file)
	if code != 0 || !strings.Contains(out, "CA pin") || !strings.Contains(out, filepath.Join(data, "admin")) {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	for _, name := range []string{"admin/token", "admin/operator.key", "gossip.key", "identity/root.key", "identity/key.pem", "identity/issuer.pem"} {
		text, err := os.ReadFile(filepath.Join(data, name))
		if err != nil {
			t.Fatal(err)
		}
		for secret := range strings.FieldsSeq(strings.Trim(string(text), "[]\"\n")) {
			if len(secret) > 20 && strings.Contains(out, strings.Trim(secret, `[]"`)) {
				t.Errorf("the output holds a secret of %s:\n%s", name, out)
			}
		}
	}
	if out, code := run(t, "", "init", "--config", file); code != 5 || !strings.Contains(out, "is there already") {
		t.Errorf("a second init: exit %d:\n%s", code, out)
	}
}

// TestInitSaysWhatREADMESays: who follows the one gets where the other leads, which
// a test types (packaging/acceptance/install_test.go).
func TestInitSaysWhatREADMESays(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	next(&out, &collector.Kit{Cluster: "c", Pin: "p", Dir: "/var/lib/fleetcron-collector/admin", RootKey: "/var/lib/fleetcron-collector/identity/root.key", Address: "https://192.0.2.7:7770"})
	commands := 0
	for line := range strings.Lines(strings.ReplaceAll(out.String(), "root@web-1:", "root@192.0.2.8:")) {
		command, is := strings.CutPrefix(line, "  ")
		if !is {
			continue
		}
		if commands++; !strings.Contains(string(readme), "\n"+command) {
			t.Errorf("README has no %s", command)
		}
	}
	if commands != 8 {
		t.Errorf("%d commands:\n%s", commands, &out)
	}
}

func TestAttack23_JoinTokenOnTheCommandLine(t *testing.T) {
	file, _ := config(t)
	token := "fcj1.abcdefgh." + strings.Repeat("A", 43) + "." + strings.Repeat("0", 64)
	for _, args := range [][]string{
		{"enroll", "--config", file, token}, {"enroll", "--config", file, "--token-file", token}, {"enroll", "--config", file, "--token-file=" + token},
	} {
		out, code := run(t, "", args...)
		if code != 2 || !strings.Contains(out, "pass the token by file or stdin") || strings.Contains(out, token) {
			t.Errorf("exit %d:\n%s", code, out)
		}
	}
}

func TestTokenFileOfAnyone(t *testing.T) {
	file, _ := config(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("fcj1.x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := run(t, "", "enroll", "--config", file, "--token-file", token, "--address", "https://127.0.0.1:1"); code != 4 || !strings.Contains(out, "chmod 600") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if out, code := run(t, "nonsense", "enroll", "--config", file, "--token-file", "-", "--address", "https://127.0.0.1:1"); code != 2 || !strings.Contains(out, "no join token") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestIssueByHand(t *testing.T) {
	file, data := config(t)
	if out, code := run(t, "", "init", "--config", file); code != 0 {
		t.Fatal(out)
	}
	other, otherData := config(t)
	request, answer := filepath.Join(t.TempDir(), "request"), filepath.Join(t.TempDir(), "issued")
	if out, code := run(t, "", "enroll", "--config", other, "--write-request", request); code != 0 {
		t.Fatal(out)
	}
	issued, code := run(t, "", "issue", "--root-key", filepath.Join(data, "identity", "root.key"), "--ca", filepath.Join(data, "admin", "ca.pem"), request)
	if code != 0 {
		t.Fatal(issued)
	}
	if err := os.WriteFile(answer, []byte(issued), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := run(t, "", "enroll", "--config", other, "--issued", answer, "--address", "https://127.0.0.1:7770"); code != 0 {
		t.Fatal(out)
	}
	if _, err := os.Stat(filepath.Join(otherData, "identity", "chain.pem")); err != nil {
		t.Error(err)
	}
}
