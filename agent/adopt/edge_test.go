package adopt

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/takeover"
)

// hands that the job is in: exactly one pair.
func (w *world) oneRunsIt(byUs bool) {
	w.t.Helper()
	if cron, armed := w.cronRuns(), len(w.agent.Armed(w.assignments())) == 1; cron == armed || armed != byUs {
		w.t.Errorf("cron runs it: %v, we run it: %v, want %v", cron, armed, byUs)
	}
}

// pass lets seconds pass.
func (w *world) pass(seconds int) {
	random := rand.New(rand.NewPCG(1, 1))
	for range seconds {
		w.second(random)
	}
}

// TestACommentOfAnEarlierAdoption: with the same comment twice nobody could say
// which of them is the job.
func TestACommentOfAnEarlierAdoption(t *testing.T) {
	table := "# fleetcron adopted data/nightly: * * * * * root /bin/b\n* * * * * root /bin/b\n"
	job := lineJob()
	job.Line = 2
	w := newWorld(t, job, table, 0o644)
	w.given = true
	w.start()
	w.until(fleet.AdoptionRefused, rand.New(rand.NewPCG(1, 1)))
	if diff := cmp.Diff(table, w.content()); diff != "" {
		t.Error(diff)
	}
	w.oneRunsIt(false)
}

// TestAWishTakenBackBeforeItBegan: there is no record, because nothing was done.
func TestAWishTakenBackBeforeItBegan(t *testing.T) {
	w := newWorld(t, oneLine(), "* * * * * root /bin/b -p hunter2\n", 0o644)
	w.job.Command = "/bin/b -p hunter2"
	shown := w.job
	shown.Command = "/bin/b -p <redacted:00112233>"
	w.shown, w.wish.Job = &shown, shown
	w.wish.State, w.wish.Asked, w.given = fleet.AdoptionReleasing, w.now.Add(time.Second), true
	w.start()
	w.until(fleet.AdoptionReleased, rand.New(rand.NewPCG(1, 1)))
	w.oneRunsIt(false)
}

// TestALineThatComesBack: somebody saves a table that was open in an editor all
// the time, or takes the comment away.
func TestALineThatComesBack(t *testing.T) {
	w := adopted(t, newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644))
	w.oneRunsIt(true)
	w.write("* * * * * root /bin/b\n")
	w.pass(30)
	w.oneRunsIt(false)
	if w.wish.State != fleet.AdoptionReleased {
		t.Errorf("the collectors hear %q", w.wish.State)
	}
}

// TestATimerUnmaskedByHand is started when it is released: to take the mask
// away is not enough for systemd.
func TestATimerUnmaskedByHand(t *testing.T) {
	w, systemd := timerWorld(t, "/usr/lib/systemd/system/rotate.timer", "[Timer]\nOnCalendar=*:0/10\n"), new(manager)
	w.given = true
	w.start()
	w.agent.hands.systemd = systemd
	w.until(fleet.AdoptionAdopted, rand.New(rand.NewPCG(1, 1)))
	systemd.asked = nil
	if err := os.Remove(filepath.Join(w.disk.tree.root, systemUnits, "rotate.timer")); err != nil {
		t.Fatal(err)
	}
	w.until(fleet.AdoptionReleased, rand.New(rand.NewPCG(1, 1)))
	if diff := cmp.Diff([]string{"reload", "start rotate.timer"}, systemd.asked); diff != "" {
		t.Error(diff)
	}
}

// TestAStateDirectoryLostBeforeItWasTold: the line is silent already, and the
// collectors still wait.
func TestAStateDirectoryLostBeforeItWasTold(t *testing.T) {
	w := adopted(t, newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644))
	if err := w.disk.kept.drop(testTask); err != nil {
		t.Fatal(err)
	}
	w.wish.State, w.wish.Handed, w.agent, w.known = fleet.AdoptionWanted, time.Time{}, nil, false
	w.start()
	w.until(fleet.AdoptionAdopted, rand.New(rand.NewPCG(1, 1)))
	w.oneRunsIt(true)
}

// TestAJobThatIsAlwaysDue has no moment for a hand-over, and says so.
func TestAJobThatIsAlwaysDue(t *testing.T) {
	w := timerWorld(t, "/usr/lib/systemd/system/rotate.timer", "[Timer]\nOnCalendar=minutely\n")
	w.job.Schedule, w.wish.Job.Schedule = "*-*-* *:*:00", "*-*-* *:*:00"
	w.given = true
	w.start()
	w.until(fleet.AdoptionRefused, rand.New(rand.NewPCG(1, 1)))
	if why := w.agent.records[testTask].Why; !strings.Contains(why, "close") {
		t.Errorf("it says %q", why)
	}
}

// TestForbiddenLater: what was adopted can always be released.
func TestForbiddenLater(t *testing.T) {
	w := adopted(t, newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644))
	w.agent, w.known, w.forbidden = nil, false, true
	w.start()
	w.release(fleet.AdoptionReleased)
	w.oneRunsIt(false)
}

// busy is a disk on which somebody else writes right after each of the first
// swaps.
type busy struct {
	*weak
	edits []string
}

func (b *busy) swap(dir, name, beside string) error {
	err := b.weak.swap(dir, name, beside)
	if len(b.edits) > 0 {
		file := filepath.Join(b.root, dir, name)
		if err := errors.Join(os.WriteFile(file+".new", []byte(b.edits[0]), 0o644), os.Rename(file+".new", file)); err != nil {
			panic(err)
		}
		b.edits = b.edits[1:]
	}
	return err
}

// TestEditsOfTheSameMoment: the last one stands, however many there are, and
// nobody doubts who runs the job.
func TestEditsOfTheSameMoment(t *testing.T) {
	for _, edits := range [][]string{
		{"* * * * * root /bin/b\n# 1\n"},
		{"* * * * * root /bin/b\n# 1\n", "* * * * * root /bin/b\n# 2\n"},
		{"# fleetcron adopted data/nightly: * * * * * root /bin/b\n# 1\n"},
	} {
		w := newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644)
		w.given = true
		w.start()
		w.agent.hands.disk = &busy{w.disk, edits}
		w.until(fleet.AdoptionAdopted, rand.New(rand.NewPCG(1, 1)))
		w.oneRunsIt(true)
		last := edits[len(edits)-1]
		want := "# fleetcron adopted data/nightly: " + strings.TrimPrefix(last, "# fleetcron adopted data/nightly: ")
		if diff := cmp.Diff(want, w.content()); diff != "" {
			t.Error(diff)
		}
	}
}

// TestTheTaskRunsUntilTheLineIsReady: however long a disk takes to write, the
// task is due meanwhile.
func TestTheTaskRunsUntilTheLineIsReady(t *testing.T) {
	w := adopted(t, newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644))
	w.agent.hands.disk = &slow{w.disk, func() {
		if len(w.agent.Armed(w.assignments())) != 1 {
			t.Error("the file is being written, and nobody runs the job")
		}
	}}
	w.release(fleet.AdoptionReleased)
}

type slow struct {
	*weak
	writing func()
}

func (s *slow) create(dir, name string, f *file) error {
	s.writing()
	return s.weak.create(dir, name, f)
}

// TestALastLineWithoutAnEnd is not the beginning of another line.
func TestALastLineWithoutAnEnd(t *testing.T) {
	c := change{Line: []byte("* * * * * root /bin/b"), Mark: mark(testTask)}
	for content, want := range map[string]state{
		"* * * * * root /bin/b":                loud,
		"* * * * * root /bin/b\n# z\n":         loud,
		"* * * * * root /bin/bcd\n":            other,
		string(c.Mark) + string(c.Line):        quiet,
		string(c.Mark) + "* * * * * x\n":       other,
		string(c.marked()) + "cd\n":            other,
		string(c.marked()) + "\nA=1\n":         quiet,
		"# a\n" + string(c.marked()) + "\n":    quiet,
		"A=1 " + string(c.marked()) + "\n":     other,
		string(c.Line) + "\n" + string(c.Line): loud,
	} {
		if got := c.stateOf([]byte(content)); got != want {
			t.Errorf("%q: %d, want %d", content, got, want)
		}
	}
}

// TestReachable: whether a window opens at all.
func TestReachable(t *testing.T) {
	every := func(d time.Duration) takeover.Next {
		return func(after time.Time) (time.Time, bool) { return after.Truncate(d).Add(d), true }
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		kind  fleet.JobKind
		every time.Duration
		want  bool
	}{
		{fleet.KindCron, time.Minute, true}, {fleet.KindRunParts, time.Minute, false}, {fleet.KindRunParts, 2 * time.Minute, true},
		{fleet.KindTimer, 3 * time.Minute, false}, {fleet.KindTimer, 5 * time.Minute, true},
	} {
		if got := guards[c.kind].opens(now, every(c.every)); got != c.want {
			t.Errorf("%s every %s: %v", c.kind, c.every, got)
		}
	}
}

// deaf is a systemd that reads its units and does nothing else.
type deaf struct{}

func (deaf) Reload(context.Context) error                 { return nil }
func (deaf) Stop(context.Context, string) error           { return errDisk }
func (deaf) Start(context.Context, string) error          { return errDisk }
func (deaf) Active(context.Context, string) (bool, error) { return true, nil }

// TestASystemdThatFailsTwice can neither stop the timer nor start it again: the
// adoption is not over before it can.
func TestASystemdThatFailsTwice(t *testing.T) {
	w := timed(t, "/usr/lib/systemd/system/rotate.timer", false)
	w.given = true
	w.start()
	w.agent.hands.systemd = deaf{}
	w.pass(150)
	if w.wish.State != fleet.AdoptionWanted || len(w.agent.Armed(w.assignments())) != 0 || len(w.inUnits()) != 0 {
		t.Errorf("it is %s, %v is left", w.wish.State, w.inUnits())
	}
	w.agent.hands.systemd = w.systemd
	w.until(fleet.AdoptionAdopted, rand.New(rand.NewPCG(1, 1)))
	w.oneRunsIt(true)
}

// TestHolds: what a comment says is believed as long as nobody knows better.
func TestHolds(t *testing.T) {
	w := adopted(t, newWorld(t, oneLine(), "* * * * * root /bin/b\n", 0o644))
	if !w.agent.Holds(testTask) || w.agent.Holds("data/other") {
		t.Error("adopted, it holds another task than that")
	}
	w.agent.fresh = false
	if !w.agent.Holds("data/other") {
		t.Error("a plan from disk is believed")
	}
	w.agent.fresh = true
	w.release(fleet.AdoptionReleased)
	w.given = false
	w.give()
	w.pass(1)
	if w.agent.Holds(testTask) {
		t.Error("it holds what was released")
	}
}
