package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// followUp decides whether another attempt follows the run that is about to be
// settled, and has it on disk before the run's own outcome is. That record
// holds the outcome as well: it is what decides. An agent that dies between
// the two leaves both to the next one, which reads them by Before.
func (r *Runner) followUp(c *companion) {
	run := &c.run
	if run.Again != nil { // it was decided before, and this only says so again
		return
	}
	asked := *run
	if asked.Ended == nil { // it never was a process
		now := time.Now().UTC()
		asked.Ended = &now
	}
	at, again := c.handle.Retry.Again(&asked, c.handle.First)
	if !again {
		exhaust(run, &c.handle)
		return
	}
	run.Again = &at
	next := run.NextAttempt()
	next.Detail = fmt.Sprintf("attempt %d of %d, after one that %s", next.Attempt, c.handle.Retry.Attempts, ended(run))
	decided := handle{Boot: c.handle.Boot, Retry: c.handle.Retry, First: c.handle.First, Before: run, Facts: c.handle.Facts}
	if err := r.config.Recorder.Record(context.Background(), next, decided.encode()); err != nil {
		run.Again = nil
		addDetail(run, "not attempted again, because that could not be written to disk: "+err.Error())
	}
}

// exhaust says of a run that would be attempted again why it is not.
func exhaust(run *fleet.Run, h *handle) {
	endless := h.Retry
	endless.Attempts, endless.Budget = run.Attempt+1, 0
	if _, fails := endless.Again(run, h.First); !fails || h.Retry.Attempts <= 1 {
		return
	}
	if run.State == fleet.RunRan && run.Reason == "" {
		run.Reason = fleet.RanExhausted
	}
	why := fmt.Sprintf("attempt %d of %d", run.Attempt, h.Retry.Attempts)
	if run.Attempt < h.Retry.Attempts {
		why += fmt.Sprintf(", and another would begin more than %s after the first", h.Retry.Budget)
	}
	addDetail(run, why)
}

// addDetail adds to what is said about a run.
func addDetail(run *fleet.Run, more string) {
	if run.Detail != "" {
		more = run.Detail + "; " + more
	}
	run.Detail = validTail([]byte(more), maxDetail)
}

// maxDetail is how long the sentence of a run may be, in bytes.
const maxDetail = 1024

// ended says in a few words how an attempt went.
func ended(run *fleet.Run) string {
	switch {
	case run.TimedOut:
		return "took too long"
	case run.Reason != "":
		return "failed: " + string(run.Reason)
	case run.Signal != "":
		return "ended by " + run.Signal
	case run.Exit != nil:
		return fmt.Sprintf("ended with exit code %d", *run.Exit)
	}
	return "failed"
}

// Before returns what the handle of a run that is pending for another attempt
// says: when the first attempt began, and how the one before ended. That one's
// outcome was decided when this was recorded: should the run of that id be open
// still, Attach is given this and not what stands in the journal. It is false
// when the handle is none of such a run.
func Before(handle []byte) (before fleet.Run, first time.Time, is bool) {
	h, err := decodeHandle(handle)
	if err != nil || h.Before == nil {
		return fleet.Run{}, time.Time{}, false
	}
	return *h.Before, h.First, true
}

// First returns when the first attempt of a run's occurrence began, as the handle
// of a later attempt says; zero: it does not.
func First(handle []byte) time.Time {
	h, err := decodeHandle(handle)
	if err != nil {
		return time.Time{}
	}
	return h.First
}

// Facts returns what the handle of a run with a retry policy says that its command
// is told; a later attempt is to be told the same.
func Facts(handle []byte) []Fact {
	h, err := decodeHandle(handle)
	if err != nil {
		return nil
	}
	return h.Facts
}
