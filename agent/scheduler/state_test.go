package scheduler

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const host = fleet.HostID("0123456789abcdef0123456789abcdef")

// noon is when most stories begin.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// memory is a journal in a map.
type memory struct {
	decided map[fleet.TaskID]time.Time
	counted map[fleet.TaskID]uint64
	orders  map[fleet.OrderID]bool
	memos   map[fleet.TaskID][]byte
}

func newMemory() *memory {
	return &memory{map[fleet.TaskID]time.Time{}, map[fleet.TaskID]uint64{}, map[fleet.OrderID]bool{}, map[fleet.TaskID][]byte{}}
}

func (m *memory) LastDecided(task fleet.TaskID) (time.Time, bool) {
	at, known := m.decided[task]
	return at, known
}

func (m *memory) Counted(task fleet.TaskID) uint64 { return m.counted[task] }

func (m *memory) Counting() (tasks []fleet.TaskID) {
	for task, generation := range m.counted {
		if generation != 0 {
			tasks = append(tasks, task)
		}
	}
	return tasks
}

func (m *memory) OrderDecided(order fleet.OrderID) bool { return m.orders[order] }

func (m *memory) Recall(task fleet.TaskID) []byte { return m.memos[task] }

// note does what the journal does with an action.
func (m *memory) note(a Action) {
	advance := func(task fleet.TaskID, to time.Time) {
		if to.After(m.decided[task]) {
			m.decided[task] = to
		}
	}
	switch a := a.(type) {
	case Begin:
		if a.Due.Order != "" {
			m.orders[a.Due.Order] = true
		} else {
			advance(a.Due.Task(), a.Due.Nominal)
		}
	case Settle:
		if a.Run.Order != "" {
			m.orders[a.Run.Order] = true
		} else if a.Run.Until != nil {
			advance(a.Run.Task, *a.Run.Until)
		} else {
			advance(a.Run.Task, a.Run.Due)
		}
	case Count:
		advance(a.Stint.Task, a.Stint.After)
		m.counted[a.Stint.Task] = a.Stint.Generation
	case Remember:
		m.memos[a.Task] = a.Memo
	case Did:
		m.orders[a.Order.ID] = true
	}
}

// story is one agent's life, told by its actions.
type story struct {
	t      *testing.T
	memory *memory
	state  *State
	begun  []fleet.RunID
	dues   []Due
}

func tell(t *testing.T, started string) *story {
	return &story{t: t, memory: newMemory(), state: NewState(host, nil, Life{Started: clock(t, started)})}
}

// clock reads "12:00:01", "12:00:01.5" on the day of noon, or a whole instant.
func clock(t *testing.T, text string) time.Time {
	t.Helper()
	for _, layout := range []string{"15:04:05.999999999", time.RFC3339Nano} {
		if at, err := time.Parse(layout, text); err == nil {
			if at.Year() == 0 {
				at = time.Date(2026, 3, 2, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
			}
			return at
		}
	}
	t.Fatalf("no time: %q", text)
	return time.Time{}
}

// at steps and compares what follows, one action a line.
func (s *story) at(now string, event Event, want ...string) {
	s.t.Helper()
	s.state.memory = s.memory
	got := []string{}
	for _, a := range s.state.Step(clock(s.t, now), event) {
		s.memory.note(a)
		if b, is := a.(Begin); is {
			s.begun, s.dues = append(s.begun, b.Due.Run), append(s.dues, b.Due)
		}
		got = append(got, say(a))
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		s.t.Fatalf("at %s, %T (-want +got):\n%s", now, event, diff)
	}
}

// ends is the event that the n-th run begun is over, from 0.
func (s *story) ends(n int) RunEnded { return RunEnded{fleet.Run{Task: "default/t", ID: s.begun[n]}} }

// restart is the agent coming back with what is on disk.
func (s *story) restart(now, booted string) {
	var boot time.Time
	if booted != "" {
		boot = clock(s.t, booted)
	}
	s.state = NewState(host, s.memory, Life{Started: clock(s.t, now), Booted: boot})
}

// say tells an action in a few words.
func say(a Action) string {
	hour := func(t time.Time) string {
		if y, m, d := t.Date(); y != 2026 || m != 3 || d != 2 {
			return t.Format("01-02T15:04:05.999")
		}
		return t.Format("15:04:05.999")
	}
	switch a := a.(type) {
	case Begin:
		text := "begin " + hour(a.Due.Nominal)
		if a.Due.Order != "" {
			text += " for " + string(a.Due.Order)
		}
		if a.Due.Attempt != 1 {
			text += fmt.Sprint(" again, ", a.Due.Attempt)
		}
		return text
	case Settle:
		text := fmt.Sprintf("%s %s %s", a.Run.State, a.Run.Reason, hour(a.Run.Due))
		if a.Run.Until != nil {
			text += fmt.Sprintf(" to %s, %d", hour(*a.Run.Until), a.Run.Count)
		}
		if a.Run.Order != "" {
			text += " for " + string(a.Run.Order)
		}
		if a.Run.Attempt != 0 {
			text += fmt.Sprint(" again, ", a.Run.Attempt)
		}
		return text
	case Count:
		text := "pass " + hour(a.Stint.After)
		if a.Stint.Generation != 1 {
			text += fmt.Sprint(" to generation ", a.Stint.Generation)
		}
		if !a.Stint.Last.IsZero() {
			text += ", last " + hour(a.Stint.Last)
		}
		return text
	case Remember:
		return "remember " + openRun.ReplaceAllString(string(a.Memo), `"open"`)
	case Did:
		return "did " + string(a.Order.ID)
	case Cancel:
		if a.Because != "" {
			return "stop as " + string(a.Because) + ": " + a.Reason
		}
		return "cancel: " + a.Reason
	case Stand:
		return sayStanding(a.Standing, hour)
	case Unstand:
		return "unstand"
	case Wake:
		return "wake " + hour(a.At)
	}
	return fmt.Sprintf("%T", a)
}

// openRun is an id in a memo, which says nothing to a reader.
var openRun = regexp.MustCompile(`"open":"[^"]*"`)

// sayStanding tells how a task stands, as "stands crash_loop since 12:00:00, …".
func sayStanding(is fleet.Standing, hour func(time.Time) string) string {
	text := strings.TrimSpace("stands "+string(is.Phase)+string(is.Breaker)) + " since " + hour(is.Since)
	if is.At != nil {
		text += ", at " + hour(*is.At)
	}
	if is.Failures != 0 {
		text += fmt.Sprintf(", %d failed", is.Failures)
	}
	if is.Restarts != 0 {
		text += fmt.Sprintf(", %d restarts", is.Restarts)
	}
	if is.Health != "" {
		text += ", " + string(is.Health)
	}
	if is.Detail != "" {
		text += ": " + is.Detail
	}
	return text
}

// given is an assignment of task t, accepted at 11:59:00, with changes.
func given(change func(a *fleet.Assignment)) fleet.Assignment {
	a := fleet.Assignment{
		Task:       fleet.Task{Name: "t", On: fleet.Trigger{Cron: "* * * * *"}},
		State:      fleet.TaskEnabled,
		Generation: 1,
		Since:      noon.Add(-time.Minute),
	}
	if change != nil {
		change(&a)
	}
	return a
}

func plan(a ...fleet.Assignment) PlanChanged { return PlanChanged{Assignments: a} }

func every(d time.Duration, more func(t *fleet.Task)) fleet.Assignment {
	return given(func(a *fleet.Assignment) {
		a.Task.On = fleet.Trigger{Every: fleet.Duration(d)}
		if more != nil {
			more(&a.Task)
		}
	})
}

func TestBeginsWhenDue(t *testing.T) {
	s := tell(t, "11:59:30")
	s.at("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
	s.at("11:59:59.9", Tick{}, "wake 12:00:00")
	s.at("12:00:00.01", Tick{}, "begin 12:00:00", "wake 12:01:00")
	s.at("12:00:30", s.ends(0), "wake 12:01:00")
	s.at("12:01:00", Tick{}, "begin 12:01:00", "wake 12:02:00")
}

func TestOverlap(t *testing.T) {
	policy := func(o fleet.Overlap, perHost int) PlanChanged {
		return plan(given(func(a *fleet.Assignment) {
			a.Task.Limits = fleet.Limits{Overlap: o, PerHost: perHost}
		}))
	}
	t.Run("skip", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", policy("", 3), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "skipped overlap 12:01:00", "wake 12:02:00")
		s.at("12:01:10", s.ends(0), "wake 12:02:00")
		s.at("12:02:00", Tick{}, "begin 12:02:00", "wake 12:03:00")
	})
	t.Run("queue holds one, the latest", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", policy(fleet.OverlapQueue, 0), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "wake 12:02:00")
		s.at("12:02:00", Tick{}, "skipped replaced 12:01:00", "wake 12:03:00")
		s.at("12:02:30", s.ends(0), "begin 12:02:00", "wake 12:03:00")
	})
	t.Run("replace stops the old run first", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", policy(fleet.OverlapReplace, 0), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "cancel: a later run of the task takes its place", "wake 12:02:00")
		s.at("12:01:05", s.ends(0), "begin 12:01:00", "wake 12:02:00")
	})
	t.Run("allow, up to per_host", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", policy(fleet.OverlapAllow, 2), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "begin 12:01:00", "wake 12:02:00")
		s.at("12:02:00", Tick{}, "skipped overlap 12:02:00", "wake 12:03:00")
	})
	t.Run("a run of the agent before counts", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:30", RunFound{Run: fleet.Run{ID: "old", Task: "default/t", Due: noon.Add(-time.Hour)}})
		s.at("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "skipped overlap 12:00:00", "wake 12:01:00")
		s.at("12:00:10", RunEnded{fleet.Run{ID: "old", Task: "default/t"}}, "wake 12:01:00")
		s.at("12:01:00", Tick{}, "begin 12:01:00", "wake 12:02:00")
	})
}

func TestManySkipsAreOneRecordAMinute(t *testing.T) {
	s := tell(t, "11:59:59")
	s.at("11:59:59", plan(every(time.Second, func(t *fleet.Task) { t.On.Anchor = &noon })),
		"pass 11:59:00", "missed spec_late 11:59:01 to 11:59:58, 58", "begin 11:59:59", "wake 12:00:00")
	s.at("12:00:00", Tick{}, "skipped overlap 12:00:00", "wake 12:00:01")
	for at := noon.Add(time.Second); at.Before(noon.Add(time.Minute)); at = at.Add(time.Second) {
		s.at(at.Format(time.RFC3339), Tick{}, "wake "+at.Add(time.Second).Format("15:04:05"))
	}
	s.at("12:01:00", Tick{}, "skipped overlap 12:00:01 to 12:01:00, 60", "wake 12:01:01")
	s.at("12:01:01", Tick{}, "wake 12:01:02")
	s.at("12:01:01.5", s.ends(0), "wake 12:01:02")
	s.at("12:01:02", Tick{}, "skipped overlap 12:01:01", "begin 12:01:02", "wake 12:01:03")
	s.at("12:01:03", Tick{}, "wake 12:01:04")
	s.at("12:01:04", Tick{}, "wake 12:01:05")
	s.at("12:01:04.1", Stopping{}, "skipped overlap 12:01:03 to 12:01:04, 2", "wake 12:01:05")
}

func TestMissed(t *testing.T) {
	minutely := func(policy fleet.MissedPolicy, within time.Duration, more ...func(*fleet.Assignment)) PlanChanged {
		a := given(func(a *fleet.Assignment) {
			a.Since = noon.Add(-time.Hour)
			a.Task.On.Missed = fleet.Missed{Policy: policy, Within: fleet.Duration(within)}
		})
		for _, change := range more {
			change(&a)
		}
		return plan(a)
	}
	away := func(t *testing.T, booted string) *story {
		s := tell(t, "11:00:00")
		s.memory.decided["default/t"], s.memory.counted["default/t"] = noon.Add(-10*time.Minute), 1
		s.restart("12:00:40", booted)
		return s
	}
	t.Run("while the agent was down", func(t *testing.T) {
		away(t, "").at("12:00:40", minutely("", 0), "missed agent_down 11:51:00 to 12:00:00, 10", "wake 12:01:00")
	})
	t.Run("while the host was down", func(t *testing.T) {
		away(t, "11:55:30").at("12:00:40", minutely("", 0),
			"missed host_down 11:51:00 to 11:55:00, 5", "missed agent_down 11:56:00 to 12:00:00, 5", "wake 12:01:00")
	})
	t.Run("in time after all", func(t *testing.T) {
		s := away(t, "")
		s.restart("12:00:20", "")
		s.at("12:00:20", minutely("", 0), "missed agent_down 11:51:00 to 11:59:00, 9", "begin 12:00:00", "wake 12:01:00")
	})
	t.Run("once, the latest", func(t *testing.T) {
		away(t, "").at("12:00:40", minutely(fleet.MissedOnce, 0),
			"missed agent_down 11:51:00 to 11:59:00, 9", "begin 12:00:00", "wake 12:01:00")
	})
	t.Run("once is not twice when the next is due already", func(t *testing.T) {
		s := away(t, "")
		s.restart("12:01:00", "")
		s.at("12:01:00", minutely(fleet.MissedOnce, 0),
			"missed agent_down 11:51:00 to 12:00:00, 10", "begin 12:01:00", "wake 12:02:00")
	})
	t.Run("once, but too long ago", func(t *testing.T) {
		away(t, "").at("12:00:40", minutely(fleet.MissedOnce, 30*time.Second),
			"missed agent_down 11:51:00 to 12:00:00, 10", "wake 12:01:00")
	})
	t.Run("all within, one after the other", func(t *testing.T) {
		s := away(t, "")
		s.at("12:00:40", minutely(fleet.MissedAll, 150*time.Second),
			"missed agent_down 11:51:00 to 11:58:00, 8", "begin 11:59:00", "wake 12:01:00")
		s.at("12:00:50", s.ends(0), "begin 12:00:00", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "skipped overlap 12:01:00", "wake 12:02:00")
		s.at("12:01:10", s.ends(1), "wake 12:02:00")
	})
	t.Run("all, beside each other where allowed", func(t *testing.T) {
		away(t, "").at("12:00:40", minutely(fleet.MissedAll, 150*time.Second, func(a *fleet.Assignment) {
			a.Task.Limits = fleet.Limits{Overlap: fleet.OverlapAllow, PerHost: 2}
		}), "missed agent_down 11:51:00 to 11:58:00, 8", "begin 11:59:00", "begin 12:00:00", "wake 12:01:00")
	})
	t.Run("all that waits is taken up again by the next agent", func(t *testing.T) {
		s := away(t, "")
		s.at("12:00:40", minutely(fleet.MissedAll, 150*time.Second),
			"missed agent_down 11:51:00 to 11:58:00, 8", "begin 11:59:00", "wake 12:01:00")
		s.at("12:00:45", Stopping{}, "wake 12:01:00")
		s.restart("12:00:50", "")
		s.at("12:00:50", minutely(fleet.MissedAll, 150*time.Second), "begin 12:00:00", "wake 12:01:00")
	})
	t.Run("by a jump of the clock", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:05:40", ClockJumped{}, "missed clock_jump 12:00:00 to 12:05:00, 6", "wake 12:06:00")
	})
	t.Run("by an agent that was too slow", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:05:20", Tick{}, "missed deadline 12:00:00 to 12:04:00, 5", "begin 12:05:00", "wake 12:06:00")
	})
	t.Run("a month of seconds is one row", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.memory.decided["default/t"], s.memory.counted["default/t"] = noon.AddDate(0, -1, 0), 1
		s.restart("12:00:00.7", "")
		long := every(time.Second, nil)
		long.Since = noon.AddDate(-1, 0, 0)
		s.at("12:00:00.7", plan(long),
			"missed agent_down 02-02T12:00:01 to 12:00:00, 2419200", "wake 12:00:01")
	})
}

func TestClockSetBack(t *testing.T) {
	s := tell(t, "11:59:30")
	s.at("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
	s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
	s.at("12:00:01", s.ends(0), "wake 12:01:00")
	s.at("11:30:00", ClockJumped{}, "wake 12:01:00")
	s.at("12:00:00", Tick{}, "wake 12:01:00")
	s.restart("11:40:00", "")
	s.at("11:40:01", plan(given(nil)), "wake 12:01:00")
	s.at("12:01:00", Tick{}, "begin 12:01:00", "wake 12:02:00")
}

func TestAt(t *testing.T) {
	at := noon
	once := given(func(a *fleet.Assignment) { a.Task.On = fleet.Trigger{At: &at} })
	t.Run("in time", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(once), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00")
		s.at("12:00:01", plan(once))
	})
	t.Run("late within its expiry", func(t *testing.T) {
		tell(t, "12:40:00").at("12:59:00", plan(once), "pass 11:59:00", "begin 12:00:00")
	})
	t.Run("too late", func(t *testing.T) {
		tell(t, "12:40:00").at("13:00:01", plan(once), "pass 11:59:00", "missed spec_late 12:00:00")
	})
	t.Run("too late for an agent that knew of it", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(once), "pass 11:59:00", "wake 12:00:00")
		s.restart("14:00:00", "")
		s.at("14:00:00", plan(once), "missed agent_down 12:00:00")
	})
}

func TestPaused(t *testing.T) {
	paused := given(func(a *fleet.Assignment) { a.State = fleet.TaskPaused })
	s := tell(t, "11:59:30")
	s.at("11:59:31", plan(paused), "pass 11:59:00", "wake 12:00:00")
	s.at("12:00:00", Tick{}, "skipped paused 12:00:00", "wake 12:10:00")
	s.at("12:05:30", plan(given(nil)), "skipped paused 12:01:00 to 12:05:00, 5", "wake 12:06:00")
	s.at("12:06:00", Tick{}, "begin 12:06:00", "wake 12:07:00")
	s.at("12:06:30", plan(paused), "wake 12:15:30")
	s.at("12:15:30", Tick{}, "skipped paused 12:07:00 to 12:15:00, 9", "wake 12:25:30")
}

func TestPausedDropsWhatWaits(t *testing.T) {
	queue := func(state fleet.TaskState) PlanChanged {
		return plan(given(func(a *fleet.Assignment) {
			a.State, a.Task.Limits.Overlap = state, fleet.OverlapQueue
		}))
	}
	s := tell(t, "11:59:30")
	s.at("11:59:31", queue(fleet.TaskEnabled), "pass 11:59:00", "wake 12:00:00")
	s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
	s.at("12:01:00", Tick{}, "wake 12:02:00")
	s.at("12:01:30", queue(fleet.TaskPaused), "skipped paused 12:01:00", "wake 12:11:30")
}

func TestPlanChanges(t *testing.T) {
	t.Run("another task keeps its phase and runs", func(t *testing.T) {
		other := given(func(a *fleet.Assignment) { a.Task.Name = "other"; a.Task.On.Cron = "0 0 1 1 *" })
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(every(90*time.Second, nil)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:30")
		s.at("12:00:10", plan(every(90*time.Second, nil), other), "pass 12:00:10", "wake 12:01:30")
		s.at("12:00:20", plan(every(90*time.Second, nil)), "pass 12:00:10 to generation 0, last 12:00:10", "wake 12:01:30")
	})
	t.Run("a new generation counts from its acceptance", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		next := given(func(a *fleet.Assignment) {
			a.Generation, a.Since, a.Task.On.Cron = 2, noon.Add(-30*time.Second), "*/15 * * * * *"
		})
		s.at("12:00:32", plan(next), "pass 12:00:00 to generation 2, last 12:00:00", "missed spec_late 12:00:15", "skipped overlap 12:00:30", "wake 12:00:45")
	})
	t.Run("a new generation counts after what waited under the old one", func(t *testing.T) {
		queued := func(generation uint64) Event {
			return plan(given(func(a *fleet.Assignment) {
				a.Generation, a.Task.Limits.Overlap = generation, fleet.OverlapQueue
			}))
		}
		s := tell(t, "11:59:30")
		s.at("11:59:31", queued(1), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:01:00", Tick{}, "wake 12:02:00")
		s.at("12:01:30", queued(2), "wake 12:02:00")
		s.at("12:02:00", Tick{}, "skipped replaced 12:01:00", "wake 12:03:00")
		s.at("12:02:30", s.ends(0), "pass 12:01:00 to generation 2, last 12:01:00", "begin 12:02:00", "wake 12:03:00")
	})
	t.Run("a task that is gone leaves its run alone", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("11:59:31", plan(given(nil)), "pass 11:59:00", "wake 12:00:00")
		s.at("12:00:00", Tick{}, "begin 12:00:00", "wake 12:01:00")
		s.at("12:00:30", plan(), "pass 12:00:00 to generation 0, last 12:00:00")
		s.at("12:02:30", s.ends(0))
		if len(s.state.tasks) != 0 {
			t.Error("the task is still known")
		}
	})
	t.Run("a host that matches later missed nothing", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("11:59:31", plan())
		s.at("12:10:30", plan(given(nil)), "pass 12:10:30", "wake 12:11:00")
	})
	t.Run("a host that comes a day later missed nothing", func(t *testing.T) {
		old := given(func(a *fleet.Assignment) { a.Since = noon.AddDate(-1, 0, 0) })
		tell(t, "12:00:00").at("12:00:30", plan(old), "pass 12:00:30", "wake 12:01:00")
	})
	t.Run("the plan on disk does not know what came since", func(t *testing.T) {
		s := tell(t, "12:10:00")
		s.at("12:10:00", PlanChanged{Stored: true})
		s.at("12:10:40", plan(given(nil)), "pass 11:59:00", "missed spec_late 12:00:00 to 12:10:00, 11", "wake 12:11:00")
	})
}

func TestOrders(t *testing.T) {
	manual := given(func(a *fleet.Assignment) { a.Task.On = fleet.Trigger{Manual: true} })
	order := fleet.Order{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: "r1", Due: noon, Expires: noon.Add(5 * time.Minute)}
	with := func(a fleet.Assignment, orders ...fleet.Order) PlanChanged {
		return PlanChanged{Assignments: []fleet.Assignment{a}, Orders: orders}
	}
	t.Run("is carried out once", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("12:00:01", with(manual, order), "begin 12:00:00 for o1")
		if s.begun[0] != "r1" {
			t.Errorf("the run is %s, not the one promised", s.begun[0])
		}
		s.at("12:00:02", with(manual, order))
		s.restart("12:00:03", "")
		s.at("12:00:03", with(manual, order))
	})
	t.Run("is carried out once also while its record waits for space", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("12:00:01", with(manual, order), "begin 12:00:00 for o1")
		clear(s.memory.orders)      // nothing is on disk yet
		s.at("12:00:01", s.ends(0)) // as missed, held in memory
		s.at("12:00:02", with(manual, order))
		s.at("12:00:03", with(manual, order))
	})
	t.Run("expires", func(t *testing.T) {
		tell(t, "11:00:00").at("12:05:01", with(manual, order), "missed deadline 12:00:00 for o1")
	})
	t.Run("waits for its task until then", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("12:00:01", PlanChanged{Orders: []fleet.Order{order}}, "wake 12:05:00")
		s.at("12:05:00.000000001", Tick{}, "missed deadline 12:00:00 for o1")
	})
	t.Run("that is withdrawn has no outcome", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("12:00:01", PlanChanged{Orders: []fleet.Order{order}}, "wake 12:05:00")
		s.at("12:00:02", with(manual))
	})
	t.Run("obeys the overlap policy", func(t *testing.T) {
		second := order
		second.ID, second.Run = "o2", "r2"
		s := tell(t, "11:00:00")
		s.at("12:00:01", with(manual, order, second), "begin 12:00:00 for o1", "skipped overlap 12:00:00 for o2")
		queueing := manual
		queueing.Task.Limits.Overlap = fleet.OverlapQueue
		s = tell(t, "11:00:00")
		s.at("12:00:01", with(queueing, order, second), "begin 12:00:00 for o1", "wake 12:05:00")
		s.at("12:00:02", s.ends(0), "begin 12:00:00 for o2")
	})
	t.Run("waits with a hundred others and no more", func(t *testing.T) {
		queueing := manual
		queueing.Task.Limits.Overlap = fleet.OverlapQueue
		var orders []fleet.Order
		for i := range fleet.MaxCatchUp + 2 {
			one := order
			one.ID, one.Run = fleet.OrderID(fmt.Sprintf("o%03d", i)), fleet.RunID(fmt.Sprintf("r%03d", i))
			orders = append(orders, one)
		}
		s := tell(t, "11:00:00")
		s.at("12:00:01", with(queueing, orders...), "begin 12:00:00 for o000", "skipped overlap 12:00:00 for o101", "wake 12:05:00")
	})
	t.Run("holds while the task is paused", func(t *testing.T) {
		paused := manual
		paused.State = fleet.TaskPaused
		tell(t, "11:00:00").at("12:00:01", with(paused, order), "begin 12:00:00 for o1")
	})
	t.Run("to cancel stops a run, once", func(t *testing.T) {
		stop := fleet.Order{ID: "o3", Kind: fleet.OrderCancel, Task: "default/t", Run: "r1", Reason: "wrong host"}
		s := tell(t, "11:00:00")
		s.at("12:00:01", with(manual, order), "begin 12:00:00 for o1")
		s.at("12:00:02", with(manual, order, stop), "cancel: wrong host")
		s.at("12:00:03", with(manual, order, stop))
	})
	t.Run("to cancel finds what has not begun", func(t *testing.T) {
		stop := fleet.Order{ID: "o3", Kind: fleet.OrderCancel, Task: "default/t", Run: "r1"}
		tell(t, "11:00:00").at("12:00:02", with(manual, order, stop), "skipped cancelled 12:00:00 for o1")
	})
}

func TestRecords(t *testing.T) {
	s := tell(t, "11:59:30")
	s.state.memory = s.memory
	s.state.Step(clock(t, "11:59:31"), plan(given(nil)))
	due := s.state.Step(noon, Tick{})[0].(Begin).Due
	record := due.Record(host)
	if err := record.Validate(); err != nil {
		t.Errorf("record of a begin: %v", err)
	}
	if record.Occurrence().String() != "default/t@"+string(host)+"@2026-03-02T12:00:00Z" {
		t.Errorf("occurrence %s", record.Occurrence())
	}
	again := RunID(record.Occurrence())
	other := RunID(fleet.Occurrence{Task: "default/t", Scope: host, Nominal: noon.Add(time.Nanosecond)})
	if again != due.Run || other == due.Run || !strings.HasPrefix(string(other), string(due.Run)[:14]) {
		t.Errorf("ids %s, %s, %s", due.Run, again, other)
	}
	settled := s.state.Step(noon.Add(3*time.Minute+40*time.Second), Tick{})[0].(Settle).Run
	if err := settled.Validate(); err != nil {
		t.Errorf("record of a range: %v", err)
	}
}
