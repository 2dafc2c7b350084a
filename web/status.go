package web

import (
	"maps"
	"slices"
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
	if s, known := endings[r.Reason]; known && r.Again == nil {
		return s
	}
	if r.Attempted() {
		s := endStatus(r)
		return status{"pending", s.Word + ", attempted again", "warn"}
	}
	return endStatus(r)
}

// endings are the reasons that say more than how the process ended.
var endings = map[fleet.Reason]status{
	fleet.RanUnhealthy: {"bad", "stopped: unhealthy", "bad"},
	fleet.RanStalled:   {"bad", "stopped: stalled", "bad"},
	fleet.RanUsage:     {"bad", "stopped: used too much", "bad"},
	fleet.RanMemory:    {"bad", "killed: out of memory", "bad"},
}

// endStatus says how the process of a run ended.
func endStatus(r *fleet.Run) status {
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

var phases = map[fleet.Phase]status{
	fleet.PhaseWaiting:   {"pending", "waiting", "idle"},
	fleet.PhaseRunning:   {"running", "running", "live"},
	fleet.PhaseStopping:  {"stopped", "stopping", "idle"},
	fleet.PhaseBackoff:   {"pending", "waits to start again", "warn"},
	fleet.PhaseCrashLoop: {"bad", "crash loop", "bad"},
	fleet.PhaseStopped:   {"stopped", "stopped", "idle"},
	fleet.PhaseDone:      {"ok", "done", "ok"},
}

var breakers = map[fleet.BreakerState]status{
	fleet.BreakerClosed:   {"ok", "closed", "ok"},
	fleet.BreakerOpen:     {"bad", "open", "bad"},
	fleet.BreakerHalfOpen: {"pending", "half-open", "warn"},
}

var healths = map[fleet.HealthState]status{
	fleet.Healthy:   {"ok", "healthy", "ok"},
	fleet.Unhealthy: {"bad", "unhealthy", "bad"},
}

func phaseStatus(p fleet.Phase) status          { return orUnknown(phases, p) }
func breakerStatus(b fleet.BreakerState) status { return orUnknown(breakers, b) }
func healthStatus(h fleet.HealthState) status   { return orUnknown(healths, h) }

// options lists the states of a table for a filter, after the one that does
// not narrow.
func options[K ~string](all string, table map[K]status) []option {
	list := []option{{"", all}}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		list = append(list, option{string(key), table[key].Word})
	}
	return list
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

var adoptionStates = map[fleet.AdoptionState]status{
	fleet.AdoptionWanted:    {"pending", "waiting for the host", "idle"},
	fleet.AdoptionAdopted:   {"ok", "adopted", "ok"},
	fleet.AdoptionRefused:   {"bad", "refused", "bad"},
	fleet.AdoptionReleasing: {"pending", "being released", "idle"},
	fleet.AdoptionReleased:  {"left", "released", "idle"},
	fleet.AdoptionStuck:     {"bad", "stuck", "bad"},
}

func adoptionStatus(s fleet.AdoptionState) status { return orUnknown(adoptionStates, s) }

// resultStatus is what the host says of a found job's last run.
func resultStatus(e *fleet.Evidence) status {
	switch {
	case e.Result == "success":
		return status{"ok", "succeeded", "ok"}
	case e.Result != "":
		return status{"bad", e.Result, "bad"}
	case e.Grade == fleet.GradeStamp:
		return status{"stamp", "stamp only", "idle"}
	case e.Grade == fleet.GradeEnded:
		return status{"seen", "end seen", "idle"}
	}
	return status{"seen", "start seen", "idle"}
}

// grades say how much a piece of evidence proves.
var grades = map[string]string{
	fleet.GradeStarted: "its start was seen; how it ended is not known",
	fleet.GradeEnded:   "its end was seen",
	fleet.GradeStamp:   "only a stamp that something leaves behind",
}

// gradeWord says what a grade of evidence proves.
func gradeWord(grade string) string {
	if word, known := grades[grade]; known {
		return word
	}
	return grade
}
