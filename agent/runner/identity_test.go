package runner

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// needRoot skips what only root can do.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// said returns what a shell text wrote to stdout, one word after the other.
func said(t *testing.T, b *bench, change func(*Spec), script string) string {
	t.Helper()
	spec := b.spec(sh(script))
	change(&spec)
	got := b.run(spec)
	if !got.Succeeded() {
		t.Fatalf("%s %s: %s %s", got.State, got.Reason, got.Detail, got.Tail)
	}
	return strings.Join(strings.Fields(b.output(got.ID, Stdout)), " ")
}

func TestGroups(t *testing.T) {
	needRoot(t)
	accounts := t.TempDir()
	write(t, filepath.Join(accounts, "passwd"), "root:x:0:0::/root:/bin/sh\nbackup:x:4711:4712::/nonexistent:/usr/sbin/nologin\n", 0o644)
	write(t, filepath.Join(accounts, "group"), "backup:x:4712:\ndisk:x:4713:nobody,backup\nother:x:4714:backups\n", 0o644)
	b := newBench(t, func(c *Config) { c.Accounts = accounts })
	for _, test := range []struct {
		name    string
		execute fleet.Execute
		want    string
	}{
		{"the user's own", fleet.Execute{User: "backup"}, "4711 4712 4712 4713"},
		{"another first one", fleet.Execute{User: "backup", Group: "other"}, "4711 4714 4714 4713"},
		{"others", fleet.Execute{User: "backup", Groups: []string{"other"}}, "4711 4712 4712 4714"},
		{"both", fleet.Execute{User: "backup", Group: "disk", Groups: []string{"other", "backup"}}, "4711 4713 4713 4712 4714"},
		{"of the agent's own user", fleet.Execute{Group: "other"}, "0 4714 4714"},
	} {
		t.Run(test.name, func(t *testing.T) {
			script := fleet.Command{Shell: "id -u; id -g; id -G"}
			if got := said(t, b, func(s *Spec) { s.Execute = test.execute; s.Execute.Command = script }, ""); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
	for _, execute := range []fleet.Execute{{Group: "nogroup-here"}, {User: "backup", Groups: []string{"disk", "nogroup-here"}}} {
		spec := b.spec(sh("true"))
		spec.Execute.User, spec.Execute.Group, spec.Execute.Groups = execute.User, execute.Group, execute.Groups
		got := b.run(spec)
		if got.Reason != fleet.MissedNoUser || !strings.Contains(got.Detail, `group "nogroup-here" does not exist`) {
			t.Errorf("%s: %s", got.Reason, got.Detail)
		}
	}
	if _, _, err := from(accounts).become(&fleet.Execute{User: "backup", Group: "disk"}, 4711); err == nil || !strings.Contains(err.Error(), "run.group") {
		t.Errorf("%v", err)
	}
}

func TestLockedUsers(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "passwd"), "closed:x:1:1::/:/bin/sh\nopen:x:2:2::/:/bin/sh\nservice:x:3:3::/:/usr/sbin/nologin\n", 0o644)
	tomorrow := time.Now().Unix()/(24*3600) + 1
	write(t, filepath.Join(dir, "shadow"), "closed:!$6$x:1:0:99999:7::1:\nopen:*:1:0:99999:7::"+strconv.FormatInt(tomorrow, 10)+":\nservice:!:1:::::\n", 0o600)
	a := from(dir)
	for user, want := range map[string]string{
		"closed": `user "closed" is locked: its account is closed since 1970-01-02; chage -E -1 closed opens it`, "open": "", "service": "",
	} {
		_, _, err := a.become(&fleet.Execute{User: user}, 0)
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%s: %v", user, err)
		}
	}
}

func TestWhatAThreadHandsOn(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) { testSettings(t, newBench(t, change)) })
	}
}

func testSettings(t *testing.T, b *bench) {
	for _, test := range []struct {
		name   string
		change func(*Spec)
		script string
		want   string
	}{
		{"umask", func(s *Spec) { s.Execute.Umask = "0027" }, "umask", "0027"},
		{"no umask", func(*Spec) {}, "umask", "0022"},
		{"no new privileges", func(s *Spec) { s.Execute.NoNewPrivs = true }, "grep NoNewPrivs /proc/self/status", "NoNewPrivs: 1"},
		{"new privileges", func(*Spec) {}, "grep NoNewPrivs /proc/self/status", "NoNewPrivs: 0"},
		{"idle", func(s *Spec) { s.Limits.IONice = "idle" }, "ionice", "idle"},
		{"best effort", func(s *Spec) { s.Limits.IONice = "best-effort:7" }, "ionice", "best-effort: prio 7"},
		{"no I/O priority", func(*Spec) {}, "ionice", "none: prio 0"},
		{"all of them", func(s *Spec) {
			s.Execute.Umask, s.Execute.NoNewPrivs, s.Limits.Nice, s.Limits.IONice = "0077", true, 5, "idle"
		}, "umask; grep NoNewPrivs /proc/self/status; nice; ionice", "0077 NoNewPrivs: 1 5 idle"},
		{"files", func(s *Spec) { s.Limits.Rlimits = map[string]uint64{"nofile": 123} }, "ulimit -Sn; ulimit -Hn", "123 123"},
		{"several", func(s *Spec) {
			s.Limits.Rlimits = map[string]uint64{"core": 0, "cpu": 77, "stack": 1 << 20, "nproc": 999}
		}, "bash -c 'ulimit -c; ulimit -t; ulimit -Hs; ulimit -u'", "0 77 1024 999"},
		{"limits and settings", func(s *Spec) {
			s.Execute.Umask, s.Execute.NoNewPrivs, s.Limits.Rlimits = "0027", true, map[string]uint64{"fsize": 1024}
		}, "umask; grep NoNewPrivs /proc/self/status; ulimit -f; ls /proc/self/fd | wc -w", "0027 NoNewPrivs: 1 2 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := said(t, b, test.change, test.script); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	if got := said(t, b, func(*Spec) {}, "umask; nice; ionice; grep NoNewPrivs /proc/self/status"); got != "0022 0 none: prio 0 NoNewPrivs: 0" {
		t.Errorf("the next run has %q", got)
	}
}

// TestLimitsOfAnotherUser: where root has lost the right to limit processes of
// others, as in most containers, what lowers a limit is given all the same.
func TestLimitsOfAnotherUser(t *testing.T) {
	needRoot(t)
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			accounts := t.TempDir()
			write(t, filepath.Join(accounts, "passwd"), "backup:x:4711:4712::/:/usr/sbin/nologin\n", 0o644)
			write(t, filepath.Join(accounts, "group"), "backup:x:4712:\n", 0o644)
			b := newBench(t, change, func(c *Config) { c.Accounts = accounts })
			become := func(s *Spec) {
				s.Execute.User, s.Execute.Dir = "backup", "/"
				s.Limits.Rlimits = map[string]uint64{"core": 0, "cpu": 77, "nofile": 123}
			}
			if got := said(t, b, become, "id -u; ulimit -c; ulimit -t; ulimit -Sn; ulimit -Hn"); got != "4711 0 77 123 123" {
				t.Errorf("%q", got)
			}
			spec := b.spec(sh("exit 3"))
			become(&spec)
			spec.Limits.Rlimits["nofile"] = 1 << 62
			if got := b.run(spec); got.Reason != fleet.MissedLimits || !strings.Contains(got.Detail, "limits.rlimits.nofile 4611686018427387904") {
				t.Errorf("%s: %s", got.Reason, got.Detail)
			}
		})
	}
}

// TestLimitsLeaveTheNumberOfFilesAsItWas: the step is a Go program, which
// raises that for itself.
func TestLimitsLeaveTheNumberOfFilesAsItWas(t *testing.T) {
	b := newBench(t)
	without := said(t, b, func(*Spec) {}, "ulimit -Sn; ulimit -Hn")
	with := said(t, b, func(s *Spec) { s.Limits.Rlimits = map[string]uint64{"core": 0} }, "ulimit -Sn; ulimit -Hn")
	if with != without {
		t.Errorf("%s with a limit, %s without", with, without)
	}
}

func TestAStepThatCannotBecomeTheCommand(t *testing.T) {
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			for _, test := range []struct {
				name   string
				change func(*Spec)
				reason fleet.Reason
				want   string
			}{
				{"missing", func(s *Spec) { s.Execute.Command.Argv[0] = "/no/such/program" }, fleet.MissedForkFailed, "/no/such/program does not exist on this host"},
				{"no directory", func(s *Spec) { s.Execute.Dir = "/no/such/dir" }, fleet.MissedForkFailed, "run.dir /no/such/dir does not exist"},
				{"refused", func(s *Spec) { s.Limits.Rlimits["nofile"] = 1 << 62 }, fleet.MissedLimits, "limits.rlimits.nofile 4611686018427387904: operation not permitted"},
			} {
				spec := b.spec(fleet.Command{Argv: []string{"/bin/true"}})
				spec.Limits.Rlimits = map[string]uint64{"core": 0}
				test.change(&spec)
				got := b.run(spec)
				if got.State != fleet.RunMissed || got.Reason != test.reason || !strings.Contains(got.Detail, test.want) {
					t.Errorf("%s: %s %s: %s", test.name, got.State, got.Reason, got.Detail)
				}
			}
			if files, _ := filepath.Glob(filepath.Join(b.dir, "output", "[a-z]*", "*")); len(files) != 0 {
				t.Errorf("output of runs that never started: %v", files)
			}
			spec := b.spec(sh("exit 3"))
			spec.Limits.Rlimits, b.config.Step = map[string]uint64{"core": 0}, nil
			if got := b.run(spec); got.Reason != fleet.MissedLimits || got.Detail == "" {
				t.Errorf("without a program for it: %s: %s", got.Reason, got.Detail)
			}
		})
	}
}

// TestAStepHasNoRightsOfItsOwn stops one before its gate: it runs as the
// command's user already.
func TestAStepHasNoRightsOfItsOwn(t *testing.T) {
	needRoot(t)
	b := newBench(t)
	user, credential, err := b.accounts.become(&fleet.Execute{User: "nobody"}, 0)
	if err != nil {
		t.Skip("no user nobody here:", err)
	}
	order := &launch{
		Run: "step-test", Argv: []string{"/bin/true"}, Dir: "/", Credential: credential, user: user.name,
		Step: steppedBy, Rlimits: []rlimit{{"core", 0}},
	}
	pid, waits, err := order.fork(fdsOf(b.null, b.null, b.null, b.null), nil)
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	uid := strconv.Itoa(int(credential.Uid))
	if err != nil || !strings.Contains(string(status), "Uid:\t"+strings.Join([]string{uid, uid, uid, uid}, "\t")) {
		t.Errorf("%v: %s", err, status)
	}
	if !strings.Contains(string(status), "CapEff:\t0000000000000000") {
		t.Errorf("it has capabilities: %s", status)
	}
	waits.close() // the parent is gone
	var ended unix.WaitStatus
	if _, err := unix.Wait4(pid, &ended, 0, nil); err != nil || ended.ExitStatus() != notExecuted {
		t.Errorf("%v, exit %d", err, ended.ExitStatus())
	}
}

// tmpOf returns the private directories that are there of a run which has begun.
func (b *bench) tmpOf(run fleet.RunID) privateTmp {
	b.t.Helper()
	name := b.begun(run).Tmp
	if name == "" {
		b.t.Fatal("the run has no private directories")
	}
	return tmpOf(name)
}

func TestPrivateTmp(t *testing.T) {
	needRoot(t)
	if os.Getenv("RUNNER_TEST_SHARED") != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*Config){"guarded": func(*Config) {}, "unguarded": alone} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change)
			mark := "/tmp/private-" + filepath.Base(b.dir) + strconv.Itoa(os.Getpid())
			mounts := mountsOf(t)
			spec := b.spec(sh(`ls -A /tmp /var/tmp | wc -w; stat -c %a /tmp /var/tmp; echo x > ` + mark + `; cp ` + mark + ` /var/tmp/y; ls /tmp /var/tmp`))
			spec.Execute.PrivateTmp = true
			got := b.run(spec)
			want := "2 1777 1777 /tmp: " + filepath.Base(mark) + " /var/tmp: y"
			if text := strings.Join(strings.Fields(b.output(got.ID, Stdout)), " "); text != want {
				t.Errorf("%q, want %q", text, want)
			}
			if _, err := os.Stat(mark); err == nil {
				t.Error("the file is in the host's /tmp")
			}
			if now := mountsOf(t); now != mounts {
				t.Errorf("mounts of the host before\n%s\nnow\n%s", mounts, now)
			}
			if left := b.tmpOf(got.ID); left != (privateTmp{}) {
				t.Errorf("left over: %v", left)
			}

			spec = b.spec(fleet.Command{Argv: []string{"/no/such/program"}})
			spec.Execute.PrivateTmp = true
			if got := b.run(spec); got.Reason != fleet.MissedForkFailed || b.tmpOf(got.ID) != (privateTmp{}) {
				t.Errorf("%s: %s, left over: %v", got.Reason, got.Detail, b.tmpOf(got.ID))
			}
		})
	}
}

// TestPrivateTmpIsSeenByNobodyElse runs the test before in a tree of mounts
// whose members tell each other what is mounted, as on most hosts.
func TestPrivateTmpIsSeenByNobodyElse(t *testing.T) {
	needRoot(t)
	if os.Getenv("RUNNER_TEST_SHARED") != "" {
		t.Skip("this is inside of it")
	}
	inside := exec.Command(os.Args[0], "-test.run=^TestPrivateTmp$")
	inside.Env = append(os.Environ(), "RUNNER_TEST_SHARED=1")
	inside.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if text, err := inside.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestPrivateTmpGoesWithTheRunOfADeadAgent leaves it to the next one.
func TestPrivateTmpGoesWithTheRunOfADeadAgent(t *testing.T) {
	needRoot(t)
	b := newBench(t)
	outside, err := os.MkdirTemp("/dev/shm", "runner")
	if err != nil {
		t.Skip("nowhere else to make a pipe:", err)
	}
	t.Cleanup(func() { os.RemoveAll(outside) })
	hold := filepath.Join(outside, "hold")
	if err := unix.Mkfifo(hold, 0o600); err != nil {
		t.Fatal(err)
	}
	spec := b.spec(sh("echo mine > /tmp/file; read x < " + hold))
	spec.Execute.PrivateTmp = true
	last := killedAgent(t, b, spec, fleet.RunRunning)
	name := handleOf(t, last).Tmp
	if tmpOf(name) == (privateTmp{}) {
		t.Fatal("it has none")
	}
	b.Attach(last.Run, last.Handle)
	<-b.found
	write(t, hold, "\n", 0o600)
	if got := b.wait(); !got.Succeeded() || tmpOf(name) != (privateTmp{}) {
		t.Errorf("%+v, left over: %v", got, tmpOf(name))
	}
}

func mountsOf(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAttack100_ModesOwnersAndLinks(t *testing.T) {
	b := newBench(t)
	execute := fleet.Execute{Dir: "/usr", Env: map[string]string{"LEVEL": "full"}}
	text, err := b.Check(t.Context(), execute, []string{"/bin/sh", "-c", `pwd; echo $LEVEL; echo bad >&2`})
	if err != nil || text != "/usr\nfull\nbad\n" {
		t.Errorf("%q %v", text, err)
	}
	for _, test := range []struct{ script, want string }{
		{"exit 3", "/bin/sh ended with exit code 3"},
		{"kill -9 $$", "/bin/sh ended by SIGKILL"},
	} {
		if _, err := b.Check(t.Context(), execute, []string{"/bin/sh", "-c", test.script}); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v", test.script, err)
		}
	}
	if _, err := b.Check(t.Context(), execute, []string{"/no/such/probe"}); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("%v", err)
	}
	if _, err := b.Check(t.Context(), fleet.Execute{User: "nosuchuser"}, []string{"/bin/true"}); err == nil {
		t.Error("a probe of nobody")
	}
	text, err = b.Check(t.Context(), execute, []string{"/bin/sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x"})
	if err != nil || len(text) != maxAnswer {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if len(b.memory.records) != 0 || len(b.Running()) != 0 {
		t.Error("a probe is recorded like a run")
	}
}

func TestAProbeThatDoesNotEndIsKilledWithAllItStarted(t *testing.T) {
	b := newBench(t)
	path, line := fifo(t)
	ctx, cancel := context.WithCancel(t.Context())
	execute := fleet.Execute{Env: map[string]string{"F": path}}
	done := make(chan error, 1)
	go func() {
		_, err := b.Check(ctx, execute, []string{"/bin/sh", "-c", `(trap '' TERM; sleep 1000; sleep 1000) & a=$!; (setsid sh -c 'sleep 1000; sleep 1000' &); echo $$ $a > $F; wait`})
		done <- err
	}()
	all := pids(t, line())
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("%v", err)
	}
	mustBeGone(t, all)
}
