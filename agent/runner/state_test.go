package runner

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestAStateDirectoryIsKept(t *testing.T) {
	b := newBench(t)
	if got := said(t, b, func(*Spec) {}, `cd "$FLEETCRON_STATE_DIR" && echo one > mine && stat -c %a .`); got != "700" {
		t.Errorf("mode %s", got)
	}
	if got := said(t, b, func(*Spec) {}, `cat "$FLEETCRON_STATE_DIR/mine"`); got != "one" {
		t.Errorf("%q", got)
	}
	other := said(t, b, func(s *Spec) { s.Run.Task = "data/other" }, `ls "$FLEETCRON_STATE_DIR"; echo $FLEETCRON_STATE_DIR`)
	if other != filepath.Join(b.config.States, "data", "other") {
		t.Errorf("another task has %q", other)
	}
	if err := b.Forget("data/nightly"); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(b.config.States, "data", "*"))
	if len(left) != 1 || !strings.HasSuffix(left[0], "/other") {
		t.Errorf("left %v", left)
	}
	if got := said(t, b, func(*Spec) {}, `ls "$FLEETCRON_STATE_DIR"; echo "exit $FLEETCRON_LAST_EXIT"`); got != "exit" {
		t.Errorf("after it was forgotten: %q", got)
	}
}

// TestATaskIsForgottenAfterItsRun keeps the state while somebody needs it.
func TestATaskIsForgottenAfterItsRun(t *testing.T) {
	b := newBench(t)
	spec, started, hold := held(t, b, `echo $$ > $STARTED; read x < $HOLD; echo on > $FLEETCRON_STATE_DIR/file`)
	b.begin(spec)
	started()
	if err := b.Forget(spec.Run.Task); err != nil {
		t.Fatal(err)
	}
	write(t, hold, "\n", 0o600)
	if got := b.wait(); !got.Succeeded() {
		t.Errorf("%+v", got)
	}
	if left, _ := filepath.Glob(filepath.Join(b.config.States, "[^.]*")); len(left) != 0 || b.states.exits.of(spec.Run.Task) != "" {
		t.Errorf("left: %v", left)
	}
}

func TestTheStateBelongsToTheCommandsUser(t *testing.T) {
	needRoot(t)
	accounts := t.TempDir()
	write(t, filepath.Join(accounts, "passwd"), "root:x:0:0::/root:/bin/sh\nbackup:x:4711:4712::/:/bin/sh\nother:x:4713:4714::/:/bin/sh\n", 0o644)
	b := newBench(t, func(c *Config) { c.Accounts = accounts })
	dir := filepath.Join(b.config.States, "data", "nightly")
	for user, uid := range map[string]uint32{"backup": 4711, "other": 4713, "": 0} {
		spec := b.spec(sh("true"))
		spec.Execute.User = user
		b.run(spec)
		info, err := os.Lstat(dir)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != uid || info.Mode().Perm() != 0o700 {
			t.Errorf("%q: %v %v", user, info, err)
		}
	}
	for path := dir; path != filepath.Dir(b.config.States); {
		path = filepath.Dir(path)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o001 == 0 || info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
}

// TestWhatAnotherUserLeftIsSetAside: a command finds nothing that somebody else
// may have laid for it, and its own again when it comes back.
func TestWhatAnotherUserLeftIsSetAside(t *testing.T) {
	needRoot(t)
	accounts := t.TempDir()
	write(t, filepath.Join(accounts, "passwd"), "root:x:0:0::/root:/bin/sh\nbackup:x:4711:4712::/:/bin/sh\n", 0o644)
	b := newBench(t, func(c *Config) { c.Accounts = accounts })
	if err := os.Chmod(filepath.Dir(b.dir), 0o711); err != nil { // so that others reach it
		t.Fatal(err)
	}
	as := func(user, script string) string {
		spec := b.spec(sh(script))
		spec.Execute.User = user
		got := b.run(spec)
		return strings.TrimSpace(b.output(got.ID, Both))
	}
	as("backup", "echo mine > $FLEETCRON_STATE_DIR/x; ln -s /etc/passwd $FLEETCRON_STATE_DIR/trap; echo laid; exit 1")
	if err := b.SetCheckpoint("data/nightly", "laid"); err != nil {
		t.Fatal(err)
	}
	if got := as("", "ls -A $FLEETCRON_STATE_DIR; echo \"[$FLEETCRON_CHECKPOINT]\"; echo theirs > $FLEETCRON_STATE_DIR/x; exit 1"); got != "[]" {
		t.Errorf("root finds %q", got)
	}
	if got := as("backup", "cat $FLEETCRON_STATE_DIR/x; ls $FLEETCRON_STATE_DIR"); got != "mine\ntrap\nx" {
		t.Errorf("the user finds %q", got)
	}
	if err := b.Forget("data/nightly"); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(b.config.States, "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestALinkIsNoStateDirectory: whoever could put one there could have another
// one's file given to himself.
func TestALinkIsNoStateDirectory(t *testing.T) {
	b := newBench(t)
	target := t.TempDir()
	if err := os.MkdirAll(filepath.Join(b.config.States, "data"), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(b.config.States, "data", "nightly")); err != nil {
		t.Fatal(err)
	}
	got := b.run(b.spec(sh("true")))
	if got.State != fleet.RunMissed || !strings.Contains(got.Detail, "a directory for the task's state") {
		t.Errorf("%s: %s", got.State, got.Detail)
	}
	memo := filepath.Join(target, "memo")
	write(t, memo, `{"checkpoint":"stolen"}`, 0o644)
	if err := os.Symlink(memo, filepath.Join(b.config.States, "data", ".linked")); err != nil {
		t.Fatal(err)
	}
	if m := b.states.recall("data/linked"); m.Checkpoint != "" {
		t.Errorf("read through a link: %+v", m)
	}
	for _, task := range []fleet.TaskID{"data/../x", "data/.x", "../x", "data", "data/", "/x", "data/x/y", ".x/y"} {
		if _, err := b.states.prepare(task, b.spares.agent); err == nil {
			t.Errorf("%q is a task", task)
		}
	}
}

func TestHowTheLastAttemptEnded(t *testing.T) {
	b := newBench(t)
	show := `echo "$FLEETCRON_LAST_EXIT"`
	for _, test := range []struct{ script, want string }{
		{show, ""}, {show + "; exit 7", "0"}, {show + "; kill -9 $$", "7"}, {show, "137"}, {show, "0"},
	} {
		got := b.run(b.spec(sh(test.script)))
		if text := strings.TrimSpace(b.output(got.ID, Stdout)); text != test.want {
			t.Errorf("%s: %q, want %q", test.script, text, test.want)
		}
	}
	b.run(b.spec(sh("exit 5")))
	b.run(b.spec(fleet.Command{Argv: []string{"/no/such/program"}})) // was no attempt that ended
	again := newBench(t, func(c *Config) { c.States = b.config.States })
	if got := said(t, again, func(*Spec) {}, show); got != "5" {
		t.Errorf("the next agent says %q", got)
	}
}

func TestACheckpointGoesToTheNextAttempt(t *testing.T) {
	b := newBench(t)
	show := `echo "$FLEETCRON_CHECKPOINT"`
	attempt := func(b *bench, script string) string {
		got := b.run(b.spec(sh(script)))
		return strings.TrimSpace(b.output(got.ID, Both))
	}
	// Vitals reads it when the process is gone, and stores it then.
	store := ""
	b.config.Over = func(fleet.RunID) {
		if store == "" {
			return
		}
		if err := b.SetCheckpoint("data/nightly", store); err != nil {
			t.Error(err)
		}
		store = ""
	}
	store = `row 42 "of" 100`
	attempt(b, "echo; exit 1")
	if got := attempt(b, show+"; exit 1"); got != `row 42 "of" 100` {
		t.Errorf("%q", got)
	}
	next := newBench(t, func(c *Config) { c.States = b.config.States })
	if got := attempt(next, show); got != `row 42 "of" 100` {
		t.Errorf("the next agent gives %q", got)
	}
	if got := attempt(next, show); got != "" {
		t.Errorf("after a success %q", got)
	}
	for _, bad := range []string{strings.Repeat("x", MaxCheckpoint+1), "a\x00b"} {
		if err := b.SetCheckpoint("data/nightly", bad); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
}

// TestADamagedMemoIsNone goes on with what can be read.
func TestADamagedMemoIsNone(t *testing.T) {
	b := newBench(t)
	if err := b.SetCheckpoint("data/nightly", "here"); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(b.config.States, "data", ".nightly"), `{"checkpoint":"he`, 0o600)
	next := newBench(t, func(c *Config) { c.States = b.config.States })
	if got := said(t, next, func(*Spec) {}, `echo "[$FLEETCRON_CHECKPOINT]"`); got != "[]" {
		t.Errorf("%q", got)
	}
}

func TestWhatACommandWritesAboutItself(t *testing.T) {
	b := newBench(t)
	path, line := fifo(t)
	spec := b.spec(sh(`echo "PROGRESS 42.5 words" >&$FLEETCRON_NOTIFY_FD; echo READY >> /proc/self/fd/3; echo up > $F; read x < $F`))
	spec.Execute.Env = map[string]string{"F": path}
	over := ""
	b.config.Over = func(run fleet.RunID) {
		text, _ := os.ReadFile(b.Notes(run))
		over = string(text)
	}
	b.begin(spec)
	line()
	notes := b.Notes(spec.Run.ID)
	text, err := os.ReadFile(notes)
	if err != nil || string(text) != "PROGRESS 42.5 words\nREADY\n" {
		t.Errorf("%q %v", text, err)
	}
	write(t, path, "\n", 0o600)
	b.wait()
	if over != string(text) {
		t.Errorf("when it was over there was %q", over)
	}
	if _, err := os.Stat(notes); !os.IsNotExist(err) {
		t.Errorf("the notes are still there: %v", err)
	}
}
