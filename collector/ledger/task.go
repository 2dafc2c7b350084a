package ledger

import (
	"bytes"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// taskRow is a task on disk.
type taskRow struct {
	fleet.TaskRecord
	Since time.Time `json:"since"` // when this generation was accepted
}

// given reports whether hosts have the task in their plan.
func (t *taskRow) given() bool { return t.State != fleet.TaskRetired }

// PutTask creates a task or changes its definition. It returns the
// fleet.TaskRecord. The same document, definition and statement change nothing,
// another state or statement alone is no new generation. Unless State says
// otherwise, a paused task stays paused; a retired one comes back enabled and goes on counting
// generations.
type PutTask struct {
	Task      fleet.Task `json:"task"`
	Document  []byte     `json:"document"` // as its author sent it
	MediaType string     `json:"media_type"`
	IfIndex   *uint64    `json:"if_index,omitempty"` // nil: whatever is there; 0: there must be none; else the Index it must have
	At        time.Time  `json:"at"`
	Actor     string     `json:"actor,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	// State is enabled or paused, as the statement says; empty: as it was.
	State    fleet.TaskState `json:"state,omitempty"`
	Envelope []byte          `json:"envelope,omitempty"` // the sealed statement that says all of this
	Serial   uint64          `json:"serial,omitempty"`   // its serial, above that of the one before
	Signers  []string        `json:"signers,omitempty"`  // ids of the keys that signed it
}

func (cmd *PutTask) apply(c *change) any {
	id := cmd.Task.ID()
	if _, err := fleet.ParseTaskID(string(id)); err != nil {
		return err
	}
	if cmd.State != "" && cmd.State != fleet.TaskEnabled && cmd.State != fleet.TaskPaused {
		return fleet.Invalidf("state", string(cmd.State), "want enabled or paused")
	}
	old, found := stored[taskRow](c, inTasks, key(string(id)))
	if refusal := checkIndex(id, cmd.IfIndex, &old); refusal != nil {
		return refusal
	}
	given := found && old.given()
	defined := given && old.MediaType == cmd.MediaType && bytes.Equal(old.Document, cmd.Document) && bytes.Equal(encode(old.Task), encode(cmd.Task))
	if defined && (cmd.State == "" || cmd.State == old.State) && repeats(cmd.Serial, old.Serial, cmd.Envelope, old.Envelope) {
		return old.TaskRecord
	}
	if refusal := newer("task "+string(id), cmd.Serial, lastSerial(c, &old)); found && refusal != nil {
		return refusal
	}
	if refusal := adopting(c, id); refusal != nil && moved(&old.Task, &cmd.Task) {
		return refusal
	}
	if refusal := missingCalendar(c, &cmd.Task); refusal != nil {
		return refusal
	}
	next := old
	next.Task, next.Document, next.MediaType = cmd.Task, cmd.Document, cmd.MediaType
	next.Envelope, next.Serial, next.Signers = cmd.Envelope, cmd.Serial, cmd.Signers
	if !given {
		next.State, next.Created = fleet.TaskEnabled, cmd.At
	}
	if cmd.State != "" {
		next.State = cmd.State
	}
	next.stamp(c, cmd.At, cmd.Actor, cmd.Reason)
	if !defined {
		next.Generation++
		next.Since = next.Changed
	}
	putTask(c, next)
	return next.TaskRecord
}

func storedTask(c *change, id fleet.TaskID) (taskRow, bool) {
	return stored[taskRow](c, inTasks, key(string(id)))
}

// SetTaskState pauses, resumes or retires a task. It returns the
// fleet.TaskRecord. Retiring drops the task's orders. The state it has already
// changes nothing; a move that fleet.TaskMoves does not know is a Conflict.
type SetTaskState struct {
	ID      fleet.TaskID    `json:"id"`
	State   fleet.TaskState `json:"state"`
	IfIndex *uint64         `json:"if_index,omitempty"` // nil: whatever is there; else the Index it must have
	At      time.Time       `json:"at"`
	Actor   string          `json:"actor,omitempty"`
	Reason  string          `json:"reason,omitempty"`

	Envelope []byte   `json:"envelope,omitempty"` // as in PutTask
	Serial   uint64   `json:"serial,omitempty"`
	Signers  []string `json:"signers,omitempty"`
}

func (cmd *SetTaskState) apply(c *change) any {
	task, found := stored[taskRow](c, inTasks, key(string(cmd.ID)))
	if !found || !task.given() {
		return noTask(cmd.ID)
	}
	if refusal := checkIndex(cmd.ID, cmd.IfIndex, &task); refusal != nil {
		return refusal
	}
	if task.State == cmd.State && repeats(cmd.Serial, task.Serial, cmd.Envelope, task.Envelope) {
		return task.TaskRecord
	}
	if refusal := newer("task "+string(cmd.ID), cmd.Serial, lastSerial(c, &task)); refusal != nil {
		return refusal
	}
	if refusal := adopting(c, cmd.ID); refusal != nil && cmd.State == fleet.TaskRetired {
		return refusal
	}
	if task.State != cmd.State && !slices.Contains(fleet.TaskMoves[task.State], cmd.State) {
		return fleet.Errorf(fleet.Conflict, "task %s is %s and cannot become %q", cmd.ID, task.State, cmd.State).WithCode("illegal_move")
	}
	task.State, task.Envelope, task.Serial, task.Signers = cmd.State, cmd.Envelope, cmd.Serial, cmd.Signers
	task.stamp(c, cmd.At, cmd.Actor, cmd.Reason)
	putTask(c, task)
	if task.State == fleet.TaskRetired {
		dropOrders(c, byDelete, func(order fleet.Order) bool { return order.Task == cmd.ID })
	}
	return task.TaskRecord
}

// stamp records who changed the task, when and why. Proposers' clocks differ:
// a change is never dated before the one it follows.
func (t *taskRow) stamp(c *change, at time.Time, actor, reason string) {
	if at.Before(t.Changed) {
		at = t.Changed
	}
	t.Changed, t.ChangedBy, t.Reason, t.Index = at, actor, reason, c.index
}

// checkIndex refuses a change of something else than its author has read.
func checkIndex(id fleet.TaskID, want *uint64, task *taskRow) *fleet.Error {
	exists := task.Generation > 0 && task.given()
	switch {
	case want == nil:
		return nil
	case *want == 0 && exists:
		return fleet.Errorf(fleet.Conflict, "task %s exists", id).WithCode("exists").
			WithHint("read it and send its ETag in If-Match to replace it")
	case *want != 0 && !exists:
		return fleet.Errorf(fleet.Conflict, "task %s does not exist any more", id).WithCode("stale")
	case *want != 0 && *want != task.Index:
		return fleet.Errorf(fleet.Conflict, "task %s was changed by %s at %s since it was read",
			id, nobody(task.ChangedBy), task.Changed.UTC().Format(time.RFC3339)).WithCode("stale").
			WithHint("read it again and repeat the change")
	}
	return nil
}

func nobody(actor string) string {
	if actor == "" {
		return "someone"
	}
	return actor
}

func noTask(id fleet.TaskID) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "no task %s", id).WithHint("fleetctl tasks")
}

// putTask writes the row and wakes the hosts whose plan it is or was part of, and
// those that may have it still and hear now what people signed of it.
func putTask(c *change, task taskRow) {
	id := task.Task.ID()
	c.put(inTasks, key(string(id)), encode(task))
	keepGeneration(c, &task)
	dropRequests(c, "task "+string(id))
	dropOrdersOf(c, id)
	c.notify(Tasks)
	index := c.index
	c.after(func(l *Ledger) {
		old, next := l.memory.tasks[id], hold(task)
		l.memory.putTask(next)
		for _, host := range l.memory.sorted {
			was, is := old.matches(host), next.matches(host)
			switch {
			case was && !is:
				l.memory.leaving.add(host.ID, id)
			case !was && !is && (len(task.Envelope) == 0 || !l.memory.leaving[host.ID][id]):
				continue
			}
			l.notify(PlanOf(host.ID), index)
			l.memory.reassign(host.ID, was, is)
		}
	})
}
