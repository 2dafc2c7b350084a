package scheduler

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Event is something that happened: PlanChanged, RunFound, RunEnded, Tick, Mark,
// ClockJumped or Stopping.
type Event interface{ event() }

// PlanChanged replaces all assignments and orders of the host at once. Tasks
// that did not change keep their phase, queue and runs. The assignments belong
// to the state from then on.
type PlanChanged struct {
	Assignments []fleet.Assignment
	Orders      []fleet.Order
	Stored      bool // it is what an earlier agent saved; a collector may know better
}

// RunFound tells of a run that an earlier agent began and that still goes on.
// It comes before the first plan.
type RunFound struct{ Run fleet.Run }

// RunEnded tells that a run is over, however it went. It comes once for every
// Begin and every RunFound.
type RunEnded struct {
	Task fleet.TaskID
	Run  fleet.RunID
}

// Tick is the passing of time.
type Tick struct{}

// ClockJumped is a Tick at which the wall clock had moved otherwise than time
// passed: it was set, or the host was suspended.
type ClockJumped struct{}

// Mark is a Tick that somebody waits for.
type Mark struct{ reached chan struct{} }

// Stopping tells that the agent ends: what was decided is settled now.
type Stopping struct{}

func (PlanChanged) event() {}
func (RunFound) event()    {}
func (RunEnded) event()    {}
func (Tick) event()        {}
func (ClockJumped) event() {}
func (Mark) event()        {}
func (Stopping) event()    {}

// Action is something to do: Begin, Settle, Count, Cancel or Wake. Those of one
// task are to be made durable in the order in which they come.
type Action interface{ action() }

// Due is a run whose time has come.
type Due struct {
	Run        fleet.RunID
	Assignment *fleet.Assignment // read only
	Nominal    time.Time         // the due instant, UTC
	Order      fleet.OrderID     // set when it was ordered
	Cause      string            // of an order that no person gave
	Payload    string            // what the cause brought along
}

// Task returns the task's identity.
func (d Due) Task() fleet.TaskID { return d.Assignment.Task.ID() }

// Record returns the run's record as it is when it begins.
func (d Due) Record(host fleet.HostID) fleet.Run {
	return fleet.Run{
		ID: d.Run, Task: d.Task(), Generation: d.Assignment.Generation, Host: host,
		Due: d.Nominal, Order: d.Order, Attempt: 1, State: fleet.RunBegun,
	}
}

// Begin says that a run is to begin now.
type Begin struct{ Due Due }

// Settle is the outcome of one instant, or of a range of them, that did not
// become a run.
type Settle struct{ Run fleet.Run }

// Count says from when on a task is due on this host, and under which
// generation. No instant up to there is due any more.
type Count struct{ Stint fleet.Stint }

// Cancel says that a run is to be stopped.
type Cancel struct {
	Task   fleet.TaskID
	Run    fleet.RunID
	Reason string // for people
}

// Wake says when to step again if nothing happens before: always the last
// action, and missing where there is nothing to wait for.
type Wake struct{ At time.Time }

func (Begin) action()  {}
func (Settle) action() {}
func (Count) action()  {}
func (Cancel) action() {}
func (Wake) action()   {}
