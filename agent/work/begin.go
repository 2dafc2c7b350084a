package work

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/agent/runner"
	"github.com/fleetcron/fleetcron/agent/scheduler"
	"github.com/fleetcron/fleetcron/agent/turn"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// starter lets the scheduler begin runs.
type starter struct {
	host      fleet.HostID
	recorder  recorder
	ended     func(run *fleet.Run)
	addresses func() ([]netip.Addr, error) // of the host, now
	turns     *turn.Turn
	tasks     *going
	start     func(ctx context.Context, spec runner.Spec) error
	cancel    func(run fleet.RunID, detail string) bool
	stop      func(run fleet.RunID, because fleet.Reason, detail string) bool
}

// Begin gives a run its turn, or skips it where the host has left the task's
// networks; it returns when that is on disk.
func (s *starter) Begin(ctx context.Context, due scheduler.Due) error {
	task := &due.Assignment.Task
	if why := due.Assignment.Unread; why != "" {
		run := due.Record(s.host)
		run.State, run.Reason = fleet.RunMissed, fleet.MissedUnread
		run.Detail = "this agent is too old for the task: " + why + "; upgrade it"
		return s.outcome(ctx, &run)
	}
	if no := due.Assignment.Refused; no != nil {
		run := due.Record(s.host)
		run.State, run.Reason, run.Detail = fleet.RunMissed, fleet.MissedRefused, no.String()
		return s.outcome(ctx, &run)
	}
	if s.away(task.Where.Networks) {
		run := due.Record(s.host)
		run.State, run.Reason = fleet.RunSkipped, fleet.SkippedAway
		run.Detail = "none of the host's addresses is in the task's networks now"
		return s.outcome(ctx, &run)
	}
	return s.turns.Begin(ctx, s.ask(task, due.Record(s.host), kept{Cause: due.Cause, Payload: due.Payload, First: due.First, Detail: due.Detail}))
}

// outcome records what became of a run that did not begin.
func (s *starter) outcome(ctx context.Context, run *fleet.Run) error {
	err := s.recorder.Settle(ctx, *run)
	if err == nil {
		s.ended(run)
	}
	return err
}

// kept is what a run that waits for its turn brings along into the next agent.
type kept struct {
	Cause   string    `json:"cause,omitempty"`
	Payload string    `json:"payload,omitempty"`
	First   time.Time `json:"first,omitzero"`   // when the first attempt began
	Detail  string    `json:"detail,omitempty"` // what the run says of itself
}

// keptOf reads what an earlier agent left with a run that waits.
func keptOf(handle []byte) (k kept) {
	if _, keep := turn.Reopen(handle); len(keep) > 0 {
		_ = json.Unmarshal(keep, &k) // what another version left is as if it were not there
	}
	return k
}

// filled is the task as it runs with these values: what it waits for, what it
// executes and what its probes see is that. One whose values are not what it takes
// waits for nothing, and is refused at its start.
func filled(task *fleet.Task, params fleet.Params) (*fleet.Task, error) {
	if len(task.Params)+len(params) == 0 {
		return task, nil
	}
	with := *task
	run, err := task.Filled(params)
	if err != nil {
		with.WaitFor, with.Limits.Fleet = fleet.WaitFor{}, 0
		return &with, fleet.Errorf(fleet.Refused, "its values are not what the task takes: %v", err).WithCode("params")
	}
	with.Run = run
	return &with, nil
}

// ask is a run whose time has come.
func (s *starter) ask(task *fleet.Task, run fleet.Run, with kept) turn.Ask {
	task, unfit := filled(task, run.Params)
	run.Detail = with.Detail // while it waits its record says for what
	ask := turn.Ask{Run: run, Task: task, Deadline: func() time.Duration { return deadline(task, s.host, run.Due) }}
	if with != (kept{}) {
		ask.Keep, _ = json.Marshal(with) // strings and an instant: cannot fail
	}
	ask.Start = func(ctx context.Context, leave turn.Leave) error {
		if unfit != nil {
			missed := run
			missed.State, missed.Reason, missed.Detail = fleet.RunMissed, fleet.MissedRefused, "not started: "+unfit.Error()
			return s.outcome(ctx, &missed)
		}
		s.tasks.begin(run.ID, task)
		err := s.start(ctx, specOf(task, run, with, leave))
		if err != nil {
			s.tasks.over(run.ID)
		}
		return err
	}
	return ask
}

// What a command is told that no person ordered, and each of its attempts.
const (
	causeFact   = "CAUSE"
	payloadFact = "PAYLOAD"
)

func specOf(task *fleet.Task, run fleet.Run, with kept, leave turn.Leave) runner.Spec {
	spec := runner.Spec{
		Run: run, Execute: task.Run, Limits: task.Limits,
		Retry: task.Retry, First: with.First, Whole: task.Supervised(), Begin: leave.Begin,
	}
	if with.Cause != "" { // an event, a webhook or a file
		spec.Facts = []runner.Fact{{Name: causeFact, Value: with.Cause}, {Name: payloadFact, Value: with.Payload}}
	}
	if len(task.Params) > 0 {
		spec.Facts = append(spec.Facts, valuesOf(task, run.Params)...)
	}
	if leave.Fence != 0 {
		spec.Facts = append(spec.Facts, runner.Fact{Name: "FENCE", Value: strconv.FormatUint(leave.Fence, 10)})
	}
	return spec
}

// valuesOf tells a command the value of each parameter, whether it was said or is
// its default. They fit: the task was filled in with them.
func valuesOf(task *fleet.Task, params fleet.Params) (facts []runner.Fact) {
	values, _ := task.Values(params)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		facts = append(facts, runner.Fact{Name: fleet.ParamVariable(name), Value: values[name]})
	}
	return facts
}

// deadline is how long after its instant a run of the task may begin.
func deadline(task *fleet.Task, host fleet.HostID, nominal time.Time) time.Duration {
	switch on := &task.On; {
	case on.Deadline > 0:
		return time.Duration(on.Deadline)
	case on.At != nil:
		return fleet.DefaultExpiry
	case !on.Clocked():
		return fleet.MaxDeadline
	}
	clock, err := task.Clock(host)
	if err != nil {
		return fleet.MaxDeadline
	}
	if following, more := clock.Next(nominal); more {
		return min(fleet.MaxDeadline, following.Sub(nominal)/2)
	}
	return fleet.MaxDeadline
}

// Cancel stops a run, or takes it out that waits; one that has ended meanwhile
// needs no stopping.
func (s *starter) Cancel(run fleet.RunID, detail string) {
	if !s.turns.Cancel(run, fleet.SkippedCancelled, detail) {
		s.cancel(run, detail)
	}
}

// Stop stops a run for what it does, which is then why it ended.
func (s *starter) Stop(run fleet.RunID, because fleet.Reason, detail string) {
	if !s.turns.Cancel(run, because, detail) {
		s.stop(run, because, detail)
	}
}

// halt stops a run that was told to stop in the moment in which it began.
func (s *starter) halt(run fleet.RunID, because fleet.Reason, detail string) {
	if fleet.Reasons[because] == fleet.RunRan {
		s.stop(run, because, detail)
	} else {
		s.cancel(run, detail)
	}
}

// away reports whether the task is bound to networks and none of the host's
// addresses lies in them at this instant. The plan was made from the addresses
// of the last scan, which may be a minute old. What cannot be read counts as
// it was planned.
func (s *starter) away(networks []netip.Prefix) bool {
	if len(networks) == 0 {
		return false
	}
	addresses, err := s.addresses()
	where := fleet.Where{Networks: networks}
	return err == nil && !where.Matches(&fleet.Host{Addresses: addresses})
}

// hostAddresses returns the addresses that the host has now.
func hostAddresses() ([]netip.Addr, error) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	for _, address := range found {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			addresses = append(addresses, prefix.Addr())
		}
	}
	return addresses, nil
}
