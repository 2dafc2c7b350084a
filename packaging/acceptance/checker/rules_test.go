package checker

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// judged says which invariants a small history breaks.
func judged(t *testing.T, h *script) map[Invariant]int {
	t.Helper()
	verdict, err := Check(h.History)
	if err != nil {
		t.Fatal(err)
	}
	return verdict.Broken
}

type rule struct {
	name   string
	tell   func(h *script, task fleet.Task)
	breaks Invariant // empty: none
}

func (r *rule) check(t *testing.T, change func(*fleet.Task), prepare func(*script)) {
	t.Helper()
	h := newScript()
	prepare(h)
	r.tell(h, h.give("it", change))
	broken := judged(t, h)
	if r.breaks == "" && len(broken) > 0 || r.breaks != "" && broken[r.breaks] == 0 {
		t.Errorf("%s: broken %v, want %q", r.name, broken, r.breaks)
	}
}

func TestWhatIsDueAtAStart(t *testing.T) {
	at5 := func(h *script, task fleet.Task) { h.ran(task, at("5m"), 0, time.Second) }
	for _, r := range []rule{
		{"each boot once", func(h *script, task fleet.Task) { at5(h, task); h.ran(task, at("40m"), time.Minute, time.Second) }, ""},
		{"a boot is left out", at5, Exhaustive},
		{"another start of the agent counts", func(h *script, task fleet.Task) {
			at5(h, task)
			h.ran(task, at("20m"), 0, time.Second)
			h.ran(task, at("40m"), 0, time.Second)
		}, AtMostOnce},
		{"nothing started then", func(h *script, task fleet.Task) { at5(h, task); h.ran(task, at("41m"), 0, time.Second) }, Nothing},
		{"the agent was killed at once", func(h *script, task fleet.Task) { at5(h, task); h.window(AgentDown, "40m10s", "50m") }, ""},
	} {
		r.check(t, func(t *fleet.Task) { t.On.Startup = fleet.StartupBoot }, func(h *script) {
			h.Lives = []Life{{hostA, at("5m"), true}, {hostB, at("6m"), true}, {hostA, at("20m"), false}, {hostA, at("40m"), true}}
		})
	}
}

func TestWhatRestsAfterItsEnd(t *testing.T) {
	run := func(h *script, task fleet.Task, from string) { h.ran(task, at(from), 0, time.Minute) }
	for _, r := range []rule{
		{"for its period", func(h *script, task fleet.Task) { run(h, task, "5m"); run(h, task, "11m") }, ""},
		{"for less", func(h *script, task fleet.Task) { run(h, task, "5m"); run(h, task, "10m") }, OnTime},
		{"for more", func(h *script, task fleet.Task) { run(h, task, "5m"); run(h, task, "20m") }, OnTime},
		{"for more, and no agent was there", func(h *script, task fleet.Task) {
			h.window(AgentDown, "8m", "19m")
			run(h, task, "5m")
			run(h, task, "20m")
		}, ""},
		{"for more, and the clock was set back", func(h *script, task fleet.Task) {
			h.window(ClockBack, "8m", "19m")
			run(h, task, "5m")
			run(h, task, "20m")
		}, OnTime},
	} {
		r.check(t, func(t *fleet.Task) { t.On.Every, t.On.AfterEnd = fleet.Duration(5*time.Minute), true }, func(*script) {})
	}
}

func TestWhatLiesInAWindow(t *testing.T) {
	rest := func(h *script, task fleet.Task) {
		for _, due := range []string{"10m", "40m", "50m", "60m"} {
			h.ran(task, at(due), 0, time.Second)
		}
	}
	skipped := func(h *script, task fleet.Task, due string) {
		h.settled(task, fleet.RunSkipped, fleet.SkippedBlackout, at(due), time.Time{}, 1)
	}
	for _, r := range []rule{
		{"is skipped", func(h *script, task fleet.Task) { skipped(h, task, "20m"); skipped(h, task, "30m"); rest(h, task) }, ""},
		{"runs", func(h *script, task fleet.Task) {
			h.ran(task, at("20m"), 0, time.Second)
			skipped(h, task, "30m")
			rest(h, task)
		}, Nothing},
		{"is missed", func(h *script, task fleet.Task) {
			h.window(AgentDown, "15m", "25m")
			h.settled(task, fleet.RunMissed, fleet.MissedAgentDown, at("20m"), time.Time{}, 1)
			skipped(h, task, "30m")
			rest(h, task)
		}, Nothing},
	} {
		r.check(t, func(t *fleet.Task) { every(10 * time.Minute)(t); t.On.Blackout = []string{"c"} }, func(h *script) { h.window(Blackout, "15m", "35m") })
	}
	skips := rule{"is skipped, and the window is over", func(h *script, task fleet.Task) {
		skipped(h, task, "20m")
		skipped(h, task, "30m")
		rest(h, task)
	}, Explained}
	skips.check(t, func(t *fleet.Task) { every(10 * time.Minute)(t); t.On.Blackout = []string{"c"} }, func(h *script) { h.window(Blackout, "15m", "29m59s") })
}

func TestWhatWaits(t *testing.T) {
	due := func(h *script, task fleet.Task) {
		for _, at10 := range []string{"10m", "20m", "30m", "40m", "50m", "60m"} {
			h.ran(task, at(at10), 0, time.Second)
		}
	}
	waits := func(t *fleet.Task) {
		every(10 * time.Minute)(t)
		t.WaitFor.File = []string{"/srv/ready"}
	}
	for _, r := range []rule{
		{"for what is there", due, ""},
		{"for what is not there", func(h *script, task fleet.Task) { h.window(Unready, "25m", "35m"); due(h, task) }, Nothing},
	} {
		r.check(t, waits, func(*script) {})
	}
	for slots, breaks := range map[int]Invariant{1: Apart, 2: ""} {
		r := rule{"for a slot", func(h *script, task fleet.Task) {
			due(h, task)
			due(h, h.give("other", every(10*time.Minute)))
		}, breaks}
		r.check(t, every(10*time.Minute), func(h *script) { h.Slots = map[fleet.HostID]int{hostA: slots} })
	}
}

func TestWhatAnswersNoMore(t *testing.T) {
	up := func(reason fleet.Reason) func(h *script, task fleet.Task) {
		return func(h *script, task fleet.Task) {
			one := 1
			h.ran(task, at("1s"), 0, 10*time.Minute, func(r *fleet.Run) { r.Exit, r.Reason = &one, reason })
			h.ran(task, at("10m2s"), 0, 50*time.Minute)
		}
	}
	for _, r := range []struct {
		rule
		from string
	}{
		{rule{"and is stopped in time", up(fleet.RanUnhealthy), ""}, "9m30s"},
		{rule{"and is stopped late", up(fleet.RanUnhealthy), OneDaemon}, "5m"},
		{rule{"and is not stopped for it", up(""), OneDaemon}, "5m"},
		{rule{"or does answer", up(fleet.RanUnhealthy), Explained}, "20m"},
	} {
		r.check(t, func(t *fleet.Task) { t.On.Daemon, t.Health.TCP = true, "127.0.0.1:80" }, func(h *script) {
			h.Windows = append(h.Windows, Window{Kind: Unwell, Host: hostA, Task: "default/it", From: at(r.from), To: at("10m1s")})
			if r.breaks == Explained {
				h.Windows = nil
			}
		})
	}
}
