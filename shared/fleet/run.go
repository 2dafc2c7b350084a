package fleet

import (
	"slices"
	"time"
)

// RunState is where a run stands. Skipped, missed, ran and unknown are its
// outcomes: terminal, and each occurrence ends in exactly one.
type RunState string

// The run states; RunMoves holds the legal moves.
const (
	RunPending RunState = "pending" // due, waiting for its turn
	RunBegun   RunState = "begun"   // on the agent's disk, not yet a process
	RunRunning RunState = "running"
	RunRan     RunState = "ran"     // it ended; Exit, Signal, TimedOut or Cancelled say how
	RunSkipped RunState = "skipped" // by policy; Reason says which
	RunMissed  RunState = "missed"  // by failure; Reason says which
	RunUnknown RunState = "unknown" // begun, its end not provable
)

// RunMoves lists the states that each run state may move to. A collector may
// hear of a run late, so every state may also be the first it learns.
var RunMoves = map[RunState][]RunState{
	RunPending: {RunBegun, RunSkipped, RunMissed},
	RunBegun:   {RunRunning, RunRan, RunMissed, RunUnknown},
	RunRunning: {RunRan, RunUnknown},
	RunRan:     {},
	RunSkipped: {},
	RunMissed:  {},
	RunUnknown: {},
}

// Terminal reports whether the state is an outcome.
func (s RunState) Terminal() bool {
	moves, known := RunMoves[s]
	return known && len(moves) == 0
}

// MayMoveTo reports whether a run may go from s to next, directly or past
// states that were not heard of.
func (s RunState) MayMoveTo(next RunState) bool {
	return slices.ContainsFunc(RunMoves[s], func(step RunState) bool {
		return step == next || step.MayMoveTo(next)
	})
}

// Reason says why an occurrence was skipped, missed or is unknown. The list
// is closed.
type Reason string

// The reasons, by the outcome they explain.
const (
	SkippedOverlap   Reason = "overlap"
	SkippedPaused    Reason = "paused"
	SkippedReplaced  Reason = "replaced" // its place in the queue went to a later one
	SkippedCancelled Reason = "cancelled"
	SkippedExpired   Reason = "expired"
	SkippedBreaker   Reason = "breaker_open"
	SkippedBlackout  Reason = "blackout" // within a window of one of the task's calendars
	SkippedMerged    Reason = "merged"   // a later event is run for it as well
	SkippedAway      Reason = "away"     // none of the host's addresses is in the task's networks any more

	MissedAgentDown  Reason = "agent_down"
	MissedHostDown   Reason = "host_down"
	MissedDeadline   Reason = "deadline"
	MissedClockJump  Reason = "clock_jump"
	MissedJournal    Reason = "journal_full"
	MissedForkFailed Reason = "fork_failed"
	MissedSpecLate   Reason = "spec_late" // the task reached the host after the instant
	MissedNoUser     Reason = "no_user"
	MissedNoLease    Reason = "no_lease" // no place in the fleet came free in time, or nobody was there to grant it
	// MissedPrecondition: what the task waits for was not there in time.
	MissedPrecondition Reason = "precondition"
	// MissedLimits: a limit of the task cannot be kept on this host.
	MissedLimits Reason = "limits"
	// MissedUnread: the task says something that its agent is too old to know.
	MissedUnread Reason = "unread"
	// MissedRefused: the host's own policy does not let it run.
	MissedRefused Reason = "policy"
	// MissedLoad: the agent's slots or its rate of starts left no turn in time.
	MissedLoad Reason = "load_shed"

	// Reasons why a command that ran ended as it did.
	RanExhausted Reason = "retries_exhausted" // and no attempt is left
	RanUnhealthy Reason = "unhealthy"         // stopped: its probes failed
	RanStalled   Reason = "stalled"           // stopped: it reported no progress
	RanUsage     Reason = "usage"             // stopped: it used more than Restart.When allows
	RanMemory    Reason = "out_of_memory"     // killed by the kernel for memory

	UnknownAgentDied Reason = "agent_died" // the agent ended between begin and end, and nobody saw the end
	UnknownHostDied  Reason = "host_died"  // the host rebooted in between
)

// Reasons lists every reason with the outcome it explains.
var Reasons = map[Reason]RunState{
	SkippedOverlap: RunSkipped, SkippedPaused: RunSkipped, SkippedReplaced: RunSkipped,
	SkippedCancelled: RunSkipped, SkippedExpired: RunSkipped, SkippedAway: RunSkipped,
	MissedAgentDown: RunMissed, MissedHostDown: RunMissed, MissedDeadline: RunMissed,
	MissedClockJump: RunMissed, MissedJournal: RunMissed, MissedForkFailed: RunMissed,
	MissedSpecLate: RunMissed, MissedNoUser: RunMissed, MissedNoLease: RunMissed,
	SkippedBreaker: RunSkipped, SkippedBlackout: RunSkipped, SkippedMerged: RunSkipped,
	MissedPrecondition: RunMissed, MissedUnread: RunMissed, MissedRefused: RunMissed, MissedLimits: RunMissed, MissedLoad: RunMissed,
	RanExhausted: RunRan, RanUnhealthy: RunRan, RanStalled: RunRan, RanUsage: RunRan, RanMemory: RunRan,
	UnknownAgentDied: RunUnknown, UnknownHostDied: RunUnknown,
}

// MaxTail is how many bytes of a failed run's output travel with its record.
const MaxTail = 512

// Run is what became of one occurrence, or of a range of missed ones.
type Run struct {
	ID         RunID     `json:"id"`
	Task       TaskID    `json:"task"`
	Generation uint64    `json:"generation"`
	Host       HostID    `json:"host"`
	Due        time.Time `json:"due"` // the nominal instant, UTC
	// Until and Count make the record a range: Count instants from Due to
	// Until, both included, that share one outcome. Count zero means one.
	Until   *time.Time `json:"until,omitempty"`
	Count   int        `json:"count,omitempty"`
	Order   OrderID    `json:"order,omitempty"`   // set when a person ordered it
	Parent  RunID      `json:"parent,omitempty"`  // the run whose command ordered it
	Params  Params     `json:"params,omitempty"`  // values of the task's parameters that its order said; the others had their defaults
	Attempt int        `json:"attempt,omitempty"` // from 1; zero: nothing was attempted
	// Again is set on an attempt that failed and is followed by another one:
	// when that is to begin. It is set on the other as well, while that waits.
	// The outcome of the occurrence is that of its last attempt.
	Again *time.Time `json:"again,omitempty"`

	State     RunState   `json:"state"`
	Reason    Reason     `json:"reason,omitempty"`
	Detail    string     `json:"detail,omitempty"` // a sentence for people
	Started   *time.Time `json:"started,omitempty"`
	Ended     *time.Time `json:"ended,omitempty"`
	PID       int        `json:"pid,omitempty"`
	Exit      *int       `json:"exit,omitempty"`
	Signal    string     `json:"signal,omitempty"` // "SIGKILL"
	TimedOut  bool       `json:"timed_out,omitempty"`
	Cancelled bool       `json:"cancelled,omitempty"`
	Stdout    int64      `json:"stdout_bytes,omitempty"` // written by the command
	Stderr    int64      `json:"stderr_bytes,omitempty"`
	Dropped   int64      `json:"dropped_bytes,omitempty"` // of both, beyond the quota
	Used      Used       `json:"used,omitzero"`
	Tail      string     `json:"tail,omitempty"` // the last output of a failed run, at most MaxTail bytes
}

// Used is what a run and the children that it waited for used; what is zero is
// not known.
type Used struct {
	CPU     Duration `json:"cpu,omitempty"`           // user and system
	Memory  Bytes    `json:"memory,omitempty"`        // the most that was resident at once
	Read    Bytes    `json:"read_bytes,omitempty"`    // from storage
	Written Bytes    `json:"written_bytes,omitempty"` // to storage
}

// Attempted reports whether another attempt of the same occurrence follows, so
// that this run's outcome is not the occurrence's.
func (r *Run) Attempted() bool { return r.State.Terminal() && r.Again != nil }

// Occurrence returns the occurrence that the run belongs to.
func (r *Run) Occurrence() Occurrence {
	return Occurrence{Task: r.Task, Scope: r.Host, Nominal: r.Due}
}

// Succeeded reports whether the command ran and ended with exit code 0, and was
// not stopped.
func (r *Run) Succeeded() bool {
	return r.State == RunRan && r.Exit != nil && *r.Exit == 0 && !r.TimedOut && !r.Cancelled && r.Reason == ""
}

// Failed reports whether the run ended otherwise than it should have: a bad
// exit, a miss or an unknown end. A skip is policy and not a failure.
func (r *Run) Failed() bool {
	return r.State == RunMissed || r.State == RunUnknown || r.State == RunRan && !r.Succeeded()
}

// LateBy returns how long after its due instant the run started; zero when it
// has not.
func (r *Run) LateBy() time.Duration {
	if r.Started == nil {
		return 0
	}
	return max(0, r.Started.Sub(r.Due))
}

// Instants returns how many due instants the record accounts for, at least 1.
func (r *Run) Instants() int { return max(1, r.Count) }

// Validate reports every field of r that is wrong.
func (r *Run) Validate() error {
	var check checker
	_, known := RunMoves[r.State]
	check.that(known, "state", string(r.State), "is no run state")
	check.that(r.ID != "" && len(r.ID) <= 36, "id", string(r.ID), "want a UUID")
	_, err := ParseTaskID(string(r.Task))
	check.that(err == nil, "task", string(r.Task), "want namespace/name")
	check.that(!r.Due.IsZero(), "due", "", "the due instant is missing")
	if r.Reason != "" {
		check.that(Reasons[r.Reason] == r.State, "reason", string(r.Reason), "does not explain the state "+string(r.State))
	}
	check.that(len(r.Tail) <= MaxTail, "tail", "", "at most 512 bytes")
	check.that(len(r.Detail) <= 1024, "detail", "", "at most 1024 bytes")
	check.that(len(r.Parent) <= 36, "parent", string(r.Parent), "want a UUID")
	check.that(r.Count >= 0, "count", "", "must not be negative")
	r.Params.validate(&check)
	return check.err()
}
