// Package adopt provides the silencing of one found job on its host, and its
// return to the byte, so that at every instant exactly one of the host's
// scheduler and ours runs it.
//
//	wish (plan) ──► ┌────────────────────────┐ ──► the file, the script, the timer
//	clock ────────► │ intent → change → word │ ──► Changed: what is armed is another
//	                └────────────────────────┘ ──► Unsettled: what collectors shall hear
//
// An intent with everything needed to go back is on disk before anything on the
// host changes. The change itself is one atomic step of the kernel, made
// between two due instants. What happened is then read off the host and not
// remembered, so that a crash at any point leaves one of two states, and the
// next agent knows which.
//
// DESIGN.md holds the whys.
package adopt
