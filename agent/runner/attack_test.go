package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestAttack82ArgumentsReachTheProgramAsTheyAre(t *testing.T) {
	b := newBench(t)
	args := []string{"$HOME", "%n%s", "; id", "`id`", "$(id)", "*", "~", "a b", "", "--", "-e", "\\n", "'\"", "${IFS}", "é\u202e\n"}
	echo := []string{"/bin/sh", "-c", `for a; do printf '<%s>' "$a"; done`, "x"}
	for _, whole := range []bool{false, true} {
		spec := b.spec(fleet.Command{Argv: append(echo[:len(echo):len(echo)], args...)})
		spec.Whole = whole
		run := b.run(spec)
		if !run.Succeeded() {
			t.Fatalf("%s %s %s", run.State, run.Reason, run.Detail)
		}
		if got, want := b.output(run.ID, "stdout"), "<"+strings.Join(args, "><")+">"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAttack83ADirectoryThatIsNotThereIsNoOther(t *testing.T) {
	accounts := t.TempDir()
	write(t, filepath.Join(accounts, "passwd"), "root:x:0:0::/root:/bin/sh\nbackup:x:4711:4712::/nonexistent:/bin/sh\n", 0o644)
	b := newBench(t)
	b.accounts.dir = accounts
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"not there": filepath.Join(closed, "none"), "another user's": closed} {
		if name == "another user's" && os.Geteuid() != 0 {
			continue // it is our own then
		}
		spec := b.spec(sh("pwd"))
		spec.Execute.Dir = dir
		if name == "another user's" {
			spec.Execute.User = "backup"
		}
		run := b.run(spec)
		if run.State != fleet.RunMissed || run.Reason != fleet.MissedForkFailed || !strings.Contains(run.Detail, dir) {
			t.Errorf("%s: %s %s: %s", name, run.State, run.Reason, run.Detail)
		}
	}
}

func TestAttack91NothingOutlivesATimeout(t *testing.T) {
	b := newBench(t)
	mark := "fleetcron-91-" + filepath.Base(b.dir)
	spec := b.spec(sh(`trap '' TERM; (trap '' TERM HUP; setsid sh -c 'exec -a ` + mark + ` sleep 300' & ) ; setsid sh -c "trap '' TERM; : ` + mark + `; sleep 300; :" & sleep 300; sleep 300`))
	spec.Limits.Timeout, spec.Limits.Grace = fleet.Duration(300*time.Millisecond), fleet.Duration(100*time.Millisecond)
	run := b.run(spec)
	if run.State != fleet.RunRan || !run.TimedOut {
		t.Fatalf("%s %s %s", run.State, run.Reason, run.Detail)
	}
	if left := commandsWith(t, mark); len(left) > 0 {
		t.Errorf("still there: %q", left)
	}
}

// commandsWith lists the processes whose command line holds the word.
func commandsWith(t *testing.T, word string) (found []string) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), word) {
			found = append(found, name+": "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return found
}

func TestAttack93WhatACommandHasOfTheAgent(t *testing.T) {
	if os.Geteuid() != 0 {
		return // who is not root becomes nobody else, so all is its own
	}
	accounts := t.TempDir()
	write(t, filepath.Join(accounts, "passwd"), "root:x:0:0::/root:/bin/sh\nbackup:x:4711:4712::/:/bin/sh\n", 0o644)
	write(t, filepath.Join(accounts, "group"), "root:x:0:\nbackup:x:4712:\nstore:x:4713:backup\nother:x:4714:x\n", 0o644)
	b := newBench(t)
	b.accounts.dir = accounts
	t.Setenv("FLEETCRON_TOKEN", "secret-of-the-agent")
	spec := b.spec(sh(`env; grep -E '^(Groups|CapEff|CapPrm|CapAmb|NoNewPrivs):' /proc/self/status`))
	spec.Execute.User, spec.Execute.NoNewPrivs = "backup", true
	run := b.run(spec)
	if !run.Succeeded() {
		t.Fatalf("%s %s %s %s", run.State, run.Reason, run.Detail, run.Tail)
	}
	rest := b.output(run.ID, "stdout")
	for _, want := range []string{"Groups:\t4712 4713 ", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "USER=backup"} {
		if !strings.Contains(rest, want) {
			t.Errorf("no %q in\n%s", want, rest)
		}
	}
	spec = b.spec(fleet.Command{Argv: []string{"/bin/ls", "-l", "/proc/self/fd"}})
	spec.Execute.User = "backup"
	var open []string
	for line := range strings.Lines(b.output(b.run(spec).ID, "stdout")) {
		if _, target, is := strings.Cut(line, " -> "); is {
			open = append(open, strings.TrimSpace(target))
		}
	}
	// The fourth is where it reports its progress, the last ls's own.
	for i, want := range []string{"/dev/null", ".stdout", ".stderr", ".notes", "/fd"} {
		if len(open) != 5 || !strings.HasSuffix(open[i], want) {
			t.Errorf("descriptors %q", open)
			break
		}
	}
	if strings.Contains(rest, "secret-of-the-agent") {
		t.Errorf("the agent's environment is the command's:\n%s", rest)
	}
}

func TestAttack94NothingIsOpenedWhereACommandMayPutIt(t *testing.T) {
	b := newBench(t)
	secret := filepath.Join(t.TempDir(), "shadow")
	write(t, secret, "root:secret:1::::::\n", 0o600)
	dir := t.TempDir()
	spec := b.spec(sh(fmt.Sprintf(`cd / && rm -rf %[1]s && ln -s %[2]s %[1]s && echo done; exit 1`, dir, secret)))
	spec.Execute.Dir = dir
	run := b.run(spec)
	if out := b.output(run.ID, "stdout") + b.output(run.ID, "stderr") + run.Tail + run.Detail; strings.Contains(out, "secret") {
		t.Errorf("read through the link: %q", out)
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "root:secret:1::::::\n" {
		t.Errorf("written through the link: %q %v", text, err)
	}
}
