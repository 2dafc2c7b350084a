package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTaskIDs(t *testing.T) {
	for _, test := range []struct {
		in   string
		want TaskID
	}{
		{"backup", "default/backup"}, {"data/backup", "data/backup"}, {"a/b.c-d_e", "a/b.c-d_e"},
		{"", ""}, {"a/b/c", ""}, {"A/b", ""}, {"a/", ""}, {"/b", ""}, {"a/-b", ""}, {"../etc", ""}, {strings.Repeat("x", 64), ""},
	} {
		id, err := ParseTaskID(test.in)
		if id != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q: %q, %v", test.in, id, err)
		}
		if err == nil && NewTaskID(id.Namespace(), id.Name()) != id {
			t.Errorf("%q does not come back", id)
		}
	}
}

func TestQuantitiesComeBack(t *testing.T) {
	for _, text := range []string{"90s", "5m", "1h30m", "48h", "250ms"} {
		d, err := ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%s is written %s", text, d)
		}
	}
	if d, err := ParseDuration("2d12h"); err != nil || time.Duration(d) != 60*time.Hour {
		t.Errorf("2d12h is %v, %v", d, err)
	}
	for _, bad := range []string{"", "5", "-5m", "soon", "d", "1.5d", "99999d", "65535d2000000h"} {
		if d, err := ParseDuration(bad); err == nil {
			t.Errorf("duration %q is %v", bad, d)
		}
	}
	for text, want := range map[string]Bytes{"512": 512, "512B": 512, "1KiB": 1024, "10MB": 10e6, "2GiB": 2 << 30, "0": 0} {
		b, err := ParseBytes(text)
		if err != nil || b != want {
			t.Errorf("%s is %d, %v", text, b, err)
		}
		if again, err := ParseBytes(b.String()); err != nil || again != b {
			t.Errorf("%s is written %s", text, b)
		}
	}
	for _, bad := range []string{"", "MB", "-1", "1.5GB", "1XB", "9999999TiB"} {
		if b, err := ParseBytes(bad); err == nil {
			t.Errorf("size %q is %d", bad, b)
		}
	}
}

func TestCommandForms(t *testing.T) {
	for _, test := range []struct{ json, text string }{
		{`["/bin/echo","a b","it's",""]`, `/bin/echo 'a b' 'it'\''s' ''`},
		{`"a | b"`, "a | b"},
	} {
		var c Command
		if err := c.UnmarshalJSON([]byte(test.json)); err != nil {
			t.Fatal(err)
		}
		if again, err := c.MarshalJSON(); err != nil || string(again) != test.json || c.String() != test.text {
			t.Errorf("%s: %s, %s, %v", test.json, again, c, err)
		}
	}
	if err := new(Command).UnmarshalJSON([]byte(`7`)); err == nil {
		t.Error("a number is no command")
	}
}

func TestKindsReachTheOutsideOnce(t *testing.T) {
	exits := map[Kind]int{Internal: 1, Usage: 2, Invalid: 2, NotFound: 3, Refused: 4, Conflict: 5, Unavailable: 6, TooLarge: 2, Unauthenticated: 4, TooMany: 6}
	for kind := range kinds {
		k := Kind(kind)
		if k.ExitCode() != exits[k] || k.Status() < 400 || k.String() == "" {
			t.Errorf("%v: exit %d, status %d", k, k.ExitCode(), k.Status())
		}
	}
	err := fmt.Errorf("apply: %w", &Error{Kind: Conflict, Message: "task changed", Err: errors.New("index 7"),
		Fields: []FieldError{{Field: "If-Match", Value: "6", Reason: "is older", Line: 3, Column: 9}}})
	if KindOf(err) != Conflict || KindOf(errors.New("x")) != Internal {
		t.Error("kind of a wrapped error")
	}
	if got, want := err.Error(), `apply: task changed: line 3, column 9: If-Match "6": is older: index 7`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestJobIdentity(t *testing.T) {
	id := NewJobID(KindCron, "/etc/crontab", "root", "/bin/a  --x", 0)
	if len(id) != 16 || id != NewJobID(KindCron, "/etc/crontab", "root", " /bin/a --x ", 0) {
		t.Error("blanks change an identity")
	}
	for _, other := range []JobID{
		NewJobID(KindCron, "/etc/crontab", "root", "/bin/a --x", 1),
		NewJobID(KindCron, "/etc/crontab", "bob", "/bin/a --x", 0),
		NewJobID(KindCron, "/etc/cron.d/a", "root", "/bin/a --x", 0),
		NewJobID(KindCron, "/etc/crontab", "root", "/bin/a '--x  '", 0),
	} {
		if other == id {
			t.Error("two jobs share an identity")
		}
	}
	if CommandFingerprint("echo 'a  b'") == CommandFingerprint("echo 'a b'") {
		t.Error("blanks within quotes are part of the command")
	}
}

func TestContentHashIgnoresWhatTimeChanges(t *testing.T) {
	now := time.Now()
	report := Report{Scanned: now, Jobs: []Job{{ID: "a", Source: "/etc/crontab", Next: []time.Time{now}, Evidence: &Evidence{Last: now}}}}
	later := Report{Scanned: now.Add(time.Hour), Jobs: []Job{{ID: "a", Source: "/etc/crontab"}}}
	if report.ContentHash() != later.ContentHash() {
		t.Error("time alone changed the hash")
	}
	if report.Jobs[0].Next == nil {
		t.Error("hashing changed the report")
	}
	later.Jobs[0].Schedule = "0 1 * * *"
	if report.ContentHash() == later.ContentHash() {
		t.Error("a changed schedule did not change the hash")
	}
}
