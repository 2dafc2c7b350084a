package simulation

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// enough is what a day of so many agents must at least hold, or it proves
// nothing.
func enough(agents int, last time.Duration) checker.Minima {
	days := float64(agents) * float64(last) / float64(24*time.Hour)
	n := func(perDay float64) int { return int(perDay * days) }
	return checker.Minima{
		Due: n(500), Ran: n(200), Skipped: n(60), Missed: n(50), Unknown: n(0.5), Retries: n(15), Probes: n(200),
		Windows: map[checker.Kind]int{
			checker.AgentDown: n(4), checker.AgentStopped: n(1), checker.GuardianDown: n(1), checker.HostDown: n(0.5), checker.ClockForward: n(0.5),
			checker.ClockBack: n(0.5), checker.Suspended: n(0.7), checker.DiskFull: n(0.7), checker.CollectorAway: n(2), checker.StartsFail: n(0.7),
		},
		Reasons: map[fleet.Reason]int{
			fleet.MissedAgentDown: n(10), fleet.MissedHostDown: n(2), fleet.MissedClockJump: n(2), fleet.MissedDeadline: n(2), fleet.MissedJournal: n(1),
			fleet.MissedForkFailed: n(1), fleet.UnknownAgentDied: n(0.2), fleet.UnknownHostDied: n(0.1), fleet.SkippedOverlap: n(2),
			fleet.SkippedPaused: n(20), fleet.SkippedBlackout: n(5), fleet.MissedLoad: n(1), fleet.MissedNoLease: n(0.5), fleet.MissedPrecondition: n(0.1), fleet.SkippedReplaced: n(2), fleet.SkippedBreaker: n(2), fleet.RanExhausted: n(0.5),
		},
	}
}

// TestADayOfManyAgents plays one seed for some hosts; with SEEDS set, that many
// seeds of AGENTS hosts (1,000) for a whole day, as make simulate does.
func TestADayOfManyAgents(t *testing.T) {
	seeds, agents, from := uint64(1), 20, uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("SEEDS"), 10, 64); err == nil {
		seeds, agents = n, 1000
	}
	if n, err := strconv.Atoi(os.Getenv("AGENTS")); err == nil {
		agents = n
	}
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		from = n
	}
	const day = 24 * time.Hour
	for seed := from; seed < from+seeds; seed++ {
		start, used := time.Now(), processorTime(t)
		played, err := Play(Options{Seed: seed, Agents: agents, Last: day}, enough(agents, day))
		took := time.Since(start)
		t.Logf("seed %d: %d agents for %v in %v, %v of processor time: %d events, %d steps, %.0f virtual seconds of an agent per real one", seed, agents, day, took.Round(time.Millisecond), processorTime(t)-used,
			played.Events, played.Steps, float64(agents)*day.Seconds()/took.Seconds())
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if !played.Verdict.Holds() {
			t.Errorf("seed %d:\n%s", seed, played.Verdict)
		}
		if seed == from {
			t.Log(played.Verdict)
		}
	}
}

// processorTime is what this process has used so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestMutantsAreCaught plays with one mistake at a time, until a seed shows it.
func TestMutantsAreCaught(t *testing.T) {
	const seeds = 12
	caught, tried := 0, 0
	for _, mutant := range Mutants {
		broken, seed := map[checker.Invariant]int{}, uint64(0)
		for ; seed < seeds && len(broken) == 0; seed++ {
			played, err := Play(Options{Seed: 100 + seed, Agents: 4, Last: 8 * time.Hour, Mutant: mutant}, checker.Minima{})
			if err != nil {
				t.Fatal(err)
			}
			broken = played.Verdict.Broken
		}
		if tried++; len(broken) == 0 {
			t.Errorf("%s: not caught in %d seeds", mutant, seeds)
			continue
		}
		caught++
		t.Logf("%s: %v, seed %d", mutant, broken, seed)
	}
	t.Logf("%d of %d mutants caught", caught, tried)
	for seed := range uint64(3) { // and without a mistake nothing is found
		played, err := Play(Options{Seed: 100 + seed, Agents: 4, Last: 8 * time.Hour}, checker.Minima{})
		if err != nil || !played.Verdict.Holds() {
			t.Errorf("seed %d: %v\n%s", 100+seed, err, played.Verdict)
		}
	}
}

// TestTheSameSeedIsTheSameDay: a day can be played again.
func TestTheSameSeedIsTheSameDay(t *testing.T) {
	var told [2]string
	for i := range told { // as many as have something in another order, if the order is not given
		played, err := Play(Options{Seed: 1, Agents: 20, Last: 24 * time.Hour}, checker.Minima{})
		if err != nil {
			t.Fatal(err)
		}
		told[i] = fmt.Sprintf("%d events, %d steps\n%s", played.Events, played.Steps, played.Verdict)
	}
	if told[0] != told[1] {
		t.Errorf("first\n%s\nthen\n%s", told[0], told[1])
	}
}
