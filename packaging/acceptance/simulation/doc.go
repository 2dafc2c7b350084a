// Package simulation provides a day of a thousand agents in a minute, in one
// thread and from a seed, and its history for the checker.
//
//	heap of events ─► host ─► the real scheduler.State ─► actions
//	     ▲             │                                     │
//	     │             ├── disk: what is durable, and what a crash loses
//	     └─────────────┼── commands, their guardian, its book
//	                   └── outbox ─► collector, away now and then
//
// The decisions are made by the product's own pure core. Around it stand models
// of what is not pure: a disk that keeps a random part of what was on its way
// when the agent is killed, a runner and a guardian that survive each other as
// the real ones do, a wall clock that somebody sets, and a collector that counts
// what arrives again and again.
//
// Its tasks have every trigger that a clock, a start or the end of a run before
// makes due, and calendars; the windows of those are reckoned apart for the
// checker.
//
// Between its instant and its begin a run may wait, pending on disk, for what its
// task needs, for a place that some hosts share, and for one of the slots of its
// host: agent/turn and the grantor of leases as small as they can be. The places
// are checked over the histories of all hosts together. A daemon that answers no
// more is found out as agent/vitals does it, by bad answers in a row.
//
// The nemesis kills agents, guardians and hosts, stops agents, suspends hosts,
// sets clocks, fills disks, takes collectors away, makes starts fail, changes
// plans and gives orders. Each thing that is done is in the history, as a window
// by the clock of the host. The same seed gives the same day, always.
//
// A Mutant is a mistake in what stands around the core, as a product might make
// it. Simulation and checker together must find each of them.
package simulation
