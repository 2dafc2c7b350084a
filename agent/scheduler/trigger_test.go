package scheduler

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// came is a plan as an earlier agent saved it.
func came(a ...fleet.Assignment) PlanChanged {
	return PlanChanged{Assignments: a, Stored: true}
}

// life makes a new agent start at the first instant of an agent in the boot.
func (s *story) life(started, bootSeen string) {
	s.state = NewState(host, s.memory, Life{Started: clock(s.t, started), BootSeen: clock(s.t, bootSeen)})
}

func startsAt(kind fleet.Startup) fleet.Assignment {
	return given(func(a *fleet.Assignment) { a.Task.On = fleet.Trigger{Startup: kind} })
}

func TestStartupAtBoot(t *testing.T) {
	boot := startsAt(fleet.StartupBoot)
	t.Run("once per boot", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.life("12:00:00", "12:00:00")
		s.at("12:00:02", came(boot), "begin 12:00:00")
		s.at("12:00:03", s.ends(0))
		s.at("12:00:04", plan(boot))
		s.life("12:10:00", "12:00:00") // the agent starts again
		s.at("12:10:01", came(boot))
		s.at("12:10:02", plan(boot))
		s.life("13:00:00", "13:00:00") // the host does
		s.at("13:00:01", came(boot), "begin 13:00:00")
	})
	t.Run("also when the first agent of the boot was killed before", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.life("12:00:30", "12:00:00")
		s.at("12:00:31", came(boot), "begin 12:00:00")
	})
	t.Run("not of a boot before its acceptance", func(t *testing.T) {
		later := boot
		later.Since = noon.Add(time.Minute)
		s := tell(t, "12:00:00")
		s.life("12:00:00", "12:00:00")
		s.at("12:01:01", plan(later))
		s.life("12:02:00", "12:00:00")
		s.at("12:02:01", came(later))
		s.life("13:00:00", "13:00:00")
		s.at("13:00:01", came(later), "begin 13:00:00")
	})
	t.Run("not of the boot at which the host did not match yet", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.life("12:00:00", "12:00:00")
		s.at("12:00:01", plan())
		s.at("12:05:00", plan(boot), `remember {"startup":{"boot":"2026-03-02T12:00:00Z"}}`)
		s.life("12:10:00", "12:00:00")
		s.at("12:10:01", came(boot))
		s.life("13:00:00", "13:00:00")
		s.at("13:00:01", came(boot), "begin 13:00:00")
	})
	t.Run("whatever the clock says then", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.life("12:00:00", "12:00:00")
		s.at("12:00:01", came(boot), "begin 12:00:00")
		s.life("1970-01-01T00:00:09Z", "1970-01-01T00:00:09Z")
		s.at("1970-01-01T00:00:10Z", came(boot), `remember {"startup":{"boot":"1970-01-01T00:00:09Z","nominal":"2026-03-02T12:00:00.001Z"}}`, "begin 12:00:00.001")
		s.at("12:30:00", ClockJumped{})
		s.life("12:40:00", "1970-01-01T00:00:09Z") // the agent alone
		s.at("12:40:01", came(boot))
	})
	t.Run("is made good if the agent was killed meanwhile", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.memory.decided["default/t"] = noon
		s.memory.memos["default/t"] = []byte(`{"startup":{"boot":"1970-01-01T00:00:09Z","nominal":"2026-03-02T12:00:00.001Z"}}`)
		s.life("12:40:00", "1970-01-01T00:00:09Z")
		s.at("12:40:01", came(boot), "begin 12:00:00.001")
	})
	t.Run("is not due where the boot is not known", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.at("12:00:01", came(boot))
	})
	t.Run("is skipped while it is paused", func(t *testing.T) {
		paused := boot
		paused.State = fleet.TaskPaused
		s := tell(t, "12:00:00")
		s.life("12:00:00", "12:00:00")
		s.at("12:00:02", came(paused), "skipped paused 12:00:00")
		s.at("12:00:03", plan(boot))
	})
	t.Run("is not due outside its time", func(t *testing.T) {
		ends := boot
		ends.Task.On.Ends = &noon
		s := tell(t, "12:00:00")
		s.life("12:00:00", "12:00:00")
		s.at("12:00:02", came(ends), `remember {"startup":{"boot":"2026-03-02T12:00:00Z"}}`)
	})
	t.Run("is attempted again", func(t *testing.T) {
		retry := boot
		retry.Task.Retry = fleet.Retry{Attempts: 2}
		s := tell(t, "12:00:00")
		s.life("12:00:00", "12:00:00")
		s.at("12:00:02", came(retry), "begin 12:00:00")
		s.at("12:00:03", s.fails(0, "12:00:04"), "wake 12:00:04")
		s.at("12:00:04", Tick{}, "begin 12:00:00 again, 2")
	})
}

func TestStartupOfTheAgent(t *testing.T) {
	agent := startsAt(fleet.StartupAgent)
	t.Run("each time", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.at("12:00:02", came(agent), "begin 12:00:00")
		s.at("12:00:03", s.ends(0))
		s.at("12:00:04", plan(agent))
		s.restart("12:10:00", "")
		s.at("12:10:01", came(agent), "begin 12:10:00")
	})
	t.Run("goes by the overlap policy", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.at("12:00:02", came(agent), "begin 12:00:00")
		s.restart("12:10:00", "")
		s.at("12:10:00", RunFound{Run: s.dues[0].Record(host)})
		s.at("12:10:01", came(agent), "skipped overlap 12:10:00")
	})
	t.Run("not for what comes later", func(t *testing.T) {
		later := agent
		later.Since = noon.Add(time.Minute)
		s := tell(t, "12:00:00")
		s.at("12:01:01", plan(later))
	})
	t.Run("for what was accepted while it was down", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.at("12:00:01", came())
		s.at("12:00:02", plan(agent), "begin 12:00:00")
	})
	t.Run("also after the clock was set back", func(t *testing.T) {
		s := tell(t, "12:00:00")
		s.at("12:00:02", came(agent), "begin 12:00:00")
		s.at("12:00:03", s.ends(0))
		s.restart("11:00:00", "")
		s.at("11:00:01", came(agent), "begin 12:00:00.001")
	})
}

func TestAfterEnd(t *testing.T) {
	rested := every(10*time.Minute, func(t *fleet.Task) { t.On.AfterEnd = true })
	base := func(at string) string { return `remember {"base":"2026-03-02T` + at + `Z"}` }
	open := func(at string) string { return `remember {"base":"2026-03-02T` + at + `Z","open"}` }
	t.Run("counts from the end of the run before", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", plan(rested), base("12:00:00"), "wake 12:10:00")
		s.at("12:10:00", Tick{}, open("12:00:00"), "begin 12:10:00")
		s.at("12:23:00", s.ends(0), base("12:23:00"), "wake 12:33:00")
		s.at("12:33:00", Tick{}, open("12:23:00"), "begin 12:33:00")
	})
	t.Run("counts on over a restart", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", plan(rested), base("12:00:00"), "wake 12:10:00")
		s.restart("12:05:00", "")
		s.at("12:05:00", came(rested), "wake 12:10:00")
		s.at("12:10:00", Tick{}, open("12:00:00"), "begin 12:10:00")
		s.restart("12:11:00", "")
		s.at("12:11:00", RunFound{Run: s.dues[0].Record(host)})
		s.at("12:11:00", came(rested))
		s.at("12:30:00", s.ends(0), base("12:30:00"), "wake 12:40:00")
	})
	t.Run("counts from the end of a run that ended meanwhile", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", plan(rested), base("12:00:00"), "wake 12:10:00")
		s.at("12:10:00", Tick{}, open("12:00:00"), "begin 12:10:00")
		s.restart("12:18:00", "")
		run, ended := s.dues[0].Record(host), noon.Add(15*time.Minute)
		s.at("12:18:00", RunFound{Run: run})
		run.State, run.Ended = fleet.RunRan, &ended
		s.at("12:18:00", RunEnded{run}) // before there is a plan
		s.at("12:18:01", came(rested), base("12:15:00"), "wake 12:25:00")
	})
	t.Run("counts from its start where the end is lost", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", plan(rested), base("12:00:00"), "wake 12:10:00")
		s.at("12:10:00", Tick{}, open("12:00:00"), "begin 12:10:00")
		s.restart("12:18:00", "") // its end was recorded, and the agent killed
		s.at("12:18:00", came(rested), base("12:18:00"), "wake 12:28:00")
	})
	t.Run("what comes to nothing takes no time", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", plan(rested), base("12:00:00"), "wake 12:10:00")
		s.restart("12:35:30", "")
		s.at("12:35:30", came(rested), "missed agent_down 12:10:00 to 12:30:00, 3", "wake 12:40:00")
		paused := rested
		paused.State = fleet.TaskPaused
		s.at("12:36:00", plan(paused), "wake 12:45:30")
		s.at("12:55:00", plan(rested), "skipped paused 12:40:00 to 12:50:00, 2", "wake 13:00:00")
		s.at("13:00:00", Tick{}, open("12:00:00"), "begin 13:00:00")
	})
	t.Run("rests after the last attempt", func(t *testing.T) {
		retry := rested
		retry.Task.Retry = fleet.Retry{Attempts: 3}
		s := tell(t, "11:59:30")
		s.at("12:00:00", plan(retry), base("12:00:00"), "wake 12:10:00")
		s.at("12:10:00", Tick{}, open("12:00:00"), "begin 12:10:00")
		s.at("12:10:10", s.fails(0, "12:30:00"), "wake 12:30:00")
		s.at("12:30:00", Tick{}, "begin 12:10:00 again, 2")
		s.at("12:30:10", s.fails(1, "12:50:00"), "wake 12:50:00")
		paused := retry
		paused.State = fleet.TaskPaused
		s.at("12:40:00", plan(paused), "skipped paused 12:10:00 again, 3", base("12:40:00"), "wake 12:50:00")
	})
	t.Run("rests after what a person ordered", func(t *testing.T) {
		order := fleet.Order{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: "r1", Due: noon, Expires: noon.Add(time.Hour)}
		s := tell(t, "11:59:30")
		s.at("12:00:00", plan(rested), base("12:00:00"), "wake 12:10:00")
		s.at("12:05:00", PlanChanged{Assignments: []fleet.Assignment{rested}, Orders: []fleet.Order{order}}, open("12:00:00"), "begin 12:00:00 for o1")
		s.at("12:15:00", s.ends(0), base("12:15:00"), "wake 12:25:00")
	})
	t.Run("another definition keeps the end", func(t *testing.T) {
		s := tell(t, "11:59:30")
		s.at("12:00:00", plan(rested), base("12:00:00"), "wake 12:10:00")
		quicker := rested
		quicker.Generation, quicker.Since, quicker.Task.On.Every = 2, noon.Add(time.Minute), fleet.Duration(3*time.Minute)
		s.at("12:01:00", plan(quicker), "wake 12:03:00")
		fixed := every(10*time.Minute, nil)
		fixed.Generation, fixed.Since = 3, noon.Add(2*time.Minute)
		s.at("12:02:00", plan(fixed), "pass 12:02:00 to generation 3, last 12:01:00", "remember ", "wake 12:10:00")
	})
	t.Run("a wrong clock at its start is not what it counts from", func(t *testing.T) {
		s := tell(t, "1970-01-01T00:00:05Z")
		s.at("1970-01-01T00:00:06Z", plan(rested), base("11:59:00"), "wake 12:09:00")
		s.at("12:00:00", ClockJumped{By: 56 * 365 * 24 * time.Hour}, "wake 12:09:00")
	})
	t.Run("nor is it after another start", func(t *testing.T) {
		s := tell(t, "1970-01-01T00:00:05Z")
		s.at("1970-01-01T00:00:06Z", plan(rested), base("11:59:00"), "wake 12:09:00")
		s.restart("1970-01-01T00:01:00Z", "")
		s.at("1970-01-01T00:01:00Z", came(rested), "wake 12:09:00")
	})
	t.Run("nor is its acceptance seen before the clock comes to it", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("11:00:01", plan(rested), base("11:59:00"), "wake 12:09:00")
		ordered := plan(rested)
		ordered.Orders = []fleet.Order{{ID: "o1", Kind: fleet.OrderRun, Host: host, Task: "default/t", Run: "r1", Due: noon, Expires: noon.Add(time.Hour)}}
		s.at("11:00:02", ordered, open("11:59:00"), "begin 12:00:00 for o1")
		s.at("11:05:00", s.ends(0), base("11:05:00"), "wake 11:15:00")
		s.at("11:15:00", Tick{}, open("11:05:00"), "begin 11:15:00")
	})
	t.Run("nor where the clock falls farther behind", func(t *testing.T) {
		s := tell(t, "11:00:00")
		s.at("11:00:01", plan(rested), base("11:59:00"), "wake 12:09:00")
		s.at("10:00:02", ClockJumped{By: -time.Hour}, base("10:59:00"), "wake 11:09:00")
		s.at("11:09:00", Tick{}, open("10:59:00"), "begin 11:09:00")
	})
}
