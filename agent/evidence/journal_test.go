package evidence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// fakeJournal is a journalctl that tells what a test wrote, from the cursor on
// that it is asked for, and keeps what it was asked.
const fakeJournal = `#!/bin/sh
cd "${0%/*}" || exit 9
printf '%s\n' "$@" > asked
for word in "$@"; do
	case $word in --after-cursor=*) cursor=${word#*=} ;; esac
done
if [ -z "$cursor" ]; then exec cat entries; fi
if ! grep -q "\"__CURSOR\":\"$cursor\"" entries; then
	echo "Failed to seek to cursor: Invalid argument" >&2
	exit 1
fi
exec sed "1,/\"__CURSOR\":\"$cursor\"/d" entries
`

// journal is a host's journal.
type journal struct {
	*tree
	dir string
	n   int
}

func (h *tree) withJournal() *journal {
	j := &journal{tree: h, dir: h.t.TempDir()}
	h.config.Journalctl = filepath.Join(j.dir, "journalctl")
	must(os.WriteFile(h.config.Journalctl, []byte(fakeJournal), 0o755))
	must(os.WriteFile(filepath.Join(j.dir, "entries"), nil, 0o644))
	return j
}

// entry adds an entry, as journalctl -o json writes it, at an instant.
func (j *journal) entry(at string, fields map[string]any) {
	j.t.Helper()
	instant, err := time.Parse(time.RFC3339, at)
	must(err)
	j.n++
	all := map[string]any{
		"__CURSOR":             fmt.Sprintf("s=8786;i=%d;b=022b;m=2f24;t=660c;x=f757", j.n),
		"__REALTIME_TIMESTAMP": fmt.Sprint(instant.UnixMicro()),
		"_HOSTNAME":            "vm", "_TRANSPORT": "syslog", "_UID": "0", "SYSLOG_FACILITY": "9", "PRIORITY": "6",
	}
	for name, value := range fields {
		all[name] = value
	}
	text, err := json.Marshal(all)
	must(err)
	j.raw(string(text))
}

// raw adds a line, whatever it is.
func (j *journal) raw(line string) {
	file, err := os.OpenFile(filepath.Join(j.dir, "entries"), os.O_APPEND|os.O_WRONLY, 0)
	must(err)
	_, err = file.WriteString(line + "\n")
	must(err)
	must(file.Close())
}

func (j *journal) asked() []string {
	text, err := os.ReadFile(filepath.Join(j.dir, "asked"))
	must(err)
	return strings.Fields(string(text))
}

// numbers is how the journal writes bytes that are no text.
func numbers(text string) []int {
	var list []int
	for i := range len(text) {
		list = append(list, int(text[i]))
	}
	return list
}

// TestTheJournalOfCron has what Debian's cron leaves in a journal: the process
// that logs has become the command already in half of the entries.
func TestTheJournalOfCron(t *testing.T) {
	on(t, "2026-11-21T12:15:00Z", func(h *tree) {
		j := h.withJournal()
		say := func(at, uid, pid, comm, identifier string, message any) {
			j.entry(at, map[string]any{"_UID": uid, "_PID": pid, "_COMM": comm, "SYSLOG_IDENTIFIER": identifier, "MESSAGE": message})
		}
		say("2026-11-21T12:12:02Z", "0", "3229", "sh", "CRON", "(root) CMD (   cd / && echo )")
		say("2026-11-21T12:12:02Z", "0", "3230", "sh", "CRON", "(nobody) CMD (exit 3)")
		say("2026-11-21T12:12:02Z", "0", "3225", "cron", "CRON", "(CRON) error (grandchild #3230 failed with exit status 3)")
		say("2026-11-21T12:12:03Z", "0", "3234", "cron", "CRON", numbers("(root) CMD (echo gr\xfc\xdfe)"))
		say("2026-11-21T12:13:00Z", "0", "3300", "cron", "CRON", nil)
		say("2026-11-21T12:14:00Z", "1000", "4000", "logger", "CRON", "(root) CMD (exit 3)") // anybody may say so
		say("2026-11-21T12:14:00Z", "1000", "4000", "cron", "CRON", "(nobody) CMD (exit 3)")
		j.raw("not JSON")
		j.raw(`{"__CURSOR":7}`)
		j.raw(`{"MESSAGE":"` + strings.Repeat("x", 2*maxLine) + `"}`)
		say("2026-11-21T12:14:30Z", "0", "5", "logger", "run-parts", "(/etc/cron.daily) starting a")
		jobs := []fleet.Job{
			cronJob("cd", "* * * * *", "root", "cd / && echo %a%b"), cronJob("exit", "* * * * *", "nobody", "exit 3"),
			cronJob("greet", "* * * * *", "root", "echo grüße"), // a file in Latin-1
			{ID: "a", Kind: fleet.KindRunParts, Source: "/etc/cron.daily/a"},
		}
		want := map[string]string{
			"since cron": "2026-11-21T12:12:02Z", "since run-parts": "2026-11-21T12:14:30Z",
			"cd":    "started 2026-11-21T12:12:02Z by journal",
			"exit":  "ended 2026-11-21T12:12:02Z by journal until 2026-11-21T12:12:02Z: exit 3",
			"greet": "started 2026-11-21T12:12:03Z by journal",
			"a":     "started 2026-11-21T12:14:30Z by journal",
		}
		h.expect(h.read(jobs...), want)
		if asked := j.asked(); !slices.Contains(asked, "--since=@1792239300") || !slices.Contains(asked, "SYSLOG_IDENTIFIER=CRON") || !slices.Contains(asked, "_UID=0") || slices.Contains(asked, "_PID=1") {
			t.Errorf("asked %q", asked)
		}
		// The next agent goes on behind the last entry.
		h.reader = nil
		h.wait("2026-11-21T12:20:00Z")
		say("2026-11-21T12:19:02Z", "0", "9", "sh", "CRON", "(root) CMD (   cd / && echo )")
		want["cd"] = "started 2026-11-21T12:19:02Z by journal"
		h.expect(h.read(jobs...), want)
		if asked := j.asked(); !slices.Contains(asked, "--after-cursor=s=8786;i=8;b=022b;m=2f24;t=660c;x=f757") {
			t.Errorf("asked %q", asked)
		}
		// Where the cursor is gone, its instant is where reading goes on, and
		// starts are known to be seen only from there.
		h.wait("2026-11-21T12:30:00Z")
		must(os.WriteFile(filepath.Join(j.dir, "entries"), nil, 0o644))
		say("2026-11-21T12:12:02Z", "0", "3229", "sh", "CRON", "(nobody) CMD (exit 3)") // of before
		say("2026-11-21T12:29:02Z", "0", "9", "sh", "CRON", "(nobody) CMD (exit 3)")
		want["exit"], want["since cron"] = "started 2026-11-21T12:29:02Z by journal", "2026-11-21T12:29:02Z"
		delete(want, "since run-parts")
		h.expect(h.read(jobs...), want)
		if h.log.Len() > 0 {
			t.Error(h.log.String())
		}
	})
}

// TestTheJournalOfTimers has what systemd says of the services they start.
func TestTheJournalOfTimers(t *testing.T) {
	on(t, "2026-11-21T12:15:00Z", func(h *tree) {
		j := h.withJournal()
		say := func(at, id, unit, message string, more ...string) {
			fields := map[string]any{"_PID": "1", "_COMM": "systemd", "SYSLOG_IDENTIFIER": "systemd", "UNIT": unit, "MESSAGE_ID": id, "MESSAGE": message}
			for i := 0; i+1 < len(more); i += 2 {
				fields[more[i]] = more[i+1]
			}
			j.entry(at, fields)
		}
		say("2026-11-21T06:00:00Z", unitStarting, "good.service", "Starting good.service - Good...")
		say("2026-11-21T06:00:09Z", unitSuccess, "good.service", "good.service: Deactivated successfully.")
		say("2026-11-21T06:00:09Z", unitStarted, "good.service", "Finished good.service - Good.")
		say("2026-11-21T07:00:00Z", unitStarting, "bad.service", "Starting bad.service...")
		say("2026-11-21T07:00:01Z", unitExited, "bad.service", "bad.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED", "EXIT_CODE", "exited", "EXIT_STATUS", "3")
		say("2026-11-21T07:00:01Z", unitFailed, "bad.service", "bad.service: Failed with result 'exit-code'.", "UNIT_RESULT", "exit-code")
		say("2026-11-21T08:00:00Z", unitStarting, "slow.service", "Starting slow.service...")
		say("2026-11-21T08:01:30Z", unitFailed, "slow.service", "slow.service: Failed with result 'timeout'.", "UNIT_RESULT", "timeout")
		say("2026-11-21T09:00:00Z", unitStarted, "simple.service", "Started simple.service.")
		say("2026-11-21T09:00:05Z", unitExited, "simple.service", "killed", "EXIT_CODE", "killed", "EXIT_STATUS", "9")
		say("2026-11-21T10:00:00Z", unitStarting, "other.service", "Starting other.service...")
		timer := func(name string) fleet.Job {
			return fleet.Job{ID: fleet.JobID(name), Kind: fleet.KindTimer, Source: "/usr/lib/systemd/system/" + name + ".timer"}
		}
		mine := timer("mine")
		mine.Source = "/home/joe/.config/systemd/user/other.timer" // not the system's service of that name
		h.expect(h.read(timer("good"), timer("bad"), timer("slow"), timer("simple"), mine), map[string]string{
			"since timer": "2026-11-21T06:00:00Z",
			"good":        "ended 2026-11-21T06:00:00Z by journal until 2026-11-21T06:00:09Z: success",
			"bad":         "ended 2026-11-21T07:00:00Z by journal until 2026-11-21T07:00:01Z: exit 3",
			"slow":        "ended 2026-11-21T08:00:00Z by journal until 2026-11-21T08:01:30Z: failed timeout",
			"simple":      "ended 2026-11-21T09:00:00Z by journal until 2026-11-21T09:00:05Z: signal KILL",
		})
		if asked := j.asked(); !slices.Contains(asked, "UNIT=good.service") || slices.Contains(asked, "UNIT=other.service") {
			t.Errorf("asked %q", asked)
		}
	})
}

// TestTheJournalIsBelievedRather takes from a log only what lies before the
// journal tells of the same kind.
func TestTheJournalIsBelievedRather(t *testing.T) {
	on(t, "2026-11-21T12:15:00Z", func(h *tree) {
		j := h.withJournal()
		j.entry("2026-11-21T12:00:02Z", map[string]any{"_PID": "7", "SYSLOG_IDENTIFIER": "CRON", "MESSAGE": "(root) CMD (x)"})
		h.write("var/log/syslog",
			"Nov 21 10:00:02 vm CRON[7]: (root) CMD (x)",
			"Nov 21 11:00:02 vm CRON[7]: (root) CMD (y)",
			"Nov 21 12:10:00 vm CRON[7]: (root) CMD (x)") // only the journal would know who says so
		h.expect(h.read(cronJob("x", "0 * * * *", "root", "x"), cronJob("y", "0 11 * * *", "root", "y")), map[string]string{
			"since cron": "2026-11-21T10:00:02Z",
			"x":          "started 2026-11-21T12:00:02Z by journal",
			"y":          "started 2026-11-21T11:00:02Z by /var/log/syslog",
		})
	})
}

// TestAJournalThatCannotBeRead is told, and the logs are read all the same.
func TestAJournalThatCannotBeRead(t *testing.T) {
	on(t, "2026-11-21T12:15:00Z", func(h *tree) {
		j := h.withJournal()
		must(os.WriteFile(h.config.Journalctl, []byte("#!/bin/sh\necho 'No journal files were opened' >&2\nexit 1\n"), 0o755))
		h.write("var/log/syslog", "Nov 21 12:10:00 vm CRON[7]: (root) CMD (x)")
		for range 2 {
			h.expect(h.read(cronJob("x", "0 * * * *", "root", "x")), map[string]string{
				"since cron": "2026-11-21T12:10:00Z", "x": "started 2026-11-21T12:10:00Z by /var/log/syslog"})
		}
		if n := strings.Count(h.log.String(), "No journal files were opened"); n != 1 {
			t.Errorf("told %d times: %s", n, h.log.String())
		}
		must(os.WriteFile(h.config.Journalctl, []byte("#!/bin/sh\nexit 1\n"), 0o755)) // older ones, when there is nothing
		h.log.Reset()
		h.read()
		if h.log.Len() > 0 {
			t.Error(h.log.String())
		}
		_ = j
	})
}

// TestAJournalWithoutEndIsReadInParts ends a round at its limit.
func TestAJournalWithoutEndIsReadInParts(t *testing.T) {
	script := filepath.Join(t.TempDir(), "journalctl")
	line := `{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1795263122007147","_UID":"0","SYSLOG_IDENTIFIER":"CRON","MESSAGE":"(root) CMD (x)","PAD":"` + strings.Repeat("p", 10_000) + `"}`
	must(os.WriteFile(script, []byte("#!/bin/sh\nexec yes '"+line+"'\n"), 0o755))
	n := 0
	to, _, err := readJournal(t.Context(), script, place{}, nil, time.Now(), func(*event) { n++ })
	if err != nil || to.Cursor != "c" || n == 0 || n > maxJournal/len(line)+1 {
		t.Errorf("%d entries, at %+v, %v", n, to, err)
	}
}

// TestAJournalThatHangs is given up when the time is up.
func TestAJournalThatHangs(t *testing.T) {
	script := filepath.Join(t.TempDir(), "journalctl")
	must(os.WriteFile(script, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755))
	r := NewReader(Config{Root: t.TempDir(), Journalctl: script, Timeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if _, err := r.Read(t.Context(), &fleet.Report{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// FuzzJournal holds what is taken from an entry to be told by root, and a place
// never to go back.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1795263122007147","_UID":"0","_PID":"5","SYSLOG_IDENTIFIER":"CRON","MESSAGE":"(root) CMD (x)"}`))
	f.Add([]byte(`{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","_UID":"0","SYSLOG_IDENTIFIER":"CRON","MESSAGE":[40,114,41,32,67,77,68,32,40,120,41]}`))
	f.Add([]byte(`{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","_PID":"1","UNIT":"a.service","MESSAGE_ID":"` + unitExited + `","EXIT_CODE":"exited","EXIT_STATUS":"3"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		from := place{At: 1}
		to, _ := readRecords(bytes.NewReader(line), from, func(e *event) {
			if e.what == 0 || e.kind == "" || e.from != journalName || e.at.IsZero() {
				t.Fatalf("%q says %+v", line, e)
			}
		})
		if to != from && (to.Cursor == "" || to.At <= from.At) {
			t.Fatalf("%q leads from %+v to %+v", line, from, to)
		}
	})
}
