package adopt

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// adopted returns a world in which the job was adopted.
func adopted(t *testing.T, w *world) *world {
	t.Helper()
	w.given = true
	w.start()
	w.until(fleet.AdoptionAdopted, rand.New(rand.NewPCG(1, 1)))
	return w
}

// release asks for the job back and waits for the answer.
func (w *world) release(answer fleet.AdoptionState) {
	w.t.Helper()
	w.wish.State, w.wish.At, w.wish.Asked = fleet.AdoptionReleasing, w.now, w.now
	w.give()
	w.until(answer, rand.New(rand.NewPCG(1, 1)))
}

func (w *world) content() string {
	w.t.Helper()
	text, err := os.ReadFile(w.source)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func (w *world) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.source, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// TestOnlyTheLineChanges adopts lines of files that are hard to keep, and
// compares every other byte, and all of them after the release.
func TestOnlyTheLineChanges(t *testing.T) {
	busybox := func(w *world) {
		w.host.Cron, w.job.Source = "busybox", "/etc/crontabs/root"
	}
	for _, c := range []struct {
		name, before, after string
		command             string
		line                int
		change              func(*world)
	}{
		{"plain", "* * * * * root /bin/b\n", "# fleetcron adopted data/nightly: * * * * * root /bin/b\n", "/bin/b", 1, nil},
		{"first of two alike", "* * * * * root /bin/b\n* * * * * root /bin/b\n", "* * * * * root /bin/b\n# fleetcron adopted data/nightly: * * * * * root /bin/b\n", "/bin/b", 2, nil},
		{"blanks and tabs", "\n \t* *\t* * *  root\t /bin/b  \n", "\n# fleetcron adopted data/nightly:  \t* *\t* * *  root\t /bin/b  \n", "/bin/b  ", 2, nil},
		{"CRLF", "# x\r\n* * * * * root /bin/b\r\n0 1 * * * root /bin/c\r\n", "# x\r\n# fleetcron adopted data/nightly: * * * * * root /bin/b\r\n0 1 * * * root /bin/c\r\n", "/bin/b\r", 2, nil},
		{"no UTF-8", "A=\xff\n* * * * * root /bin/b \xe4\n", "A=\xff\n# fleetcron adopted data/nightly: * * * * * root /bin/b \xe4\n", "/bin/b ä", 2, nil},
		{"the last comment has no end", "* * * * * root /bin/b\n# end", "# fleetcron adopted data/nightly: * * * * * root /bin/b\n# end", "/bin/b", 1, nil},
		{"no final newline", "0 1 * * * /bin/a\n* * * * * /bin/b", "0 1 * * * /bin/a\n# fleetcron adopted data/nightly: * * * * * /bin/b", "/bin/b", 2, busybox},
		{"joined lines", "* * * * * /bin/b \\\n x\n", "# fleetcron adopted data/nightly: * * * * * /bin/b \\\n x\n", "/bin/b  x", 2, busybox},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := lineJob()
			job.Command, job.Line = c.command, c.line
			w := newWorld(t, job, c.before, 0o644)
			if c.change != nil {
				c.change(w)
				w.source = filepath.Join(w.disk.tree.root, w.job.Source)
				if err := os.MkdirAll(filepath.Dir(w.source), 0o755); err != nil {
					t.Fatal(err)
				}
				w.write(c.before)
				w.wish.Job = w.job
			}
			w.here = true
			adopted(t, w)
			if diff := cmp.Diff(c.after, w.content()); diff != "" {
				t.Error(diff)
			}
			w.release(fleet.AdoptionReleased)
			if diff := cmp.Diff(c.before, w.content()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAllThatBelongsToTheFileStays compares mode, owner, attributes and times.
func TestAllThatBelongsToTheFileStays(t *testing.T) {
	w := newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o640)
	if os.Geteuid() == 0 {
		if err := os.Chown(w.source, 7, 8); err != nil {
			t.Fatal(err)
		}
	}
	names := map[string]string{"user.note": "keep me", "security.selinux": "system_u:object_r:system_cron_spool_t:s0\x00"}
	for name, value := range names {
		if err := unix.Setxattr(w.source, name, []byte(value), 0); err != nil {
			t.Logf("%s cannot be set here: %v", name, err)
			delete(names, name)
		}
	}
	if len(names) == 0 {
		t.Skip("this file system keeps no attributes")
	}
	look := func() *file {
		f, err := w.disk.tree.look("/etc/cron.d", "x")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	before := look()
	adopted(t, w)
	during := look()
	if !during.alike(before) || len(during.Attrs) < len(names) {
		t.Errorf("while silent it is %+v, was %+v", during, before)
	}
	if during.Modified.Unix() == before.Modified.Unix() {
		t.Error("no cron would notice: the time of modification is the same")
	}
	w.release(fleet.AdoptionReleased)
	after := look()
	if !after.alike(before) || !after.Modified.Equal(before.Modified) {
		t.Errorf("in the end it is %+v, was %+v", after, before)
	}
}

func oneLine() fleet.Job {
	job := lineJob()
	job.Line = 1
	return job
}

// TestEditsMeanwhileStay edits the file while the job is adopted.
func TestEditsMeanwhileStay(t *testing.T) {
	const mark = "# fleetcron adopted data/nightly: "
	for _, c := range []struct {
		name, edited, want string
		answer             fleet.AdoptionState
	}{
		{"elsewhere", "A=1\n" + mark + "* * * * * root /bin/b\n5 5 * * * root /bin/n\n", "A=1\n* * * * * root /bin/b\n5 5 * * * root /bin/n\n", fleet.AdoptionReleased},
		{"the comment is gone", "A=1\n", "A=1\n", fleet.AdoptionStuck},
		{"the comment is another", mark + "* * * * * root /bin/other\n", mark + "* * * * * root /bin/other\n", fleet.AdoptionStuck},
		{"the comment is there twice", mark + "* * * * * root /bin/b\n" + mark + "* * * * * root /bin/b\n", mark + "* * * * * root /bin/b\n" + mark + "* * * * * root /bin/b\n", fleet.AdoptionStuck},
		{"put back by hand", "* * * * * root /bin/b\n", "* * * * * root /bin/b\n", fleet.AdoptionReleased},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := adopted(t, newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644))
			w.write(c.edited)
			w.release(c.answer)
			if diff := cmp.Diff(c.want, w.content()); diff != "" {
				t.Error(diff)
			}
			if armed := len(w.agent.Armed(w.assignments())) == 1; armed != (c.answer == fleet.AdoptionStuck) {
				t.Errorf("armed: %v", armed)
			}
			if c.answer == fleet.AdoptionStuck { // a person puts it right and asks again
				w.write(mark + "* * * * * root /bin/b\n")
				w.release(fleet.AdoptionReleased)
			}
		})
	}
}

// TestRefusals: whatever the reason, the host is left as it was.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, w *world)
		says   string
	}{
		{"forbidden", func(t *testing.T, w *world) { w.forbidden = true }, "forbids"},
		{"gone", func(t *testing.T, w *world) { w.write("# nothing\n") }, "no longer there"},
		{"changed", func(t *testing.T, w *world) { w.wish.Job.Schedule = "*/2 * * * *" }, "not what it was"},
		{"changed after the scan", func(t *testing.T, w *world) { w.here = true; w.write("A=1\n\n* * * * * root /bin/b\n") }, "not what it was"},
		{"managed", func(t *testing.T, w *world) { w.job.ManagedBy = "Ansible (x)" }, "Ansible"},
		{"packaged", func(t *testing.T, w *world) { w.job.Package = "cron-x" }, "package cron-x"},
		{"refused by cron", func(t *testing.T, w *world) { w.job.Verdict = fleet.Verdict{Why: "the mode is 0777"} }, "0777"},
		{"in a container", func(t *testing.T, w *world) { w.job.Container = "web" }, "container"},
		{"hard link", func(t *testing.T, w *world) {
			if err := os.Link(w.source, w.source+".2"); err != nil {
				t.Fatal(err)
			}
		}, "2 names"},
		{"symbolic link", func(t *testing.T, w *world) {
			if err := errors.Join(os.Rename(w.source, w.source+".real"), os.Symlink("x.real", w.source)); err != nil {
				t.Fatal(err)
			}
		}, "no regular file"},
		{"NUL", func(t *testing.T, w *world) {
			w.here = true
			w.write("* * * * * root /bin/a\x00* * * * * root /bin/b\n")
		}, ""},
		{"IMA", func(t *testing.T, w *world) {
			if err := unix.Setxattr(w.source, "security.ima", []byte{4}, 0); err != nil {
				t.Skip("no such attribute here: ", err)
			}
		}, "IMA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644)
			c.change(t, w)
			before, _ := os.ReadFile(w.source)
			w.given = true
			w.start()
			w.until(fleet.AdoptionRefused, rand.New(rand.NewPCG(1, 1)))
			if why := w.agent.records[testTask].Why; !strings.Contains(why, c.says) {
				t.Errorf("it says %q", why)
			}
			if after, _ := os.ReadFile(w.source); !bytes.Equal(before, after) {
				t.Errorf("the file is %q, was %q", after, before)
			}
			if len(w.agent.Armed(w.assignments())) != 0 {
				t.Error("the task is armed")
			}
			wish := w.wish
			wish.State = fleet.AdoptionWanted
			if diff, err := w.agent.Diff(context.Background(), &wish); err == nil {
				t.Errorf("the dry run shows %q", diff)
			}
		})
	}
}

// TestForceOverridesOwners and nothing else.
func TestForceOverridesOwners(t *testing.T) {
	w := newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644)
	w.job.ManagedBy, w.job.Package, w.wish.Force = "Ansible", "x", true
	adopted(t, w)
}

// TestAFullDiskChangesNothing refuses each effect of an adoption in turn.
func TestAFullDiskChangesNothing(t *testing.T) {
	for n := range 4 {
		w := newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644)
		w.disk.power.left, w.disk.power.how = n, 2
		w.given = true
		w.start()
		for range 100 {
			w.second(rand.New(rand.NewPCG(1, 1)))
		}
		if cron, armed := w.cronRuns(), len(w.agent.Armed(w.assignments())) == 1; cron == armed {
			t.Errorf("effect %d refused: cron runs it %v, we run it %v", n, cron, armed)
		}
	}
}

// TestALostStateDirectory finds an adoption again by its comment.
func TestALostStateDirectory(t *testing.T) {
	job := lineJob()
	job.Line = 2
	w := adopted(t, newWorld(t, job, "# a\n* * * * * root /bin/b\n# z\n", 0o644))
	if err := os.RemoveAll(w.disk.kept.dir); err != nil {
		t.Fatal(err)
	}
	kept, err := openFolder(w.disk.kept.dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.disk.kept, w.agent, w.known = kept, nil, false
	w.start()
	w.second(rand.New(rand.NewPCG(1, 1)))
	if len(w.agent.Armed(w.assignments())) != 1 {
		t.Error("the task is not armed any more")
	}
	w.release(fleet.AdoptionReleased)
	if got := w.content(); got != "# a\n* * * * * root /bin/b\n# z\n" {
		t.Errorf("%q", got)
	}
}

// TestForgottenByTheCollectors: where nobody knows of the adoption, the job
// goes back, because nobody would run it.
func TestForgottenByTheCollectors(t *testing.T) {
	w := adopted(t, newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644))
	w.agent.Take(&fleet.Plan{Host: testHost}, true) // an old plan from disk decides nothing
	w.agent.fresh = false
	for range 90 {
		w.now = w.now.Add(time.Second)
		w.agent.step(context.Background(), w.now)
	}
	if w.cronRuns() {
		t.Fatal("a stored plan was believed")
	}
	w.agent.Take(&fleet.Plan{Host: testHost}, false)
	for range 90 {
		w.now = w.now.Add(time.Second)
		w.agent.step(context.Background(), w.now)
	}
	if !w.cronRuns() || len(w.agent.records) != 0 {
		t.Errorf("cron runs it: %v; %d records", w.cronRuns(), len(w.agent.records))
	}
}

// TestSecretsComeFromTheHost fills in what the collectors never had.
func TestSecretsComeFromTheHost(t *testing.T) {
	w := newWorld(t, oneLine(), "P=hunter2\n* * * * * root /bin/b -p hunter2%hunter2\n", 0o644)
	w.here, w.job.Line, w.job.Command, w.job.Env = true, 2, "/bin/b -p hunter2%hunter2", map[string]string{"P": "hunter2"}
	shown := w.job
	shown.Command, shown.Env = "/bin/b -p <redacted:00112233>%<redacted:00112233>", map[string]string{"P": "<redacted:00112233>"}
	w.shown, w.wish.Job = &shown, shown
	adopted(t, w)
	run := fleet.Execute{
		Command: fleet.Command{Shell: "/bin/b -p <redacted:00112233>"}, Stdin: "<redacted:00112233>\n", User: "root",
		Env: map[string]string{"P": "<redacted:00112233>", "PATH": "/usr/bin:/bin"},
	}
	got, err := w.agent.Fill(testTask, run)
	want := fleet.Execute{Command: fleet.Command{Shell: "/bin/b -p hunter2"}, Stdin: "hunter2\n", User: "root", Env: map[string]string{"P": "hunter2", "PATH": "/usr/bin:/bin"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	run.Command.Shell = "/bin/other -p <redacted:00112233>"
	if got, err := w.agent.Fill(testTask, run); fleet.KindOf(err) != fleet.Refused {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := w.agent.Fill("other/task", run); fleet.KindOf(err) != fleet.Refused {
		t.Error(err)
	}
	for _, word := range append(w.agent.Unsettled(), w.agent.records[testTask].settled(testHost)) {
		if strings.Contains(word.Job.Command, "hunter2") || strings.Contains(word.Why, "hunter2") {
			t.Errorf("the collectors would hear %+v", word)
		}
	}
	info, err := os.Stat(w.disk.kept.dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestDiff(t *testing.T) {
	w := newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644)
	w.start()
	diff, err := w.agent.Diff(context.Background(), &w.wish)
	want := "--- /etc/cron.d/x\n+++ /etc/cron.d/x\n@@ -1 +1 @@\n-* * * * * root /bin/b\n+# fleetcron adopted data/nightly: * * * * * root /bin/b\n"
	if err != nil || diff != want {
		t.Errorf("%q, %v", diff, err)
	}
	if w.content() != "* * * * * root /bin/b\n" {
		t.Error("a dry run changed the file")
	}
}

// TestWhatAnEarlierAgentDidIsTold: the agent may have died between the change
// and its word, and the plan does not change before it is said.
func TestWhatAnEarlierAgentDidIsTold(t *testing.T) {
	w := adopted(t, newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644))
	w.wish.State, w.wish.Handed = fleet.AdoptionWanted, time.Time{}
	ctx, cancel := context.WithCancel(t.Context())
	var told []fleet.Adoption
	config := Config{Look: w.look, Arm: w.arm, Logger: slog.New(slog.DiscardHandler)}
	var next *Adopter
	config.Tell = func() { told = append(told, next.Unsettled()...); cancel() }
	next, err := open(ctx, config, w.disk, w.disk)
	if err != nil {
		t.Fatal(err)
	}
	next.Take(&fleet.Plan{Host: testHost, Assignments: w.assignments(), Adoptions: []fleet.Adoption{w.wish}}, true)
	if err := next.Run(ctx); err != nil || len(told) == 0 || told[0].State != fleet.AdoptionAdopted {
		t.Errorf("%+v, %v", told, err)
	}
}

// TestANewTaskOfAnOldName is armed although a record of its name was left.
func TestANewTaskOfAnOldName(t *testing.T) {
	w := adopted(t, newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644))
	w.release(fleet.AdoptionReleased)
	w.wish.State = "" // a person gives an ordinary task that name
	plan := fleet.Plan{Host: testHost, Assignments: w.assignments()}
	w.agent.Take(&plan, false)
	w.agent.step(context.Background(), w.now)
	if len(w.agent.Armed(plan.Assignments)) != 1 || !w.known {
		t.Errorf("armed: %v, and the scheduler has it: %v", len(w.agent.Armed(plan.Assignments)) == 1, w.known)
	}
}

// TestTheCollectorsClockDoesNotMatter: a task that was given in the host's
// future is due from the hand-over on.
func TestTheCollectorsClockDoesNotMatter(t *testing.T) {
	w := newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644)
	w.wish.At = w.now.Add(time.Hour)
	adopted(t, w)
	armed := w.agent.Armed(w.assignments())
	if len(armed) != 1 || !armed[0].Since.Equal(w.wish.Handed) {
		t.Errorf("%+v, handed %s", armed, w.wish.Handed)
	}
	changed := w.assignments()
	changed[0].Generation, changed[0].Since = 2, w.now.Add(2*time.Hour)
	if armed := w.agent.Armed(changed); len(armed) != 1 || !armed[0].Since.Equal(changed[0].Since) {
		t.Errorf("a later generation: %+v", armed)
	}
}
