package discover

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestUnitNames(t *testing.T) {
	if got, want := dropInDirs("a-b-c@x-y.timer"), []string{"a-b-c@x-y.timer.d", "a-b-c@.timer.d", "a-b-.timer.d", "a-.timer.d", "timer.d"}; !slices.Equal(got, want) {
		t.Errorf("drop-ins in %q, want %q", got, want)
	}
	for text, want := range map[string]string{
		"%n|%N|%p|%i|%I|%j|%%i|%q|%": `foo-bar@a-b\x2dc.timer|foo-bar@a-b\x2dc|foo-bar|a-b\x2dc|a/b-c|bar|%i|%q|%`,
	} {
		unit := unit{manager: hostSystemd(), name: `foo-bar@a-b\x2dc.timer`}
		if got := unit.expand(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{`\x2d`: "-", `\x2`: `\x2`, `\xzz`: `\xzz`, "-": "/", "": ""} {
		if got := unescapeUnit(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestParseUnit(t *testing.T) {
	got := parseUnit("f", []byte("A=0\n[S]\nA = 1 \\\n# no\n; no\n  2\\\n3\nno assignment\n=x\nB=\xff\nC=c=d\r\n[T\nD=\nE=end\\"))
	want := []setting{{"", "A", "0", "f", 1}, {"S", "A", "1 2 3", "f", 3}, {"S", "", "x", "f", 9}, {"S", "C", "c=d", "f", 11}, {"T", "D", "", "f", 13}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(setting{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNoSystemd: on a system without it, no timer runs.
func TestNoSystemd(t *testing.T) {
	const archive = `
-- bin/sh --
-- etc/systemd/system/a.timer --
[Timer]
OnCalendar=daily
-- etc/systemd/system/a.service --
[Service]
ExecStart=/bin/true
-- etc/systemd/system/timers.target.wants/a.timer -> ../a.timer --
`
	for extra, want := range map[string]fleet.Verdict{
		"":                                {Code: fleet.NoScheduler, Why: "systemd is not installed on this host"},
		"-- usr/lib/systemd/systemd --\n": {Runs: true},
	} {
		report := scanned(t, plant(t, archive+extra))
		if len(report.Jobs) != 1 || report.Jobs[0].Verdict != want {
			t.Errorf("%q: %+v, %v", extra, report.Jobs, problems(report))
		}
	}
}

// TestUnitLinksOfOthers: a link that root did not make is not followed.
func TestUnitLinksOfOthers(t *testing.T) {
	root := plant(t, "-- home/x/secret --\n[Timer]\nOnCalendar=daily\n-- etc/systemd/system/a.timer -> /home/x/secret --\n")
	if err := os.Lchown(root+"/etc/systemd/system/a.timer", 4321, 4321); err != nil {
		t.Log("only root may give a link away; the check is the one of crontabs")
		return
	}
	report := scanned(t, root)
	want := []string{"/etc/systemd/system/a.timer:0 the symbolic link does not belong to root, so it is not followed"}
	if diff := cmp.Diff(want, problems(report)); diff != "" || len(report.Jobs) > 0 {
		t.Errorf("%+v (-want +got):\n%s", report.Jobs, diff)
	}
}

// FuzzTimers holds that no content of unit files breaks a scan.
func FuzzTimers(f *testing.F) {
	f.Add("[Timer]\nOnCalendar=daily\nOnBootSec=1h\n", "[Service]\nExecStart=/bin/true %i\n", "[Timer]\nOnCalendar=\n")
	f.Add("[Timer]\nUnit=\nOnCalendar=Mon *-*~1\\\n 1:00 Europe/Berlin\n", "", "[Timer]\nUnit=%n\nOnUnitActiveSec=infinity")
	f.Fuzz(func(t *testing.T, timer, service, dropIn string) {
		root := plant(t, "-- etc/systemd/system/timers.target.wants/a@i.timer -> ../a@.timer --\n-- etc/passwd --\nann:x:1000:1000::/home/ann:\n"+
			"-- home/ann/.config/systemd/user -> /etc/systemd/system --\n-- var/lib/systemd/linger/ann --\n")
		for name, content := range map[string]string{"a@.timer": timer, "a@.service": service, "a@.timer.d/x.conf": dropIn, "b.timer": dropIn} {
			path := filepath.Join(root, "etc/systemd/system", name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, []byte(content), 0o644))
		}
		report := scanned(t, root)
		if _, err := json.Marshal(report); err != nil {
			t.Fatal(err)
		}
	})
}

type timerTruth struct {
	File, Name, Unit string
	Directives       []struct{ Key, Value string }
	Timespans        []struct{ Key, Value, Error string }
	Calendar         []struct {
		Spec, Normalized, Error string
		UTC                     []struct {
			Base string
			Next []string
		}
	}
}

// TestCorpusTimers enables every timer of the corpus in a tree of its own and
// holds its job to what systemd makes of the file.
func TestCorpusTimers(t *testing.T) {
	dir := corpusDir(t)
	f, err := os.Open(filepath.Join(dir, "timer-truth.jsonl"))
	if os.IsNotExist(err) {
		return
	}
	must(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var want timerTruth
		must(t, json.Unmarshal(lines.Bytes(), &want))
		text, err := os.ReadFile(filepath.Join(dir, want.File))
		must(t, err)
		t.Run(want.File, func(t *testing.T) { checkTimer(t, text, &want) })
	}
	must(t, lines.Err())
}

func checkTimer(t *testing.T, text []byte, want *timerTruth) {
	const units = "etc/systemd/system/"
	root := plant(t, "-- "+units+"timers.target.wants/"+want.Name+" -> ../"+want.Name+" --\n-- "+units+want.Unit+" --\n[Service]\nExecStart=/bin/true\n")
	must(t, os.WriteFile(filepath.Join(root, units, want.Name), text, 0o644))
	var schedule []string
	refused := make(map[string]bool)
	for _, span := range want.Timespans {
		refused[span.Key+"="+span.Value] = span.Error != ""
	}
	var bases []string
	for _, c := range want.Calendar {
		refused["OnCalendar="+c.Spec] = c.Error != ""
		for _, run := range c.UTC {
			bases = append(bases, run.Base)
		}
	}
	for _, d := range want.Directives {
		one := d.Key + "=" + d.Value
		if d.Key == "OnCalendar" {
			for _, c := range want.Calendar {
				if c.Spec == d.Value && c.Error == "" {
					one = c.Normalized
				}
			}
		}
		if _, is := triggerKeys[d.Key]; is {
			schedule = append(schedule, one)
		}
	}
	if bases == nil {
		bases = []string{"2026-01-01 00:00:00 UTC"}
	}
	for _, base := range bases {
		now, err := time.Parse("2006-01-02 15:04:05 MST", base)
		must(t, err)
		report, err := Scan(t.Context(), root, Options{Now: now, Next: 3})
		must(t, err)
		if len(report.Jobs) != 1 {
			t.Fatalf("%d jobs, problems %q", len(report.Jobs), problems(report))
		}
		job := report.Jobs[0]
		if got := strings.Join(schedule, "; "); job.Schedule != got {
			t.Errorf("schedule %q, want %q", job.Schedule, got)
		}
		told := make(map[string]bool)
		for _, p := range report.Problems {
			told[p.Text] = true
		}
		for line, bad := range refused {
			if told[line] != bad {
				t.Errorf("%s: told as a problem %v, want %v", line, told[line], bad)
			}
		}
		if diff := cmp.Diff(want.next(base), instants(job.Next)); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", base, diff)
		}
	}
}

func instants(next []time.Time) []string {
	var list []string
	for _, at := range next {
		list = append(list, at.Format(time.RFC3339))
	}
	return list
}

// next is the first three instants of all events after a base.
func (w *timerTruth) next(base string) []string {
	var list []string
	for _, c := range w.Calendar {
		for _, run := range c.UTC {
			if run.Base == base {
				list = append(list, run.Next...)
			}
		}
	}
	slices.Sort(list)
	return list[:min(3, len(list))]
}

// TestTimersOfOtherUnits: a timer whose Unit is not of its own name starts
// another unit than its name says.
func TestTimersOfOtherUnits(t *testing.T) {
	report := scanned(t, plant(t, `
-- bin/sh --
-- usr/lib/systemd/systemd --
-- etc/systemd/system/a.timer --
[Timer]
OnCalendar=daily
Unit=b@%p.service
-- etc/systemd/system/b@.service --
[Service]
ExecStart=/bin/true
-- etc/systemd/system/c.timer --
[Timer]
OnCalendar=daily
-- etc/systemd/system/c.service --
[Service]
ExecStart=/bin/true
`))
	got := map[string]string{}
	for _, job := range report.Jobs {
		got[job.Source] = job.Unit
	}
	want := map[string]string{"/etc/systemd/system/a.timer": "b@a.service", "/etc/systemd/system/c.timer": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
