//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// cluster is a set of real collectors and agents on loopback addresses of its own.
type cluster struct {
	t          testing.TB
	dir        string
	net        int      // the second octet of its addresses: 127.net.x.y
	addresses  []string // of the collectors' APIs
	collectors []*program
	agents     []*program
	client     *api.Client
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

// begin starts the collectors and waits until one leads.
func (c *cluster) begin(collectors int) {
	t := c.t
	t.Helper()
	var members []string
	for n := 1; n <= collectors; n++ {
		members = append(members, fmt.Sprintf("c%d=127.%d.0.%d:7771", n, c.net, n))
		c.write(fmt.Sprintf("c%d.yaml", n), fmt.Sprintf(`id: c%[1]d
data_dir: %[2]s/c%[1]d
listen:
  api: 127.%[3]d.0.%[1]d:7770
  raft: 127.%[3]d.0.%[1]d:7771
  gossip: 127.%[3]d.0.%[1]d:7772
  web: 127.%[3]d.0.%[1]d:7780
gossip:
  key_file: %[2]s/gossip.key
  seeds: [%[4]s]
log: {level: warn}
`, n, c.dir, c.net, c.seeds()))
	}
	c.must(binary(t, "fleetcron-collector"), "init", "--config", c.dir+"/c1.yaml", "--members", strings.Join(members, ","))
	for n := 1; n <= collectors; n++ {
		c.addresses = append(c.addresses, fmt.Sprintf("http://127.%d.0.%d:7770", c.net, n))
		c.collectors = append(c.collectors, c.start("fleetcron-collector", fmt.Sprintf("c%d", n)))
	}
	client, err := api.NewClient(api.Config{Addresses: c.addresses, UserAgent: "acceptance"})
	if err != nil {
		t.Fatal(err)
	}
	c.client = client
	c.eventually("a leader", func(ctx context.Context) error {
		view, err := client.Cluster(ctx)
		if err == nil && view.Leader == "" {
			return fmt.Errorf("none yet")
		}
		return err
	})
}

// addAgents starts the agents and waits until all are alive and have reported.
func (c *cluster) addAgents(agents int) {
	c.t.Helper()
	for n := 1; n <= agents; n++ {
		c.write(fmt.Sprintf("root%d/etc/crontab", n), "5 4 * * * root /opt/job --host "+fmt.Sprint(n)+"\n")
		c.write(fmt.Sprintf("root%d/etc/os-release", n), "ID=debian\nPRETTY_NAME=Debian\n")
		c.write(fmt.Sprintf("root%d/etc/passwd", n), "root:x:0:0:root:/root:/bin/sh\n")
		c.write(fmt.Sprintf("a%d.yaml", n), fmt.Sprintf(`collectors: [%[4]s]
state_dir: %[2]s/a%[1]d
name: host-%[1]d
root: %[2]s/root%[1]d
labels: {role: test}
gossip:
  bind: 127.%[3]d.1.%[1]d:7772
  key_file: %[2]s/gossip.key
  seeds: [%[5]s]
log: {level: warn}
`, n, c.dir, c.net, strings.Join(c.addresses, ", "), c.seeds()))
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
	p := &program{t: c.t, name: id, args: []string{binary(c.t, name), "run", "--config", filepath.Join(c.dir, id+".yaml")}, log: filepath.Join(c.dir, id+".log")}
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

// eventually asks until the condition holds; a minute without it fails the test.
func (c *cluster) eventually(what string, condition func(context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
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

// fleetctl runs fleetctl against the cluster and returns its output and exit code.
func (c *cluster) fleetctl(args ...string) (string, int) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), binary(c.t, "fleetctl"), args...)
	cmd.Env = append(os.Environ(), "FLEETCRON_ADDRESS=http://127."+fmt.Sprint(c.net)+".0.1:7770", "XDG_CONFIG_HOME="+c.dir)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
