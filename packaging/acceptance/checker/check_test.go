package checker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const ms = time.Millisecond

// small are histories of one task each: what is told, and which invariant that
// breaks; none: it is as promised, however odd it looks.
var small = []struct {
	name   string
	tell   func(h *script)
	breaks Invariant
}{
	{"one run on time", func(h *script) { h.ran(h.give("t", every(time.Hour)), at("1h"), 0, time.Second) }, ""},
	{"an instant without a record", func(h *script) {
		h.give("t", every(20*time.Minute))
	}, Exhaustive},
	{"an instant too near the end to have one", func(h *script) { h.give("t", every(time.Hour)) }, ""},
	{"an instant that waits in the queue behind a run that goes on", func(h *script) {
		task := h.give("t", func(t *fleet.Task) { every(30 * time.Minute)(t); t.Limits.Overlap = fleet.OverlapQueue })
		running := h.blank(task, at("30m"))
		started := at("30m")
		running.State, running.Attempt, running.Started = fleet.RunRunning, 1, &started
		h.tell(Delivery{Run: running})
		h.probe(task, at("30m"), at("30m"), 0, 1)
		h.Probes[0].End = 0
		h.Until = at("70m")
	}, ""},
	{"still begun long after it began", func(h *script) {
		run := h.blank(h.give("t", every(50*time.Minute)), at("50m"))
		run.State, run.Attempt = fleet.RunBegun, 1
		h.tell(Delivery{Run: run})
	}, Exhaustive},

	{"the only instant caught up, an hour late, after the agent was away", func(h *script) {
		task := h.give("t", func(t *fleet.Task) { every(20 * time.Minute)(t); t.On.Missed.Policy = fleet.MissedOnce })
		h.window(AgentDown, "15m", "30m")
		h.ran(task, at("20m"), 10*time.Minute, time.Second)
		h.ran(task, at("40m"), 0, time.Second)
		h.ran(task, at("60m"), 0, time.Second)
	}, ""},
	{"the same, and the agent was there", func(h *script) {
		task := h.give("t", func(t *fleet.Task) { every(20 * time.Minute)(t); t.On.Missed.Policy = fleet.MissedOnce })
		h.ran(task, at("20m"), 10*time.Minute, time.Second)
		h.ran(task, at("40m"), 0, time.Second)
	}, OnTime},
	{"a run in time when the clock is set back right after", func(h *script) {
		task := h.give("t", every(30*time.Minute))
		h.window(ClockBack, "10m", "30m")
		h.ran(task, at("30m"), 0, time.Second)
		h.Probes[0].At = at("10m")
	}, ""},
	{"a run before its instant, and the clock never showed that", func(h *script) {
		task := h.give("t", every(30*time.Minute))
		h.window(ClockBack, "10m", "15m")
		h.ran(task, at("30m"), 0, time.Second)
		h.Probes[0].At = at("10m")
	}, OnTime},

	{"two attempts, the second one well", func(h *script) { h.attempts(h.give("t", retrying(2)), at("10m"), 2); h.Until = at("12m") }, ""},
	{"two attempts where one is allowed", func(h *script) { h.attempts(h.give("t", every(10*time.Minute)), at("10m"), 2); h.Until = at("12m") }, AtMostOnce},
	{"the second attempt begins before the first has ended", func(h *script) {
		h.attempts(h.give("t", retrying(2)), at("10m"), 2)
		h.Probes[1].Start -= 2 * time.Second
		h.Until = at("12m")
	}, AtMostOnce},
	{"a run that was stopped before it could say anything", func(h *script) {
		h.ran(h.give("t", every(time.Hour)), at("1h"), 0, time.Second, func(r *fleet.Run) { r.Cancelled = true })
		h.Probes = nil
	}, ""},

	{"skipped for a run that is going on", func(h *script) {
		task := h.give("t", every(20*time.Minute))
		h.ran(task, at("20m"), 0, 25*time.Minute)
		h.settled(task, fleet.RunSkipped, fleet.SkippedOverlap, at("40m"), time.Time{}, 1)
		h.ran(task, at("60m"), 0, time.Second)
	}, ""},
	{"skipped for a run that is over", func(h *script) {
		task := h.give("t", every(20*time.Minute))
		h.ran(task, at("20m"), 0, 15*time.Minute)
		h.settled(task, fleet.RunSkipped, fleet.SkippedOverlap, at("40m"), time.Time{}, 1)
		h.ran(task, at("60m"), 0, time.Second)
	}, Explained},
	{"skipped for an attempt that waits", func(h *script) {
		task := h.give("t", retrying(3))
		h.attempts(task, at("10m"), 3)
		for i := range h.Deliveries { // the last attempt came much later
			if r := &h.Deliveries[i].Run; r.Attempt == 2 && r.Again != nil {
				later := at("25m")
				r.Again = &later
			}
		}
		h.settled(task, fleet.RunSkipped, fleet.SkippedOverlap, at("20m"), time.Time{}, 1)
		h.Journals[0].Entries = nil
		h.Until = at("22m")
	}, ""},
	{"a range of which the middle is unexplained", func(h *script) {
		task := h.give("t", every(10*time.Minute))
		h.window(AgentDown, "5m", "12m")
		h.window(AgentDown, "55m", "61m")
		h.settled(task, fleet.RunMissed, fleet.MissedAgentDown, at("10m"), at("60m"), 6)
	}, Explained},
	{"a reason that belongs to another outcome", func(h *script) {
		h.window(Paused, "0m", "1h")
		h.settled(h.give("t", every(time.Hour)), fleet.RunMissed, fleet.SkippedPaused, at("1h"), time.Time{}, 1)
	}, Explained},
	{"unknown after the guardian was killed", func(h *script) {
		task := h.give("t", every(time.Hour))
		h.window(GuardianDown, "61m", "62m")
		h.settled(task, fleet.RunUnknown, fleet.UnknownAgentDied, at("1h"), time.Time{}, 1)
	}, ""},
	{"unknown although only the agent was killed", func(h *script) {
		h.window(AgentDown, "61m", "62m")
		h.settled(h.give("t", every(time.Hour)), fleet.RunUnknown, fleet.UnknownAgentDied, at("1h"), time.Time{}, 1)
	}, Explained},

	{"two at once where two may", func(h *script) {
		task := h.give("t", func(t *fleet.Task) {
			every(20 * time.Minute)(t)
			t.Limits.Overlap, t.Limits.PerHost = fleet.OverlapAllow, 2
		})
		h.ran(task, at("20m"), 0, 30*time.Minute)
		h.ran(task, at("40m"), 0, 10*time.Minute)
		h.ran(task, at("60m"), 0, time.Second)
	}, ""},
	{"two at once where one may", func(h *script) {
		task := h.give("t", every(20*time.Minute))
		h.ran(task, at("20m"), 0, 30*time.Minute)
		h.ran(task, at("40m"), 0, 10*time.Minute)
		h.ran(task, at("60m"), 0, time.Second)
	}, Apart},

	{"a daemon away while its agent is", func(h *script) {
		task := h.give("t", daemon)
		h.window(AgentDown, "9m", "30m")
		h.ran(task, at("0s"), 0, 10*time.Minute)
		h.ran(task, at("30m"), 0, 25*time.Minute)
		h.Until = at("55m")
	}, ""},
	{"a daemon away for no reason", func(h *script) {
		task := h.give("t", daemon)
		h.ran(task, at("0s"), 0, 10*time.Minute)
		h.ran(task, at("30m"), 0, 25*time.Minute)
		h.Until = at("55m")
	}, OneDaemon},
	{"a daemon that nobody starts again", func(h *script) {
		h.ran(h.give("t", daemon), at("0s"), 0, 10*time.Minute)
	}, OneDaemon},
	{"a daemon that may stay away", func(h *script) {
		h.ran(h.give("t", func(t *fleet.Task) { daemon(t); t.Restart.Policy = fleet.RestartOnFailure }), at("0s"), 0, 10*time.Minute)
	}, ""},

	{"a new generation, and the old one's instants before it", func(h *script) {
		task := h.give("t", every(20*time.Minute))
		h.ran(task, at("20m"), 0, time.Second)
		task.On.Every = fleet.Duration(25 * time.Minute)
		h.Given = append(h.Given, Given{task, 2, at("30m")})
		h.Applied = append(h.Applied, Applied{hostA, task.ID(), 2, at("30m")})
		h.tell(Delivery{Stint: &fleet.Stint{Task: task.ID(), Generation: 2, After: at("30m"), Last: at("20m")}})
		h.ran(task, at("35m"), 0, time.Second, func(r *fleet.Run) { r.Generation = 2 })
		h.ran(task, at("60m"), 0, time.Second, func(r *fleet.Run) { r.Generation = 2 })
	}, ""},
	{"a hole between two generations", func(h *script) {
		task := h.give("t", every(20*time.Minute))
		h.ran(task, at("20m"), 0, time.Second)
		h.Given = append(h.Given, Given{task, 2, at("30m")})
		h.Applied = append(h.Applied, Applied{hostA, task.ID(), 2, at("45m")})
		h.tell(Delivery{Stint: &fleet.Stint{Task: task.ID(), Generation: 2, After: at("45m"), Last: at("20m")}})
		h.ran(task, at("60m"), 0, time.Second, func(r *fleet.Run) { r.Generation = 2 })
	}, Exhaustive},
	{"a run of a generation that the host never had", func(h *script) {
		task := h.give("t", every(time.Hour))
		h.ran(task, at("1h"), 0, time.Second)
		h.tell(Delivery{Stint: &fleet.Stint{Task: task.ID(), Generation: 7, After: at("70m"), Last: at("1h")}})
	}, Nothing},
	{"only the newest record of a run travels", func(h *script) {
		h.ran(h.give("t", every(time.Hour)), at("1h"), 0, time.Second)
		h.Deliveries = append(h.Deliveries[:1], h.Deliveries[2:]...)
	}, ""},
	{"what arrives is not what was written", func(h *script) {
		h.ran(h.give("t", every(time.Hour)), at("1h"), 0, time.Second)
		h.Journals[0].Entries[2].Run.State = fleet.RunUnknown
	}, Delivered},
}

func TestSmallHistories(t *testing.T) {
	for _, test := range small {
		t.Run(test.name, func(t *testing.T) {
			h := newScript()
			test.tell(h)
			verdict, err := Check(h.History)
			if err != nil {
				t.Fatal(err)
			}
			if test.breaks == "" && !verdict.Holds() || test.breaks != "" && verdict.Broken[test.breaks] == 0 {
				t.Errorf("want %q broken\n%s", test.breaks, verdict)
			}
		})
	}
}

// TestTooLittleIsVoid: a history in which hardly anything happens passes
// nothing, whatever it says.
func TestTooLittleIsVoid(t *testing.T) {
	empty := &History{Until: noon}
	if _, err := Check(empty); !isVoid(err) {
		t.Errorf("nothing at all: %v", err)
	}
	h := newScript()
	h.ran(h.give("t", every(time.Hour)), at("1h"), 0, time.Second)
	h.Minima = Minima{Due: 1, Ran: 1, Retries: 2, Windows: map[Kind]int{AgentDown: 3}, Reasons: map[fleet.Reason]int{fleet.MissedAgentDown: 1}}
	verdict, err := Check(h.History)
	if !isVoid(err) || !verdict.Holds() {
		t.Fatal(err, verdict)
	}
	for _, lacks := range []string{"0 of 2 retries", "0 of 3 agent_down", "0 of 1 agent_down"} {
		if !strings.Contains(err.Error(), lacks) {
			t.Errorf("%q is not in: %v", lacks, err)
		}
	}
	h.Minima = Minima{Due: 1, Ran: 1, Probes: 1}
	if _, err := Check(h.History); err != nil {
		t.Error(err)
	}
}

func isVoid(err error) bool {
	_, is := errors.AsType[*VoidError](err)
	return is
}

// TestManyInstants: a second's task of some hours costs no more than its size.
func TestManyInstants(t *testing.T) {
	h := newScript()
	h.Until = at("4h")
	task := h.give("t", every(time.Second))
	for i := 1; i <= 4*60*60; i++ {
		h.ran(task, noon.Add(time.Duration(i)*time.Second), ms, 500*ms)
	}
	verdict, err := Check(h.History)
	if err != nil || !verdict.Holds() {
		t.Error(err, verdict)
	}
}
