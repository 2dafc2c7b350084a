// Package runner provides the carrying out of runs: a command becomes a
// process of its own, its end becomes an outcome, and the agent's death stops
// neither.
//
// One goroutine accompanies each run, along one line:
//
//	Record(begun) durable ─► start ─► Record(running) ─► wait ─► Record(ran)
//	      │                    │                          ├ timeout ─► TERM, grace, KILL
//	      ▼                    ▼                          └ cancel  ─┘
//	missed(journal_full)  missed(no_user, fork_failed)
//
// A process is known by boot id, pid and start time, never by its pid alone,
// and is waited for and signalled through a pidfd. Output goes straight from
// the process into files; what is beyond the quota is cut out of the middle
// while it runs. A new agent finds the processes of the old one by the handle
// that was recorded with the run.
//
// DESIGN.md holds the whys.
package runner
