package adopt

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// manager is a systemd that notes what it is asked.
type manager struct {
	asked []string
	fail  string
}

func (m *manager) ask(what string) error {
	m.asked = append(m.asked, what)
	if what == m.fail {
		return errors.New("systemd does not answer")
	}
	return nil
}

func (m *manager) Reload(context.Context) error                 { return m.ask("reload") }
func (m *manager) Stop(_ context.Context, unit string) error    { return m.ask("stop " + unit) }
func (m *manager) Active(context.Context, string) (bool, error) { return true, nil }
func (m *manager) Start(_ context.Context, unit string) error   { return m.ask("start " + unit) }

func timerWorld(t *testing.T, source, text string) *world {
	t.Helper()
	job := lineJob()
	job.Kind, job.Source, job.Line, job.Schedule, job.Command = fleet.KindTimer, source, 0, "*-*-* *:00/10:00", "/usr/bin/rotate"
	w := newWorld(t, func() fleet.Job { j := job; j.Schedule = "*/10 * * * *"; return j }(), text, 0o644)
	w.job.Schedule, w.wish.Job, w.here = job.Schedule, job, true
	if err := os.MkdirAll(filepath.Join(w.disk.tree.root, systemUnits), 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// inUnits lists what lies in /etc/systemd/system, links with their targets.
func (w *world) inUnits() []string {
	w.t.Helper()
	root := filepath.Join(w.disk.tree.root, systemUnits)
	var names []string
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if target, err := os.Readlink(path); err == nil {
			name += " -> " + target
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

func TestTimersThereAndBack(t *testing.T) {
	for _, c := range []struct {
		name, source string
		quiet, loud  []string
	}{
		{"of a package", "/usr/lib/systemd/system/rotate.timer", []string{"rotate.timer -> /dev/null"}, nil},
		{"of the host", "/etc/systemd/system/rotate.timer", []string{"rotate.timer", "rotate.timer.d/" + dropInName}, []string{"rotate.timer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, systemd := timerWorld(t, c.source, "[Timer]\nOnCalendar=*:0/10\n"), new(manager)
			w.given = true
			w.start()
			w.agent.hands.systemd = systemd
			w.until(fleet.AdoptionAdopted, rand.New(rand.NewPCG(1, 1)))
			if diff := cmp.Diff(c.quiet, w.inUnits()); diff != "" {
				t.Error(diff)
			}
			w.release(fleet.AdoptionReleased)
			if diff := cmp.Diff(c.loud, w.inUnits()); diff != "" {
				t.Error(diff)
			}
			want := []string{"reload", "stop rotate.timer", "reload", "start rotate.timer"}
			if diff := cmp.Diff(want, systemd.asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASystemdThatFailsLeavesTheTimer(t *testing.T) {
	for _, fail := range []string{"reload", "stop rotate.timer"} {
		w, systemd := timerWorld(t, "/usr/lib/systemd/system/rotate.timer", "[Timer]\n"), &manager{fail: fail}
		w.given = true
		w.start()
		w.agent.hands.systemd = systemd
		w.until(fleet.AdoptionRefused, rand.New(rand.NewPCG(1, 1)))
		if left := w.inUnits(); len(left) > 0 || !slices.Contains(systemd.asked, "start rotate.timer") {
			t.Errorf("%s failed: %v is left, systemd was asked %v", fail, left, systemd.asked)
		}
	}
}

func TestTimersThatATaskWouldNotKeep(t *testing.T) {
	for text, says := range map[string]string{
		"[Timer]\nRandomizedDelaySec=1h\n": "RandomizedDelaySec",
		"[Timer]\nUnit=other.service\n":    "Unit",
	} {
		w := timerWorld(t, "/usr/lib/systemd/system/rotate.timer", text)
		w.given = true
		w.start()
		w.until(fleet.AdoptionRefused, rand.New(rand.NewPCG(1, 1)))
		if why := w.agent.records[testTask].Why; !strings.Contains(why, says) {
			t.Errorf("it says %q", why)
		}
	}
}

// TestAMaskOfSomebodyElseStays: without a record a masked timer may be
// anybody's, whatever a collector says.
func TestAMaskOfSomebodyElseStays(t *testing.T) {
	w := timerWorld(t, "/usr/lib/systemd/system/rotate.timer", "[Timer]\n")
	if err := os.Symlink("/dev/null", filepath.Join(w.disk.tree.root, systemUnits, "rotate.timer")); err != nil {
		t.Fatal(err)
	}
	w.wish.State, w.wish.Asked, w.wish.Handed, w.given = fleet.AdoptionReleasing, w.now, w.now, true
	w.start()
	w.agent.step(context.Background(), w.now)
	if got := w.agent.records[testTask]; got.Phase != stuck || len(w.inUnits()) != 1 {
		t.Errorf("%+v, %v", got, w.inUnits())
	}
}
