package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// plan is what the collectors give to one host, and what has reached it.
type plan struct {
	host    *host
	tasks   []*given
	index   int // of the newest plan
	taken   int // of the one that the agent has
	pulling bool
	stored  *snapshot // on the host's disk

	orders  []fleet.Order
	history []checker.Given
	applied []checker.Applied
	reached []checker.Ordered
	shares  bool // a task that the fleet bounds
}

// given is a task, and what its command does.
type given struct {
	id          fleet.TaskID
	versions    []fleet.Task // by generation
	since       []time.Time
	state       fleet.TaskState
	gone        bool
	least, most time.Duration // that its command takes
	fails       int           // of a hundred
}

// snapshot is a plan as the host has it.
type snapshot struct {
	assignments []fleet.Assignment
	orders      []fleet.Order
}

func choose[T any](h *host, choices ...T) T { return choices[h.rand.IntN(len(choices))] }

// invent makes up the tasks of a host.
func (p *plan) invent(i int) {
	h := p.host
	p.add(h.frequent(), time.Millisecond, choose(h, 10*time.Second, 50*time.Second, 4*time.Minute))
	p.add(h.calendar(), time.Second, choose(h, time.Minute, 20*time.Minute))
	p.add(h.retrying(), 100*time.Millisecond, choose(h, 10*time.Second, 6*time.Minute))
	p.tasks[2].fails = choose(h, 20, 60)
	if h.chance(3) {
		p.add(h.once(), time.Second, time.Minute)
	}
	if h.chance(3) {
		p.add(fleet.Task{On: fleet.Trigger{Daemon: true}, Health: health}, time.Second, choose(h, time.Minute, 3*time.Hour))
		p.tasks[len(p.tasks)-1].fails = 50
	}
	if h.chance(3) {
		p.add(fleet.Task{On: fleet.Trigger{Manual: true}}, time.Second, time.Minute)
	}
	if h.chance(2) {
		p.add(h.meant(), time.Second, time.Minute)
		p.darken(p.tasks[len(p.tasks)-1])
	}
	if h.chance(2) {
		p.add(h.starter(), time.Second, time.Minute)
	}
	if h.chance(2) {
		p.add(h.resting(), time.Second, choose(h, 10*time.Second, 4*time.Minute))
	}
	if h.chance(3) {
		p.add(h.waitful(), time.Second, time.Minute)
	}
	if p.shares = i/together%3 == 0; p.shares {
		p.add(h.lone(i/together), time.Second, 2*time.Minute)
	}
	p.index++
}

// waitful is a task that waits for something that is not always there.
func (h *host) waitful() fleet.Task {
	return fleet.Task{
		On:      fleet.Trigger{Every: fleet.Duration(choose(h, 5*time.Minute, 12*time.Minute))},
		WaitFor: fleet.WaitFor{File: []string{"/srv/ready"}, Every: fleet.Duration(awaitEvery), Timeout: fleet.Duration(choose(h, time.Minute, 10*time.Minute))},
	}
}

func (p *plan) add(task fleet.Task, least, most time.Duration) {
	if task.Name == "" {
		task.Name = fmt.Sprintf("t%d", len(p.tasks))
	}
	task.Run.Command.Argv = []string{"/bin/probe"}
	task.Where.Labels = "*"
	g := &given{id: task.ID(), state: fleet.TaskEnabled, least: least, most: most}
	p.tasks = append(p.tasks, g)
	p.version(g, task)
}

// version is a new generation of a task, accepted now, by a clock that is right.
func (p *plan) version(g *given, task fleet.Task) {
	since := epoch.Add(p.host.now)
	g.versions, g.since = append(g.versions, task), append(g.since, since)
	p.history = append(p.history, checker.Given{Task: task, Generation: uint64(len(g.versions)), Since: since})
}

func (h *host) frequent() fleet.Task {
	t := fleet.Task{On: fleet.Trigger{Every: fleet.Duration(choose(h, time.Minute, time.Minute, 2*time.Minute, 5*time.Minute))}}
	if h.chance(50) {
		t.On.Every = fleet.Duration(10 * time.Second)
	}
	t.On.Spread = fleet.Duration(choose(h, 0, 20*time.Second))
	return h.policies(t)
}

func (h *host) calendar() fleet.Task {
	t := fleet.Task{On: fleet.Trigger{
		Cron:     choose(h, "*/5 * * * *", "30 2 * * *", "0 * * * *", "17 1-23/2 * * *", "*/15 2,3 * * *"),
		Timezone: choose(h, "", "Europe/Berlin", "America/New_York"),
	}}
	return h.policies(t)
}

func (h *host) policies(t fleet.Task) fleet.Task {
	t.On.Deadline = choose(h, 0, 0, fleet.Duration(10*time.Second), fleet.Duration(5*time.Minute))
	t.On.Missed.Policy = choose(h, "", fleet.MissedSkip, fleet.MissedOnce, fleet.MissedAll)
	t.On.Missed.Within = choose(h, 0, fleet.Duration(20*time.Minute))
	t.Limits.Overlap = choose(h, "", fleet.OverlapSkip, fleet.OverlapQueue, fleet.OverlapReplace, fleet.OverlapAllow)
	if t.Limits.Overlap == fleet.OverlapAllow {
		t.Limits.PerHost = 1 + h.rand.IntN(3)
	}
	return t
}

func (h *host) retrying() fleet.Task {
	t := fleet.Task{On: fleet.Trigger{Every: fleet.Duration(choose(h, 4*time.Minute, 15*time.Minute))}}
	t.Limits.Overlap = choose(h, "", fleet.OverlapQueue, fleet.OverlapReplace)
	t.Retry = fleet.Retry{Attempts: 2 + h.rand.IntN(3), Base: fleet.Duration(choose(h, time.Second, 30*time.Second)), Jitter: 0.2}
	if h.chance(3) {
		t.Retry.On = []string{fleet.RetryFailure, fleet.RetryUnknown}
	}
	if h.chance(2) {
		t.Breaker = fleet.Breaker{Failures: 3 + h.rand.IntN(4), Window: fleet.Duration(time.Hour), Open: fleet.Duration(20 * time.Minute)}
	}
	return t
}

func (h *host) once() fleet.Task {
	at := epoch.Add(h.spell(0, h.Last))
	return fleet.Task{On: fleet.Trigger{At: &at}}
}

// number is a task's place in the list; beyond it for a task that is none, such
// as a breaker that several share.
func (p *plan) number(id fleet.TaskID) uint16 {
	return uint16(slices.IndexFunc(p.tasks, func(g *given) bool { return g.id == id }))
}

func (p *plan) retry(id fleet.TaskID, generation uint16) *fleet.Retry {
	g := p.tasks[p.number(id)]
	return &g.versions[max(1, int(generation))-1].Retry
}

// change is what people do to definitions.
func (p *plan) change() {
	h := p.host
	g := p.tasks[h.rand.IntN(len(p.tasks))]
	what := h.rand.IntN(4)
	if g.versions[0].Limits.Fleet > 0 { // others have the same one
		what %= 2
	}
	switch what {
	case 0:
		g.gone = !g.gone
	case 1:
		if g.state == fleet.TaskEnabled {
			g.state = fleet.TaskPaused
		} else {
			g.state = fleet.TaskEnabled
		}
	default:
		task := g.versions[len(g.versions)-1]
		if task.On.Every > 0 {
			task.On.Every = fleet.Duration(choose(h, time.Minute, 90*time.Second, 5*time.Minute))
		} else {
			task.Description += "!"
		}
		p.version(g, task)
	}
	p.changed()
}

// command is an order to run a task, or to stop the run of the last order.
func (p *plan) command() {
	h := p.host
	g := p.tasks[h.rand.IntN(len(p.tasks))]
	if g.versions[0].On.Daemon {
		return
	}
	due := epoch.Add(h.now)
	order := fleet.Order{
		ID: fleet.OrderID(h.uuid()), Kind: fleet.OrderRun, Host: h.id, Task: g.id, Run: fleet.RunID(h.uuid()),
		Due: due, Expires: due.Add(choose(h, time.Minute, time.Hour)),
	}
	if n := len(p.orders); n > 0 && h.chance(3) {
		last := p.orders[n-1]
		order.Kind, order.Task, order.Run = fleet.OrderCancel, last.Task, last.Run
	}
	p.orders = slices.DeleteFunc(p.orders, func(o fleet.Order) bool { return due.Sub(o.Expires) > 12*time.Hour })
	p.orders = append(p.orders, order)
	p.changed()
}

func (h *host) uuid() string {
	return fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", h.rand.Uint32(), h.rand.IntN(1<<16), h.rand.IntN(1<<12), h.rand.IntN(1<<12), h.rand.Int64N(1<<48))
}

func (p *plan) changed() {
	p.index++
	p.host.pull()
}

// pull gets the newest plan, if some collector answers.
func (h *host) pull() {
	p := &h.plan
	if p.pulling || h.state == nil {
		return
	}
	p.pulling = true
	life := h.life
	h.after(h.spell(10*time.Millisecond, 2*time.Second), func() {
		p.pulling = false
		switch {
		case h.state == nil:
		case h.life != life, h.away, h.frozen:
			h.after(h.spell(time.Second, 30*time.Second), h.pull)
		default:
			p.take()
		}
	})
}

// take lets the agent have the newest plan, and notes what reached it.
func (p *plan) take() {
	h, now := p.host, p.host.wall()
	next := &snapshot{orders: slices.Clone(p.orders)}
	for _, g := range p.tasks {
		if !g.gone {
			n := len(g.versions)
			next.assignments = append(next.assignments, fleet.Assignment{Task: g.versions[n-1], State: g.state, Generation: uint64(n), Since: g.since[n-1]})
		}
		p.note(g, now)
	}
	for _, o := range p.orders {
		if o.Kind == fleet.OrderRun && !slices.ContainsFunc(p.reached, func(r checker.Ordered) bool { return r.ID == o.ID }) {
			p.reached = append(p.reached, checker.Ordered{Order: o, At: now})
		} else if o.Kind == fleet.OrderCancel {
			h.moment(checker.Cancelled, o.Task)
		}
	}
	p.stored, p.taken = next, p.index
	h.review()
	h.put(p.event(next, false))
	h.turn()
}

// note writes down how a task now is on the host, if it was otherwise.
func (p *plan) note(g *given, now time.Time) {
	h := p.host
	generation := uint64(len(g.versions))
	if g.gone {
		generation = 0
	}
	before := uint64(0)
	for _, a := range p.applied {
		if a.Task == g.id {
			before = a.Generation
		}
	}
	if generation != before {
		if before != 0 {
			h.moment(checker.Cancelled, g.id) // attempts under the old definition may come to nothing
		}
		p.applied = append(p.applied, checker.Applied{Host: h.id, Task: g.id, Generation: generation, At: now})
		if since := g.since[len(g.since)-1]; generation != 0 && since.Before(now) {
			h.windows = append(h.windows, checker.Window{Kind: checker.PlanLate, Host: h.id, Task: g.id, From: since, To: now})
		}
	}
	if g.gone {
		h.open(checker.Cancelled, g.id)
		h.close(checker.Paused, g.id)
		return
	}
	h.close(checker.Cancelled, g.id)
	if g.state == fleet.TaskPaused {
		h.open(checker.Paused, g.id)
	} else {
		h.close(checker.Paused, g.id)
	}
}

func (p *plan) event(s *snapshot, stored bool) scheduler.PlanChanged {
	return scheduler.PlanChanged{Assignments: slices.Clone(s.assignments), Orders: slices.Clone(s.orders), Calendars: p.host.Mutant.calendars(), Stored: stored}
}
