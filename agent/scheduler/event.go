package scheduler

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Event is something that happened: PlanChanged, RunFound, RunEnded, RunWaits,
// Probed, Condemned, Tick, Mark, ClockJumped or Stopping.
type Event interface{ event() }

// PlanChanged replaces all assignments, orders and calendars of the host at once.
// Tasks that did not change keep their phase, queue and runs. What it holds
// belongs to the state from then on.
type PlanChanged struct {
	Assignments []fleet.Assignment
	Orders      []fleet.Order
	Calendars   []fleet.Calendar // those that the assignments name
	Stored      bool             // it is what an earlier agent saved; a collector may know better
}

// RunFound tells of a run that an earlier agent left: one that still goes on, or
// an attempt that is pending until its Again. It comes before the first plan.
// First, Cause and Payload are those of its Due, as far as they are known.
type RunFound struct {
	Run     fleet.Run
	First   time.Time
	Cause   string
	Payload string
}

// RunEnded tells that a run is over, however it went. It comes once for every
// Begin and every RunFound that goes on. If the run says Again, another attempt
// follows: the scheduler begins it then, or settles it.
type RunEnded struct{ Run fleet.Run }

// RunWaits tells what the instance of a supervised task waits for before it
// becomes a process; an empty detail: it waits no longer. Until it is told
// otherwise, an instance that was begun counts as a process.
type RunWaits struct {
	Task   fleet.TaskID
	Run    fleet.RunID
	Detail string // "for /run/db.sock", for people
}

// Probed tells how a supervised command that runs answered.
type Probed struct {
	Task   fleet.TaskID
	Run    fleet.RunID
	Health fleet.HealthState
	Detail string // the last bad answer, for people
}

// Condemned tells that a run is to be stopped for what it does: its probes
// failed, it reports no progress, or it uses too much.
type Condemned struct {
	Task   fleet.TaskID
	Run    fleet.RunID
	Reason fleet.Reason // unhealthy, stalled or usage
	Detail string       // a sentence for people
}

// Tick is the passing of time.
type Tick struct{}

// ClockJumped is a Tick at which the wall clock had moved otherwise than time
// passed: it was set, or the host was suspended.
type ClockJumped struct{ By time.Duration } // how much further the wall clock went than time did

// Mark is a Tick that somebody waits for.
type Mark struct{ reached chan struct{} }

// Stopping tells that the agent ends: what was decided is settled now. After it
// only RunEnded means anything.
type Stopping struct{}

func (PlanChanged) event() {}
func (RunFound) event()    {}
func (RunEnded) event()    {}
func (RunWaits) event()    {}
func (Probed) event()      {}
func (Condemned) event()   {}
func (Tick) event()        {}
func (ClockJumped) event() {}
func (Mark) event()        {}
func (Stopping) event()    {}

// Action is something to do: Begin, Settle, Count, Remember, Did, Cancel, Stand,
// Unstand or Wake. Those of one task are to be made durable in the order in which
// they come.
type Action interface{ action() }

// Due is a run whose time has come.
type Due struct {
	Run        fleet.RunID
	Assignment *fleet.Assignment // read only
	Nominal    time.Time         // the due instant, UTC
	Order      fleet.OrderID     // set when it was ordered
	Cause      string            // of an order that no person gave
	Payload    string            // what the cause brought along
	Parent     fleet.RunID       // the run whose command ordered it
	Params     fleet.Params      // values that its order said
	Attempt    int               // from 1
	First      time.Time         // when the first attempt began; zero: this is it
	Whole      bool              // of a supervised task: it ends when all that it started is gone
	Detail     string            // of a supervised task: for how long nothing ran before, and why
}

// byPerson reports whether a person ordered it, whose word holds while the task is
// paused.
func (d *Due) byPerson() bool { return d.Order != "" && d.Cause == "" }

// Task returns the task's identity.
func (d Due) Task() fleet.TaskID { return d.Assignment.Task.ID() }

// Record returns the run's record as it is when it begins.
func (d Due) Record(host fleet.HostID) fleet.Run {
	return fleet.Run{
		ID: d.Run, Task: d.Task(), Generation: d.Assignment.Generation, Host: host,
		Due: d.Nominal, Order: d.Order, Parent: d.Parent, Params: d.Params, Attempt: d.Attempt, State: fleet.RunBegun, Detail: d.Detail,
	}
}

// Begin says that a run is to begin now.
type Begin struct{ Due Due }

// Settle is the outcome of one instant, or of a range of them, that did not
// become a run; or of an attempt that was pending and is given up.
type Settle struct{ Run fleet.Run }

// Count says from when on a task is due on this host, and under which
// generation. No instant up to there is due any more.
type Count struct{ Stint fleet.Stint }

// Remember says what the scheduler wants to know again in its next life, in place
// of what it said before of that task; no memo: nothing. The task of a breaker
// that several tasks share is "namespace/@key".
type Remember struct {
	Task fleet.TaskID
	Memo []byte
}

// Did says that an order was carried out, or expired, which has no run to show
// for it.
type Did struct {
	Order   fleet.Order
	Expired bool // it was not, in time
}

// Cancel says that a run is to be stopped.
type Cancel struct {
	Task    fleet.TaskID
	Run     fleet.RunID
	Reason  string       // for people
	Because fleet.Reason // set: it then ran, and this says why it ended; empty: it was cancelled
}

// Stand says how a task stands now, in place of what was said before.
type Stand struct{ Standing fleet.Standing }

// Unstand says that there is nothing more to say of how a task stands.
type Unstand struct{ Task fleet.TaskID }

// Wake says when to step again if nothing happens before: always the last
// action, and missing where there is nothing to wait for.
type Wake struct{ At time.Time }

func (Begin) action()    {}
func (Settle) action()   {}
func (Count) action()    {}
func (Remember) action() {}
func (Did) action()      {}
func (Cancel) action()   {}
func (Stand) action()    {}
func (Unstand) action()  {}
func (Wake) action()     {}
