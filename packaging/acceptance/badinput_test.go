//go:build acceptance

package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run starts a program that is expected to refuse, and returns what it said
// and its exit code.
func (c *cluster) run(name string, args ...string) (string, int) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), binary(c.t, name), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func refused(t *testing.T, what, out string, code int, words ...string) {
	t.Helper()
	if code == 0 {
		t.Errorf("%s was accepted:\n%s", what, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("%s: the answer lacks %q:\n%s", what, word, out)
		}
	}
	if strings.Contains(out, "goroutine ") || strings.Contains(out, "panic:") {
		t.Errorf("%s: a stack trace:\n%s", what, out)
	}
}

// TestProgramsRefuseBadInput gives the real programs what people get wrong.
func TestProgramsRefuseBadInput(t *testing.T) {
	c := newCluster(t, 1, 1)
	address := func(octets string, port int) string { return fmt.Sprintf("127.%d.%s:%d", c.net, octets, port) }

	out, code := c.run("fleetcron-collector", "run", "--config", c.dir+"/c1.yaml",
		"--listen-api", address("9.1", 7770), "--listen-raft", address("9.1", 7771), "--listen-gossip", address("9.1", 7772), "--listen-web", address("9.1", 7780))
	refused(t, "a second collector on one data directory", out, code, "c1", "in use by pid")
	out, code = c.run("fleetcron-agent", "run", "--config", c.dir+"/a1.yaml", "--gossip-bind", address("9.2", 7772))
	refused(t, "a second agent on one state directory", out, code, "a1", "in use by process")
	out, code = c.run("fleetcron-collector", "init", "--config", c.dir+"/c1.yaml")
	refused(t, "init where a cluster is", out, code, "in use by pid")

	c.write("other.yaml", fmt.Sprintf("id: c9\ndata_dir: %s/other\nlisten: {api: '%s', raft: '%s', gossip: '%s', web: '%s'}\n", c.dir,
		address("0.1", 7770), address("9.3", 7771), address("9.3", 7772), address("9.3", 7780)))
	out, code = c.run("fleetcron-collector", "init", "--config", c.dir+"/other.yaml")
	if code != 0 {
		t.Fatalf("init: %s", out)
	}
	out, code = c.run("fleetcron-collector", "run", "--config", c.dir+"/other.yaml")
	refused(t, "a port in use", out, code, address("0.1", 7770), "in use")
	out, code = c.run("fleetcron-collector", "init", "--config", c.dir+"/other.yaml")
	refused(t, "a second init", out, code, "already")

	for _, flag := range []string{"--listen-api", "--listen-raft", "--listen-gossip"} {
		out, code = c.run("fleetcron-collector", "run", "--config", c.dir+"/other.yaml", flag, "0.0.0.0:7770")
		refused(t, flag+" on every interface, without a word of the others' way to it", out, code, "0.0.0.0:7770", "advertise")
	}
	key := filepath.Join(c.dir, "other", "identity", "key.pem")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	out, code = c.run("fleetcron-collector", "run", "--config", c.dir+"/other.yaml", "--listen-api", address("9.3", 7770))
	refused(t, "a key that others may read", out, code, "key.pem", "lets others at it", "chmod 600")

	c.write("unknown.yaml", "id: c1\ndatadir: /x\n")
	out, code = c.run("fleetcron-collector", "run", "--config", c.dir+"/unknown.yaml")
	refused(t, "an unknown key", out, code, "line 2", "datadir")
	out, code = c.run("fleetcron-collector", "run", "--config", c.dir+"/other.yaml", "--store", "redis")
	refused(t, "an unknown store", out, code, "redis", "disk or memory")
	c.write("unknown-agent.yaml", "state_dir: /x\nlables: {}\n")
	out, code = c.run("fleetcron-agent", "run", "--config", c.dir+"/unknown-agent.yaml")
	refused(t, "an unknown key", out, code, "line 2", "lables")
	out, code = c.run("fleetcron-collector", "run", "--config", c.dir+"/none.yaml")
	refused(t, "a missing file", out, code, "none.yaml")
	out, code = c.run("fleetcron-collector", "run", "--speed", "9")
	refused(t, "an unknown flag", out, code, "--speed", "--help")
}

// TestFleetctlRefusesBadInput walks exit codes and hints.
func TestFleetctlRefusesBadInput(t *testing.T) {
	c := newCluster(t, 1, 1)
	good := "task: good\non: {manual: true}\nrun: {command: [/bin/true]}\nwhere: {labels: role=test}\n"
	c.write("good.yaml", good)
	for _, test := range []struct {
		name, document string
		args           []string
		code           int
		words          []string
	}{
		{"expression", "", []string{"next", "61 * * * *"}, 2, []string{"minute", "61"}},
		{"seven fields", "", []string{"next", "* * * * * * *"}, 2, []string{"field"}},
		{"zone", "", []string{"next", "0 0 * * *", "--tz", "Mars/Base"}, 2, []string{"Mars/Base"}},
		{"unknown field", "task: x\ncolour: red\n" + good[11:], []string{"apply", "-f", "FILE"}, 2, []string{"line 2", "colour"}},
		{"alias", "task: &a x\nowner: *a\n" + good[11:], []string{"apply", "-f", "FILE"}, 2, []string{"line"}},
		{"duplicate key", "task: x\ntask: y\n" + good[11:], []string{"apply", "-f", "FILE"}, 2, []string{"line 2", "task"}},
		{"wrong type", "task: x\non: {manual: 7}\n" + good[len("task: good\non: {manual: true}\n"):], []string{"apply", "-f", "FILE"}, 2, []string{"manual"}},
		{"300 KB", "task: x\ndescription: " + strings.Repeat("x", 300<<10) + "\n" + good[11:], []string{"apply", "-f", "FILE"}, 2, []string{"64"}},
		{"no target", "task: x\non: {manual: true}\nrun: {command: [/bin/true]}\nwhere: {}\n", []string{"apply", "-f", "FILE"}, 2, []string{"where"}},
		{"unmatched target", strings.ReplaceAll(good, "role=test", "role=none"), []string{"apply", "-f", "FILE"}, 2, []string{"match"}},
		{"unknown task", "", []string{"run", "nothing"}, 3, []string{"nothing"}},
		{"unknown host", "", []string{"jobs", "--host", "nowhere"}, 3, []string{"nowhere"}},
		{"unknown run", "", []string{"logs", "01890000-0000-7000-8000-000000000000"}, 3, []string{"01890000"}},
		{"unknown flag", "", []string{"hosts", "--colour"}, 2, []string{"--colour"}},
		{"unknown command", "", []string{"host"}, 2, []string{"host"}},
		{"unreachable", "", []string{"hosts", "--address", "https://127.0.0.1:9"}, 6, []string{"127.0.0.1:9"}},
		{"no host beyond loopback reachable", "", []string{"hosts", "--address", "ftp://x"}, 2, []string{"ftp://x"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if test.document != "" {
				file := filepath.Join(t.TempDir(), "task.yaml")
				if err := os.WriteFile(file, []byte(test.document), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(append([]string{}, args[:len(args)-1]...), file)
			}
			out, code := c.fleetctl(args...)
			refused(t, test.name, out, code, test.words...)
			if code != test.code {
				t.Errorf("exit code %d, want %d:\n%s", code, test.code, out)
			}
		})
	}
	if out, _ := c.fleetctl("tasks", "-o", "json"); strings.Contains(out, `"x"`) {
		t.Errorf("something was half-applied:\n%s", out)
	}
}

// TestCorruptJournalTail cuts and garbles the end of an agent's journal: the
// agent starts, says so and goes on.
func TestCorruptJournalTail(t *testing.T) {
	c := newCluster(t, 1, 1)
	probe := filepath.Join(c.dir, "probe")
	c.put(t.Context(), "beat", fmt.Sprintf("task: beat\non: {every: 1s}\nrun: {command: 'echo \"$FLEETCRON_OCCURRENCE\" >> %s'}\nwhere: {labels: role=test}\n", probe))
	c.eventually("a beat", func(context.Context) error { return atLeast(readProbe(t, probe), 3) })
	c.agents[0].kill(syscall.SIGKILL)
	segments, err := filepath.Glob(filepath.Join(c.dir, "a1", "journal", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no journal segments: %v", err)
	}
	file, err := os.OpenFile(segments[len(segments)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("garbage that is no record"); err != nil {
		t.Fatal(err)
	}
	file.Close()
	c.agents[0].start()
	n := len(readProbe(t, probe))
	c.eventually("beats after the restart", func(context.Context) error { return atLeast(readProbe(t, probe), n+2) })
	c.checkBeats(probe)
}

// TestFollowersAnswerAndNobodyLeads stops two of three collectors: reads still
// answer and say how stale they are, writes say that nobody leads.
func TestFollowersAnswerAndNobodyLeads(t *testing.T) {
	c := newCluster(t, 3, 1)
	leader := c.leader()
	var last *program
	for _, p := range c.collectors {
		if p != leader {
			last = p
		}
	}
	for _, p := range c.collectors {
		if p != last {
			p.kill(syscall.SIGKILL)
		}
	}
	survivor := fmt.Sprintf("https://127.%d.0.%s:7770", c.net, strings.TrimPrefix(last.name, "c"))
	if out, code := c.fleetctl("hosts", "--address", survivor); code != 0 || !strings.Contains(out, "host-1") {
		t.Errorf("a follower without a leader does not answer reads: exit %d\n%s", code, out)
	}
	c.write("t.yaml", "task: t\non: {manual: true}\nrun: {command: [/bin/true]}\nwhere: {labels: role=test}\n")
	out, code := c.fleetctl("apply", "-f", c.dir+"/t.yaml", "--address", survivor, "--timeout", "5s")
	refused(t, "a write without a leader", out, code, "leader", "hint: fleetctl collectors")
	if code != 6 {
		t.Errorf("exit code %d, want 6", code)
	}
	if conn, err := net.DialTimeout("tcp", strings.TrimPrefix(survivor, "https://"), 10*time.Second); err != nil {
		t.Errorf("the survivor is gone: %v", err)
	} else {
		conn.Close()
	}
}
