package turn

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func ids(places []*place) (list []fleet.RunID) {
	for _, p := range places {
		list = append(list, p.run)
	}
	return list
}

// TestTheOrderOfTheLine lets one after the other through a single slot.
func TestTheOrderOfTheLine(t *testing.T) {
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	for _, test := range []struct {
		name  string
		enter []place
		want  []fleet.RunID
	}{
		{"who was due earlier", []place{
			{run: "b", task: "b", due: at(2), slot: true}, {run: "a", task: "a", due: at(1), slot: true}, {run: "c", task: "c", due: at(3), slot: true},
		}, []fleet.RunID{"a", "b", "c"}},
		{"who came earlier", []place{
			{run: "b", task: "b", due: at(1), slot: true}, {run: "a", task: "a", due: at(1), slot: true},
		}, []fleet.RunID{"b", "a"}},
		{"the second of a task behind the first of each", []place{
			{run: "a1", task: "a", due: at(1), slot: true}, {run: "a2", task: "a", due: at(2), slot: true}, {run: "a3", task: "a", due: at(3), slot: true},
			{run: "b1", task: "b", due: at(4), slot: true}, {run: "c1", task: "c", due: at(5), slot: true}, {run: "b2", task: "b", due: at(6), slot: true},
		}, []fleet.RunID{"a1", "b1", "c1", "a2", "b2", "a3"}},
		{"what needs no slot first", []place{
			{run: "a", task: "a", due: at(1), slot: true}, {run: "d", task: "d", due: at(9)},
		}, []fleet.RunID{"d", "a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLine(1, 1000)
			l.take("another")
			for i := range test.enter {
				l.enter(&test.enter[i])
			}
			l.release("another")
			var got []fleet.RunID
			for range test.enter {
				begin, _, _ := l.step(noon)
				got = append(got, ids(begin)...)
				for _, p := range begin {
					l.release(p.run)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheRateOfBegins(t *testing.T) {
	l := newLine(1000, 10)
	begun := 0
	for n := range 25 {
		run := fleet.RunID(fmt.Sprint(n))
		if l.straight(noon, run, true) {
			begun++
		} else {
			l.enter(&place{run: run, task: fleet.TaskID(run), due: noon, slot: true})
		}
	}
	if begun != 10 {
		t.Errorf("%d began at once, want a second's worth", begun)
	}
	now := noon
	for steps := 0; begun < 25; steps++ {
		begin, _, wake := l.step(now)
		begun += len(begin)
		if wake.IsZero() && begun < 25 || steps > 20 {
			t.Fatalf("%d begun after %d steps, wake %v", begun, steps, wake)
		}
		if begun < 25 {
			now = wake
		}
	}
	if took := now.Sub(noon).Round(time.Millisecond); took != 1500*time.Millisecond {
		t.Errorf("15 more took %s at 10 a second", took)
	}
	if begin, _, wake := l.step(now); len(begin) != 0 || !wake.IsZero() {
		t.Errorf("an empty line lets %v through and wakes at %v", begin, wake)
	}
}

func TestWhoHasWaitedLongEnough(t *testing.T) {
	l := newLine(1, 1000)
	l.take("another")
	l.enter(&place{run: "patient", task: "a", due: noon, slot: true})
	l.enter(&place{run: "late", task: "b", due: noon, slot: true, end: noon.Add(time.Minute)})
	l.enter(&place{run: "soon", task: "c", due: noon, slot: true, end: noon.Add(time.Second)})
	if _, shed, wake := l.step(noon); len(shed) != 0 || !wake.Equal(noon.Add(time.Second)) {
		t.Errorf("shed %v, wake %s", ids(shed), wake)
	}
	if _, shed, _ := l.step(noon.Add(time.Second)); !slices.Equal(ids(shed), []fleet.RunID{"soon"}) {
		t.Errorf("shed %v", ids(shed))
	}
	// The slot that comes free too late does not let it begin.
	l.release("another")
	begin, shed, wake := l.step(noon.Add(time.Hour))
	if !slices.Equal(ids(begin), []fleet.RunID{"patient"}) || !slices.Equal(ids(shed), []fleet.RunID{"late"}) || !wake.IsZero() {
		t.Errorf("begin %v, shed %v, wake %s", ids(begin), ids(shed), wake)
	}
}

// TestALineIsFair lets random runs come, go and end, and checks after each step
// what must always hold.
func TestALineIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 4).Draw(t, "slots")
		l := newLine(slots, rapid.IntRange(1, 20).Draw(t, "rate"))
		now, n := noon, 0
		waiting, going := map[fleet.RunID]*place{}, map[fleet.RunID]bool{} // going: those with a slot
		passed := map[fleet.RunID]map[fleet.TaskID]int{}                   // how many of each task went before a waiting run
		ranks := map[fleet.RunID]int{}                                     // of its task when it came, from 1
		step := func() {
			begin, shed, wake := l.step(now)
			for _, p := range shed {
				if p.end.IsZero() || p.end.After(now) {
					t.Fatalf("%s waited until %s and is sent away at %s", p.run, p.end, now)
				}
				delete(waiting, p.run)
			}
			for _, p := range begin {
				if waiting[p.run] == nil {
					t.Fatalf("%s begins and did not wait", p.run)
				}
				delete(waiting, p.run)
				if p.slot {
					going[p.run] = true
				}
				for run, other := range waiting {
					if !other.slot || !p.slot {
						continue
					}
					if p.task == other.task && p.due.After(other.due) {
						t.Fatalf("%s goes before %s of its own task, which was due earlier", p.run, run)
					}
					if passed[run][p.task]++; passed[run][p.task] > ranks[run]+1 {
						t.Fatalf("%d of task %s went before %s, which came as the %d. of its task", passed[run][p.task], p.task, run, ranks[run])
					}
				}
			}
			if len(going) > slots {
				t.Fatalf("%d go on in %d slots", len(going), slots)
			}
			if room := len(going) < slots && len(waiting) > 0; room && wake.IsZero() {
				t.Fatalf("%d wait, there is room, and nobody wakes", len(waiting))
			}
			if len(waiting) == 0 && len(l.rounds)+len(l.order)+len(l.ends)+len(l.places) > 0 {
				t.Fatalf("an empty line keeps %d rounds, %d, %d, %d", len(l.rounds), len(l.order), len(l.ends), len(l.places))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				n++
				run, task := fleet.RunID(fmt.Sprintf("r%03d", n)), fleet.TaskID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "task"))
				slot := rapid.IntRange(0, 5).Draw(t, "kind") > 0
				if l.straight(now, run, slot) {
					if slot && len(waiting) > 0 && slices.ContainsFunc(l.order, func(p *place) bool { return p.slot }) {
						t.Fatal("one goes straight past those who wait")
					}
					if slot {
						going[run] = true
					}
					return
				}
				p := &place{run: run, task: task, due: now, slot: slot}
				if rapid.Bool().Draw(t, "impatient") {
					p.end = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "patience")) * time.Millisecond)
				}
				for _, other := range waiting {
					if other.task == task && other.slot {
						ranks[run]++
					}
				}
				ranks[run]++
				waiting[run], passed[run] = p, map[fleet.TaskID]int{}
				l.enter(p)
			},
			"end": func(t *rapid.T) {
				if len(going) == 0 {
					t.Skip("nothing goes on")
				}
				run := rapid.SampledFrom(keys(going)).Draw(t, "run")
				delete(going, run)
				l.release(run)
			},
			"leave": func(t *rapid.T) {
				if len(waiting) == 0 {
					t.Skip("nobody waits")
				}
				run := rapid.SampledFrom(keys(waiting)).Draw(t, "run")
				delete(waiting, run)
				if !l.withdraw(run) || l.withdraw(run) {
					t.Fatalf("%s leaves once", run)
				}
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) { step() },
		})
	})
}

func keys[V any](m map[fleet.RunID]V) []fleet.RunID {
	var list []fleet.RunID
	for id := range m {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}
