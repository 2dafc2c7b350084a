//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// await blocks on the collector until the jobs of the first host are as wanted.
// A minute without that fails the test.
func (c *cluster) await(what string, wanted func([]api.JobView) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	q := api.JobQuery{Host: "host-1", Page: api.Page{Limit: 500}}
	for {
		jobs, err := c.client.Jobs(ctx, q)
		if err != nil {
			var commands []string
			for _, job := range jobs.Items {
				commands = append(commands, job.Command)
			}
			c.t.Fatalf("waited in vain for %s: %v; the jobs are %q", what, err, commands)
		}
		if wanted(jobs.Items) {
			return
		}
		q.Index, q.Wait = jobs.Index, fleet.Duration(30*time.Second)
	}
}

// has wants a job of that command that runs, or none at all.
func has(command string, there bool) func([]api.JobView) bool {
	return func(jobs []api.JobView) bool {
		return there == slices.ContainsFunc(jobs, func(job api.JobView) bool { return job.Command == command })
	}
}

// replace writes a file beside and renames it, as careful editors do.
func (c *cluster) replace(name, text string) {
	c.t.Helper()
	c.write(name+".new", text)
	if err := os.Rename(filepath.Join(c.dir, name+".new"), filepath.Join(c.dir, name)); err != nil {
		c.t.Fatal(err)
	}
}

const freshUsers = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"

// TestEditsAreSeen makes every kind of edit on a host and waits until the
// collector's jobs show it; no scan by the clock comes to its help, for that
// would take up to a minute each. How long each took is told, not judged.
func TestEditsAreSeen(t *testing.T) {
	c := newCluster(t, 1, 1)
	verdict := func(command string, runs bool) func([]api.JobView) bool {
		return func(jobs []api.JobView) bool {
			return slices.ContainsFunc(jobs, func(job api.JobView) bool { return job.Command == command && job.Verdict.Runs == runs })
		}
	}
	remove := func(name string) {
		if err := os.RemoveAll(filepath.Join(c.dir, "root1", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, edit := range []struct {
		name   string
		make   func()
		wanted func([]api.JobView) bool
	}{
		{"a table, written anew", func() { c.write("root1/etc/crontab", "1 1 * * * root /opt/in-place\n") }, has("/opt/in-place", true)},
		{"a table, renamed over", func() { c.replace("root1/etc/crontab", "1 1 * * * root /opt/renamed\n") }, has("/opt/renamed", true)},
		{"the first drop-in, in a new directory", func() { c.write("root1/etc/cron.d/one", "1 1 * * * root /opt/dropped\n") }, has("/opt/dropped", true)},
		{"the first table of a user, in a new spool", func() {
			c.write("root1/var/spool/cron/crontabs/tmp.1", "1 1 * * * /opt/users\n")
			spool := c.dir + "/root1/var/spool/cron/crontabs"
			for _, err := range []error{os.Chmod(spool+"/tmp.1", 0o600), os.Rename(spool+"/tmp.1", spool+"/ann")} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}, verdict("/opt/users", false)},
		{"a user that is made", func() { c.replace("root1/etc/passwd", freshUsers) }, verdict("/opt/users", true)},
		{"a script for run-parts", func() { c.write("root1/etc/cron.daily/part", "#!/bin/sh\n") }, has("/etc/cron.daily/part", true)},
		{"the first timer", func() {
			c.write("root1/etc/systemd/system/t.service", "[Service]\nExecStart=/opt/timer\n")
			c.write("root1/etc/systemd/system/t.timer", "[Timer]\nOnCalendar=daily\n")
		}, has("/opt/timer", true)},
		{"a drop-in of its service", func() {
			c.write("root1/etc/systemd/system/t.service.d/x.conf", "[Service]\nExecStart=\nExecStart=/opt/overridden\n")
		}, has("/opt/overridden", true)},
		{"a user's first timer", func() {
			c.write("root1/home/ann/.config/systemd/user/u.service", "[Service]\nExecStart=/opt/of-ann\n")
			c.write("root1/home/ann/.config/systemd/user/u.timer", "[Timer]\nOnCalendar=daily\n")
		}, has("/opt/of-ann", true)},
		{"a mode that cron refuses", func() { _ = os.Chmod(c.dir+"/root1/etc/cron.d/one", 0o666) }, verdict("/opt/dropped", false)},
		{"a table that is emptied", func() { c.write("root1/etc/crontab", "") }, has("/opt/renamed", false)},
		{"a table that is removed", func() { remove("var/spool/cron/crontabs/ann") }, has("/opt/users", false)},
		{"a directory that is removed", func() { remove("etc/cron.d") }, has("/opt/dropped", false)},
		{"and made again", func() { c.write("root1/etc/cron.d/two", "1 1 * * * root /opt/again\n") }, has("/opt/again", true)},
	} {
		begin := time.Now()
		edit.make()
		c.await(edit.name, edit.wanted)
		t.Logf("%-45s seen after %s", edit.name, time.Since(begin).Round(time.Millisecond))
	}
}

// TestHalfWrittenIsNoDeletion writes a table in two parts, again and again. The
// history of the host must not know of any job that went.
func TestHalfWrittenIsNoDeletion(t *testing.T) {
	c := newCluster(t, 1, 1)
	var table strings.Builder
	for i := range 50 {
		fmt.Fprintf(&table, "1 1 * * * root /opt/kept%d\n", i)
	}
	for i := range 10 {
		c.write("root1/etc/crontab", table.String()[:i*80]) // cut anywhere, at first to nothing
		pause(t, 250*time.Millisecond)                      // longer than a burst: the scanner sees what is there
		last := fmt.Sprintf("/opt/round%d", i)
		c.write("root1/etc/crontab", table.String()+"1 1 * * * root /opt/stays\n2 2 * * * root "+last+"\n")
		c.await("the whole table", has(last, true))
	}
	changes, err := c.client.Changes(t.Context(), api.ChangeQuery{Host: "host-1", Page: api.Page{Limit: 500}})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes.Items {
		if change.Before != nil && (strings.HasPrefix(change.Before.Command, "/opt/kept") || change.Before.Command == "/opt/stays") {
			t.Errorf("%v: %s became %+v", change.What, change.Before.Command, change.Job)
		}
	}
	if len(changes.Items) < 60 {
		t.Errorf("%d changes, want those of 50 jobs and more", len(changes.Items))
	}
}

// pause lets a length of time pass that is part of what is tried.
func pause(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// BenchmarkEditToJobs measures how long an edit on a host takes until a client
// that waits for it at the collector has it.
func BenchmarkEditToJobs(b *testing.B) {
	c := newCluster(b, 1, 1)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		command := fmt.Sprintf("/opt/edit%d", i)
		begin := time.Now()
		c.write("root1/etc/crontab", "5 4 * * * root /opt/job --host 1\n1 1 * * * root "+command+"\n")
		c.await(command, has(command, true))
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "ms-median")
	b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "ms-worst")
}

// Text that must never reach a terminal or a page as it is.
const (
	colour  = "\x1b[31m"
	title   = "\x1b]0;owned\a"
	markup  = "<img src=x onerror=alert(1)>"
	reverse = "\u202e"
	broken  = "\xff\xfe"
)

// TestHostileNames plants what a hostile user can write, in contents and in
// names, and holds every way of showing it to characters that show themselves.
func TestHostileNames(t *testing.T) {
	c := newCluster(t, 1, 1)
	evil := "x" + colour + title + markup + reverse + broken + "\n\r\tnext"
	name := strings.NewReplacer("/", "_").Replace(evil)
	line := strings.NewReplacer("\n", "", "\r", "\v").Replace(evil)
	c.write("root1/etc/passwd", freshUsers+"bad"+colour+":x:1001:1001::/home/bad:/bin/sh\n")
	c.write("root1/etc/cron.d/"+name, "1 1 * * * root /opt/name"+line+"\n")
	c.write("root1/etc/cron.d/contents", "V="+line+"\n1 1 * * * root /opt/contents "+line+"\nbad line "+line+"\n1 1 * * * no"+colour+"user x\n")
	c.write("root1/etc/cron.daily/"+name, "#!/bin/sh\n")
	c.write("root1/home/ann/.config/systemd/user/"+strings.ReplaceAll(name, "\n", "")+".timer", "[Timer]\nOnCalendar="+line+"\n")
	c.write("root1/home/ann/.config/systemd/user/u.timer", "[Unit]\nDescription="+line+"\n[Timer]\nOnCalendar=daily\n")
	c.write("root1/home/ann/.config/systemd/user/u.service", "[Service]\nExecStart=/opt/unit "+line+"\n")
	c.write("root1/var/spool/cron/atjobs/"+name, "x")
	c.write("root1/var/spool/cron/atjobs/a0000101c00000", "#!/bin/sh\n# atrun uid=1000 gid=1000\n# mail ann 0\numask 22\ncd /home || {\n\t echo\n\t exit 1\n}\n/opt/at "+line+"\n")
	for file, target := range map[string]string{"etc/cron.d/link" + name: "../shadow", "home/ann/.config/systemd/user/secret.timer": "/etc/shadow", "var/spool/cron/crontabs/ann": "/etc/shadow"} {
		path := filepath.Join(c.dir, "root1", file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(file, "etc/") {
			_ = os.Lchown(path, 1000, 1000)
		}
	}
	c.write("root1/etc/shadow", "root:s3cr3tHash:1:\n1 1 * * * root s3cr3tHash\n")
	c.write("root1/etc/cron.d/last", "1 1 * * * root /opt/others-are-seen\n")
	c.await("the others' jobs", has("/opt/others-are-seen", true))
	c.await("the hostile job", func(jobs []api.JobView) bool {
		return slices.ContainsFunc(jobs, func(job api.JobView) bool { return strings.HasPrefix(job.Command, "/opt/contents") })
	})
	outputs := make(map[string]string)
	for _, args := range [][]string{
		{"jobs"}, {"jobs", "-o", "wide"}, {"jobs", "-o", "json"}, {"jobs", "-o", "yaml"}, {"find", "opt"}, {"findings"}, {"history", "host-1"},
		{"when", "--from", "01:00", "--to", "02:00"}, {"hosts"}, {"hosts", "host-1"}, {"export", "--found"}, {"jobs", "--verdict", "broken"},
	} {
		outputs["fleetctl "+strings.Join(args, " ")], _ = c.fleetctl(args...)
	}
	for _, format := range []string{"table", "json"} {
		outputs["fleetcron-agent scan -o "+format] = c.must(binary(t, "fleetcron-agent"), "scan", "--root", c.dir+"/root1", "-o", format)
	}
	hosts, err := c.client.Hosts(t.Context(), api.HostQuery{})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := c.client.Jobs(t.Context(), api.JobQuery{Host: "host-1"})
	if err != nil {
		t.Fatal(err)
	}
	pages := []string{"/", "/jobs", "/findings", "/timeline", "/history", "/problems", "/hosts/" + string(hosts.Items[0].ID)}
	for _, job := range jobs.Items {
		pages = append(pages, "/hosts/"+string(hosts.Items[0].ID)+"/jobs/"+string(job.ID))
	}
	for _, page := range pages {
		if text, ok := c.page(page); ok {
			outputs["web "+page] = text
		}
	}
	if len(outputs) < 20 {
		t.Errorf("only %d outputs were looked at", len(outputs))
	}
	escaped := 0
	for what, text := range outputs {
		for bad, name := range map[string]string{"\x1b": "an escape", "\a": "a bell", "\v": "a control", reverse: "a reversal", "\xff": "a broken byte", "s3cr3tHash": "the secret", markup: "markup"} {
			plain := bad == markup && !strings.HasPrefix(what, "web ") // a terminal shows it
			if !plain && strings.Contains(text, bad) {
				at := strings.Index(text, bad)
				t.Errorf("%s holds %s: %q", what, name, text[max(0, at-60):min(len(text), at+40)])
			}
		}
		if !utf8.ValidString(text) {
			t.Errorf("%s is not valid UTF-8", what)
		}
		if strings.Contains(text, "onerror=alert") {
			escaped++
		}
	}
	if escaped < 8 {
		t.Errorf("the hostile names are in only %d outputs", escaped)
	}
}

// page fetches a page of the web interface, where there is one of that name.
func (c *cluster) page(path string) (string, bool) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, fmt.Sprintf("http://127.%d.0.1:7780%s", c.net, path), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	reply, err := c.browser().Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text), reply.StatusCode == http.StatusOK
}
