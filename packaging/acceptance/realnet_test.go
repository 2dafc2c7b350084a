//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// company is a fleet on machines of a network. The person who administers it
// sits at the first machine.
type company struct {
	*cluster
	machines map[string]*machine // by the id of what runs there
}

// ofMachine runs a program on the machine of an id, with that id's configuration.
func (c *company) ofMachine(id, name string, args ...string) []string {
	return c.machines[id].command(binary(c.t, name), append(args, "--config", filepath.Join(c.dir, id+".yaml"))...)
}

// run starts the program of an id on its machine.
func (c *company) up(id, name string) *program {
	c.t.Helper()
	return c.launch(id, c.ofMachine(id, name, "run"))
}

// admin runs fleetctl at the first machine.
func (c *company) admin(args ...string) string {
	c.t.Helper()
	command := c.machines["c1"].command(binary(c.t, "fleetctl"), args...)
	cmd := exec.CommandContext(c.t.Context(), command[0], command[1:]...)
	cmd.Env = c.environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("fleetctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// says waits until a file holds a text.
func (c *company) says(file, want string) {
	c.t.Helper()
	c.eventually(file+" to say "+want, func(context.Context) error {
		text, err := os.ReadFile(file)
		if err == nil && !strings.Contains(string(text), want) {
			err = fmt.Errorf("it does not")
		}
		return err
	})
}

// asks is as admin, and waits until the answer has what is wanted.
func (c *company) asks(want string, args ...string) {
	c.t.Helper()
	c.eventually(strings.Join(args, " ")+" to say "+want, func(ctx context.Context) error {
		command := c.machines["c1"].command(binary(c.t, "fleetctl"), args...)
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Env = c.environ()
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}

// alive waits until host n is.
func (c *company) alive(n int) {
	c.t.Helper()
	c.asks(`"alive"`, "hosts", fmt.Sprintf("host-%d", n), "-o", "json")
}

// enrolled lets the machine of an id in.
func (c *company) enrolled(id, name string, token ...string) {
	c.t.Helper()
	file := filepath.Join(c.dir, id+".token")
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	c.admin(append([]string{"enroll-token", "--out", file}, token...)...)
	command := c.ofMachine(id, name, "enroll", "--token-file", file, "--address", c.addresses[0])
	c.eventually("a leader who lets "+id+" in", func(ctx context.Context) error { // one may be elected just now
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
}

func (c *company) collector(n int) {
	c.t.Helper()
	id := fmt.Sprintf("c%d", n)
	c.machines[id] = c.network.machine(id)
	c.write(id+".yaml", fmt.Sprintf("id: %s\ndata_dir: %s/%s\nadvertise: %s\nlisten: {api: '0.0.0.0:7770', raft: '0.0.0.0:7771', gossip: '%[4]s:7772', web: '127.0.0.1:7780'}\nlog: {level: warn}\n", id, c.dir, id, c.machines[id].address))
	c.addresses = append(c.addresses, "https://"+c.machines[id].address+":7770")
}

func (c *company) agent(n int) {
	c.t.Helper()
	id := fmt.Sprintf("a%d", n)
	c.machines[id] = c.network.machine(id)
	c.write(fmt.Sprintf("root%d/etc/crontab", n), "5 4 * * * root /opt/job\n")
	c.write(fmt.Sprintf("root%d/etc/os-release", n), "ID=debian\nPRETTY_NAME=Debian\n")
	c.write(fmt.Sprintf("root%d/etc/passwd", n), "root:x:0:0:root:/root:/bin/sh\n")
	c.write(id+".yaml", fmt.Sprintf("collectors: [%s]\nstate_dir: %s/%s\nname: host-%d\nroot: %[2]s/root%[4]d\nlabels: {role: test}\npolicy: %[2]s/policy.yaml\ngossip: {bind: '%[5]s:7772'}\nlog: {level: warn}\n",
		strings.Join(c.addresses, ", "), c.dir, id, n, c.machines[id].address))
}

// TestAFleetOnARealNetwork puts three collectors and three agents on machines
// with addresses of their own, and does to them what happens in the years of a
// fleet. The hosts that stay in it miss no instant through all of it.
func TestAFleetOnARealNetwork(t *testing.T) {
	c := &company{cluster: &cluster{t: t, dir: t.TempDir(), network: newNetwork(t)}, machines: map[string]*machine{}}
	for n := 1; n <= 3; n++ {
		c.collector(n)
	}
	command := c.ofMachine("c1", "fleetcron-collector", "init")
	c.must(command[0], command[1:]...)
	c.kit = filepath.Join(c.dir, "c1", "admin")
	collectors := map[string]*program{"c1": c.up("c1", "fleetcron-collector")}
	c.asks("leader", "collectors")
	for _, id := range []string{"c2", "c3"} {
		c.enrolled(id, "fleetcron-collector", "--collector", id)
		collectors[id] = c.up(id, "fleetcron-collector")
	}
	c.asks("c3", "collectors")
	c.trust()
	agents := map[string]*program{}
	for n := 1; n <= 3; n++ {
		c.agent(n)
		id := fmt.Sprintf("a%d", n)
		c.enrolled(id, "fleetcron-agent", "--label", "zone=z"+fmt.Sprint(n))
		agents[id] = c.up(id, "fleetcron-agent")
	}
	for n := 1; n <= 3; n++ {
		c.alive(n)
	}
	c.asks("host-2", "hosts", "--label", "zone=z2")
	c.write("beat.yaml", "task: beat\non: {every: 1s, deadline: 1m}\nrun: {command: [/bin/true]}\nwhere: {labels: role=test}\n")
	c.admin("apply", "-f", c.dir+"/beat.yaml")
	for n := 1; n <= 3; n++ {
		c.asks("exit 0", "runs", "--task", "beat", "--host", fmt.Sprintf("host-%d", n), "--limit", "3")
	}

	t.Log("a member's key is taken away: its connections end within five seconds, and it comes in no more")
	c.admin("node", "revoke", "host-3", "--reason", "stolen")
	revoked := time.Now()
	c.asks("revoked", "nodes", "host-3")
	c.eventually("the revoked agent to be shut out", func(context.Context) error {
		text, err := os.ReadFile(agents["a3"].log)
		if err == nil && !strings.Contains(string(text), "revoked") {
			err = fmt.Errorf("it says nothing of it")
		}
		return err
	})
	if took := time.Since(revoked); took > 30*time.Second {
		t.Errorf("it heard of it after %s", took)
	}

	t.Log("the key of gossip is drawn anew")
	before, err := os.ReadFile(filepath.Join(c.dir, "c1", "gossip.key"))
	if err != nil {
		t.Fatal(err)
	}
	c.admin("gossip-key", "rotate")
	c.eventually("the ring to be another one", func(context.Context) error {
		now, err := os.ReadFile(filepath.Join(c.dir, "c1", "gossip.key"))
		if err == nil && string(now) == string(before) {
			err = fmt.Errorf("it is not")
		}
		return err
	})
	for n := 1; n <= 2; n++ {
		c.alive(n)
	}

	t.Log("a collector burns down, and another takes its place")
	file := filepath.Join(c.dir, "all.backup")
	c.admin("backup", file)
	collectors["c3"].kill(syscall.SIGKILL)
	c.admin("node", "revoke", "c3", "--reason", "burnt")
	for n := 1; n <= 2; n++ {
		c.says(filepath.Join(c.dir, fmt.Sprintf("a%d", n), "policy", "book.json"), `"collector c3"`)
	}
	c.collector(4)
	c.enrolled("c4", "fleetcron-collector", "--collector", "c4")
	collectors["c4"] = c.up("c4", "fleetcron-collector")
	c.asks("c4", "collectors")

	t.Log("all collectors are lost; one begins anew with the backup, under the old root")
	for _, id := range []string{"c1", "c2", "c4"} {
		collectors[id].kill(syscall.SIGKILL)
	}
	t.Log("who has what burned down asks nobody in: hosts know that it is none, whoever else answers")
	thief := c.up("c3", "fleetcron-collector")
	for _, id := range []string{"a1", "a2"} {
		c.says(agents[id].log, "people of this fleet signed that it is a collector no more")
	}
	thief.kill(syscall.SIGKILL)
	for _, name := range []string{"ledger.db", "raft"} {
		if err := os.RemoveAll(filepath.Join(c.dir, "c1", name)); err != nil {
			t.Fatal(err)
		}
	}
	command = c.ofMachine("c1", "fleetcron-collector", "restore", file)
	c.must(command[0], command[1:]...)
	collectors["c1"] = c.up("c1", "fleetcron-collector")
	c.asks("leader", "collectors")
	for n := 1; n <= 2; n++ {
		host := fmt.Sprintf("host-%d", n)
		since := time.Now().UTC().Format(time.RFC3339)
		c.asks("exit 0", "runs", "--task", "beat", "--host", host, "--since", since, "--limit", "3")
		if out := c.admin("runs", "--task", "beat", "--host", host, "--state", "missed", "-o", "json"); strings.Contains(out, `"missed"`) {
			t.Errorf("%s missed something: %s", host, out)
		}
	}
	if out := c.admin("audit", "verify"); !strings.Contains(out, "whole") {
		t.Errorf("the audit chain: %s", out)
	}
}
