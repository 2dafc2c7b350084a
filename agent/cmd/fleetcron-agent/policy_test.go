package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/seal"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestAPolicyFromInitToExplain types what a person types on a new host.
func TestAPolicyFromInitToExplain(t *testing.T) {
	const host, cluster = "0123456789abcdef0123456789abcdef", "00112233445566778899aabbccddeeff"
	dir := t.TempDir()
	file, state := filepath.Join(dir, "etc", "policy.yaml"), filepath.Join(dir, "state")
	with := func(args ...string) []string {
		return append([]string{"policy"}, append(args, "--policy", file, "--state-dir", state)...)
	}
	if out, err := run(t, with("check")...); err == nil || !strings.Contains(err.Error(), "only reports") {
		t.Errorf("%s%v", out, err)
	}
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "operator.pub"), seal.PublicText(key.Public())+" anna\n")
	if out, err := run(t, with("init", "--allow-user", "root", "--allow-command", "/bin/true")...); err != nil || !strings.Contains(out, "execute: off") {
		t.Errorf("%s%v", out, err)
	}
	if out, err := run(t, with("init")...); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("%s%v", out, err)
	}
	if out, err := run(t, with("trust", filepath.Join(dir, "operator.pub"), "--namespace", "data")...); err != nil {
		t.Errorf("%s%v", out, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.Replace(string(text), "execute: off", "execute: on", 1))
	if out, err := run(t, with("check")...); err != nil || !strings.Contains(out, "1 keys of which 1 must sign, users root, 1 commands") {
		t.Errorf("%s%v", out, err)
	}
	if out, err := run(t, with("explain", "data/nightly")...); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("%s%v", out, err)
	}

	write(t, filepath.Join(state, "host-id"), host+"\n")
	write(t, filepath.Join(state, "cluster"), cluster+"\n")
	good := fleet.Task{
		Namespace: "data", Name: "nightly", On: fleet.Trigger{Manual: true}, Where: fleet.Where{Labels: "*"},
		Run: fleet.Execute{User: "root", Command: fleet.Command{Argv: []string{"/bin/true"}}},
	}
	bad := good
	bad.Name, bad.Run.Env = "weekly", map[string]string{"LD_PRELOAD": "x"}
	plan := fleet.Plan{Host: host, Index: 1}
	for i, task := range []fleet.Task{good, bad} {
		envelope, err := seal.Sign(&seal.Statement{
			Version: 1, Cluster: cluster, Kind: seal.KindTask, Namespace: task.Namespace, Name: task.Name,
			Serial: uint64(time.Now().UnixMilli()) + uint64(i), Issued: time.Now().UTC().Truncate(time.Millisecond), Task: &seal.Task{State: fleet.TaskEnabled, Definition: &task},
		}, key)
		if err != nil {
			t.Fatal(err)
		}
		plan.Assignments = append(plan.Assignments, fleet.Assignment{Task: task, State: fleet.TaskEnabled, Generation: 1, Envelope: envelope.Marshal()})
	}
	book, err := journal.Open(filepath.Join(state, "journal"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := book.SavePlan(&plan); err != nil {
		t.Fatal(err)
	}
	book.Close()
	if out, err := run(t, with("explain", "data/nightly")...); err != nil || !strings.Contains(out, "signed by anna") || !strings.Contains(out, "data/nightly runs here") {
		t.Errorf("%s%v", out, err)
	}
	if out, err := run(t, with("explain", "data/weekly")...); fleet.KindOf(err) != fleet.Refused || !strings.Contains(out, "policy:env") {
		t.Errorf("%s%v", out, err)
	}
	if out, err := run(t, with("explain", "data/none")...); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("%s%v", out, err)
	}
	write(t, file, "execute: on\nusers: root\nshel: allowed\n")
	out, err := run(t, with("check")...)
	if fleet.KindOf(err) != fleet.Invalid || strings.Count(out, "line ") != 2 {
		t.Errorf("%s%v", out, err)
	}
	if out, err := run(t, "status", "--policy", file, "--state-dir", state); err == nil || !strings.Contains(out, "ignored, this host only reports") {
		t.Errorf("%s%v", out, err)
	}
}

func TestAPersonsWordAfterALoss(t *testing.T) {
	state := t.TempDir()
	if out, err := run(t, "policy", "confirm", "--state-dir", state); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("%s%v", out, err)
	}
	write(t, filepath.Join(state, "policy", "audit.log"), "")
	if out, err := run(t, "policy", "confirm", "--state-dir", state); err != nil {
		t.Errorf("%s%v", out, err)
	}
	if out, err := run(t, "policy", "audit", "--state-dir", state); err != nil || !strings.HasPrefix(out, "0 entries") {
		t.Errorf("%s%v", out, err)
	}
}
