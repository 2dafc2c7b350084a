package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crowded is a host with one user who has a home.
const crowded = `
-- etc/passwd --
root:x:0:0::/root:/bin/sh
eve:x:0:0::/home/eve:/bin/sh
-- bin/sh --
-- usr/lib/systemd/systemd --
-- var/lib/systemd/linger/eve --
-- etc/systemd/system/timers.target.wants/good.timer -> /etc/systemd/system/good.timer --
-- etc/systemd/system/good.timer --
[Timer]
OnCalendar=daily
-- etc/systemd/system/good.service --
[Service]
ExecStart=/bin/true
`

// TestUnitsLimits: no user's units take more memory or time than there is for
// them, whatever is in the files, and others' timers are found all the same.
func TestUnitsLimits(t *testing.T) {
	const home = "home/eve/.config/systemd/user"
	for _, c := range []struct {
		name, want string
		make       func(i int) (name, text string)
		files      int
	}{
		{"one large file", "no more than 1 MiB are read", func(int) (string, string) {
			return "a.timer", "[Timer]\n" + strings.Repeat("a=\n", 1<<20)
		}, 1},
		{"many settings", "units take more than 32 MiB", func(i int) (string, string) {
			return fmt.Sprintf("a%d.timer", i), "[Timer]\n" + strings.Repeat("a=\n", 300_000)
		}, 40},
		{"a line without end", "", func(int) (string, string) {
			return "a.timer", "[Timer]\n" + strings.Repeat("\\\n", 1<<19-10)
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := plant(t, crowded)
			for i := range c.files {
				name, text := c.make(i)
				file := filepath.Join(root, home, name)
				must(t, os.MkdirAll(filepath.Dir(file), 0o755))
				must(t, os.WriteFile(file, []byte(text), 0o644))
			}
			report, err := Scan(t.Context(), root, Options{Now: noon, Timeout: time.Minute})
			must(t, err)
			problems := ""
			for _, p := range report.Problems {
				problems += p.Source + ": " + p.Reason + "\n"
			}
			if c.want != "" && !strings.Contains(problems, c.want) || strings.Contains(problems, "took longer") || len(report.Problems) > 2 {
				t.Errorf("problems %.500q, want %q", problems, c.want)
			}
			if len(report.Jobs) == 0 || report.Jobs[0].Source != "/etc/systemd/system/good.timer" {
				t.Errorf("jobs %v", report.Jobs)
			}
		})
	}
}

// TestGenerated: only what a generator made is taken for a copy of a crontab's
// job; a user's word for it hides no timer.
func TestGenerated(t *testing.T) {
	report := scanned(t, plant(t, crowded+`
-- home/eve/.config/systemd/user/timers.target.wants/hidden.timer -> /home/eve/.config/systemd/user/hidden.timer --
-- home/eve/.config/systemd/user/hidden.timer --
[Unit]
SourcePath=/etc/crontab
[Timer]
OnCalendar=daily
-- home/eve/.config/systemd/user/hidden.service --
[Service]
ExecStart=/bin/evil
-- run/systemd/generator/cron-x.timer --
[Unit]
SourcePath=/etc/crontab
[Timer]
OnCalendar=daily
`))
	var commands []string
	for _, job := range report.Jobs {
		commands = append(commands, job.Command)
	}
	if got := strings.Join(commands, " "); got != "/bin/true /bin/evil" {
		t.Errorf("found %q", got)
	}
}

// TestUnitNamesLimit: what enables units is looked at as far as there is room for it.
func TestUnitNamesLimit(t *testing.T) {
	tree, err := openTree(plant(t, crowded))
	must(t, err)
	defer tree.release()
	for left, want := range map[int]int{1000: 1, 10: 0} {
		s := &scan{tree: tree, host: readHost(t.Context(), tree)}
		var out found
		u := s.openUnits(&out, hostSystemd())
		defer u.Close()
		clear(u.enabled)
		u.left = left
		if u.findEnabled(&out); len(u.enabled) != want {
			t.Errorf("with room for %d bytes %d units are known to be enabled, want %d", left, len(u.enabled), want)
		}
	}
}
