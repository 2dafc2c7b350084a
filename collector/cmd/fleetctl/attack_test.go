package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/seal"
)

// written returns how many changes the fake took.
func (s *session) written() int {
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	return s.fake.writes
}

func TestAttack49_FilesThatAreTraps(t *testing.T) {
	s := newSession(t)
	for _, test := range []struct{ what, text, want string }{
		{"an alias bomb", "a: &a [x,x]\nb: &b [*a,*a]\ntask: x\nrun: {command: *b}\n", "line 1"},
		{"an object", "task: !!python/object/apply:os.system [id]\n", "line 1"},
		{"a key twice", "task: x\ntask: y\non: {manual: true}\nrun: {command: [/bin/true]}\nwhere: {labels: '*'}\n", "line 2"},
		{"300 KiB", "task: x\ndescription: " + strings.Repeat("x", 300<<10) + "\n", "at most 64 KiB"},
	} {
		file := filepath.Join(t.TempDir(), "task.yaml")
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, stderr, code := s.run("apply", "-f", file, "--allow-unmatched")
		if code != 2 || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit %d, %s; want %q", test.what, code, stderr, test.want)
		}
	}
	if s.written() != 0 {
		t.Error("something was sent")
	}
}

func TestAttack59_WhatHostsSaySteersNoTerminal(t *testing.T) {
	s := newSession(t)
	s.populate()
	for _, args := range [][]string{
		{"hosts"}, {"jobs"}, {"policies"}, {"policies", "db-1"}, {"audit"}, {"audit", "export"}, {"nodes"}, {"audit", "hosts"},
		{"runs"}, {"findings"}, {"history"}, {"logs", "data/nightly-backup"},
	} {
		for _, format := range []string{"table", "wide", "json", "yaml"} {
			stdout, stderr, _ := s.run(append(args, "-o", format)...)
			checkHarmless(t, stdout+stderr, false)
		}
	}
}

func TestAttack85_RunWithoutTargets(t *testing.T) {
	s := newSession(t)
	s.must("assign", "many", "--manual", "--to", "all", "--", "/bin/true")
	s.must("assign", "one", "--manual", "--to", "host=db-1", "--", "/bin/true")
	before := s.written()
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"run", "many"}, 2, "no targets: task default/many runs on 3 hosts; use --host, --label or --all"},
		{[]string{"run", "many", "--label", "role=none"}, 2, "no host of task default/many has the labels role=none"},
		{[]string{"run", "many", "--host", "db-1", "--all"}, 2, "--all goes with neither --host nor --label"},
		{[]string{"run", "one", "--label", "role=web"}, 2, "no host of task default/one has the labels role=web"},
	} {
		if _, stderr, code := s.run(test.args...); code != test.code || !strings.Contains(stderr, test.want) {
			t.Errorf("%v: exit %d, %s", test.args, code, stderr)
		}
	}
	if s.written() != before {
		t.Error("something was ordered")
	}
	for _, args := range [][]string{{"run", "one"}, {"run", "many", "--all", "--queue"}, {"run", "many", "--label", "role=db"}, {"run", "many", "--host", "db-1"}} {
		s.must(args...)
	}
}

func TestAttack112_AnEditedChainIsFoundOut(t *testing.T) {
	s := newSession(t)
	if stdout := s.must("audit", "verify"); !strings.HasPrefix(stdout, "the chain is whole from seq 1 to 3") {
		t.Error(stdout)
	}
	s.fake.mu.Lock()
	s.fake.edited = true
	s.fake.mu.Unlock()
	if stdout, stderr, code := s.run("audit", "verify"); code != 1 || stdout != "chain broken at seq 2\n" || stderr != "" {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

func TestAttack116_SecretsInACommandLine(t *testing.T) {
	s := newSession(t)
	for _, args := range [][]string{
		{"hosts", "--token", "fct1_s3cret"}, {"hosts", "--token=fct1_s3cret"}, {"--token", "fct1_s3cret", "hosts"}, {"token", "new", "--token=fct1_s3cret"},
		{"apply", "--key", "fcs1.s3cret"}, {"approve", "x", "--key=fcs1.s3cret"}, {"key", "trust", "fcs1.s3cret"},
	} {
		stdout, stderr, code := s.run(args...)
		if code != 2 || strings.Contains(stdout+stderr, "s3cret") || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%v: exit %d, %s%s", args, code, stdout, stderr)
		}
	}
	if s.written() != 0 {
		t.Error("something was sent")
	}
}

// TestARequestIsWhatItsIDSays: the id is of the bytes, so that a collector cannot
// put another change under the one that two people spoke of.
func TestARequestIsWhatItsIDSays(t *testing.T) {
	s := newSession(t)
	s.fake.mu.Lock()
	s.fake.cautious = true
	s.fake.mu.Unlock()
	s.must("assign", "data/good", "--manual", "--to", "role=db", "--", "/bin/true")
	s.must("assign", "data/evil", "--manual", "--to", "role=db", "--", "/bin/evil")
	s.fake.mu.Lock()
	requests := s.fake.requests
	good, evil := requests[0].ID, requests[1].ID
	requests[0].Envelope = requests[1].Envelope
	requests[1].Object = "task data/harmless" // what a collector says beside it
	s.fake.mu.Unlock()
	other, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	s.env["FLEETCRON_KEY_FILE"] = filepath.Join(t.TempDir(), "key")
	if err := other.Save(s.env["FLEETCRON_KEY_FILE"]); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{good, good[:15]} {
		_, stderr, code := s.run("approve", id, "--yes")
		if code == 0 {
			t.Errorf("approved under another id: %s", stderr)
		}
	}
	if _, _, code := s.run("tasks", "data/evil"); code != 3 {
		t.Error("it stands")
	}
	if stdout := s.must("requests", evil); strings.Contains(stdout, "harmless") || !strings.Contains(stdout, "command: [/bin/evil]") {
		t.Error(stdout)
	}
	s.terminal, s.stdin = true, "n\n"
	if _, stderr, code := s.run("approve", evil); code != 2 || !strings.Contains(stderr, "nothing was signed") {
		t.Errorf("no was taken for yes: exit %d, %s", code, stderr)
	}
	s.stdin = "yes\n"
	s.must("approve", evil)
	s.must("tasks", "data/evil")
}
