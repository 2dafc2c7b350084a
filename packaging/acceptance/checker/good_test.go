package checker

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	hostA   = fleet.HostID("0123456789abcdef0123456789abcdef")
	hostB   = fleet.HostID("fedcba9876543210fedcba9876543210")
	journal = fleet.JournalID("00000000000000000000000000000001")
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// at is an instant of the day, written as what passed since noon.
func at(text string) time.Time {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return noon.Add(d)
}

// script builds a history by telling, truthfully, what happened on one host.
type script struct {
	*History
	host fleet.HostID
	seq  uint64
	pids int
}

func newScript() *script {
	return &script{History: &History{Until: at("1h"), Looked: true}, host: hostA, pids: 100}
}

func runID(parts ...any) fleet.RunID {
	sum := sha256.Sum256([]byte(fmt.Sprint(parts...)))
	text := hex.EncodeToString(sum[:16])
	return fleet.RunID(text[:8] + "-" + text[8:12] + "-7" + text[13:16] + "-8" + text[17:20] + "-" + text[20:32])
}

// give defines a task and lets the host have it at once.
func (h *script) give(name string, change func(*fleet.Task)) fleet.Task {
	task := fleet.Task{Name: name, Run: fleet.Execute{Command: fleet.Command{Argv: []string{"/bin/probe"}}}, Where: fleet.Where{Labels: "*"}}
	change(&task)
	h.Given = append(h.Given, Given{task, 1, noon})
	h.Applied = append(h.Applied, Applied{h.host, task.ID(), 1, noon})
	if task.On.Clocked() {
		h.tell(Delivery{Stint: &fleet.Stint{Task: task.ID(), Generation: 1, After: noon}})
	}
	return task
}

// tell delivers a record, and leaves it in the journal.
func (h *script) tell(d Delivery) {
	h.seq++
	d.Host, d.Journal, d.Sequence = h.host, journal, h.seq
	if h.host == hostB {
		d.Journal = "00000000000000000000000000000002"
	}
	if d.Stint == nil {
		d.Run.Host = h.host
	}
	h.Deliveries = append(h.Deliveries, d)
	for i := range h.Journals {
		if h.Journals[i].ID == d.Journal {
			h.Journals[i].Tail, h.Journals[i].Entries = d.Sequence, append(h.Journals[i].Entries, d)
			return
		}
	}
	h.Journals = append(h.Journals, Journal{h.host, d.Journal, d.Sequence, []Delivery{d}})
}

// blank is the record of an instant before anything is known of it.
func (h *script) blank(task fleet.Task, due time.Time) fleet.Run {
	return fleet.Run{ID: runID(task.ID(), h.host, due), Task: task.ID(), Generation: 1, Due: due}
}

// ran tells of a run that started late by so much and took so long, and lets
// the probe see it.
func (h *script) ran(task fleet.Task, due time.Time, late, took time.Duration, change ...func(*fleet.Run)) {
	run := h.blank(task, due)
	started, exit := due.Add(late), 0
	ended := started.Add(took)
	run.Attempt, run.State, run.Started, run.PID = 1, fleet.RunRunning, &started, h.pids
	running := run
	run.State, run.Ended, run.Exit = fleet.RunRan, &ended, &exit
	for _, c := range change {
		c(&running)
		c(&run)
	}
	running.State, running.Again, running.Ended, running.Exit, running.Reason = fleet.RunRunning, nil, nil, nil, ""
	h.tell(Delivery{Run: running})
	h.tell(Delivery{Run: run})
	h.probe(task, due, *run.Started, took, max(1, run.Attempt))
}

func (h *script) probe(task fleet.Task, due, started time.Time, took time.Duration, attempt int) {
	h.Probes = append(h.Probes, Probe{
		Occurrence: fleet.Occurrence{Task: task.ID(), Scope: h.host, Nominal: due}, Attempt: attempt, PID: h.pids,
		At: started.Add(3 * time.Millisecond), Start: started.Sub(noon) + 3*time.Millisecond, End: started.Sub(noon) + took - time.Millisecond,
	})
	h.pids++
}

// settled tells of instants that came to nothing.
func (h *script) settled(task fleet.Task, state fleet.RunState, reason fleet.Reason, from, to time.Time, count int) {
	run := h.blank(task, from)
	run.State, run.Reason = state, reason
	if count > 1 {
		run.Until, run.Count = &to, count
	}
	h.tell(Delivery{Run: run})
}

func (h *script) window(kind Kind, from, to string) {
	h.Windows = append(h.Windows, Window{Kind: kind, Host: h.host, From: at(from), To: at(to)})
}

func every(period time.Duration) func(*fleet.Task) {
	return func(t *fleet.Task) { t.On.Every = fleet.Duration(period) }
}

func retrying(attempts int) func(*fleet.Task) {
	return func(t *fleet.Task) {
		every(10 * time.Minute)(t)
		t.Retry = fleet.Retry{Attempts: attempts}
	}
}

func daemon(t *fleet.Task) { t.On.Daemon = true }

// attempts lets an occurrence fail, and succeed at its last attempt.
func (h *script) attempts(task fleet.Task, due time.Time, n int) {
	before := h.blank(task, due)
	started := due
	for attempt := 1; attempt <= n; attempt++ {
		ended, code := started.Add(2*time.Second), 1
		next := ended.Add(time.Second << (attempt - 1))
		id := before.ID
		h.ran(task, due, started.Sub(due), 2*time.Second, func(r *fleet.Run) {
			if r.ID, r.Attempt = id, attempt; attempt < n {
				r.Exit, r.Again = &code, &next
			}
		})
		before.Again, before.Attempt = &next, attempt
		before = before.NextAttempt()
		started = next
	}
}

// good is an hour of two hosts on which a good deal happens, told truthfully.
func good(seed uint64) *History {
	r := rand.New(rand.NewPCG(seed, 3))
	h := newScript()
	for _, h.host = range []fleet.HostID{hostA, hostB} {
		h.seq = 0
		h.window(AgentDown, "20m", "24m30s")
		h.window(Paused, "40m", "43m")
		h.minutely(r)
		h.slow()
		h.retried()
		h.daemon(r)
		h.orders(r)
	}
	h.fleetwide()
	h.account()
	h.Healed = at("45m")
	h.Tolerance.Settle = time.Minute
	h.Minima = Minima{Due: 100, Ran: 80, Missed: 5, Skipped: 5, Retries: 4, Probes: 80, Samples: 4, Windows: map[Kind]int{AgentDown: 2}}
	return h.History
}

// minutely is a task that runs every minute, but while the agent is away or the
// task is paused.
func (h *script) minutely(r *rand.Rand) {
	task := h.give("minutely", every(time.Minute))
	for due := at("1m"); !due.After(at("60m")); due = due.Add(time.Minute) {
		switch {
		case due.Equal(at("20m")):
			h.settled(task, fleet.RunMissed, fleet.MissedAgentDown, due, at("24m"), 5)
		case due.After(at("20m")) && !due.After(at("24m")):
		case due.Equal(at("40m")):
			h.settled(task, fleet.RunSkipped, fleet.SkippedPaused, due, at("43m"), 4)
		case due.After(at("40m")) && !due.After(at("43m")):
		default:
			h.ran(task, due, time.Duration(r.IntN(100))*time.Millisecond, time.Duration(1+r.IntN(20))*time.Second)
		}
	}
}

// slow is a task whose runs last longer than its period, so that every other
// instant is skipped; and one that queues them.
func (h *script) slow() {
	skips := h.give("skips", every(5*time.Minute))
	for i := 1; i <= 12; i += 2 {
		due := at("0s").Add(time.Duration(i) * 5 * time.Minute)
		h.ran(skips, due, 0, 6*time.Minute)
		h.settled(skips, fleet.RunSkipped, fleet.SkippedOverlap, due.Add(5*time.Minute), time.Time{}, 1)
	}
	queues := h.give("queues", func(t *fleet.Task) {
		every(20 * time.Minute)(t)
		t.Limits.Overlap = fleet.OverlapQueue
	})
	h.ran(queues, at("20m"), 0, 25*time.Minute)
	h.ran(queues, at("40m"), 5*time.Minute, 5*time.Minute)
	h.ran(queues, at("60m"), 0, time.Second)
}

func (h *script) retried() {
	task := h.give("retried", retrying(3))
	for i := 1; i <= 6; i++ {
		h.attempts(task, noon.Add(time.Duration(i)*10*time.Minute), 1+i%3)
	}
}

// daemon is one instance after the other, with the backoff in between.
func (h *script) daemon(r *rand.Rand) {
	task := h.give("daemon", daemon)
	due, pause := at("1s"), time.Duration(0)
	for i := range 5 {
		up := time.Duration(20+r.IntN(20)) * time.Second
		if i == 4 {
			up = 0
			run := h.blank(task, due)
			run.Attempt, run.State, run.Started = 1, fleet.RunRunning, &due
			h.tell(Delivery{Run: run})
			h.probe(task, due, due, 0, 1)
			h.Probes[len(h.Probes)-1].End = 0
			break
		}
		one := 1
		h.ran(task, due, 0, up, func(r *fleet.Run) { r.Exit = &one })
		pause = max(time.Second, 2*pause)
		due = due.Add(up + pause)
	}
}

func (h *script) orders(r *rand.Rand) {
	task := h.give("manual", func(t *fleet.Task) { t.On.Manual = true })
	for i := range 4 {
		due := at("3m7s").Add(time.Duration(i) * 5 * time.Minute)
		order := fleet.Order{ID: fleet.OrderID(runID("order", h.host, i)), Kind: fleet.OrderRun, Host: h.host, Task: task.ID(), Due: due, Expires: due.Add(time.Hour)}
		h.Orders = append(h.Orders, Ordered{Order: order})
		h.ran(task, due, time.Duration(r.IntN(9))*time.Second, time.Second, func(r *fleet.Run) { r.Order = order.ID })
	}
}

// fleetwide is a task that runs on one host at a time.
func (h *script) fleetwide() {
	for _, h.host = range []fleet.HostID{hostA, hostB} {
		h.seq = h.Journals[0].Tail
		if h.host == hostB {
			h.seq = h.Journals[1].Tail
		}
		task := h.give("lone", func(t *fleet.Task) {
			every(30 * time.Minute)(t)
			t.Limits.Fleet = 1
		})
		if h.host == hostB {
			h.Given = h.Given[:len(h.Given)-1]
		}
		for i := 1; i <= 2; i++ {
			late, fence := time.Duration(0), uint64(10*i)
			if h.host == hostB {
				late, fence = time.Minute, fence+1
			}
			h.ran(task, noon.Add(time.Duration(i)*30*time.Minute), late, 30*time.Second)
			h.Probes[len(h.Probes)-1].Fence = fence
		}
	}
}

// account samples twice, once at the end.
func (h *script) account() {
	c, err := newCheck(h.History)
	if err != nil {
		panic(err)
	}
	for _, p := range c.order {
		s := c.stories[p]
		s.judge()
		n := s.counts
		due := n.Ran + n.Skipped + n.Missed + n.Unknown + n.Open
		h.Samples = append(h.Samples, Sample{At: at("30m"), Task: p.task, Host: p.host, Due: due, Pending: due})
		h.Samples = append(h.Samples, Sample{h.Until, p.task, p.host, due, n.Ran, n.Skipped, n.Missed, n.Unknown, n.Open})
	}
}

func TestAGoodHistoryHolds(t *testing.T) {
	for seed := range uint64(20) {
		verdict, err := Check(good(seed))
		if err != nil || !verdict.Holds() {
			t.Fatalf("seed %d: %v\n%s", seed, err, verdict)
		}
		if seed == 0 {
			t.Log(verdict)
		}
		for invariant, why := range verdict.Absent {
			if invariant != "I10" && invariant != "I12" && invariant != "I14" {
				t.Errorf("%s: %s", invariant, why)
			}
		}
	}
}
