package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/packaging/acceptance/checker"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// host is one machine with its agent.
type host struct {
	*world
	id     fleet.HostID
	rand   *rand.Rand
	offset time.Duration // of the wall clock
	booted time.Duration // when the kernel came up
	seen   time.Time     // when an agent first started in this boot, by the wall clock

	disk      disk
	slots     int
	commands  map[fleet.RunID]*command
	doomed    map[fleet.RunID]bool // to be stopped as soon as they start
	boot      uint16               // counts restarts
	down      int                  // counts those that began
	plan      plan
	collector store

	// the agent; state is nil while it is down
	state    *scheduler.State
	life     int // counts agents
	queue    []scheduler.Event
	writing  bool // a step's actions are on their way to the disk
	waits    map[fleet.RunID]*waiter
	line     []*waiter // of them, those that wait for a slot
	taken    map[fleet.RunID]bool
	frozen   bool // nothing of the agent, or of the host, runs
	timer    int
	lastTime time.Duration // of the last step, on both clocks
	lastWall time.Time
	flights  []*flight
	written  time.Duration // when the last of them is durable
	sending  bool

	windows []checker.Window
	opened  map[opening]checker.Window
	probes  []checker.Probe
	lives   []checker.Life
	pid     int
}

type opening struct {
	kind checker.Kind
	task fleet.TaskID
}

func newHost(w *world, i int) *host {
	h := &host{
		world: w, id: hostID(w.Seed, i), rand: rand.New(rand.NewPCG(w.Seed, uint64(i)+1)),
		commands: map[fleet.RunID]*command{}, doomed: map[fleet.RunID]bool{}, opened: map[opening]checker.Window{}, booted: -time.Hour,
	}
	h.slots = choose(h, 2, 1024, 1024)
	h.disk = newDisk(h)
	h.collector.host = h
	h.plan.host = h
	h.plan.invent(i)
	w.at(h.spell(0, time.Minute), h.start)
	for _, f := range nemesis {
		h.plague(f)
	}
	return h
}

// wall is what the host's clock shows.
func (h *host) wall() time.Time { return epoch.Add(h.now + h.offset) }

// spell draws a length of time.
func (h *host) spell(least, most time.Duration) time.Duration {
	return least + time.Duration(h.rand.Int64N(int64(most-least)))
}

func (h *host) chance(one int) bool { return h.rand.IntN(one) == 0 }

// open notes that something begins.
func (h *host) open(kind checker.Kind, task fleet.TaskID) { h.openFrom(kind, task, h.wall()) }

func (h *host) openFrom(kind checker.Kind, task fleet.TaskID, from time.Time) {
	if _, is := h.opened[opening{kind, task}]; !is {
		h.opened[opening{kind, task}] = checker.Window{Kind: kind, Host: h.id, Task: task, From: from, To: from}
	}
}

// close notes that it is over.
func (h *host) close(kind checker.Kind, task fleet.TaskID) {
	at := opening{kind, task}
	if w, is := h.opened[at]; is {
		delete(h.opened, at)
		h.windows = append(h.windows, widened(w, h.wall()))
	}
}

// moment notes that something happened at once.
func (h *host) moment(kind checker.Kind, task fleet.TaskID) {
	now := h.wall()
	h.windows = append(h.windows, checker.Window{Kind: kind, Host: h.id, Task: task, From: now, To: now})
}

// widened lets a window reach to an instant, wherever the clock was set to.
func widened(w checker.Window, to time.Time) checker.Window {
	if to.Before(w.From) {
		w.From = to
	}
	if to.After(w.To) {
		w.To = to
	}
	return w
}

// set moves the wall clock. What is open reaches over both readings.
func (h *host) set(by time.Duration) {
	before := h.wall()
	for at, w := range h.opened {
		h.opened[at] = widened(w, before)
	}
	h.offset += by
	for at, w := range h.opened {
		h.opened[at] = widened(w, h.wall())
	}
	from, to, kind := before, h.wall(), checker.ClockForward
	if by < 0 {
		from, to, kind = to, before, checker.ClockBack
	}
	h.windows = append(h.windows, checker.Window{Kind: kind, Host: h.id, From: from, To: to})
}

// start starts an agent, which finds what the one before left.
func (h *host) start() {
	if _, down := h.opened[opening{checker.HostDown, ""}]; down || h.state != nil {
		return
	}
	now := h.wall()
	if h.seen.IsZero() {
		h.seen = now
	}
	h.close(checker.AgentDown, "")
	h.life++
	h.queue, h.writing, h.frozen, h.sending, h.flights = nil, false, false, false, nil
	h.waits, h.line, h.taken = map[fleet.RunID]*waiter{}, nil, map[fleet.RunID]bool{}
	h.close(checker.Overload, "")
	h.lastTime, h.lastWall = h.now, now
	life := h.Mutant.life(scheduler.Life{Started: now, BootSeen: h.seen})
	h.lives = append(h.lives, checker.Life{Host: h.id, At: now, Boot: h.seen.Equal(now)})
	if h.seen.Equal(now) { // no agent before it in this boot
		life.Booted = epoch.Add(h.offset + h.booted)
	}
	h.state = scheduler.NewState(h.id, h.memory(), life)
	h.takeUp()
	h.probeAll()
	if h.plan.stored != nil {
		h.put(h.plan.event(h.plan.stored, true))
	}
	h.turn()
	h.pull()
	h.send()
}

// kill ends the agent: what was on its way to the disk is there in part.
func (h *host) kill() {
	if h.state == nil {
		return
	}
	from := h.wall()
	for _, kind := range []checker.Kind{checker.AgentStopped, checker.DiskFull} {
		if w, is := h.opened[opening{kind, ""}]; is && w.From.Before(from) {
			from = w.From // what came to nothing meanwhile was only in memory
		}
	}
	for _, w := range h.windows[max(0, len(h.windows)-8):] { // nor what an agent gathers that has just gone on
		if w.Kind == checker.AgentStopped && from.Sub(w.To) < time.Minute && w.From.Before(from) {
			from = w.From
		}
	}
	for i := range h.disk.held {
		if due := time.Unix(0, h.disk.held[i].due).UTC(); due.Before(from) {
			from = due
		}
	}
	h.close(checker.AgentStopped, "")
	h.openFrom(checker.AgentDown, "", from)
	h.state = nil
	h.life++
	flights := h.flights
	h.flights = nil
	for _, f := range flights { // the disk takes one after the other
		if !f.crash() {
			break
		}
	}
	for _, c := range h.commands {
		c.settled = false
	}
	h.disk.held = nil
}

// alive wraps what only this agent would do.
func (h *host) alive(do func()) func() {
	life := h.life
	return func() {
		if h.life == life {
			do()
		}
	}
}

// put lets the agent know of something.
func (h *host) put(e scheduler.Event) {
	if h.state != nil {
		h.queue = append(h.queue, e)
	}
}

// The shell's own measures, as in agent/scheduler.
const (
	longestSleep = 30 * time.Second
	jump         = 2 * time.Second
)

// tick is the event that time has passed, or that the clock was set meanwhile.
func (h *host) tick() scheduler.Event {
	ahead := h.wall().Sub(h.lastWall) - (h.now - h.lastTime)
	h.lastTime, h.lastWall = h.now, h.wall()
	if ahead > jump || ahead < -jump {
		return h.Mutant.jump(ahead)
	}
	return scheduler.Tick{}
}

// turn is what the shell's loop does when it wakes: a tick, and then every event
// that waits, each one's actions on disk before the next.
func (h *host) turn() {
	if h.state == nil || h.writing || h.frozen {
		return
	}
	h.queue = append([]scheduler.Event{h.tick()}, h.queue...)
	h.steps()
}

func (h *host) steps() {
	var wake time.Time
	for len(h.queue) > 0 {
		if h.frozen {
			return
		}
		e := h.queue[0]
		h.queue = h.queue[1:]
		h.played.Steps++
		var more bool
		if wake, more = h.carryOut(h.Mutant.actions(h, h.state.Step(h.Mutant.clock(h.wall()), e))); more {
			return // written goes on
		}
	}
	h.sleep(wake)
}

// sleep sets the timer to the instant at, or to a while.
func (h *host) sleep(at time.Time) {
	d := longestSleep
	if !at.IsZero() {
		d = min(d, max(0, at.Sub(h.wall())))
	}
	h.timer++
	timer := h.timer
	h.after(d+h.late(), h.alive(func() {
		if h.timer == timer {
			h.turn()
		}
	}))
}

// late is how much after its time a timer fires.
func (h *host) late() time.Duration { return time.Duration(h.rand.Int64N(int64(2 * time.Millisecond))) }
