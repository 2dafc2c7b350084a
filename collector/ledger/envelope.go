package ledger

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// What a person signs is kept and forwarded as it is; nothing here reads it. A
// statement about a thing counts only if its serial is above that of the last
// one, also where the thing is gone: that one is its tombstone.

// newer refuses a statement that is not above the last one. An unsealed change
// of what was never sealed has the serial zero on both sides.
func newer(object string, serial, last uint64) *fleet.Error {
	if serial > last || serial == 0 && last == 0 {
		return nil
	}
	return fleet.Errorf(fleet.Conflict, "a statement about %s with the serial %d was taken already, this one has %d", object, last, serial).WithCode("replay").
		WithHint("sign it anew: the serial follows the clock of who signs, and must exceed the last one")
}

// repeats reports whether a statement is the one that stands, to the byte; of
// what is not sealed, whether this is not either.
func repeats(serial, last uint64, envelope, stands []byte) bool {
	return serial == last && bytes.Equal(envelope, stands)
}

// lastSerial returns the serial of the last statement about a task: that of its
// definition, or that it be given back.
func lastSerial(c *change, task *taskRow) uint64 {
	row, found := stored[fleet.Adoption](c, inAdoptions, key(string(task.Task.ID())))
	if !found {
		return task.Serial
	}
	return max(task.Serial, row.Serial)
}

// PutEnvelope replaces the statement that stands about a task by the same one
// with more signatures: also that it is retired, which ends it on a host that wants
// two signatures only when it has them. It returns the fleet.TaskRecord.
type PutEnvelope struct {
	Task     fleet.TaskID `json:"task"`
	Serial   uint64       `json:"serial"` // of the statement that stands
	Envelope []byte       `json:"envelope"`
	Signers  []string     `json:"signers"`
	IfIndex  *uint64      `json:"if_index,omitempty"` // as in SetTaskState
	At       time.Time    `json:"at"`
	Actor    string       `json:"actor,omitempty"`
}

func (cmd *PutEnvelope) apply(c *change) any {
	task, found := storedTask(c, cmd.Task)
	switch {
	case !found:
		return noTask(cmd.Task)
	case len(cmd.Envelope) == 0 || task.Serial == 0:
		return fleet.Invalidf("envelope", "", "there is none, or the task has none")
	case task.Serial != cmd.Serial:
		return fleet.Errorf(fleet.Conflict, "another statement about task %s stands", cmd.Task).WithCode("stale").WithHint("sign the one that stands: fleetctl sign %s", cmd.Task)
	case bytes.Equal(task.Envelope, cmd.Envelope):
		return task.TaskRecord
	}
	if refusal := checkIndex(cmd.Task, cmd.IfIndex, &task); refusal != nil && (task.given() || *cmd.IfIndex != task.Index) {
		return refusal
	}
	task.Envelope, task.Signers = cmd.Envelope, cmd.Signers
	task.stamp(c, cmd.At, cmd.Actor, task.Reason)
	putTask(c, task)
	return task.TaskRecord
}

// envelopeRow is the statement that orders were derived from. It is remembered
// until it expires, so that it cannot be carried out again.
type envelopeRow struct {
	Envelope []byte    `json:"envelope"`
	Expires  time.Time `json:"expires"`
	Open     int       `json:"open"` // orders that stand
}

// hold keeps the statement of orders; of those of before that still stand it
// returns the orders, and refuses one of which none does.
func (cmd *PutOrders) hold(c *change) (known bool, stand []fleet.Order, refusal *fleet.Error) {
	if !keyable(cmd.Digest) {
		return false, nil, fleet.Invalidf("digest", cmd.Digest, "want 1–%d bytes", maxKeyPart)
	}
	if c.get(inEnvelopes, key(cmd.Digest)) == nil {
		return false, nil, nil
	}
	for _, order := range cmd.Orders {
		if old, found := stored[fleet.Order](c, inOrders, key(string(order.Host), string(order.ID))); found {
			old.Envelope = nil
			stand = append(stand, old)
		}
	}
	if len(stand) == 0 {
		return true, nil, fleet.Errorf(fleet.Conflict, "the statement was taken already, and its orders are over").WithCode("replay").
			WithHint("fleetctl run, cancel, start, … sign another one")
	}
	return true, stand, nil
}

// releaseEnvelope counts an order that ends.
func releaseEnvelope(c *change, order *fleet.Order) {
	if len(order.Envelope) == 0 {
		return
	}
	k := bytes.Clone(order.Envelope)
	if row, found := stored[envelopeRow](c, inEnvelopes, k); found {
		row.Open--
		c.put(inEnvelopes, k, encode(row))
	}
}

// forgetEnvelopes removes statements that expired and of which no order stands.
func (cmd *Prune) forgetEnvelopes(c *change) {
	for _, k := range c.keys(inEnvelopes, nil) {
		if row, _ := stored[envelopeRow](c, inEnvelopes, k); row.Open <= 0 && !row.Expires.After(cmd.At) {
			c.delete(inEnvelopes, k)
		}
	}
}

// unfold puts the statement into an order, whose row names it.
func (r *reader) unfold(order *fleet.Order) error {
	if len(order.Envelope) == 0 {
		return nil
	}
	held, _, err := row[envelopeRow](r, inEnvelopes, order.Envelope)
	order.Envelope = held.Envelope
	return err
}

// tombstoneRow is the statement that a calendar is no more.
type tombstoneRow struct {
	Name     string    `json:"name"`
	Serial   uint64    `json:"serial"`
	Envelope []byte    `json:"envelope"`
	At       time.Time `json:"at"`
}

// calendarSerial returns the serial of the last statement about a calendar.
func calendarSerial(c *change, old *fleet.CalendarRecord, name string) uint64 {
	gone, _ := stored[tombstoneRow](c, inTombstones, key(name))
	return max(old.Serial, gone.Serial)
}

func putTombstone(c *change, row tombstoneRow) {
	c.put(inTombstones, key(row.Name), encode(row))
	c.after(func(l *Ledger) { l.memory.setTombstone(row.Name, &row) })
}

func dropTombstone(c *change, name string) {
	if c.get(inTombstones, key(name)) == nil {
		return
	}
	c.delete(inTombstones, key(name))
	c.after(func(l *Ledger) { l.memory.setTombstone(name, nil) })
}

func (m *memory) setTombstone(name string, row *tombstoneRow) {
	next := slices.Clone(m.tombstones)
	at, found := slices.BinarySearchFunc(next, name, func(row tombstoneRow, name string) int { return strings.Compare(row.Name, name) })
	switch {
	case row == nil && found:
		next = slices.Delete(next, at, at+1)
	case found:
		next[at] = *row
	case row != nil:
		next = slices.Insert(next, at, *row)
	}
	if m.tombstones = next; len(next) == 0 {
		m.tombstones = nil
	}
}

// maxTombstones is how many tombstones of calendars a plan carries: the newest.
const maxTombstones = 100

// gone returns the statements about what the host runs or holds and is not given
// any more, and about calendars that are no more. Without them it goes on.
func (m *memory) gone(said *appliedRow, host *Host, given []fleet.Assignment) (envelopes [][]byte) {
	stands := make(map[fleet.TaskID]bool, len(given))
	for i := range given {
		stands[given[i].Task.ID()] = true
	}
	for _, id := range said.says() {
		task := m.tasks[id]
		// A retired one says nothing that is another namespace's.
		if task != nil && len(task.Envelope) > 0 && !stands[id] && (!task.given() || host.Serves(id.Namespace())) {
			envelopes = append(envelopes, task.Envelope)
		}
	}
	if len(given) == 0 && len(envelopes) == 0 {
		return nil
	}
	newest := m.tombstones
	if len(newest) > maxTombstones {
		newest = slices.SortedFunc(slices.Values(newest), func(a, b tombstoneRow) int { return b.At.Compare(a.At) })[:maxTombstones]
	}
	for _, row := range newest {
		envelopes = append(envelopes, row.Envelope)
	}
	return envelopes
}
