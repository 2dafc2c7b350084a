// Package account tells what became of everything that was due, so that nothing
// is lost without a word.
//
//	due = ran + skipped + missed + unknown + pending
//
// The left side never looks at a record. It is the number of instants that the
// schedules of a task's generations have within the stints that its hosts told
// of, plus the orders that were given. The right side is what the records of
// runs add up to. Both are kept beyond the runs that are forgotten.
//
//	stints × schedules ──► due(…, last word of the host] ─┐
//	                       due(last word, now] ─► pending │ difference
//	records ─► ran, skipped, missed, unknown, open ───────┘
//
// An occurrence is due once however often it is attempted, and its outcome is
// that of its last attempt; the attempts before it are told apart.
//
// Proof does the same instant by instant, and names what is wrong.
package account
