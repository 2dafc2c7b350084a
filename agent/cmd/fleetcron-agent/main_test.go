package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// run runs the program as typed.
func run(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range map[string]string{
		"var/log/syslog": "2026-03-01T02:30:01+00:00 db-1 CRON[7]: (backup) CMD (/usr/local/bin/backup --all)\n" + time.Now().UTC().Format(time.RFC3339) + " db-1 CRON[8]: (backup) CMD (/usr/local/bin/backup --all)\n",
		"etc/crontab":    "SHELL=/bin/sh\n30 2 * * * backup /usr/local/bin/backup --all\n99 * * * * root broken\n",
		"etc/os-release": "ID=debian\n",
		"etc/passwd":     "root:x:0:0:root:/root:/bin/sh\nbackup:x:34:34:backup:/var/backups:/usr/sbin/nologin\n",
		"etc/hostname":   "db-1\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestScanAsJSON(t *testing.T) {
	out, err := run(t, "scan", "--root", tree(t), "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var report fleet.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if report.Host != "db-1" || len(report.Jobs) != 1 || len(report.Problems) != 1 {
		t.Fatalf("%s", out)
	}
	if seen := report.Jobs[0].Evidence; seen == nil || time.Since(seen.Last) > time.Minute || seen.Grade != fleet.GradeStarted || seen.From != "/var/log/syslog" {
		t.Errorf("evidence %+v", seen)
	}
	if job := report.Jobs[0]; job.User != "backup" || job.Schedule != "30 2 * * *" || job.Command != "/usr/local/bin/backup --all" || job.Line != 2 {
		t.Errorf("%+v", job)
	}
}

// TestMaskedScan: what the files say is shown here, but masked as it is sent.
func TestMaskedScan(t *testing.T) {
	root := tree(t)
	if err := os.WriteFile(filepath.Join(root, "etc/crontab"), []byte("TOKEN=hunter2\n1 1 * * * root curl -u ann:hunter2 https://h\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args  []string
		shown bool
	}{
		{[]string{"-o", "json"}, true}, {nil, true}, {[]string{"--masked", "-o", "json"}, false}, {[]string{"--masked"}, false},
	} {
		out, err := run(t, append([]string{"scan", "--root", root, "--state-dir", t.TempDir()}, test.args...)...)
		if err != nil || strings.Contains(out, "hunter2") != test.shown || strings.Contains(out, "<redacted:") == test.shown {
			t.Errorf("%v: %v\n%s", test.args, err, out)
		}
	}
}

func TestScanForPeople(t *testing.T) {
	out, err := run(t, "scan", "--root", tree(t))
	if err != nil || !strings.Contains(out, "/usr/local/bin/backup --all") || !strings.Contains(out, "/etc/crontab") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWrongInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte("colectors: [x]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		kind fleet.Kind
		want string
	}{
		{[]string{"scan", "-o", "xml"}, fleet.Usage, `--output "xml": want json or table`},
		{[]string{"scan", "extra"}, fleet.Usage, "unknown command"},
		{[]string{"scan", "--rot", "/"}, fleet.Usage, "unknown flag: --rot"},
		{[]string{"run", "--config", file}, fleet.Usage, "line 1, column 1: colectors: is no known key"},
		{[]string{"run", "--config", "/no/such/file"}, fleet.Usage, "no such file"},
		{[]string{"run", "--gossip-bind", "localhost:7773"}, fleet.Usage, "want an IP address and a port"},
		{[]string{"run", "--collectors", "http://192.0.2.1:7770"}, fleet.Usage, "collectors speak TLS only: want https://"},
		{[]string{"status", "--state-dir", t.TempDir()}, fleet.NotFound, "no agent has run with state_dir"},
	} {
		_, err := run(t, test.args...)
		if err == nil || fleet.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v (%v), want %q", test.args, err, fleet.KindOf(err), test.want)
		}
	}
	if _, err := run(t, "scan", "--root", "/no/such/tree"); err == nil || !strings.Contains(err.Error(), "/no/such/tree") {
		t.Errorf("a root that is not there: %v", err)
	}
}

func TestEveryCommandIsDocumented(t *testing.T) {
	dir := t.TempDir()
	if _, err := run(t, "man", dir); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"fleetcron-agent", "fleetcron-agent-run", "fleetcron-agent-scan", "fleetcron-agent-status", "fleetcron-agent-version"} {
		if _, err := os.Stat(filepath.Join(dir, page+".1")); err != nil {
			t.Error(err)
		}
	}
	if out, err := run(t, "version"); err != nil || !strings.HasPrefix(out, "fleetcron-agent ") {
		t.Errorf("%q %v", out, err)
	}
}
