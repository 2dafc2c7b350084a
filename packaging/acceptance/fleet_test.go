//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// cluster is a set of real collectors and agents on loopback addresses of its own.
type cluster struct {
	t          testing.TB
	dir        string
	kit        string   // directory of what its first person holds
	net        int      // the second octet of its addresses: 127.net.x.y
	addresses  []string // of the collectors' APIs
	collectors []*program
	agents     []*program
	client     *api.Client    // of the cluster's first person, as is
	author     *author.Author // who signs
	network    *network       // nil: loopback
	visitor    *http.Client   // made by browser
}

// program is one running process that can be killed and started again.
type program struct {
	t    testing.TB
	name string
	args []string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

var networks atomic.Int32

func binary(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("FLEETCRON_BIN")
	if dir == "" {
		t.Fatal("FLEETCRON_BIN is not set; run `make acceptance`")
	}
	return filepath.Join(dir, name)
}

// newCluster starts the collectors and the agents and waits until a leader
// answers and every agent is alive.
func newCluster(t testing.TB, collectors, agents int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), net: 100 + int(networks.Add(1)) + os.Getpid()%100}
	c.begin(collectors)
	c.addAgents(agents)
	return c
}

// begin makes the cluster with its first collector and lets the others join,
// one after the other, as a person would.
func (c *cluster) begin(collectors int) {
	c.t.Helper()
	for n := 1; n <= collectors; n++ {
		c.configure(n)
	}
	c.must(binary(c.t, "fleetcron-collector"), "init", "--config", c.dir+"/c1.yaml")
	c.enter(filepath.Join(c.dir, "c1", "admin"))
	c.collectors = append(c.collectors, c.start("fleetcron-collector", "c1"))
	c.leads()
	for n := 2; n <= collectors; n++ {
		c.join(n)
	}
	c.members(collectors)
}

// configure writes the configuration of collector n.
func (c *cluster) configure(n int) {
	c.t.Helper()
	c.write(fmt.Sprintf("c%d.yaml", n), fmt.Sprintf(`id: c%[1]d
data_dir: %[2]s/c%[1]d
listen:
  api: 127.%[3]d.0.%[1]d:7770
  raft: 127.%[3]d.0.%[1]d:7771
  gossip: 127.%[3]d.0.%[1]d:7772
  web: 127.%[3]d.0.%[1]d:7780
gossip:
  seeds: [%[4]s]
log: {level: warn}
`, n, c.dir, c.net, c.seeds()))
	c.addresses = append(c.addresses, fmt.Sprintf("https://127.%d.0.%d:7770", c.net, n))
}

// enter makes what the kit of a cluster gives the person who runs the test.
func (c *cluster) enter(kit string) {
	c.t.Helper()
	var err error
	if c.client, c.author, err = author.Kit(kit); err != nil {
		c.t.Fatal(err)
	}
	if err := c.client.SetAddresses(c.addresses); err != nil {
		c.t.Fatal(err)
	}
	c.kit = kit
}

// join enrols collector n, of which a configuration is there, and starts it.
func (c *cluster) join(n int) {
	c.t.Helper()
	id := fmt.Sprintf("c%d", n)
	c.enrol("fleetcron-collector", id, "--collector", id)
	started := c.start("fleetcron-collector", id)
	if n <= len(c.collectors) {
		c.collectors[n-1] = started
	} else {
		c.collectors = append(c.collectors, started)
	}
}

// members waits until the group has so many.
func (c *cluster) members(want int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d members", want), func(ctx context.Context) error {
		view, err := c.client.Cluster(ctx)
		if err == nil && (len(view.Collectors) != want || view.Leader == "") {
			err = fmt.Errorf("%d, led by %q", len(view.Collectors), view.Leader)
		}
		return err
	})
}

// enrol lets a program with the configuration id.yaml in, by a join token.
func (c *cluster) enrol(name, id string, token ...string) {
	c.t.Helper()
	text, code := c.fleetctl(append([]string{"enroll-token"}, token...)...)
	if code != 0 {
		c.t.Fatalf("enroll-token: %d %s", code, text)
	}
	secret := regexp.MustCompile(`fcj1\.[^\s]+`).FindString(text)
	file := filepath.Join(c.dir, id+".token")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.must(binary(c.t, name), "enroll", "--config", filepath.Join(c.dir, id+".yaml"), "--token-file", file, "--address", c.addresses[0])
}

// addAgents starts the agents and waits until all are alive and have reported.
func (c *cluster) addAgents(agents int) {
	c.t.Helper()
	c.trust()
	for n := 1; n <= agents; n++ {
		c.write(fmt.Sprintf("root%d/etc/crontab", n), "5 4 * * * root /opt/job --host "+fmt.Sprint(n)+"\n")
		c.write(fmt.Sprintf("root%d/etc/os-release", n), "ID=debian\nPRETTY_NAME=Debian\n")
		c.write(fmt.Sprintf("root%d/etc/passwd", n), "root:x:0:0:root:/root:/bin/sh\n")
		c.write(fmt.Sprintf("a%d.yaml", n), fmt.Sprintf(`collectors: [%[4]s]
state_dir: %[2]s/a%[1]d
name: host-%[1]d
root: %[2]s/root%[1]d
labels: {role: test}
policy: %[2]s/policy.yaml
gossip:
  bind: 127.%[3]d.1.%[1]d:7772
  seeds: [%[5]s]
log: {level: warn}
`, n, c.dir, c.net, strings.Join(c.addresses, ", "), c.seeds()))
		c.enrol("fleetcron-agent", fmt.Sprintf("a%d", n))
		c.agents = append(c.agents, c.start("fleetcron-agent", fmt.Sprintf("a%d", n)))
	}
	c.eventually("every agent alive and reported", func(ctx context.Context) error {
		hosts, err := c.client.Hosts(ctx, api.HostQuery{Presence: fleet.Alive})
		if err != nil {
			return err
		}
		for _, host := range hosts.Items {
			if host.Jobs == 0 {
				return fmt.Errorf("%s has not reported", host.Name)
			}
		}
		if len(hosts.Items) != agents {
			return fmt.Errorf("%d of %d", len(hosts.Items), agents)
		}
		return nil
	})
}

// trust writes a policy for hosts that take whatever the cluster's first person
// signs.
func (c *cluster) trust() {
	c.t.Helper()
	key, err := os.ReadFile(filepath.Join(c.kit, "operator.pub"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("policy.yaml", fmt.Sprintf(`execute: on
keys:
  - key: %s
    namespaces: ["*"]
users: {allow: ["*", root], deny: [], min_uid: 0}
commands: [{path: "*", rest: "(?s).*", stdin: "(?s).*"}]
shell: allowed
login: allowed
env: ["*", PATH, SHELL, HOME]
probes: {files: [/], tcp: ["*"]}
adoption: allowed
unsigned_triggers: [webhook]
`, strings.Fields(string(key))[0]))
}

func (c *cluster) seeds() string {
	return fmt.Sprintf(`"127.%[1]d.0.1:7772", "127.%[1]d.0.2:7772"`, c.net)
}

func (c *cluster) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) must(name string, args ...string) string {
	c.t.Helper()
	out, err := exec.CommandContext(c.t.Context(), name, args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (c *cluster) start(name, id string) *program {
	c.t.Helper()
	return c.launch(id, []string{binary(c.t, name), "run", "--config", filepath.Join(c.dir, id+".yaml")})
}

// launch starts a program whose output goes to the log of its id.
func (c *cluster) launch(id string, command []string) *program {
	c.t.Helper()
	p := &program{t: c.t, name: id, args: command, log: filepath.Join(c.dir, id+".log")}
	p.start()
	c.t.Cleanup(func() {
		p.kill(syscall.SIGKILL)
		if c.t.Failed() {
			text, _ := os.ReadFile(p.log)
			c.t.Logf("%s:\n%s", id, text[max(0, len(text)-4000):])
		}
	})
	return p
}

func (p *program) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done, cmd := make(chan struct{}), p.cmd
	p.done = done
	go func() {
		defer close(done)
		_ = cmd.Wait() // the code of a killed process says nothing
	}()
}

// kill sends the signal and returns when the process is gone.
func (p *program) kill(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal) // it may be gone already
	<-p.done
}

// patience is for machines that have no time; nothing is measured by it.
const patience = 3 * time.Minute

// eventually asks until the condition holds; when patience ends, the test fails.
func (c *cluster) eventually(what string, condition func(context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var why error
	for {
		err := condition(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			why = err
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("waited in vain for %s: %v", what, why)
		case <-tick.C:
		}
	}
}

// leader returns the program that leads now.
func (c *cluster) leader() *program {
	c.t.Helper()
	var leads *program
	c.eventually("a leader", func(ctx context.Context) error {
		view, err := c.client.Cluster(ctx)
		if err != nil {
			return err
		}
		for _, p := range c.collectors {
			if p.name == string(view.Leader) {
				leads = p
				return nil
			}
		}
		return fmt.Errorf("none yet")
	})
	return leads
}

// environ is that of the cluster's first person.
func (c *cluster) environ() []string {
	return append(os.Environ(), "FLEETCRON_CONFIG="+filepath.Join(c.kit, "config.yaml"), "FLEETCRON_ADDRESS="+c.addresses[0])
}

// fleetctl runs fleetctl against the cluster and returns its output and exit code.
func (c *cluster) fleetctl(args ...string) (string, int) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), binary(c.t, "fleetctl"), args...)
	cmd.Env = c.environ()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
