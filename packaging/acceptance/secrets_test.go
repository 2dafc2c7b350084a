//go:build acceptance

package acceptance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// secret is what only some files may hold, and no answer but the one that made it.
type secret struct {
	name  string
	forms [][]byte // in which it could stand somewhere
	files []string // base names of those that hold it, for their owner alone
}

// secrets are those of one cluster, found out as they come about.
type secrets struct {
	c    *cluster
	all  []secret
	said strings.Builder // everything that programs answered, without what they were asked to make
	args struct {
		sync.Mutex
		seen map[string]bool // command lines of every process that there was
	}
}

// text takes down a secret of printable text, with the bytes that it stands for.
func (s *secrets) text(name, text string, files ...string) {
	s.c.t.Helper()
	if len(text) < 20 {
		s.c.t.Fatalf("%s is no secret: %q", name, text)
	}
	forms := [][]byte{[]byte(text)}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
		if raw, err := encoding.DecodeString(text); err == nil && len(raw) >= 16 {
			forms = append(forms, raw, []byte(hex.EncodeToString(raw)), []byte(base64.StdEncoding.EncodeToString(raw)), []byte(base64.RawURLEncoding.EncodeToString(raw)))
		}
	}
	s.all = append(s.all, secret{name, forms, files})
}

// What follows the names of tokens and keys in their texts.
const (
	personsToken = `fct1_[^_]+_(\S+)`
	operatorsKey = `fcs1\.(\S+)`
)

// file takes down the secret in a file, which has the form.
func (s *secrets) file(path, form string) {
	s.c.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.c.t.Fatal(err)
	}
	match := regexp.MustCompile(form).FindSubmatch(text)
	if match == nil {
		s.c.t.Fatalf("%s: nothing like %s", path, form)
	}
	s.text(path, string(match[1]), filepath.Base(path))
}

// key takes down the private key of a file.
func (s *secrets) key(path string) {
	s.c.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.c.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil || len(block.Bytes) < 68 {
		s.c.t.Fatalf("%s holds no key", path)
	}
	scalar := block.Bytes[36:68] // of a P-256 key in PKCS #8
	lines := bytes.Split(text, []byte("\n"))
	name := filepath.Base(path)
	s.all = append(s.all, secret{path, [][]byte{scalar, []byte(hex.EncodeToString(scalar)), lines[2][:24]}, []string{name}})
}

// ring takes down the keys of gossip that a file holds.
func (s *secrets) ring(path string) {
	s.c.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.c.t.Fatal(err)
	}
	var keys []string
	if err := json.Unmarshal(text, &keys); err != nil || len(keys) == 0 {
		s.c.t.Fatalf("%s: %s, %v", path, text, err)
	}
	for _, key := range keys {
		s.text("a gossip key", strings.Fields(key)[0], "gossip.key", "ring")
	}
}

// ask runs fleetctl, and keeps what it says but the secret that it was to make.
func (s *secrets) ask(code int, makes string, args ...string) string {
	s.c.t.Helper()
	out, got := s.c.fleetctl(args...)
	if got != code {
		s.c.t.Fatalf("fleetctl %v: exit %d: %s", args, got, out)
	}
	if makes == "" {
		fmt.Fprintf(&s.said, "%v: %s\n", args, out)
		return out
	}
	match := regexp.MustCompile(makes).FindStringSubmatch(out)
	if match == nil {
		s.c.t.Fatalf("fleetctl %v: nothing like %s in %s", args, makes, out)
	}
	s.text(strings.Join(args, " "), match[1])
	fmt.Fprintf(&s.said, "%v: %s\n", args, strings.Replace(out, match[1], "…", 1))
	return match[0]
}

// watch looks at the command lines of all processes until it is stopped.
func (s *secrets) watch(stop <-chan struct{}) {
	s.args.seen = map[string]bool{}
	for {
		names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, name := range names {
			text, _ := os.ReadFile(name) // it may have ended
			s.args.Lock()
			s.args.seen[string(text)] = true
			s.args.Unlock()
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// nowhere reports secrets in a text in which there may be none.
func (s *secrets) nowhere(what string, text []byte) {
	s.c.t.Helper()
	for _, one := range s.all {
		for _, form := range one.forms {
			if bytes.Contains(text, form) {
				s.c.t.Errorf("%s tells %s", what, one.name)
				break
			}
		}
	}
}

// onDisk looks at every file below the cluster's directory: one that holds a
// secret is one of those that may, and nobody else may read it.
func (s *secrets) onDisk() {
	s.c.t.Helper()
	err := filepath.WalkDir(s.c.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		for _, one := range s.all {
			for _, form := range one.forms {
				if !bytes.Contains(text, form) {
					continue
				}
				allowed := false
				for _, name := range one.files {
					allowed = allowed || filepath.Base(path) == name
				}
				if !allowed || info.Mode().Perm() != 0o600 {
					s.c.t.Errorf("%s (%s) holds %s", path, info.Mode(), one.name)
				}
				break
			}
		}
		return nil
	})
	if err != nil {
		s.c.t.Error(err)
	}
}

// TestAttack103And104And116_OurOwnSecretsStayWhereTheyAre goes through the verbs
// of fleetctl and looks for every secret that there is then: in what they say,
// in all command lines, logs, the audit chain, a backup, on every disk, and in
// what the programs write when they crash.
func TestAttack103And104And116_OurOwnSecretsStayWhereTheyAre(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir(), net: 100 + int(networks.Add(1)) + os.Getpid()%100}
	s := &secrets{c: c}
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() { defer close(watched); s.watch(stop) }()

	c.begin(1)
	identity := filepath.Join(c.dir, "c1", "identity")
	for _, name := range []string{"key.pem", "issuer.pem", "root.key"} {
		s.key(filepath.Join(identity, name))
	}
	s.file(filepath.Join(c.kit, "token"), personsToken)
	s.file(filepath.Join(c.kit, "operator.key"), operatorsKey)
	s.ring(filepath.Join(c.dir, "c1", "gossip.key"))
	c.trust()
	c.write("root1/etc/crontab", "5 4 * * * root /opt/job\n")
	c.write("root1/etc/os-release", "ID=debian\n")
	c.write("root1/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	c.write("a1.yaml", fmt.Sprintf("collectors: [%s]\nstate_dir: %s/a1\nname: host-1\nroot: %[2]s/root1\nlabels: {role: test}\npolicy: %[2]s/policy.yaml\ngossip: {bind: '127.%[3]d.1.1:7772'}\nlog: {level: debug}\n", c.addresses[0], c.dir, c.net))
	join := s.ask(0, `fcj1\.[^.]+\.([^.\s]+)\.\S+`, "enroll-token")
	c.write("a1.token", join)
	if err := os.Chmod(filepath.Join(c.dir, "a1.token"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.all[len(s.all)-1].files = []string{"a1.token"}
	enrol := []string{"enroll", "--config", c.dir + "/a1.yaml", "--token-file", c.dir + "/a1.token", "--address", c.addresses[0]}
	s.said.WriteString(c.must(binary(t, "fleetcron-agent"), enrol...))
	s.key(filepath.Join(c.dir, "a1", "identity", "key.pem"))
	agent := c.start("fleetcron-agent", "a1")
	c.eventually("the host", func(ctx context.Context) error {
		hosts, err := c.client.Hosts(ctx, api.HostQuery{Presence: fleet.Alive})
		if err == nil && (len(hosts.Items) != 1 || hosts.Items[0].Jobs == 0) {
			return fmt.Errorf("not there")
		}
		return err
	})
	c.write("hello.yaml", "task: hello\non: {manual: true}\nrun: {command: [/bin/echo, hello]}\nwhere: {labels: role=test}\n")
	s.ask(0, "", "apply", "-f", c.dir+"/hello.yaml")
	c.applied("default/hello")
	s.ask(0, "", "run", "hello", "--wait")

	s.ask(0, personsToken, "token", "new", "ann", "--role", "viewer", "--all-namespaces")
	s.ask(0, "", "token", "new", "ben", "--role", "operator", "--namespace", "data", "--out", c.dir+"/ben.token")
	s.ask(0, "", "key", "new", "--out", c.dir+"/ben.key")
	s.file(filepath.Join(c.dir, "ben.token"), personsToken)
	s.file(filepath.Join(c.dir, "ben.key"), operatorsKey)
	s.ask(0, `login#(\S+)`, "web")
	s.ask(0, "", "gossip-key", "rotate")
	s.ring(filepath.Join(c.dir, "c1", "gossip.key"))

	unknown := strings.Repeat("Zm9v", 10) + "Zm8"
	s.text("a token that does not count", unknown)
	for _, wrong := range []string{"fct1_nobodyxx_" + unknown, unknown} {
		cmd := exec.CommandContext(t.Context(), binary(t, "fleetctl"), "hosts")
		cmd.Env = append(c.environ(), "FLEETCRON_TOKEN="+wrong)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("let in: %s", out)
		}
		s.said.Write(out)
	}
	c.write("used.token", join)
	if err := os.Chmod(filepath.Join(c.dir, "used.token"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), binary(t, "fleetcron-agent"), "enroll", "--state-dir", c.dir+"/a2", "--token-file", c.dir+"/used.token", "--address", c.addresses[0]).CombinedOutput()
	if err == nil {
		t.Errorf("a token counts twice: %s", out)
	}
	s.said.Write(out)
	if err := os.Remove(filepath.Join(c.dir, "used.token")); err != nil {
		t.Fatal(err)
	}

	for _, args := range [][]string{
		{"whoami"}, {"collectors", "-o", "json"}, {"hosts", "-o", "json"}, {"hosts", "host-1", "-o", "json"}, {"jobs", "-o", "json"}, {"tasks", "-o", "json"}, {"tasks", "hello", "-o", "json"},
		{"runs", "-o", "json"}, {"history", "-o", "json"}, {"findings", "-o", "json"}, {"policies", "-o", "json"}, {"nodes", "-o", "json"}, {"requests", "-o", "json"},
		{"rules", "set", "data", "--two-person", "root"}, {"rules", "-o", "json"}, {"token", "list", "-o", "json"}, {"enroll-token", "list", "-o", "json"},
		{"key", "list", "-o", "json"}, {"key", "trust"}, {"export"}, {"account", "-o", "json"}, {"audit", "-o", "json"}, {"audit", "export"}, {"audit", "verify"}, {"backup", c.dir + "/all.backup"},
	} {
		s.ask(0, "", args...)
	}
	if said := s.said.String(); !strings.Contains(said, "token.put") || !strings.Contains(said, "node.enroll") {
		t.Error("the audit chain does not tell of tokens and hosts")
	}

	agent.kill(syscall.SIGQUIT) // which makes a program write down all that it is doing
	c.collectors[0].kill(syscall.SIGQUIT)
	close(stop)
	<-watched
	for _, name := range []string{"a1.log", "c1.log"} {
		if text, err := os.ReadFile(filepath.Join(c.dir, name)); err != nil || !bytes.Contains(text, []byte("goroutine ")) {
			t.Errorf("%s: nothing of the crash, %v", name, err)
		}
	}
	s.nowhere("what the programs said", []byte(s.said.String()))
	lines := 0
	for line := range s.args.seen {
		if strings.Contains(line, c.dir) {
			lines++
		}
		s.nowhere(fmt.Sprintf("the command line %q", line), []byte(line))
	}
	if lines < 3 {
		t.Errorf("%d command lines of ours were seen", lines)
	}
	s.onDisk()
}
