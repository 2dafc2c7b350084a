package vitals

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Going is a run that goes on, with its task as it was when the run began.
type Going struct {
	Run  fleet.Run   // running: Started and PID are set
	Task *fleet.Task // read only; nil: nobody knows it any more, the run is not judged

	age time.Duration // of its process when it is seen first
}

// event is something that happened: seen, over, noted, measured, answered or
// tick.
type event interface{ event() }

// seen tells all that goes on now.
type seen struct{ runs []Going }

// over tells that a run has ended, and what it said last.
type over struct {
	run fleet.Run
	page
}

// noted tells what a run said about itself.
type noted struct {
	run fleet.RunID
	page
}

// measured tells what runs use.
type measured struct{ uses map[fleet.RunID]use }

// answered tells what a probe found; an empty problem is a good answer.
type answered struct {
	ask     ask
	problem string
}

// tick is the passing of time.
type tick struct{}

func (seen) event()     {}
func (over) event()     {}
func (noted) event()    {}
func (measured) event() {}
func (answered) event() {}
func (tick) event()     {}

// action is something to do: ask, tell, condemn or keep.
type action interface{ action() }

// ask is a probe to begin. It is answered once, however long that takes.
type ask struct {
	run     fleet.RunID
	at      time.Time // tells the probes of a run apart
	health  fleet.Health
	execute fleet.Execute
}

// tell says that a run's health is another one than before.
type tell struct {
	task   fleet.TaskID
	run    fleet.RunID
	health fleet.HealthState
	detail string
}

// condemn says that a run ought to be stopped; of each run at most once.
type condemn struct {
	task   fleet.TaskID
	run    fleet.RunID
	reason fleet.Reason
	detail string
}

// keep is a value that a command wants to be given at its next attempt.
type keep struct {
	task  fleet.TaskID
	run   fleet.RunID
	value string
}

func (ask) action()     {}
func (tell) action()    {}
func (condemn) action() {}
func (keep) action()    {}
