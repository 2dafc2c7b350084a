// Package checker provides the verdict over a history: whether agents, in a
// while in which things were done to them, kept what fleetcron promises.
//
//	definitions, orders ─┐
//	what probes wrote ───┤
//	records, as they ────┼─► Check(history) ─► violations, each with evidence
//	  were delivered     │                     or: void, too little happened
//	account, samples ────┤
//	what was done to it ─┘
//
// A probe is a command that writes down by itself when it began and ended, to a
// place that the product knows nothing of. Everything else is compared with the
// probes, the definitions and the log of what was done to the fleet, and never
// only with what the product says about itself.
//
// The invariants have the numbers of the reliability notes: I1 to I9, I11, I13,
// I15, I16 and I17. Where a history has nothing that one of them needs, the
// verdict says so. I10 (no acknowledged write is lost), I12 (replicas are equal)
// and I14 (the inventory) speak of collectors and of scans, not of runs, and are
// tested where those are.
//
// The same checker judges simulations, goroutines on virtual time, and real
// processes. It is itself tested by spoiling good histories: each kind of damage
// must be found.
package checker
