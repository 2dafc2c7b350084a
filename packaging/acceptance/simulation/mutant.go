package simulation

import (
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Mutant is a mistake that a product might make around the core. The empty one
// is none.
type Mutant string

// The mutants there are.
const (
	Undurable     Mutant = "a run starts before its begin is on disk"
	Unmarked      Mutant = "the watermark is forgotten at a restart"
	Uncounted     Mutant = "the stint is forgotten at a restart"
	Reordered     Mutant = "the orders are forgotten at a restart"
	Undeduped     Mutant = "records that come again are counted again"
	Careless      Mutant = "records are acknowledged and not kept"
	Shifted       Mutant = "instants are decided a second off"
	Early         Mutant = "instants are begun before they come"
	Slow          Mutant = "some begins take longer than the deadline"
	Twice         Mutant = "some commands are started twice"
	Lossy         Mutant = "some outcomes are not written"
	Silent        Mutant = "some misses and skips are not written"
	Misattributed Mutant = "misses carry another reason"
	Forgetting    Mutant = "an agent does not look for what the one before left"
	Hasty         Mutant = "the scheduler hears of ends before they come"
	Pessimist     Mutant = "a run that goes on is called unknown after a restart"
	Giving        Mutant = "attempts that are promised are not written"
	Miscounting   Mutant = "ranges count one too many"
	Timeless      Mutant = "calendars are not known"
	Newborn       Mutant = "every start of an agent is taken for a boot"
	Unborn        Mutant = "nobody knows when the host came up"
	Stopwatch     Mutant = "nobody says by how much the clock was set"
	Crowded       Mutant = "slots are not counted"
	Blind         Mutant = "nobody looks whether what is waited for is there"
	Impatient     Mutant = "what waits is forgotten at a restart"
	Generous      Mutant = "places in the fleet are granted to everybody"
	Deaf          Mutant = "what a probe finds is told to nobody"
	Hypochondriac Mutant = "daemons that answer are stopped"
	Stingy        Mutant = "a place in the fleet ends before its run"
)

// Mutants lists them all.
var Mutants = []Mutant{
	Undurable, Unmarked, Uncounted, Reordered, Undeduped, Careless, Shifted, Early, Slow, Twice, Lossy, Silent,
	Misattributed, Forgetting, Hasty, Pessimist, Giving, Miscounting, Timeless, Newborn, Unborn, Stopwatch,
	Crowded, Blind, Impatient, Generous, Stingy, Deaf, Hypochondriac,
}

// forgetful is a memory that lacks something.
type forgetful struct {
	memory
	mutant Mutant
}

func (m Mutant) memory(real memory) scheduler.Memory { return forgetful{real, m} }

// LastDecided is nothing if the watermark is forgotten.
func (f forgetful) LastDecided(id fleet.TaskID) (time.Time, bool) {
	if f.mutant == Unmarked {
		return time.Time{}, false
	}
	return f.memory.LastDecided(id)
}

// Counted is nothing if the stint is forgotten.
func (f forgetful) Counted(id fleet.TaskID) uint64 {
	if f.mutant == Uncounted {
		return 0
	}
	return f.memory.Counted(id)
}

// Counting is nothing if the stint is forgotten.
func (f forgetful) Counting() []fleet.TaskID {
	if f.mutant == Uncounted {
		return nil
	}
	return f.memory.Counting()
}

// OrderDecided is never so if the orders are forgotten.
func (f forgetful) OrderDecided(order fleet.OrderID) bool {
	return f.mutant != Reordered && f.memory.OrderDecided(order)
}

// clock is what the scheduler is told to be the time.
func (m Mutant) clock(now time.Time) time.Time {
	if m == Early {
		return now.Add(5 * time.Second)
	}
	return now
}

// calendars are those that come with a plan.
func (m Mutant) calendars() []fleet.Calendar {
	if m == Timeless {
		return nil
	}
	return slices.Clone(calendars)
}

// jump is what the scheduler hears of a clock that was set.
func (m Mutant) jump(by time.Duration) scheduler.Event {
	if m == Stopwatch {
		return scheduler.ClockJumped{}
	}
	return scheduler.ClockJumped{By: by}
}

// life is what an agent knows of its start.
func (m Mutant) life(l scheduler.Life) scheduler.Life {
	switch m {
	case Newborn:
		l.BootSeen = l.Started
	case Unborn:
		l.BootSeen = time.Time{}
	}
	return l
}

// actions are those of a step, spoilt.
func (m Mutant) actions(h *host, actions []scheduler.Action) []scheduler.Action {
	var kept []scheduler.Action
	for _, a := range actions {
		switch a := a.(type) {
		case scheduler.Begin:
			if m == Shifted {
				a.Due.Nominal = a.Due.Nominal.Add(time.Second)
			}
			kept = append(kept, a)
			continue
		case scheduler.Settle:
			switch {
			case m == Silent && h.chance(5):
				continue
			case m == Misattributed && a.Run.State == fleet.RunMissed:
				a.Run.Reason = fleet.MissedNoLease
			case m == Miscounting && a.Run.Count > 1:
				a.Run.Count++
			}
			kept = append(kept, a)
			continue
		}
		kept = append(kept, a)
	}
	return kept
}

// begin is the item of a begin, spoilt.
func (m Mutant) begin(h *host, i item) item {
	done := i.done
	switch m {
	case Undurable:
		e := i.entry
		h.launch(e)
		i.done = nil
	case Slow:
		if h.chance(20) {
			i.done = func(full bool) { h.after(6*time.Minute, h.alive(func() { done(full) })) }
		}
	case Twice:
		if h.chance(20) {
			i.done = func(full bool) { done(full); done(full) }
		}
	case Hasty:
		run := h.runOf(&i.entry)
		i.done = func(full bool) {
			done(full)
			run.State = fleet.RunRan
			h.put(scheduler.RunEnded{Run: run})
		}
	}
	return i
}

// outcome is the row of an outcome, spoilt.
func (m Mutant) outcome(h *host, row []item) []item {
	last := len(row) - 1
	switch {
	case m == Lossy && h.chance(20):
		row[last].blank = true
	case m == Giving && last > 0:
		row[0].blank = true
	}
	return row
}
