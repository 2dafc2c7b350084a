package ledger

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Adopt makes the task that takes a found job's place, and asks the job's host
// to silence it: both or neither. It returns the fleet.Adoption. A job has one
// adoption at a time, and so has a task.
type Adopt struct {
	Task      fleet.Task     `json:"task"`
	Document  []byte         `json:"document"`
	MediaType string         `json:"media_type"`
	Adoption  fleet.Adoption `json:"adoption"`           // its Host, Job, Force, By, Reason and At
	Envelope  []byte         `json:"envelope,omitempty"` // as in PutTask; it says the adoption too
	Serial    uint64         `json:"serial,omitempty"`
	Signers   []string       `json:"signers,omitempty"`
}

func (cmd *Adopt) apply(c *change) any {
	id, wish := cmd.Task.ID(), cmd.Adoption
	if c.get(inHosts, key(string(wish.Host))) == nil {
		return unknownHost(wish.Host)
	}
	if !keyable(string(wish.Job.ID)) {
		return fleet.Invalidf("job", string(wish.Job.ID), "want 1–%d bytes", maxKeyPart)
	}
	var taken *fleet.Error
	for _, k := range c.keys(inAdoptions, nil) {
		other, _ := stored[fleet.Adoption](c, inAdoptions, k)
		switch same := other.Host == wish.Host && other.Job.ID == wish.Job.ID; {
		case !stands(&other):
		case same && !c.mayName(other.Task):
			taken = fleet.Errorf(fleet.Conflict, "the job is in the hands of a task of another namespace already").WithCode("exists")
		case same:
			taken = fleet.Errorf(fleet.Conflict, "the job is in the hands of task %s already, %s", other.Task, other.State).
				WithCode("exists").WithHint("fleetctl release %s gives it back", other.Task)
		case other.Task == id:
			taken = fleet.Errorf(fleet.Conflict, "task %s runs in place of another job", id).WithCode("exists").WithHint("name another task")
		}
	}
	if taken != nil {
		return taken
	}
	none := uint64(0)
	put := PutTask{
		Task: cmd.Task, Document: cmd.Document, MediaType: cmd.MediaType, IfIndex: &none, At: wish.At, Actor: wish.By, Reason: wish.Reason,
		Envelope: cmd.Envelope, Serial: cmd.Serial, Signers: cmd.Signers,
	}
	result := put.apply(c)
	if _, refused := IsRefusal(result); refused {
		return result
	}
	wish.Task, wish.State, wish.Why, wish.Handed, wish.Asked = id, fleet.AdoptionWanted, "", time.Time{}, wish.At
	wish.Envelope, wish.Serial = cmd.Envelope, cmd.Serial
	putAdoption(c, wish)
	return wish
}

// SettleAdoptions records how far a host says its adoptions are. A word about
// another wish than the last, or that does not follow from what is on record,
// changes nothing: the host said it before it heard of that. When a job is released, or its host refused, the
// task is retired with it.
type SettleAdoptions struct {
	Host      fleet.HostID     `json:"host"`
	Adoptions []fleet.Adoption `json:"adoptions"` // their Task, Asked, State, Why and Handed
	At        time.Time        `json:"at"`
}

// adoptionMoves lists what a host may say of an adoption in each state.
var adoptionMoves = map[fleet.AdoptionState][]fleet.AdoptionState{
	fleet.AdoptionWanted:    {fleet.AdoptionAdopted, fleet.AdoptionRefused, fleet.AdoptionReleased, fleet.AdoptionStuck},
	fleet.AdoptionAdopted:   {fleet.AdoptionReleased, fleet.AdoptionStuck},
	fleet.AdoptionReleasing: {fleet.AdoptionReleased, fleet.AdoptionStuck, fleet.AdoptionRefused},
	fleet.AdoptionStuck:     {fleet.AdoptionReleased},
}

func (cmd *SettleAdoptions) apply(c *change) any {
	if c.get(inHosts, key(string(cmd.Host))) == nil {
		return unknownHost(cmd.Host)
	}
	for _, word := range cmd.Adoptions {
		row, found := stored[fleet.Adoption](c, inAdoptions, key(string(word.Task)))
		if !found || row.Host != cmd.Host || !row.Asked.Equal(word.Asked) || !slices.Contains(adoptionMoves[row.State], word.State) {
			continue
		}
		row.State, row.Why, row.At = word.State, word.Why, notBefore(cmd.At, row.At)
		if !word.Handed.IsZero() {
			row.Handed = word.Handed
		}
		if !stands(&row) {
			retire(c, &row, cmd.At)
		}
		putAdoption(c, row)
	}
	return nil
}

// settledReason says in a task's record why it was retired.
var settledReason = map[fleet.AdoptionState]string{
	fleet.AdoptionRefused:  "the host refused to silence the job it was made from",
	fleet.AdoptionReleased: "the job it was made from is back with its host's own scheduler",
}

func notBefore(at, other time.Time) time.Time {
	if at.Before(other) {
		return other
	}
	return at
}

// Release asks the host to put an adopted job back. The task runs until it has.
// It returns the fleet.Adoption.
type Release struct {
	Task   fleet.TaskID `json:"task"`
	At     time.Time    `json:"at"`
	Actor  string       `json:"actor,omitempty"`
	Reason string       `json:"reason,omitempty"`
	// Envelope becomes the task's tombstone once the job is back; Serial as in
	// PutTask.
	Envelope []byte `json:"envelope,omitempty"`
	Serial   uint64 `json:"serial,omitempty"`
}

func (cmd *Release) apply(c *change) any {
	row, found := stored[fleet.Adoption](c, inAdoptions, key(string(cmd.Task)))
	switch {
	case !found:
		return noAdoption(cmd.Task)
	case row.State == fleet.AdoptionReleasing:
		return row
	case !stands(&row):
		return fleet.Errorf(fleet.Conflict, "the adoption of task %s is over: %s", cmd.Task, row.State).WithCode("illegal_move").WithHint("fleetctl tasks %s", cmd.Task)
	}
	task, _ := storedTask(c, cmd.Task)
	if refusal := newer("task "+string(cmd.Task), cmd.Serial, max(task.Serial, row.Serial)); refusal != nil {
		return refusal
	}
	dropRequests(c, "task "+string(cmd.Task))
	row.Envelope, row.Serial = cmd.Envelope, cmd.Serial
	row.State, row.Why, row.By, row.Reason = fleet.AdoptionReleasing, "", cmd.Actor, cmd.Reason
	row.At = notBefore(cmd.At, row.At.Add(1)) // the host knows a new wish from an old one by its time
	row.Asked = row.At
	putAdoption(c, row)
	return row
}

// stands reports whether the job is, or is about to be, in a task's hands.
func stands(a *fleet.Adoption) bool {
	return a.State != "" && a.State != fleet.AdoptionRefused && a.State != fleet.AdoptionReleased
}

func noAdoption(task fleet.TaskID) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "task %s was not made of a found job", task).WithHint("fleetctl unassign %s --all takes a task away", task)
}

// retire takes the task of an adoption that is over back, as SetTaskState does,
// where it is still given. The statement that asked for it is its tombstone; if
// nobody did, it has none.
func retire(c *change, row *fleet.Adoption, at time.Time) {
	id := row.Task
	task, found := storedTask(c, id)
	if !found || !task.given() {
		return
	}
	task.State, task.Envelope, task.Signers = fleet.TaskRetired, nil, nil
	if row.Serial > task.Serial {
		if row.State == fleet.AdoptionReleased {
			task.Envelope = row.Envelope
		}
		task.Serial = row.Serial // the adoption is forgotten some day
	}
	task.stamp(c, at, "host "+string(row.Host), settledReason[row.State])
	putTask(c, task)
	dropOrders(c, byDelete, func(order fleet.Order) bool { return order.Task == id })
}

// adopting refuses what would leave an adopted job with nobody to run it: that
// its task goes away, or to other hosts.
func adopting(c *change, id fleet.TaskID) *fleet.Error {
	row, found := stored[fleet.Adoption](c, inAdoptions, key(string(id)))
	if !found || !stands(&row) {
		return nil
	}
	return fleet.Errorf(fleet.Conflict, "task %s runs in place of a job of host %s, which would not run any more", id, row.Host).
		WithCode("adopted").WithHint("fleetctl release %s puts the job back and takes the task away", id)
}

// moved reports whether a task would run elsewhere.
func moved(old, next *fleet.Task) bool { return !reflect.DeepEqual(old.Where, next.Where) }

// putAdoption writes the row and wakes its host.
func putAdoption(c *change, row fleet.Adoption) {
	c.put(inAdoptions, key(string(row.Task)), encode(row))
	c.notify(Adoptions, Jobs, PlanOf(row.Host))
	c.after(func(l *Ledger) { l.memory.putAdoption(&row) })
}

// forgetAdoptions removes adoptions that are over, with the history of found
// jobs of their time.
func (cmd *Prune) forgetAdoptions(c *change) {
	for _, k := range c.keys(inAdoptions, nil) {
		row, _ := stored[fleet.Adoption](c, inAdoptions, k)
		if stands(&row) || !row.At.Before(cmd.ChangesBefore) {
			continue
		}
		c.delete(inAdoptions, k)
		c.notify(Adoptions)
		c.after(func(l *Ledger) { l.memory.dropAdoption(row.Task) })
	}
}

func (m *memory) dropAdoption(task fleet.TaskID) {
	m.adoptions = slices.DeleteFunc(slices.Clone(m.adoptions), func(a *fleet.Adoption) bool { return a.Task == task })
	if len(m.adoptions) == 0 {
		m.adoptions = nil
	}
}

func (m *memory) putAdoption(row *fleet.Adoption) {
	next := slices.Clone(m.adoptions)
	at, found := slices.BinarySearchFunc(next, row.Task, func(a *fleet.Adoption, id fleet.TaskID) int { return cmp.Compare(a.Task, id) })
	if found {
		next[at] = row
	} else {
		next = slices.Insert(next, at, row)
	}
	m.adoptions = next
}

// asked returns the adoptions that the host has to know of.
func (m *memory) asked(scope fleet.Scope, host fleet.HostID) (wishes []fleet.Adoption) {
	for _, row := range m.adoptions {
		if row.Host == host && stands(row) && scope.Holds(row.Task.Namespace()) {
			wishes = append(wishes, *row)
		}
	}
	return wishes
}

// Adoptions returns every adoption within the scope that there is and was, by
// task.
func (l *Ledger) Adoptions(scope fleet.Scope) ([]fleet.Adoption, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	rows := make([]fleet.Adoption, 0, len(l.memory.adoptions))
	for _, row := range l.memory.adoptions {
		if scope.Holds(row.Task.Namespace()) {
			rows = append(rows, *row)
		}
	}
	return rows, nil
}

// Adoption returns the adoption that made a task.
func (l *Ledger) Adoption(scope fleet.Scope, task fleet.TaskID) (fleet.Adoption, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, row := range l.memory.adoptions {
		if row.Task == task && scope.Holds(task.Namespace()) {
			return *row, nil
		}
	}
	return fleet.Adoption{}, noAdoption(task)
}

// adoptedBy returns the task that runs in place of a job; empty: none does.
func (l *Ledger) adoptedBy(host fleet.HostID, job fleet.JobID) fleet.TaskID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, row := range l.memory.adoptions {
		if row.Host == host && row.Job.ID == job && stands(row) && row.State != fleet.AdoptionWanted {
			return row.Task
		}
	}
	return ""
}
