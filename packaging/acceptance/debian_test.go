//go:build acceptance

package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// debians is a network of machines that have roots of their own: this system
// with a layer above it, so that packages are really installed and files really
// written, and nothing of it is left when the test ends.
type debians struct {
	*network
	packages   string // directory of the .deb files, which lie in each root's home
	neighbours string // directory with a file for each address: the first process there
}

// debian is one of those machines.
type debian struct {
	*machine
	t     testing.TB
	first int // its first process, as this test sees it
}

func newDebians(t testing.TB, packages string) *debians {
	t.Helper()
	for _, tool := range []string{"unshare", "nsenter", "setpriv", "dpkg", "runuser", "systemd-socket-activate"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this test installs packages on machines made of namespaces, and needs %s: %v", tool, err)
		}
	}
	return &debians{network: newNetwork(t), packages: packages, neighbours: t.TempDir()}
}

// boot adds a machine and waits until its root is there.
func (n *debians) boot(name string) *debian {
	n.t.Helper()
	d := &debian{machine: n.machine(name), t: n.t}
	commands, err := filepath.Abs("testdata/debian")
	if err != nil {
		n.t.Fatal(err)
	}
	line := d.command("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "bash", filepath.Join(commands, "first"))
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "YARD="+n.t.TempDir(), "COMMANDS="+commands, "PACKAGES="+n.packages, "NEIGHBOURS="+n.neighbours, "NAME="+name)
	said := &cry{ready: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed, and all that lives on the machine with it
	}()
	n.t.Cleanup(func() {
		if n.t.Failed() && d.first != 0 {
			out, _ := d.sh("tail -n 25 /var/log/fleetcron-*.log")
			n.t.Logf("%s:\n%s", name, out)
		}
		_ = cmd.Process.Signal(syscall.SIGKILL)
		<-done
	})
	select {
	case <-said.ready:
	case <-done:
		n.t.Fatalf("no root with a layer of its own can be made here: %s", said)
	case <-time.After(time.Minute):
		n.t.Fatalf("machine %s did not come up: %s", name, said)
	}
	d.first = n.child(cmd.Process.Pid)
	if err := os.WriteFile(filepath.Join(n.neighbours, d.address), []byte(strconv.Itoa(d.first)), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return d
}

// child returns the one child of a process.
func (n *debians) child(of int) int {
	n.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", of))
	if err != nil {
		n.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		n.t.Fatalf("children of %d: %v", of, err)
	}
	return pid
}

// path returns where a file of the machine is, seen from here.
func (d *debian) path(name string) string { return fmt.Sprintf("/proc/%d/root%s", d.first, name) }

// sh runs a command as its root would, in his home, and returns what it said.
func (d *debian) sh(line string) (string, int) {
	d.t.Helper()
	cmd := exec.Command("nsenter", "-t", strconv.Itoa(d.first), "-m", "-u", "-n", "-p", "-r", "--wd="+d.path("/root"), "--", "bash", "-c", line)
	cmd.Env = []string{"HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=dumb", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// types is as sh, of a command that must do what it says.
func (d *debian) types(line string) string {
	d.t.Helper()
	began := time.Now()
	out, code := d.sh(line)
	d.t.Logf("%s# %s  (%s)\n%s", strings.TrimPrefix(d.name, d.of.name), line, time.Since(began).Round(time.Millisecond), out)
	if code != 0 {
		d.t.Fatalf("it ended with %d", code)
	}
	return out
}

// cry keeps what a machine says while it comes up, and tells when it is ready.
type cry struct {
	mu    sync.Mutex
	said  strings.Builder
	ready chan struct{}
	is    bool
}

func (c *cry) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.said.Write(p)
	if !c.is && strings.Contains(c.said.String(), "ready\n") {
		c.is = true
		close(c.ready)
	}
	return n, err
}

func (c *cry) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}
