// Package turn provides a run with its turn: between the instant at which it is
// due and its begin it waits for what it needs, and what waits is on disk with
// the reason why.
//
//	due ──► wait_for ──► a place in the fleet ──► a slot, at the agent's rate ──► begin
//	          │                 │                        │
//	     precondition        no_lease                load_shed
//
// A run that finds everything there goes straight through and leaves no trace. One
// that waits is pending, with a sentence that says for what; it can be cancelled,
// it goes on waiting in the next agent, and it ends as missed, with the reason of
// the stage that it did not get past in time.
//
// Who comes first begins first, by the instant at which he was due. A task that
// has many waiting does not go before the others: its second waits behind the
// first of each of them. What is supervised takes no slot, because it would keep
// it for ever; the rate of starts holds for it as well.
//
// line is the queue for slots and the rate, as a pure function of what happens and
// of the time. All other stages ask somebody, so they take a goroutine for each
// run that waits there; in the line none is needed.
package turn
