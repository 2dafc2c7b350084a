package ledger

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// LeaseMargin is how long a lease outlives the last instant at which its run
// can go on by its host's account: for clocks of collectors that differ.
const LeaseMargin = time.Minute

// TakeLease asks that a run be one of those of its task that go on at once in
// the fleet. It returns fleet.Lease; asked again for a run that has one, that
// one, which then ends as much later as it is asked: its run may begin so much
// later. No free place is a Conflict with the code api.CodeNoPlace.
type TakeLease struct {
	Task fleet.TaskID `json:"task"`
	Run  fleet.RunID  `json:"run"`
	Host fleet.HostID `json:"host"`
	At   time.Time    `json:"at"`
}

// Leases is the topic of a task's leases: it changes when one ends early.
func Leases(task fleet.TaskID) Topic { return Topic{"leases", string(task)} }

func (cmd *TakeLease) apply(c *change) any {
	task, found := stored[taskRow](c, inTasks, key(string(cmd.Task)))
	switch {
	case !found || !task.given():
		return noTask(cmd.Task)
	case task.Task.Limits.Fleet == 0:
		return fleet.Invalidf("task", string(cmd.Task), "has no limits.fleet, so its runs need no lease")
	case c.get(inHosts, key(string(cmd.Host))) == nil:
		return unknownHost(cmd.Host)
	case !c.serves(cmd.Host)(cmd.Task):
		return noTask(cmd.Task)
	case !keyable(string(cmd.Run)) || len(cmd.Run) > 36:
		return fleet.Invalidf("run", string(cmd.Run), "want an id of 1–36 bytes")
	}
	if run, known := storedRun(c, cmd.Run); known && (run.State.Terminal() || run.Host != cmd.Host) {
		return fleet.Errorf(fleet.Conflict, "run %s is %s on host %s and needs no lease", cmd.Run, run.State, run.Host).WithCode("illegal_move")
	}
	limits := &task.Task.Limits
	ends := leaseEnds(cmd.At, limits)
	taken, over := 0, [][]byte{}
	for _, k := range c.keys(inLeases, prefix(string(cmd.Task))) {
		lease, _ := stored[fleet.Lease](c, inLeases, k)
		switch {
		case lease.Run == cmd.Run && lease.Host == cmd.Host && !lease.Ends.Before(cmd.At):
			if ends.After(lease.Ends) {
				lease.Ends = ends
				c.put(inLeases, k, encode(lease))
			}
			return lease
		case lease.Ends.Before(cmd.At):
			over = append(over, k)
		default:
			taken++
		}
	}
	if taken >= limits.Fleet {
		return fleet.Errorf(fleet.Conflict, "all %d places of %s in the fleet are taken", limits.Fleet, cmd.Task).
			WithCode(api.CodeNoPlace).WithHint("fleetctl runs --task %s --state running", cmd.Task)
	}
	for _, k := range over {
		c.delete(inLeases, k)
	}
	lease := fleet.Lease{Task: cmd.Task, Run: cmd.Run, Host: cmd.Host, Fence: c.index, Ends: ends}
	c.put(inLeases, key(string(cmd.Task), string(cmd.Run)), encode(lease))
	return lease
}

// leaseEnds is when a run that is granted its place now has ended for certain.
func leaseEnds(now time.Time, limits *fleet.Limits) time.Time {
	grace := time.Duration(limits.Grace)
	if grace == 0 {
		grace = fleet.DefaultGrace
	}
	return now.Add(fleet.LeaseBegin + time.Duration(limits.Timeout) + grace + LeaseMargin).UTC()
}

// ReturnLease gives back the lease of a run that did not begin. One that is
// gone already is no error.
type ReturnLease struct {
	Task fleet.TaskID `json:"task"`
	Run  fleet.RunID  `json:"run"`
	Host fleet.HostID `json:"host"`
}

func (cmd *ReturnLease) apply(c *change) any {
	k := key(string(cmd.Task), string(cmd.Run))
	if lease, found := stored[fleet.Lease](c, inLeases, k); found && lease.Host == cmd.Host {
		endLease(c, k, cmd.Task)
	}
	return nil
}

// settleLease ends the lease of a run that is over.
func settleLease(c *change, run *fleet.Run) {
	if !run.State.Terminal() {
		return
	}
	if k := key(string(run.Task), string(run.ID)); c.get(inLeases, k) != nil {
		endLease(c, k, run.Task)
	}
}

func endLease(c *change, k []byte, task fleet.TaskID) {
	c.delete(inLeases, k)
	c.notify(Leases(task))
}

// pruneLeases drops what has ended by itself, of tasks that nobody asks for.
func pruneLeases(c *change, now time.Time) {
	for _, k := range c.keys(inLeases, nil) {
		if lease, _ := stored[fleet.Lease](c, inLeases, k); lease.Ends.Before(now) {
			endLease(c, k, lease.Task)
		}
	}
}

// LeasesOf lists the leases of a task that may still count, by run.
func (l *Ledger) LeasesOf(scope fleet.Scope, task fleet.TaskID) (leases []fleet.Lease, err error) {
	if !scope.Holds(task.Namespace()) {
		return nil, nil
	}
	err = l.view(func(r *reader) error {
		return eachRow(r, inLeases, prefix(string(task)), func(_ []byte, lease fleet.Lease) bool {
			leases = append(leases, lease)
			return true
		})
	})
	return leases, err
}
