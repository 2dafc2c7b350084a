package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/agent/vitals"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// notes is a file as an agent opens it for a command.
func notes(t *testing.T) *os.File {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "notes"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	t.Setenv(vitals.NotifyVariable, strconv.Itoa(int(file.Fd())))
	return file
}

func TestNotify(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "HEARTBEAT\n"},
		{[]string{"copying", "db-3"}, "HEARTBEAT copying db-3\n"},
		{[]string{"two\nlines\tof\x1b[2J text "}, "HEARTBEAT two lines of[2J text\n"},
		{[]string{"--progress", "40", "loading"}, "PROGRESS 40 loading\n"},
		{[]string{"--progress=62.50%"}, "PROGRESS 62.5\n"},
		{[]string{"--checkpoint", `{"offset": 7}`}, "CHECKPOINT {\"offset\": 7}\n"},
		{[]string{"--checkpoint", ""}, "CHECKPOINT\n"},
		{[]string{"--checkpoint", "7", "--progress", "1", "still", "there"}, "CHECKPOINT 7\nPROGRESS 1 still there\n"},
		{[]string{"--ready"}, "READY\n"},
		{[]string{"--ready", "on", "port", "80"}, "READY on port 80\n"},
		{[]string{"--", "-x"}, "HEARTBEAT -x\n"},
		{[]string{strings.Repeat("x", 10_000)}, "HEARTBEAT " + strings.Repeat("x", vitals.MaxNote-64-len("…")) + "…\n"},
	} {
		file := notes(t)
		out, err := run(t, append([]string{"notify"}, test.args...)...)
		got, _ := os.ReadFile(file.Name())
		if err != nil || out != "" || string(got) != test.want {
			t.Errorf("%q: wrote %q, said %q, %v; want %q", test.args, got, out, err, test.want)
		}
		for line := range strings.Lines(string(got)) {
			if _, err := vitals.ParseNote(strings.TrimSuffix(line, "\n")); err != nil {
				t.Errorf("%q: the agent does not understand %q: %v", test.args, line, err)
			}
		}
	}
}

func TestNotifyRefuses(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--progress", "101"}, `--progress "101": want percent, 0-100`},
		{[]string{"--progress", "half"}, "want percent"},
		{[]string{"--progress", "4 0"}, "want percent"},
		{[]string{"--checkpoint", "a\nREADY"}, "a note is one line"},
		{[]string{"--checkpoint", "\x00"}, "control characters"},
		{[]string{"--checkpoint", strings.Repeat("x", vitals.MaxNote)}, "at most 4096 bytes"},
		{[]string{"--ready", "--progress", "4"}, "two notes"},
		{[]string{"--health"}, "unknown flag"},
	} {
		file := notes(t)
		_, err := run(t, append([]string{"notify"}, test.args...)...)
		if fleet.KindOf(err) != fleet.Usage || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.args, err, test.want)
		}
		if got, _ := os.ReadFile(file.Name()); len(got) > 0 {
			t.Errorf("%q wrote %q", test.args, got)
		}
	}
}

func TestNotifyWithoutADescriptor(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	directory, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	for _, test := range []struct {
		fd, want, hint string
		kind           fleet.Kind
	}{
		{"", "FLEETCRON_NOTIFY_FD is not set", "sudo --preserve-env=FLEETCRON_NOTIFY_FD", fleet.Unavailable},
		{"three", `FLEETCRON_NOTIFY_FD "three": want the number of a descriptor`, "", fleet.Usage},
		{"-1", "want the number", "", fleet.Usage},
		{"987", "descriptor 987 takes no notes: it is closed", "sudo --close-from=988", fleet.Unavailable},
		{strconv.Itoa(int(reader.Fd())), "something else than what the agent opened", "sudo", fleet.Unavailable},
		{strconv.Itoa(int(directory.Fd())), "something else", "sudo", fleet.Unavailable},
	} {
		t.Setenv(vitals.NotifyVariable, test.fd)
		_, err := run(t, "notify")
		e, is := err.(*fleet.Error)
		if !is || e.Kind != test.kind || !strings.Contains(e.Error(), test.want) || !strings.Contains(e.Hint, test.hint) {
			t.Errorf("%q: %v", test.fd, err)
		}
	}
	t.Setenv(vitals.NotifyVariable, strconv.Itoa(int(writer.Fd())))
	if _, err := run(t, "notify"); err != nil {
		t.Errorf("a pipe: %v", err)
	}
}

func TestNotifyIsDocumented(t *testing.T) {
	dir := t.TempDir()
	if _, err := run(t, "man", dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "fleetcron-agent-notify.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{`echo "PROGRESS 40 loading" >&3`, "FLEETCRON_NOTIFY_FD", "READY", "CHECKPOINT"} {
		if !strings.Contains(strings.ReplaceAll(string(page), `\`, ""), words) {
			t.Errorf("the manual page does not say %q", words)
		}
	}
}
