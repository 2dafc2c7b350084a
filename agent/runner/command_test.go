package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestWhatNeedsNoShell(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string // nil: it needs one
	}{
		{"/usr/local/bin/backup --all", []string{"/usr/local/bin/backup", "--all"}},
		{"  /bin/x \t a=b  user@host:/p,1%+2 ", []string{"/bin/x", "a=b", "user@host:/p,1%+2"}},
		{"/bin/x", []string{"/bin/x"}},
		{"backup --all", nil},           // found by PATH, or built in
		{"./backup", nil},               // where, is the shell's to say
		{"A=1 /bin/x", nil},             // an assignment
		{"/bin/a=b", nil},               // hardly, but it is not worth a thought
		{"/bin/x $HOME", nil},           // and all else that is expanded
		{"/bin/x ~", nil},               //
		{"/bin/x *.log", nil},           //
		{"/bin/x [ab]", nil},            //
		{"/bin/x {a,b}", nil},           //
		{"/bin/x 'a b'", nil},           // quoted
		{`/bin/x a\ b`, nil},            //
		{"/bin/x # why", nil},           // remarked
		{"/bin/x >/dev/null 2>&1", nil}, // redirected
		{"/bin/x; /bin/y", nil},         // more than one
		{"/bin/x &", nil},               //
		{"/bin/x\n/bin/y", nil},         //
		{"/bin/x !", nil},               //
		{"/bin/x é", nil},               //
		{"", nil},
		{" ", nil},
	} {
		got, plain := plainWords(test.text)
		if diff := cmp.Diff(test.want, got); diff != "" || plain != (test.want != nil) {
			t.Errorf("%q: %v %s", test.text, plain, diff)
		}
	}
}

// TestPlainWordsAreWhatAShellMakesOfThem asks the shells that are here.
func TestPlainWordsAreWhatAShellMakesOfThem(t *testing.T) {
	show := filepath.Join(t.TempDir(), "show")
	write(t, show, "#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done\n", 0o700)
	for _, shell := range []string{"/bin/sh", "/bin/bash"} {
		if _, err := os.Stat(shell); err != nil {
			continue
		}
		rapid.Check(t, func(t *rapid.T) {
			tail := rapid.StringOfN(rapid.RuneFrom([]rune("ab1_./:=@%+,- \t$*;'#~{}")), 0, 12, -1).Draw(t, "tail")
			text := show + " " + tail
			words, plain := plainWords(text)
			if !plain {
				return
			}
			out, err := exec.Command(shell, "-c", text).Output()
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); len(words) > 1 && !cmp.Equal(want, words[1:]) {
				t.Fatalf("%q: %q, the shell says %q", text, words[1:], want)
			}
		})
	}
}

// TestADirectTextIsStartedWithoutAShell looks at who its parent is.
func TestADirectTextIsStartedWithoutAShell(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "script") // no first line: a shell reads it itself
	write(t, script, "echo by the shell $1\n", 0o700)
	spec := b.spec(sh("/usr/bin/env a=b"))
	spec.Execute.Dir = dir
	got := b.run(spec)
	text := b.output(got.ID, Stdout)
	if !strings.Contains(text, "a=b\n") || !strings.Contains(text, "PWD="+dir+"\n") {
		t.Errorf("%s", text)
	}
	if got := b.run(b.spec(sh(script + " twice"))); !got.Succeeded() || b.output(got.ID, Stdout) != "by the shell twice\n" {
		t.Errorf("%s: %s", got.Reason, got.Detail)
	}
	missing := b.run(b.spec(sh("/no/such/program at all")))
	if missing.State != fleet.RunMissed || missing.Detail != "/no/such/program does not exist on this host" {
		t.Errorf("%s %s", missing.State, missing.Detail)
	}
}

func TestStrict(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		script string
		exit   int
	}{
		{"false; echo on", 1},
		{"false | true", 1},
		{"echo $NOT_SET_ANYWHERE", 1},
		{"echo $FLEETCRON_CHECKPOINT$FLEETCRON_LAST_EXIT", 0},
		{"[[ a == a ]]", 0},
	} {
		spec := b.spec(sh(test.script))
		spec.Execute.Shell = fleet.ShellStrict
		if got := b.run(spec); got.Exit == nil || *got.Exit != test.exit {
			t.Errorf("%s: %+v", test.script, got)
		}
	}
	if got := b.run(b.spec(sh("false; echo on"))); !got.Succeeded() {
		t.Errorf("plain: %+v", got)
	}
}

func TestLogin(t *testing.T) {
	needRoot(t)
	accounts, home := t.TempDir(), t.TempDir()
	if err := os.Chmod(filepath.Dir(home), 0o755); err != nil { // for whoever logs in
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".profile"), "export FROM_PROFILE=\"$HOME $LEVEL\"\nPATH=/opt/mine:$PATH\n", 0o644)
	var passwd strings.Builder
	passwd.WriteString("root:x:0:0::/root:/bin/sh\n")
	for name, shell := range map[string]string{"bash": "/bin/bash", "dash": "/bin/dash", "none": "/usr/sbin/nologin", "nothing": ""} {
		passwd.WriteString(name + ":x:4711:4712::" + home + ":" + shell + "\n")
	}
	write(t, filepath.Join(accounts, "passwd"), passwd.String(), 0o644)
	b := newBench(t, func(c *Config) { c.Accounts = accounts })
	login := func(user string, command fleet.Command) fleet.Run {
		spec := b.spec(command)
		spec.Execute.User, spec.Execute.Login, spec.Execute.Env = user, true, map[string]string{"LEVEL": "full"}
		return b.run(spec)
	}
	want := home + " full\n"
	for _, user := range []string{"bash", "dash", "nothing"} {
		for _, command := range []fleet.Command{
			sh(`echo "$FROM_PROFILE"; case $PATH in /opt/mine:*) ;; *) exit 3;; esac`),
			{Argv: []string{"/usr/bin/printenv", "FROM_PROFILE"}},
			sh("/usr/bin/printenv FROM_PROFILE"),
		} {
			got := login(user, command)
			if !got.Succeeded() || b.output(got.ID, Stdout) != want {
				t.Errorf("%s %v: %+v", user, command, got)
			}
		}
	}
	if got := login("none", sh("true")); got.Reason != fleet.MissedNoUser || !strings.Contains(got.Detail, "/usr/sbin/nologin of user none is no shell") {
		t.Errorf("%s: %s", got.Reason, got.Detail)
	}
}
