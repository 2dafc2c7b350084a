// Package vitals finds out how runs that go on are doing, and says so when one of them ought to be stopped.
//
// It learns that in three ways. What a run and all that it started use is read
// from /proc every ten seconds. What supervised commands answer is asked for by
// probes. And what a command says about itself it writes into a descriptor that
// it is born with, one note a line (see [Note]).
//
// The judgement is a pure step(event, now) → actions, in state.go; Vitals is the
// shell around it that asks, reads and tells. It stops nothing itself: whoever
// is told that a run is condemned does. DESIGN.md has the protocol and the whys.
package vitals
