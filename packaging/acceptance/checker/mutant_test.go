package checker

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// mutants are ways to spoil a good history, each with the invariants of which
// one at least must be broken then. They return false where the history has
// nothing to spoil.
var mutants = map[string]struct {
	breaks []Invariant
	spoil  func(h *History, r *rand.Rand) bool
}{
	"a terminal record is dropped everywhere": {[]Invariant{Exhaustive}, func(h *History, r *rand.Rand) bool {
		return drop(h, r, fleet.RunRan, true)
	}},
	"a range of misses is dropped everywhere": {[]Invariant{Exhaustive}, func(h *History, r *rand.Rand) bool {
		return drop(h, r, fleet.RunMissed, true)
	}},
	"a record is lost on the way": {[]Invariant{Delivered}, func(h *History, r *rand.Rand) bool {
		return drop(h, r, fleet.RunRan, false)
	}},
	"a record is counted twice": {[]Invariant{Delivered}, func(h *History, r *rand.Rand) bool {
		i := r.IntN(len(h.Deliveries))
		h.Deliveries = slices.Insert(h.Deliveries, i+1, h.Deliveries[i])
		return true
	}},
	"a sequence number is skipped": {[]Invariant{Delivered}, func(h *History, r *rand.Rand) bool {
		i := r.IntN(len(h.Deliveries))
		h.Deliveries[i].Sequence += 100_000
		return true
	}},
	"the end of a journal never arrives": {[]Invariant{Delivered}, func(h *History, r *rand.Rand) bool {
		h.Journals[r.IntN(len(h.Journals))].Tail++
		return true
	}},
	"a command starts twice": {[]Invariant{AtMostOnce}, func(h *History, r *rand.Rand) bool {
		again := *pickProbe(h, r)
		again.PID, again.Start, again.End, again.At = 99999, again.Start+time.Second, again.End+time.Second, again.At.Add(time.Second)
		h.Probes = append(h.Probes, again)
		return true
	}},
	"two runs of one instant": {[]Invariant{Exhaustive, Delivered}, func(h *History, r *rand.Rand) bool {
		d := pickDelivery(h, r, func(d *Delivery) bool { return d.Run.State == fleet.RunRan && d.Run.Again == nil })
		again := *d
		again.Run.ID = runID("another", again.Run.ID)
		h.Deliveries = append(h.Deliveries, again)
		return true
	}},
	"a run starts later than its deadline": {[]Invariant{OnTime}, func(h *History, r *rand.Rand) bool {
		shift(h, r, 33*time.Second)
		return true
	}},
	"a run starts before its instant": {[]Invariant{OnTime}, func(h *History, r *rand.Rand) bool {
		shift(h, r, -time.Second)
		return true
	}},
	"the record tells another start than the probe": {[]Invariant{OnTime}, func(h *History, r *rand.Rand) bool {
		d := pickDelivery(h, r, func(d *Delivery) bool { return d.Run.State == fleet.RunRan && d.Run.Task == "default/minutely" })
		moved := d.Run.Started.Add(200 * time.Millisecond)
		d.Run.Started = &moved
		return true
	}},
	"a probe is lost": {[]Invariant{Truthful, Matched}, func(h *History, r *rand.Rand) bool {
		p := pickProbe(h, r)
		i := slices.IndexFunc(h.Probes, func(q Probe) bool { return q == *p })
		h.Probes = slices.Delete(h.Probes, i, i+1)
		return true
	}},
	"a command that succeeded never came to its end": {[]Invariant{Truthful}, func(h *History, r *rand.Rand) bool {
		pickProbe(h, r).End = 0
		return true
	}},
	"a command ran that nobody recorded": {[]Invariant{Nothing, Truthful}, func(h *History, r *rand.Rand) bool {
		p := *pickProbe(h, r)
		p.Occurrence.Nominal = p.Occurrence.Nominal.Add(17 * time.Second)
		h.Probes = append(h.Probes, p)
		return true
	}},
	"a run carries the name of another instant": {[]Invariant{Matched, Truthful}, func(h *History, r *rand.Rand) bool {
		p := pickProbe(h, r)
		p.Occurrence.Nominal = p.Occurrence.Nominal.Add(2 * time.Minute)
		return true
	}},
	"a missed instant ran": {[]Invariant{Truthful}, func(h *History, r *rand.Rand) bool {
		p := *pickProbe(h, r)
		p.Occurrence.Nominal = at("22m")
		p.At, p.Start, p.End = at("22m"), 22*time.Minute, 22*time.Minute+time.Second
		h.Probes = append(h.Probes, p)
		return true
	}},
	"a run is called missed": {[]Invariant{Truthful}, func(h *History, r *rand.Rand) bool {
		d := pickDelivery(h, r, func(d *Delivery) bool { return d.Run.State == fleet.RunRan && d.Run.Again == nil })
		d.Run.State, d.Run.Reason = fleet.RunMissed, fleet.MissedAgentDown
		return true
	}},
	"a wrong reason outside of any fault": {[]Invariant{Explained}, func(h *History, r *rand.Rand) bool {
		d := pickDelivery(h, r, func(d *Delivery) bool { return d.Run.State == fleet.RunMissed })
		d.Run.Reason = []fleet.Reason{fleet.MissedDeadline, fleet.MissedHostDown, fleet.MissedClockJump, fleet.MissedSpecLate, fleet.MissedJournal}[r.IntN(5)]
		return true
	}},
	"the fault never happened": {[]Invariant{Explained}, func(h *History, _ *rand.Rand) bool {
		h.Windows = slices.DeleteFunc(h.Windows, func(w Window) bool { return w.Kind == AgentDown && w.Host == hostA })
		return true
	}},
	"nobody paused it": {[]Invariant{Explained}, func(h *History, _ *rand.Rand) bool {
		h.Windows = slices.DeleteFunc(h.Windows, func(w Window) bool { return w.Kind == Paused && w.Host == hostB })
		return true
	}},
	"a range counts one too many": {[]Invariant{Exhaustive}, func(h *History, r *rand.Rand) bool {
		pickDelivery(h, r, func(d *Delivery) bool { return d.Run.Count > 1 }).Run.Count++
		return true
	}},
	"an instant is skipped for a run that is over": {[]Invariant{Explained}, func(h *History, r *rand.Rand) bool {
		for i := range h.Deliveries {
			if d := &h.Deliveries[i]; d.Run.Task == "default/skips" && d.Run.Ended != nil {
				early := d.Run.Due.Add(time.Minute)
				d.Run.Ended = &early
			}
		}
		return true
	}},
	"an instant that was not due is settled": {[]Invariant{Nothing}, func(h *History, r *rand.Rand) bool {
		d := pickDelivery(h, r, func(d *Delivery) bool { return d.Run.Reason == fleet.SkippedOverlap })
		d.Run.Due = d.Run.Due.Add(time.Second)
		return true
	}},
	"two runs of a task overlap": {[]Invariant{Apart}, func(h *History, r *rand.Rand) bool {
		p := pickProbe(h, r)
		p.End = p.Start + 90*time.Second
		return true
	}},
	"a second instance of a daemon": {[]Invariant{OneDaemon}, func(h *History, r *rand.Rand) bool {
		i := slices.IndexFunc(h.Probes, func(p Probe) bool { return p.Occurrence.Task == "default/daemon" })
		p := h.Probes[i]
		p.Occurrence.Nominal, p.PID, p.Start = p.Occurrence.Nominal.Add(time.Second), 99998, p.Start+time.Second
		h.Probes = append(h.Probes, p)
		return true
	}},
	"a daemon comes back late": {[]Invariant{OneDaemon}, func(h *History, r *rand.Rand) bool {
		i := slices.IndexFunc(h.Probes, func(p Probe) bool { return p.Occurrence.Task == "default/daemon" && p.End != 0 })
		h.Probes[i].End -= 15 * time.Second
		return true
	}},
	"a host goes beside the fleet's bound": {[]Invariant{Fenced}, func(h *History, r *rand.Rand) bool {
		p := pickLone(h, hostB)
		p.Start -= time.Minute
		return true
	}},
	"a stale fence": {[]Invariant{Fenced}, func(h *History, r *rand.Rand) bool {
		pickLone(h, hostB).Fence = 9
		return true
	}},
	"a stint begins late": {[]Invariant{Exhaustive, Nothing}, func(h *History, r *rand.Rand) bool {
		d := pickDelivery(h, r, func(d *Delivery) bool { return d.Stint != nil && d.Stint.Task == "default/minutely" })
		late := *d.Stint
		late.After = at("3m")
		d.Stint = &late
		return true
	}},
	"a stint is never told": {[]Invariant{Exhaustive, Nothing}, func(h *History, r *rand.Rand) bool {
		i := slices.IndexFunc(h.Deliveries, func(d Delivery) bool { return d.Stint != nil && d.Stint.Task == "default/minutely" })
		h.Deliveries = slices.Delete(h.Deliveries, i, i+1)
		return true
	}},
	"another attempt is promised and never made": {[]Invariant{Exhaustive}, func(h *History, r *rand.Rand) bool {
		d := pickDelivery(h, r, func(d *Delivery) bool { return d.Run.State == fleet.RunRan && d.Run.Again == nil })
		again := d.Run.Ended.Add(time.Second)
		d.Run.Again = &again
		return true
	}},
	"an attempt beyond the last": {[]Invariant{AtMostOnce, Exhaustive}, func(h *History, r *rand.Rand) bool {
		for i := range h.Given {
			if h.Given[i].Task.Name == "retried" {
				h.Given[i].Task.Retry.Attempts = 2
			}
		}
		return true
	}},
	"an unknown end that nothing explains": {[]Invariant{Explained}, func(h *History, r *rand.Rand) bool {
		d := pickDelivery(h, r, func(d *Delivery) bool { return d.Run.State == fleet.RunRan && d.Run.Again == nil })
		d.Run.State, d.Run.Reason, d.Run.Exit = fleet.RunUnknown, fleet.UnknownAgentDied, nil
		return true
	}},
	"an outcome changes afterwards": {[]Invariant{Delivered}, func(h *History, r *rand.Rand) bool {
		d := *pickDelivery(h, r, func(d *Delivery) bool { return d.Run.State == fleet.RunRan })
		d.Run.State, d.Run.Reason = fleet.RunUnknown, fleet.UnknownHostDied
		d.Sequence = 1_000_000
		h.Deliveries = append(h.Deliveries, d)
		return true
	}},
	"a miss after everything is well": {[]Invariant{Heals}, func(h *History, r *rand.Rand) bool {
		h.Healed = at("15m")
		return true
	}},
	"the account does not add up": {[]Invariant{Balanced}, func(h *History, r *rand.Rand) bool {
		h.Samples[r.IntN(len(h.Samples))].Due++
		return true
	}},
	"the account forgets an outcome": {[]Invariant{Balanced}, func(h *History, r *rand.Rand) bool {
		s := &h.Samples[2*r.IntN(len(h.Samples)/2)]
		s.Ran, s.Pending = s.Due+1000, -1000
		return true
	}},
	"the account differs from the records": {[]Invariant{Balanced}, func(h *History, r *rand.Rand) bool {
		s := &h.Samples[2*r.IntN(len(h.Samples)/2)+1]
		s.Due, s.Ran = s.Due+1, s.Ran+1
		return true
	}},
	"a process is left over": {[]Invariant{Clean}, func(h *History, r *rand.Rand) bool {
		h.Leftovers = append(h.Leftovers, Leftover{"process", 4711, "sleep 1000"})
		return true
	}},
}

// drop takes a record out of what arrived, and from the journal as well.
func drop(h *History, r *rand.Rand, state fleet.RunState, everywhere bool) bool {
	d := *pickDelivery(h, r, func(d *Delivery) bool {
		return d.Stint == nil && d.Run.State == state && d.Run.Again == nil && d.Run.Attempt <= 1
	})
	same := func(other Delivery) bool {
		return other.Stint == nil && other.Run.ID == d.Run.ID && other.Host == d.Host
	}
	h.Deliveries = slices.DeleteFunc(h.Deliveries, func(other Delivery) bool {
		return same(other) && (everywhere || other.Sequence == d.Sequence)
	})
	for i := range h.Journals {
		if everywhere {
			h.Journals[i].Entries = slices.DeleteFunc(h.Journals[i].Entries, same)
		}
	}
	return true
}

func pickDelivery(h *History, r *rand.Rand, fits func(*Delivery) bool) *Delivery {
	var all []*Delivery
	for i := range h.Deliveries {
		if d := &h.Deliveries[i]; fits(d) && (d.Stint != nil || d.Run.Task == "default/minutely" || d.Run.Task == "default/skips") {
			all = append(all, d)
		}
	}
	return all[r.IntN(len(all))]
}

// pickProbe picks one of the task that runs every minute, well away from the
// faults.
func pickProbe(h *History, r *rand.Rand) *Probe {
	var all []*Probe
	for i := range h.Probes {
		if p := &h.Probes[i]; p.Occurrence.Task == "default/minutely" && p.Start < 17*time.Minute {
			all = append(all, p)
		}
	}
	return all[r.IntN(len(all))]
}

func pickLone(h *History, host fleet.HostID) *Probe {
	i := slices.IndexFunc(h.Probes, func(p Probe) bool { return p.Occurrence.Task == "default/lone" && p.Occurrence.Scope == host })
	return &h.Probes[i]
}

// shift moves a run, in the record as well as in the probe.
func shift(h *History, r *rand.Rand, by time.Duration) {
	p := pickProbe(h, r)
	for i := range h.Deliveries {
		if d := &h.Deliveries[i]; d.Stint == nil && d.Run.Occurrence() == p.Occurrence && d.Run.Started != nil {
			moved := d.Run.Started.Add(by)
			d.Run.Started = &moved
		}
	}
	p.At, p.Start, p.End = p.At.Add(by), p.Start+by, p.End+by
}

// TestMutantsAreCaught spoils good histories one way at a time.
func TestMutantsAreCaught(t *testing.T) {
	caught, tried := 0, 0
	for name, mutant := range mutants {
		for seed := range uint64(5) {
			h := good(seed)
			if !mutant.spoil(h, rand.New(rand.NewPCG(seed, 11))) {
				t.Fatalf("%s: nothing to spoil", name)
			}
			tried++
			verdict, err := Check(h)
			if err != nil {
				if _, void := errors.AsType[*VoidError](err); !void {
					t.Fatal(err)
				}
			}
			if slices.ContainsFunc(mutant.breaks, func(i Invariant) bool { return verdict.Broken[i] > 0 }) {
				caught++
			} else {
				t.Errorf("%s, seed %d: not caught: %s", name, seed, verdict)
			}
		}
	}
	t.Logf("%d of %d mutants caught, of %d kinds", caught, tried, len(mutants))
}
