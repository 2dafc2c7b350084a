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
// The process is a child of the guardian, a second process of the agent that
// survives it:
//
//	agent ── orders, files ──► guardian ──► commands
//	  ▲ ◄── starts and ends ──┘   │
//	  └── (the next agent) ◄── book on disk
//
// A process is known by boot id, pid and start time, never by its pid alone,
// and is signalled through a pidfd. Output goes straight from the process into
// files; what is beyond the quota is cut out of the middle while it runs. A new
// agent finds the processes of the old one by the handle that was recorded with
// the run, and reads in the guardian's book how they ended.
//
// DESIGN.md holds the whys.
package runner
