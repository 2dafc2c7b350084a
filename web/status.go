package web

import (
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// status is a state as a page shows it: always an icon and a word, never a
// colour alone.
type status struct {
	Icon string // of assets/icons.svg
	Word string
	Tone string // ok, bad, warn, live or idle
}

var presences = map[fleet.Presence]status{
	fleet.Alive:  {"alive", "alive", "ok"},
	fleet.Silent: {"silent", "silent", "warn"},
	fleet.Left:   {"left", "left", "idle"},
}

var taskStates = map[fleet.TaskState]status{
	fleet.TaskEnabled: {"ok", "enabled", "ok"},
	fleet.TaskPaused:  {"paused", "paused", "warn"},
	fleet.TaskRetired: {"left", "retired", "idle"},
}

// runStates holds the states that need no further word.
var runStates = map[fleet.RunState]status{
	fleet.RunPending: {"pending", "waiting", "idle"},
	fleet.RunBegun:   {"running", "starting", "live"},
	fleet.RunRunning: {"running", "running", "live"},
	fleet.RunSkipped: {"skipped", "skipped", "idle"},
	fleet.RunMissed:  {"missed", "missed", "warn"},
	fleet.RunUnknown: {"unknown", "unknown", "warn"},
}

func presenceStatus(p fleet.Presence) status { return orUnknown(presences, p) }

func taskStatus(s fleet.TaskState) status { return orUnknown(taskStates, s) }

// orUnknown shows a state this version has no picture for by its own name.
func orUnknown[K ~string](table map[K]status, key K) status {
	if known, ok := table[key]; ok {
		return known
	}
	word := string(key)
	if word == "" {
		word = "unknown"
	}
	return status{"unknown", word, "idle"}
}

// runStatus says what became of a run, with its reason.
func runStatus(r *fleet.Run) status {
	if r.State != fleet.RunRan {
		s := orUnknown(runStates, r.State)
		if r.Reason != "" {
			s.Word += ": " + strings.ReplaceAll(string(r.Reason), "_", " ")
		}
		return s
	}
	switch {
	case r.Succeeded():
		return status{"ok", "succeeded", "ok"}
	case r.TimedOut:
		return status{"bad", "timed out", "bad"}
	case r.Cancelled:
		return status{"stopped", "cancelled", "warn"}
	case r.Signal != "":
		return status{"bad", "killed by " + r.Signal, "bad"}
	case r.Exit != nil:
		return status{"bad", "exit " + number(*r.Exit), "bad"}
	}
	return status{"bad", "failed", "bad"}
}

// verdictStatus says whether the host's own scheduler runs a found job.
func verdictStatus(job *fleet.Job) status {
	switch {
	case !job.Verdict.Runs:
		return status{"bad", "will not run", "bad"}
	case !job.Enabled:
		return status{"paused", "disabled", "idle"}
	}
	return status{"ok", "runs", "ok"}
}
