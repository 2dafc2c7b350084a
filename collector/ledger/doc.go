// Package ledger keeps everything the collectors agreed on, in one file, so that every collector that applied the same entries holds the same bytes.
//
// A change is a Command. Encode makes it a raft entry, Apply carries it out:
// a function of the ledger and the command alone, because the proposer brings
// time, ids and chance along. Many entries share one transaction, and the
// index of the last one is written in it, so a restart repeats nothing.
// A refusal is a value that every collector computes alike; a disk that does
// not take the bytes is a *Fatal panic, because a collector that went on
// would differ from the others.
//
// Keys are ranges: a host's jobs, a task's runs and a host's orders each lie
// together, and a list is read by seeking, never by reading everything.
// Definitions (tasks, hosts) are few and are also held decoded in memory; what
// grows (jobs, runs) is read from the file, in short transactions that are
// closed before anyone waits for a network.
//
// DESIGN.md beside this file says why not otherwise.
package ledger
