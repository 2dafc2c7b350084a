package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

func runEnroll(t *testing.T, stdin string, words ...string) (string, error) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetIn(strings.NewReader(stdin))
	root.SetArgs(append([]string{"enroll", "--config", config, "--state-dir", t.TempDir()}, words...))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestAttack23_TokenOnTheCommandLine(t *testing.T) {
	token := pki.NewJoinSecret(strings.Repeat("a", 64)).Text()
	secret := strings.Split(token, ".")[2]
	for name, words := range map[string][]string{
		"alone":       {token},
		"as a flag":   {"--token", token},
		"as a flag =": {"--token=" + token},
		"cut off":     {token[:40]},
	} {
		out, err := runEnroll(t, "", words...)
		if fleet.KindOf(err) != fleet.Usage || !strings.Contains(err.Error(), "pass the token by file or stdin") {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(out+err.Error(), secret[:8]) {
			t.Errorf("%s: the answer repeats the secret", name)
		}
	}
}

func TestTokenFilesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	open, empty := filepath.Join(dir, "open"), filepath.Join(dir, "empty")
	os.WriteFile(open, []byte("fcj1.x"), 0o644)
	os.WriteFile(empty, nil, 0o600)
	for file, want := range map[string]string{open: "0644", empty: "is empty", filepath.Join(dir, "none"): "no such file"} {
		if _, err := runEnroll(t, "", "--token-file", file, "--address", "https://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := runEnroll(t, "fcj1.nonsense", "--token-file", "-", "--address", "https://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "no join token") {
		t.Errorf("from standard input: %v", err)
	}
	if _, err := runEnroll(t, "", "--address", "https://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "no enrolment is under way") {
		t.Errorf("without a token: %v", err)
	}
}
