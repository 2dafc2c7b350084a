package discover

import (
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const atScript = "#!/bin/sh\n# atrun uid=0 gid=0\n# mail root 0\numask 22\nTOKEN=s3cret; export TOKEN\ncd /root || {\n\t echo x >&2\n\t exit 1\n}\n"

func TestAtName(t *testing.T) {
	name, ok := parseAtName("a0000101ea48f8")
	if want := (atName{'a', 1, time.Date(2031, 2, 3, 16, 0, 0, 0, time.UTC)}); !ok || name.queue != want.queue || name.number != want.number || name.due.Unix() != 32131320*60 {
		t.Errorf("%+v", name)
	}
	for _, bad := range []string{"", "a", ".SEQ", "a0000101ea48f", "a0000101ea48f80", "a0000101EA48F8", "10000101ea48f8", "a0000101ea48f8\n", "á000101ea48f8"} {
		if _, ok := parseAtName(bad); ok {
			t.Errorf("%q is taken for a name", bad)
		}
	}
	for queue, batch := range map[string]bool{"a": false, "b": true, "c": false, "z": false, "A": true, "Z": true, "=": false} {
		if name, _ := parseAtName(queue + "0000101ea48f8"); name.batch() != batch {
			t.Errorf("queue %s: batch %v", queue, name.batch())
		}
	}
}

func TestAtCommand(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"one line", "/bin/x\n", "/bin/x"},
		{"blank lines around", "\n\n/bin/x\n\n", "/bin/x"},
		{"nothing", "", ""},
		{"ten lines", strings.Repeat("x\n", 10), strings.TrimSuffix(strings.Repeat("x\n", 10), "\n")},
		{"eleven lines", strings.Repeat("x\n", 11), strings.TrimSuffix(strings.Repeat("x\n", 10), "\n") + " …"},
		{"a long line", strings.Repeat("ä", 2000), strings.Repeat("ä", 1000) + " …"},
		{"a here document", "${SHELL:-/bin/sh} << 'marcinDELIMITER5c'\nmake\n\nmarcinDELIMITER5c\n", "make"},
		{"an unended one", "${SHELL:-/bin/sh} << 'marcinDELIMITER5c'\nmake\n", "make"},
		{"a block of its own", "{\necho a\n}\ncd /x || {\n}\n", "{\necho a\n}\ncd /x || {\n}"},
	} {
		file, ok := parseAtFile([]byte(atScript + c.text))
		if !ok || !file.found || file.command != c.want {
			t.Errorf("%s: %+v", c.name, file)
		}
	}
}

// TestAtTraps: what lies in a spool and is no job neither hangs nor tricks a scan.
func TestAtTraps(t *testing.T) {
	root := plant(t, "-- var/spool/cron/atjobs/a0000101c2d980 0700 --\n"+atScript+"/bin/x\n"+
		"-- var/spool/at -> cron/atjobs --\n-- var/spool/cron/atjobs/a0000201c2d980 -> ../../../etc/shadow --\n-- etc/shadow --\nroot:hash\n")
	dir := root + "/var/spool/cron/atjobs/"
	must(t, unix.Mkfifo(dir+"a0000301c2d980", 0o700))
	must(t, unix.Mkfifo(dir+"fifo", 0o700))
	must(t, os.Mkdir(dir+"a0000401c2d980", 0o700))
	must(t, os.WriteFile(dir+"a0000501c2d980", nil, 0o700))
	must(t, os.Truncate(dir+"a0000501c2d980", 50<<20))
	must(t, os.WriteFile(dir+"\x1b[2J\nx", nil, 0o700))
	must(t, os.WriteFile(dir+"\xff\xfe", nil, 0o700))
	report := scanned(t, root)
	if len(report.Jobs) != 1 || report.Jobs[0].Command != "/bin/x" || report.Jobs[0].Env != nil {
		t.Errorf("jobs %+v", report.Jobs)
	}
	const at, name = "/var/spool/cron/atjobs/", ":0 its name is not that of an at job: a letter for the queue, then 13 hexadecimal digits"
	want := []string{
		at + "\x1b[2J\nx" + name,
		at + "a0000201c2d980:0 it is a symbolic link",
		at + "a0000301c2d980:0 it is a FIFO, not a regular file",
		at + "a0000401c2d980:0 a directory stands where a file is expected",
		at + "a0000501c2d980:0 it has 52428800 bytes; more than 8 MiB are not read",
		at + "fifo:0 it is a FIFO, not a regular file",
		at + "ÿþ" + name,
	}
	if diff := cmp.Diff(want, problems(report)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestAtBeingWritten: a file that at is about to finish is no job yet, and no problem.
func TestAtBeingWritten(t *testing.T) {
	root := plant(t, "-- var/spool/at/a0000101c2d980 0600 --\n#!/bin")
	must(t, os.Chtimes(root+"/var/spool/at/a0000101c2d980", noon, noon.Add(-10*time.Second)))
	if report := scanned(t, root); len(report.Jobs)+len(report.Problems) > 0 {
		t.Errorf("%+v", report)
	}
}

// FuzzAtFile holds that nothing before the command is ever told.
func FuzzAtFile(f *testing.F) {
	f.Add("A=1; export A\n", "/bin/x\n")
	f.Add("A=\"\n\"x; export A\ncd\\ / || {\n}\n", "}\ncd / || {\n")
	f.Add("", "${SHELL:-/bin/sh} << 'marcinDELIMITER0'\nmarcinDELIMITER0\n")
	f.Fuzz(func(t *testing.T, env, command string) {
		_, _ = parseAtFile([]byte(env))
		_, _ = parseAtName(env)
		if strings.Contains(env, "cd ") || strings.Contains(env, "\r") {
			return
		}
		file, ok := parseAtFile([]byte("#!/bin/sh\n# atrun uid=7 gid=7\n# mail ann 0\n" + env + "\ncd /home || {\n}\n" + command))
		if !ok || !file.found || file.uid != 7 {
			t.Fatalf("%+v", file)
		}
		told := strings.TrimSuffix(file.command, " …")
		if len(told) > maxAtBytes || strings.Count(told, "\n") > maxAtLines || utf8.ValidString(command) && !strings.Contains(command, told) {
			t.Fatalf("told %q of %q", file.command, command)
		}
	})
}
