package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/policy/policytest"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// parts are the program's three commands as processes of an ordinary user.
type parts struct {
	t       *testing.T
	program string
	args    []string
	user    *syscall.Credential // nil: whoever tests
	logs    map[string]*lines
	running map[string]*exec.Cmd
}

// lines is a log that is looked at while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const nobody = 65534

func newParts(t *testing.T, cfg *Config) *parts {
	t.Helper()
	dir := t.TempDir()
	p := &parts{t: t, program: filepath.Join(dir, "fleetcron-agent"), logs: map[string]*lines{}, running: map[string]*exec.Cmd{}}
	if out, err := exec.Command("go", "build", "-o", p.program, "./cmd/fleetcron-agent").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cfg.RuntimeDir = filepath.Join(dir, "run")
	if err := os.Mkdir(cfg.RuntimeDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		p.user = &syscall.Credential{Uid: nobody, Gid: nobody}
		for _, path := range []string{cfg.StateDir, dir} {
			give(t, path)
		}
	}
	p.args = []string{
		"--state-dir", cfg.StateDir, "--runtime-dir", cfg.RuntimeDir, "--root", cfg.Root, "--policy", cfg.Policy,
		"--collectors", strings.Join(cfg.Collectors, ","), "--gossip-bind", "", "--config", os.DevNull,
	}
	t.Cleanup(func() {
		for name := range p.running {
			p.end(name)
		}
		killLeft(cfg.StateDir)
	})
	return p
}

// give makes a tree the user's, and lets him come to it.
func give(t *testing.T, path string) {
	t.Helper()
	err := filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, nobody, nobody))
	})
	if err := errors.Join(err, os.Chmod(filepath.Dir(path), 0o755)); err != nil {
		t.Fatal(err)
	}
}

func (p *parts) start(name string) {
	p.t.Helper()
	p.logs[name] = new(lines)
	c := exec.Command(p.program, append([]string{name}, p.args...)...)
	c.Stderr, c.Stdout, c.Dir = p.logs[name], p.logs[name], "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: p.user, Setpgid: true}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.running[name] = c
}

func (p *parts) end(name string) {
	c := p.running[name]
	delete(p.running, name)
	_ = c.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(20*time.Second, func() { c.Process.Kill() })
	defer late.Stop()
	if err := c.Wait(); err != nil {
		p.t.Errorf("the %s part: %v\n%s", name, err, p.logs[name])
	}
}

// said waits until a part's log says something.
func (p *parts) said(name, what string) {
	p.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(p.logs[name].String(), what); {
		if time.Now().After(deadline) {
			p.t.Fatalf("the %s part never said %q:\n%s", name, what, p.logs[name])
		}
	}
}

// TestThreeProcesses plays each part in a process of its own, over sockets: from
// a line of a crontab to the collector, from a plan to an outcome, and each part
// away and back.
func TestThreeProcesses(t *testing.T) {
	c := newCollector(t)
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Root = t.TempDir(), hostTree(t)
	c.enrol(&cfg)
	cfg.Policy = policytest.Trust(t, cfg.StateDir)
	if os.Geteuid() == 0 {
		give(t, cfg.Root)
	}
	path, ran := witness(t)
	if err := errors.Join(os.Chmod(path, 0o666), os.Chmod(filepath.Dir(path), 0o755), os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755)); err != nil {
		t.Fatal(err)
	}
	p := newParts(t, &cfg)
	for _, name := range []string{"net", "read", "work"} { // in the order that suits them least
		p.start(name)
	}
	if report := await(t, "a report", c.reports); len(report.Jobs) != 1 || report.Jobs[0].Command != "/opt/nightly --all" {
		t.Errorf("reported %+v", report)
	}
	host := await(t, "a registration", c.hosts)
	index := uint64(1)
	plan := func(name string) fleet.Plan {
		index++
		return fleet.Plan{Host: host.ID, Index: index, Assignments: []fleet.Assignment{{
			Task: fleet.Task{
				Name: name, On: fleet.Trigger{Every: fleet.Duration(time.Second)},
				Run:   fleet.Execute{Command: fleet.Command{Shell: `echo ` + name + ` 1<> ` + path}},
				Where: fleet.Where{Labels: "*"},
			},
			State: fleet.TaskEnabled, Generation: index, Since: time.Now().Add(-time.Second).UTC(),
		}}}
	}
	until := func(what string) {
		t.Helper()
		for await(t, what, ran) != what {
		}
	}
	c.publish(plan("first"))
	until("first")
	c.until("an outcome", func() bool { return ranOutcomes(c.outcomes) > 0 })

	strangerIsTurnedAway(t, p, &cfg)

	// Nobody but work is needed to go on, and it is needed for a new plan.
	p.end("net")
	p.end("read")
	for len(ran) > 0 {
		<-ran
	}
	until("first")
	p.end("work")
	p.start("net")
	c.publish(plan("second"))
	p.start("work")
	until("second")
	p.start("read")
	p.said("read", "reader started")
}

// strangerIsTurnedAway connects as another user than the parts'.
func strangerIsTurnedAway(t *testing.T, p *parts, cfg *Config) {
	t.Helper()
	for _, name := range []string{workSocket, readSocket} {
		info, err := os.Stat(cfg.socket(name))
		if err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if p.user == nil { // there is only one user here: nobody else to be
			continue
		}
		raw, err := net.Dial("unix", cfg.socket(name)) // which root may, whatever the mode says
		if err != nil {
			t.Fatal(err)
		}
		if heard, err := io.ReadAll(raw); len(heard) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: a stranger heard %q, %v", name, heard, err)
		}
		raw.Close()
		part := strings.TrimSuffix(name, ".sock")
		p.said(part, `"event":"peer_denied"`)
	}
}

// TestAHostThatIsNotEnrolled: each part says so, with the next command, or goes on.
func TestAHostThatIsNotEnrolled(t *testing.T) {
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Root = t.TempDir(), hostTree(t)
	cfg.Policy = filepath.Join(cfg.StateDir, "policy.yaml")
	p := newParts(t, &cfg)
	p.args = append(p.args, "--collectors", "https://127.0.0.1:1")
	for _, name := range []string{"net", "work", "read"} {
		p.start(name)
	}
	for _, name := range []string{"net", "work"} {
		p.said(name, "fleetcron-agent enroll --token-file")
	}
	p.said("read", "reader started")
	if os.Geteuid() == 0 { // who reads the host reads what root may, and nothing was drawn that others can read
		info, err := os.Stat(filepath.Join(cfg.StateDir, "mask.key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mask.key: %v, %v", fmt.Sprint(info), err)
		}
	}
}
