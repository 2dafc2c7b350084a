package fleet

import "time"

// Phase is where a supervised command stands on a host.
type Phase string

// The phases of a supervised command.
const (
	PhaseWaiting   Phase = "waiting" // for what it needs, or for its turn; Detail says for what
	PhaseRunning   Phase = "running"
	PhaseStopping  Phase = "stopping"   // the old instance is not proven gone yet
	PhaseBackoff   Phase = "backoff"    // it ended, and is started again At
	PhaseCrashLoop Phase = "crash_loop" // it ended too often: a person starts it again
	PhaseStopped   Phase = "stopped"    // by a person, until one starts it again
	PhaseDone      Phase = "done"       // it ended, and its policy wants no more
)

// BreakerState is where a breaker stands.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"      // nothing begins
	BreakerHalfOpen BreakerState = "half_open" // one run tries
)

// HealthState is what the probes of a supervised command say.
type HealthState string

// The states of health; empty: nothing is asked, or nothing answered yet.
const (
	Healthy   HealthState = "healthy"
	Unhealthy HealthState = "unhealthy"
)

// Standing is how a task stands on one host, beyond its runs. The collectors
// keep the newest of each host.
type Standing struct {
	Task  TaskID    `json:"task"`
	Since time.Time `json:"since"` // when Phase or Breaker became this

	Phase    Phase      `json:"phase,omitempty"`    // of a supervised command; empty: it is none
	Run      RunID      `json:"run,omitempty"`      // of the instance
	Restarts int        `json:"restarts,omitempty"` // since it was given, started by a person or was up for Restart.Reset
	At       *time.Time `json:"at,omitempty"`       // of backoff: when it is started again; of an open breaker: when it is half-open
	Detail   string     `json:"detail,omitempty"`   // a sentence for people

	Breaker  BreakerState `json:"breaker,omitempty"`  // empty: it has none
	Failures int          `json:"failures,omitempty"` // that the breaker counts within its window

	Health       HealthState `json:"health,omitempty"`
	HealthDetail string      `json:"health_detail,omitempty"` // what the last bad answer was
}
