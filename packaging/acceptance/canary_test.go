//go:build acceptance

package acceptance

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// canary is in every secret of the scanned tree, and plain in every command
// that holds one: the first must be found nowhere, the second everywhere.
const (
	canary = "c4n4ryB1rd"
	plain  = "plainly"
)

// secretForms are commands with a secret in them; § stands for it.
var secretForms = []string{
	"mysqldump -u root -p§ --all-databases", "mysqldump -uroot '-p§ x' shop", "PGPASSWORD=§ pg_dump shop", "MYSQL_PWD='§' mysql -e 'select 1'",
	"backup --password §", "backup --password=§", "backup --password='§ and more'", "backup --api-key § --verbose", "curl -u ann:§ https://example.org/",
	"curl https://ann:§@example.org/x", "curl -H 'Authorization: Bearer §' https://example.org/", `curl -H "X-Api-Key: §" https://example.org/`,
	`curl -d '{"user":"ann","password":"§"}' https://example.org/`, "curl 'https://example.org/?token=§&x=1'", "sshpass -p § ssh h", "sshpass -p§ ssh h",
	"openssl enc -pass pass:§ -in /x", "git pull https://ghp_0123456789§0123456789@example.org/r.git", "notify xoxb-123456789012-§",
	"bash -c 'mysqldump -p§ shop | gzip > /x'", `su - postgres -c "PGPASSWORD=§ pg_dump shop"`, "echo § | sudo -S true", `smbclient //h/s -U 'ann\%§'`,
	"sqlplus scott/§@orcl @x.sql", "redis-cli -a § SAVE", `mail -s report root\%x; cat%the code is §`, "curl https://hooks.slack.com/services/T0/B0/§",
}

// plantSecrets writes a tree in which secrets stand wherever people put them,
// and returns how many there are.
func (c *cluster) plantSecrets(root string) (secrets int) {
	secret := func(form string) string {
		secrets++
		return strings.ReplaceAll(form, "§", fmt.Sprintf("%s%d", canary, secrets))
	}
	var tab strings.Builder
	for i, form := range secretForms {
		fmt.Fprintf(&tab, "%d 3 * * * root %s\n", i, secret(form))
	}
	fmt.Fprintf(&tab, "1 4 * * * root /opt/%s --all\n", plain)
	for name, text := range map[string]string{
		"etc/os-release":               "ID=debian\n",
		"etc/passwd":                   "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
		"etc/crontab":                  tab.String(),
		"etc/cron.d/settings":          secret("DB_PASSWORD=§\nRESTIC_REPOSITORY=rest:https://ann:§@example.org/\n7 7 * * * root /opt/" + plain + "-settings\n"),
		"etc/cron.d/broken":            secret("99 99 * * * root " + plain + " --password §\n"),
		"etc/anacrontab":               secret("TOKEN=§\n1 5 x " + plain + " --token §\n"),
		"etc/systemd/system/x.timer":   "[Timer]\nOnCalendar=daily\n",
		"etc/systemd/system/x.service": secret("[Service]\nEnvironment=TOKEN=§\nExecStart=/opt/" + plain + " --secret §\n"),
		"var/spool/cron/atjobs/a0000101ea48f8": secret("#!/bin/sh\n# atrun uid=0 gid=0\n# mail root 0\numask 22\nTOKEN=§; export TOKEN\n" +
			"cd /root || {\n\t echo 'Execution directory inaccessible' >&2\n\t exit 1\n}\n" + plain + " --password §\n"),
		"var/log/syslog": fmt.Sprintf("%s h CRON[7]: (root) CMD (%s)\n", time.Now().Format(time.Stamp), secret("backup --password §")),
	} {
		c.write(root+"/"+name, text)
	}
	if err := os.Chmod(filepath.Join(c.dir, root, "var/spool/cron/atjobs/a0000101ea48f8"), 0o700); err != nil {
		c.t.Fatal(err)
	}
	return secrets
}

// tap passes on what an agent and a collector say, and keeps it: as they said
// it, and as a wire carries it.
type tap struct {
	mu           sync.Mutex
	heard, wired bytes.Buffer
}

func (p *tap) Write(b []byte) (int, error) { return p.keep(&p.heard, b) }

func (p *tap) keep(in *bytes.Buffer, b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return in.Write(b)
}

func (p *tap) text() (heard, wired string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard.String(), p.wired.String()
}

// wire is a connection below TLS whose bytes the tap keeps.
type wire struct {
	net.Conn
	tap *tap
}

func (w wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	_, _ = w.tap.keep(&w.tap.wired, b[:n]) // a buffer takes all
	return n, err
}

func (w wire) Write(b []byte) (int, error) {
	_, _ = w.tap.keep(&w.tap.wired, b) // a buffer takes all
	return w.Conn.Write(b)
}

// tapped listens at an address and passes everything on to another. It can,
// for it has the keys of both: towards the agent it is the collector c1, and
// towards the collector the agent a1.
func (c *cluster) tapped(address, to string) *tap {
	c.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { listener.Close() })
	collector, err := pki.LoadCredentials(filepath.Join(c.dir, "c1", "identity"))
	if err != nil {
		c.t.Fatal(err)
	}
	agent, err := pki.LoadCredentials(filepath.Join(c.dir, "a1", "identity"))
	if err != nil {
		c.t.Fatal(err)
	}
	p := new(tap)
	go func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			near := tls.Server(wire{raw, p}, collector.ServerTLS(nil, pki.PlaneAgent))
			far, err := tls.Dial("tcp", to, agent.ClientTLS(pki.PlaneAgent, pki.RoleCollector))
			if err != nil {
				near.Close()
				continue
			}
			go func() { defer far.Close(); _, _ = io.Copy(io.MultiWriter(far, p), near) }()  // it ends when either side does
			go func() { defer near.Close(); _, _ = io.Copy(io.MultiWriter(near, p), far) }() // the same
		}
	}()
	return p
}

// TestAttack103And104_NoSecretLeavesTheHost plants secrets in a scanned tree and in the output
// of a failing run, and looks for them on the wire, on the collector's disk, in
// every log, in the API's answers, on the web page and in what fleetctl prints.
// All the while what stands beside the secrets must be found there.
// The connection is listened to with the keys of both sides; who has none sees
// neither the secrets nor what stands beside them.
func TestAttack103And104_NoSecretLeavesTheHost(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir(), net: 100 + int(networks.Add(1)) + os.Getpid()%100}
	c.begin(1)
	if n := c.plantSecrets("root1"); n < len(secretForms) {
		t.Fatalf("%d secrets planted", n)
	}
	c.trust()
	c.write("a1.yaml", fmt.Sprintf("collectors: ['https://127.%d.8.1:7770']\nstate_dir: %s/a1\nname: host-1\nroot: %s/root1\nlabels: {role: test}\npolicy: %s/policy.yaml\nlog: {level: debug}\n", c.net, c.dir, c.dir, c.dir))
	c.enrol("fleetcron-agent", "a1")
	c.write("a1/net/collectors", "[]") // it was told of the collector itself, past the tap
	wire := c.tapped(fmt.Sprintf("127.%d.8.1:7770", c.net), fmt.Sprintf("127.%d.0.1:7770", c.net))
	agent := c.start("fleetcron-agent", "a1")
	c.eventually("the inventory", func(ctx context.Context) error {
		jobs, err := c.client.Jobs(ctx, api.JobQuery{Text: plain})
		if err == nil && len(jobs.Items) < 4 {
			return fmt.Errorf("%d jobs", len(jobs.Items))
		}
		return err
	})
	c.write("says", "connect to db with --password "+canary+"0 failed: "+plain+"\n")
	c.put(t.Context(), "fails", "task: fails\non: {manual: true}\nrun: {command: 'cat "+c.dir+"/says >&2; exit 3'}\nwhere: {labels: role=test}\n")
	c.eventually("the task on the host", func(context.Context) error {
		if out, code := c.fleetctl("run", "fails", "--wait"); code != 3 {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	})
	c.eventually("the failed run", func(ctx context.Context) error {
		runs, err := c.client.Runs(ctx, api.RunQuery{Failed: true})
		if err == nil && (len(runs.Items) == 0 || runs.Items[0].Tail == "") {
			return fmt.Errorf("none yet")
		}
		return err
	})
	c.eventually("findings", func(ctx context.Context) error {
		out, code := c.fleetctl("findings", "-o", "json")
		if code != 0 || !strings.Contains(out, `"secret"`) {
			return fmt.Errorf("exit %d", code)
		}
		return nil
	})

	c.silentLogs()
	switch said, wired := wire.text(); {
	case !strings.Contains(said, "is not a list of"):
		t.Error("the line that is no job is not among what was sent")
	case len(wired) < len(said) || strings.Contains(wired, plain) || strings.Contains(wired, canary):
		t.Errorf("%d bytes on the wire for %d, and they can be read", len(wired), len(said))
	default:
		c.silent("what the agent says", said)
	}
	c.silentAPI()
	c.silentWeb()
	for _, args := range [][]string{
		{"jobs", "-o", "json"}, {"jobs", "-o", "wide"}, {"jobs", "-o", "yaml"}, {"find", plain, "-o", "wide"}, {"findings"}, {"findings", "-o", "wide"},
		{"history", "host-1", "-o", "json"}, {"when", "--from", "00:00", "--to", "23:59"}, {"runs", "--failed", "-o", "json"}, {"runs", "-o", "wide"}, {"loss", "host-1"},
	} {
		if out, _ := c.fleetctl(args...); len(out) == 0 {
			t.Errorf("fleetctl %v says nothing", args)
		} else if strings.Contains(out, canary) {
			c.silent(fmt.Sprintf("fleetctl %v", args), out+plain)
		}
	}
	agent.kill(15)
	c.collectors[0].kill(15)
	var kept strings.Builder
	for _, at := range []string{"c1", "c1.log", "a1.log"} {
		_ = filepath.WalkDir(filepath.Join(c.dir, at), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			if bytes.Contains(text, []byte(canary)) {
				c.silent(path, string(text)+plain)
			}
			kept.Write(text)
			return nil
		})
	}
	c.silent("all that the collector keeps", kept.String())
	c.silent("a snapshot of the ledger, which is what a backup carries", snapshotOf(t, filepath.Join(c.dir, "c1", "ledger.db")))
	if stat, err := os.Stat(filepath.Join(c.dir, "a1", "mask.key")); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("the key of the masks: %v", err)
	}
	if out := c.must(binary(t, "fleetcron-agent"), "scan", "--root", c.dir+"/root1", "-o", "json"); !strings.Contains(out, canary) {
		t.Error("a scan on the host does not show what stands in the files")
	}
	out := c.must(binary(t, "fleetcron-agent"), "scan", "--masked", "--state-dir", c.dir+"/a1", "--root", c.dir+"/root1", "-o", "json")
	c.silent("scan --masked", out)
}

// silentLogs reads output: of the run that failed, and of one that says a secret
// in two pieces while somebody follows it.
func (c *cluster) silentLogs() {
	c.t.Helper()
	gates := []string{filepath.Join(c.dir, "on1"), filepath.Join(c.dir, "on2")}
	for _, gate := range gates {
		if err := syscall.Mkfifo(gate, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	half := len(canary) / 2
	run := c.begun("pieces", fmt.Sprintf("echo %s; printf 'connect with --password '; read x < %s; printf %s; read x < %s; echo %s1; cat %s/says", plain, gates[0], canary[:half], gates[1], canary[half:], c.dir))
	lines, stop := c.follow("logs", string(run), "-f")
	defer stop()
	lines.Scan()
	followed := lines.Text() + "\n"
	for _, gate := range gates { // each piece was seen and judged before the next comes
		if err := os.WriteFile(gate, []byte("\n"), 0); err != nil {
			c.t.Fatal(err)
		}
		c.eventually("a look at the output", func(ctx context.Context) error {
			return c.client.Output(ctx, run, "stdout", io.Discard)
		})
	}
	for lines.Scan() {
		followed += lines.Text() + "\n"
	}
	if strings.Count(followed, "<redacted:") != 2 {
		c.t.Errorf("followed: %q", followed)
	}
	c.silent("fleetctl logs -f", followed)
	for _, name := range []string{"fails", string(run)} {
		for _, flags := range [][]string{nil, {"-t"}, {"--raw"}, {"--stderr"}, {"--tail", "100"}} {
			out, _ := c.fleetctl(append([]string{"logs", name}, flags...)...)
			if strings.Contains(out, canary) || strings.Contains(out, canary[half:]) {
				c.t.Errorf("fleetctl logs %s %v tells a secret: %q", name, flags, out)
			}
		}
	}
}

// snapshotOf writes down everything in a ledger that no collector holds.
func snapshotOf(t *testing.T, path string) string {
	t.Helper()
	book, err := ledger.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	snapshot, err := book.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	var text strings.Builder
	if _, err := snapshot.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// silent reports whether a text has no secret in it, but what is beside them.
func (c *cluster) silent(what, text string) {
	c.t.Helper()
	if !strings.Contains(text, plain) {
		c.t.Errorf("%s: nothing of the tree was found there at all", what)
	}
	for i := 0; ; {
		at := strings.Index(text[i:], canary)
		if at < 0 {
			return
		}
		at += i
		c.t.Errorf("%s tells a secret: …%q…", what, text[max(0, at-120):min(len(text), at+60)])
		if i = at + len(canary); strings.Count(text[:i], canary) > 5 {
			return
		}
	}
}

func (c *cluster) body(address string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return ""
	}
	answer, err := c.browser().Do(request)
	if err != nil {
		c.t.Errorf("%s: %v", address, err)
		return ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Errorf("%s: %v", address, err)
	}
	return string(text)
}

// silentAPI asks every path that answers without being told what.
func (c *cluster) silentAPI() {
	var all strings.Builder
	jobs, err := c.client.Jobs(c.t.Context(), api.JobQuery{})
	if err != nil {
		c.t.Fatal(err)
	}
	paths := []string{
		api.PathHosts, api.PathHosts + "/host-1", api.PathHosts + "/host-1/loss", api.PathJobs, api.PathJobGroups, api.PathTasks, api.PathRuns, api.PathUpcoming, api.PathDensity,
		api.PathCollisions, api.PathSpread, api.PathChanges, api.PathFindings, api.PathPins, api.PathAnnotations, api.PathAdoptions, api.PathOverview,
		api.PathHealth, api.PathMetrics, api.PathJobs + "?q=" + canary, api.PathJobs + "?q=password",
	}
	for _, job := range jobs.Items {
		paths = append(paths, fmt.Sprintf("%s/%s/jobs/%s/diff", api.PathHosts, job.Host, job.ID))
	}
	for _, path := range paths {
		text := c.body(c.addresses[0] + path)
		if path == api.PathJobs+"?q="+canary {
			text = strings.ReplaceAll(text, canary, "") // what was asked for comes back
		}
		all.WriteString(text)
	}
	c.silent("the API", all.String())
}

var hrefs = regexp.MustCompile(`href="(/[^"#]*)`)

// silentWeb follows every link of the web page, those to the output of runs as
// well.
func (c *cluster) silentWeb() {
	base := fmt.Sprintf("http://127.%d.0.1:7780", c.net)
	seen, todo := map[string]bool{"/": true}, []string{"/"}
	var all strings.Builder
	for len(todo) > 0 && len(seen) < 400 {
		text := c.body(base + todo[0])
		todo = todo[1:]
		all.WriteString(text)
		for _, link := range hrefs.FindAllStringSubmatch(text, -1) {
			path := strings.ReplaceAll(link[1], "&amp;", "&")
			if !seen[path] && !strings.HasPrefix(path, "/assets") {
				seen[path] = true
				todo = append(todo, path)
			}
		}
	}
	c.t.Logf("%d pages", len(seen))
	c.silent("the web page", all.String())
}
