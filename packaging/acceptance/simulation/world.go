package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Options say what is played.
type Options struct {
	Seed   uint64
	Agents int
	Last   time.Duration // how long it is played, all faults over for the last sixth of it
	Mutant Mutant        // empty: everything is as it should be
}

// Played is what came of it.
type Played struct {
	Events  int // taken from the heap
	Steps   int // of the schedulers
	Verdict checker.Verdict
}

// epoch is when every simulation begins: Berlin's clocks go forward in the night
// after.
var epoch = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

// world is everything there is, at one moment.
type world struct {
	Options
	now    time.Duration // since epoch; the clock that nobody sets
	events eventHeap
	serial uint64
	played Played
	hosts  []*host
	rand   *rand.Rand
	away   bool // no collector answers
	leases map[fleet.TaskID]map[fleet.RunID]lease
	fence  uint64
}

// Play plays a simulation, and judges each host's history.
func Play(options Options, minima checker.Minima) (Played, error) {
	w := &world{Options: options, rand: randOf(options.Seed), leases: map[fleet.TaskID]map[fleet.RunID]lease{}}
	for i := range options.Agents {
		w.hosts = append(w.hosts, newHost(w, i))
	}
	w.at(w.between(10*time.Minute, time.Hour), w.outage)
	for len(w.events) > 0 && w.events[0].at <= options.Last {
		next := w.events.pop()
		w.now = next.at
		w.played.Events++
		next.do()
	}
	w.now = options.Last
	var shared []*checker.History
	for _, h := range w.hosts {
		told := h.history()
		if h.plan.shares {
			shared = append(shared, joint(told)) // and the rest can go
		}
		verdict, err := checker.Check(told)
		if err != nil && verdict.Compared == nil {
			return w.played, fmt.Errorf("seed %d, %s: %w", options.Seed, h.id, err)
		}
		w.played.Verdict.Add(verdict)
		h.forget()
	}
	verdict, err := checker.Check(joint(shared...))
	if err != nil && verdict.Compared == nil {
		return w.played, fmt.Errorf("seed %d, all hosts: %w", options.Seed, err)
	}
	w.played.Verdict.Add(verdict.Only(checker.Fenced))
	return w.played, minima.Void(&w.played.Verdict.Tally)
}

// calm reports whether the time of faults is over.
func (w *world) calm() bool { return w.now > w.Last-w.Last/6 }

// at lets something happen when so much time has passed since the start.
func (w *world) at(when time.Duration, do func()) {
	w.serial++
	w.events.push(event{max(when, w.now), w.serial, do})
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now+d, do) }

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rand.Int64N(int64(most-least)))
}

// outage takes every collector away for a while, now and then.
func (w *world) outage() {
	if w.calm() {
		return
	}
	w.away = true
	for _, h := range w.hosts {
		h.open(checker.CollectorAway, "")
	}
	w.at(min(w.now+w.between(time.Minute, 2*time.Hour), w.Last-w.Last/6), func() {
		w.away = false
		for _, h := range w.hosts {
			h.close(checker.CollectorAway, "")
		}
		w.after(w.between(time.Hour, 5*time.Hour), w.outage)
	})
}

// event is something that will happen.
type event struct {
	at     time.Duration
	serial uint64 // what was planned first happens first
	do     func()
}

// eventHeap has the next event first. It is container/heap for one type: a day of
// a thousand hosts has twenty million events.
type eventHeap []event

func (h eventHeap) less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].serial < h[j].serial
}

func (h *eventHeap) push(e event) {
	*h = append(*h, e)
	all := *h
	for i := len(all) - 1; i > 0 && all.less(i, (i-1)/2); i = (i - 1) / 2 {
		all[i], all[(i-1)/2] = all[(i-1)/2], all[i]
	}
}

func (h *eventHeap) pop() event {
	all := *h
	next, last := all[0], len(all)-1
	all[0], all[last] = all[last], event{}
	all = all[:last]
	for i, child := 0, 1; child < last; child = 2*i + 1 {
		if child+1 < last && all.less(child+1, child) {
			child++
		}
		if !all.less(child, i) {
			break
		}
		all[i], all[child] = all[child], all[i]
		i = child
	}
	*h = all
	return next
}

func hostID(seed uint64, i int) fleet.HostID {
	return fleet.HostID(fmt.Sprintf("%016x%016x", seed, i+1))
}

func randOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
