// Package scheduler provides the when of given tasks: assignments go in, due
// runs come out, and every due instant ends as exactly one outcome.
//
//	plan ──► ┌────────────────────┐ ──► Begin   a run, now
//	ended ─► │ State.Step(now, …) │ ──► Settle  skipped or missed, with a reason
//	clock ─► └────────────────────┘ ──► Pass, Cancel, Wake
//
// State is pure: it reads no clock and starts nothing, so a day of a thousand
// tasks can be played in a moment. Scheduler is the thin shell around it: it
// feeds events, carries out the actions and sleeps until the next instant.
//
// What was decided is on disk, in order, before anything later of the same task
// is: an agent that comes back therefore knows for every instant it was away
// that nothing was begun.
//
// DESIGN.md holds the whys.
package scheduler
