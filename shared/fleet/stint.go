package fleet

import "time"

// Stint says from when on a task is due on one host under one generation. The
// agent tells it whenever that changes, in the order of its records; together
// with the schedule of the generation it says what was due there, whatever
// became of it.
type Stint struct {
	Task       TaskID    `json:"task"`
	Generation uint64    `json:"generation,omitempty"` // zero: from then on it is not due on the host
	After      time.Time `json:"after"`                // instants after it are due
	// Last is the last instant that was due in the stint before; zero: there
	// was none, or nobody knows.
	Last time.Time `json:"last,omitzero"`
}

// Count returns how many instants are due after the one and up to the other. A
// fixed period is counted, everything else is walked.
func (c Clock) Count(after, until time.Time) (n int) {
	if c.kind == clockEvery && c.ends.IsZero() {
		first, ok := c.Next(after)
		if !ok || first.After(until) {
			return 0
		}
		return 1 + int(until.Sub(first)/c.period)
	}
	for at, ok := c.Next(after); ok && !at.After(until); at, ok = c.Next(at) {
		n++
	}
	return n
}
