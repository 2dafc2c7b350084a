//go:build acceptance

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// desk is a help desk: a token that may have tasks run, and a key that hosts obey
// for that alone.
type desk struct {
	*cluster
	config string
}

// hire gives a desk its token and its key, and has every host trust that key to
// run and to cancel, beside that of the cluster's first person.
func (c *cluster) hire(program string) *desk {
	c.t.Helper()
	d := &desk{c, filepath.Join(c.dir, "desk", "config.yaml")}
	ca, err := os.ReadFile(filepath.Join(c.kit, "ca.pem"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("desk/ca.pem", string(ca))
	c.write("desk/config.yaml", fmt.Sprintf("address: %s\nca_file: ca.pem\ntoken_file: token\nkey_file: key\n", c.addresses[0]))
	for _, args := range [][]string{
		{"token", "new", "desk", "--role", "runner", "--namespace", "web", "--out", filepath.Join(c.dir, "desk", "token")},
		{"key", "new", "--out", filepath.Join(c.dir, "desk", "key")},
	} {
		if out, code := c.fleetctl(args...); code != 0 {
			c.t.Fatalf("%v: %d %s", args, code, out)
		}
	}
	first, err := os.ReadFile(filepath.Join(c.kit, "operator.pub"))
	if err != nil {
		c.t.Fatal(err)
	}
	out, code := d.fleetctl("key", "list", "-o", "json")
	at := strings.Index(out, "fck1.")
	if code != 0 || at < 0 {
		c.t.Fatalf("%d %s", code, out)
	}
	public := out[at : at+strings.IndexByte(out[at:], '"')]
	c.write("policy.yaml", fmt.Sprintf(`execute: on
keys:
  - {key: %s, name: first, namespaces: ["*"]}
users: {allow: ["*", root], deny: [], min_uid: 0}
commands:
  - path: %s
    args: ["(fast|slow)", "[a-z0-9]+"]
    stdin: "[a-z0-9]+ [{]{2}site[}]{2}"
env: [SITE]
`, strings.Fields(string(first))[0], program))
	c.must(binary(c.t, "fleetcron-agent"), "policy", "trust", public, "--config", c.dir+"/a1.yaml", "--as", "desk", "--namespace", "web", "--may", "run,cancel")
	c.eventually("the policy to be taken in", func(ctx context.Context) error {
		hosts, err := c.client.Policies(ctx)
		if err != nil || len(hosts.Items) == 0 || len(hosts.Items[0].Keys) != 2 {
			return errors.Join(err, fmt.Errorf("%+v", hosts.Items))
		}
		return nil
	})
	return d
}

// fleetctl is the desk's own.
func (d *desk) fleetctl(args ...string) (string, int) { return d.fleetctlWith(d.config, args...) }

func (d *desk) fleetctlWith(config string, args ...string) (string, int) {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), binary(d.t, "fleetctl"), args...)
	cmd.Env = append(os.Environ(), "FLEETCRON_CONFIG="+config)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestAHelpDeskRunsATaskWithItsValues has a person give a task with parameters,
// and a help desk run it: with values that fit, with values that do not, and with
// all that it may not do beside.
func TestAHelpDeskRunsATaskWithItsValues(t *testing.T) {
	c := newCluster(t, 1, 1)
	tool, probe := filepath.Join(c.dir, "clear"), filepath.Join(c.dir, "probe")
	if err := os.WriteFile(tool, []byte(`#!/bin/sh
echo "$#|$1|$2|$SITE|$FLEETCRON_PARAM_SITE|$FLEETCRON_PARAM_DEPTH|$(cat)" >> `+probe+`
case $1 in slow) while :; do sleep 1; done;; esac
`), 0o755); err != nil {
		t.Fatal(err)
	}
	d := c.hire(tool)
	c.put(t.Context(), "clear", fmt.Sprintf(`task: clear
namespace: web
params:
  site: {type: text, pattern: "[A-Za-z0-9 ]+", description: whose cache}
  depth: {type: choice, values: [fast, slow], default: fast}
on: {manual: true}
run: {command: [%s, "{{depth}}", "{{site}}"], env: {SITE: "<{{site}}>"}, stdin: "{{site}} {{{{site}}"}
where: {labels: role=test}
limits: {overlap: queue}
`, tool))
	c.applied("web/clear")
	d.runs(probe)
	d.refused()
	d.waits(probe)
}

// runs has the desk run the task, and finds the values where they belong.
func (d *desk) runs(probe string) {
	t := d.t.(*testing.T)
	out, code := d.fleetctl("tasks", "web/clear")
	if code != 0 || !strings.Contains(out, "whose cache") {
		t.Errorf("what it takes: %d %s", code, out)
	}
	out, code = d.fleetctl("run", "web/clear", "--set", "site=shop", "--wait")
	if code != 0 || !strings.Contains(out, "exit 0") {
		t.Fatalf("%d %s", code, out)
	}
	if got, want := d.told(probe), []string{"2|fast|shop|<shop>|shop|fast|shop {{site}}"}; !slices.Equal(got, want) {
		t.Errorf("the command was told %q, want %q", got, want)
	}
	list, err := d.client.Runs(t.Context(), api.RunQuery{Task: "web/clear"})
	if err != nil || len(list.Items) != 1 || list.Items[0].Params.String() != "site=shop" {
		t.Errorf("%v, %+v", err, list.Items)
	}
	if out, code := d.fleetctl("runs", string(list.Items[0].ID)); code != 0 || !strings.Contains(out, "with    site=shop") {
		t.Errorf("%d %s", code, out)
	}
	entries, err := d.client.Audit(t.Context(), api.AuditQuery{Action: "order.run"})
	if err != nil || len(entries.Items) != 1 || entries.Items[0].By.Name != "desk" || !strings.Contains(entries.Items[0].Why, "with site=shop") {
		t.Errorf("audit: %v, %+v", err, entries.Items)
	}
	chain, err := os.ReadFile(filepath.Join(d.dir, "a1", "policy", "audit.log"))
	if err != nil || !strings.Contains(string(chain), "web/clear with site=shop") {
		t.Errorf("the host's own audit: %v, %s", err, chain)
	}
}

// told is what the command wrote down, line by line.
func (d *desk) told(probe string) []string {
	text, err := os.ReadFile(probe)
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// refused tries values that do not fit, and what a desk may not do.
func (d *desk) refused() {
	t := d.t.(*testing.T)
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"run", "web/clear"}, 2, "--set site=…: must be given"},
		{[]string{"run", "web/clear", "--set", "site=shop;id"}, 2, "want what matches [A-Za-z0-9 ]+"},
		{[]string{"run", "web/clear", "--set", "site=shop", "--set", "depth=deep"}, 2, "want one of fast, slow"},
		{[]string{"run", "web/clear", "--set", "site=shop", "--set", "user=root"}, 2, "there are depth, site"},
		{[]string{"run", "web/clear", "--set", "site=SHOP", "--wait"}, 1, "policy:args"}, // the task takes it, the host does not
		{[]string{"run", "web/clear", "--set", "site=a b c", "--wait"}, 1, `"a b c"`},    // one word stays one
		{[]string{"assign", "web/mine", "--manual", "--to", "host=host-1", "--", "/bin/true"}, 4, "tasks:write"},
		{[]string{"unassign", "web/clear", "--all"}, 4, "tasks:write"},
		{[]string{"reset", "web/clear"}, 4, "tasks:control"},
		{[]string{"raise", "deployed"}, 4, "tasks:control"},
		{[]string{"token", "list"}, 4, "tokens:write"},
	} {
		if out, code := d.fleetctl(test.args...); code != test.code || !strings.Contains(out, test.says) {
			t.Errorf("%q: %d %s", test.args, code, out)
		}
	}
	// With an admin's token the collectors take what it signs. The host does not.
	d.write("desk/admin.yaml", fmt.Sprintf("address: %s\nca_file: ca.pem\ntoken_file: %s\nkey_file: key\n", d.addresses[0], filepath.Join(d.kit, "token")))
	admin := filepath.Join(d.dir, "desk", "admin.yaml")
	if out, code := d.fleetctlWith(admin, "assign", "web/mine", "--manual", "--to", "host=host-1", "--", filepath.Join(d.dir, "clear"), "fast", "mine"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	d.eventually("the host to refuse it", func(ctx context.Context) error {
		hosts, err := d.client.Policies(ctx)
		if err == nil && !slices.ContainsFunc(hosts.Items[0].Refused, func(r fleet.Refusal) bool {
			return r.Code == "policy:may" && r.Line > 0 && strings.Contains(r.Why, "desk")
		}) {
			err = fmt.Errorf("%+v", hosts.Items[0].Refused)
		}
		return err
	})
	if got := d.told(filepath.Join(d.dir, "probe")); len(got) != 1 {
		t.Errorf("something ran: %q", got)
	}
}

// waits has one run wait for another while the agent is killed: it keeps its own
// values. The desk cancels what goes on.
func (d *desk) waits(probe string) {
	t := d.t.(*testing.T)
	for _, args := range [][]string{{"--set", "site=one", "--set", "depth=slow"}, {"--set", "site=two"}} {
		if out, code := d.fleetctl(append([]string{"run", "web/clear"}, args...)...); code != 0 {
			t.Fatalf("%d %s", code, out)
		}
	}
	one := d.runWith("one", fleet.RunRunning)
	d.runWith("two", fleet.RunPending)
	d.agents[0].kill(syscall.SIGKILL)
	d.agents[0].start()
	// The host may be held for silent yet, so the word is given and not waited for.
	if out, code := d.fleetctl("cancel", string(one.ID), "--reason", "it waits long enough", "--no-wait"); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	if ended := d.runWith("one", fleet.RunRan); !ended.Cancelled {
		t.Errorf("%+v", ended)
	}
	two := d.runWith("two", fleet.RunRan)
	if !two.Succeeded() {
		t.Errorf("%+v", two)
	}
	if got, want := d.told(probe)[1:], []string{"2|slow|one|<one>|one|slow|one {{site}}", "2|fast|two|<two>|two|fast|two {{site}}"}; !slices.Equal(got, want) {
		t.Errorf("the commands were told %q, want %q", got, want)
	}
}

// runWith waits until the run of a site stands so.
func (d *desk) runWith(site string, state fleet.RunState) (run api.RunView) {
	d.t.Helper()
	d.eventually("the run of "+site+" to be "+string(state), func(ctx context.Context) error {
		list, err := d.client.Runs(ctx, api.RunQuery{Task: "web/clear"})
		for i := range list.Items {
			if list.Items[i].Params["site"] == site && list.Items[i].State == state {
				run = list.Items[i]
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("%+v", list.Items))
	})
	return run
}
