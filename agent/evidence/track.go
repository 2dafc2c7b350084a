package evidence

import (
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// track is what has been seen of one job.
type track struct {
	fleet.Evidence
	Open   []start   `json:"open,omitempty"` // starts whose end was not seen, oldest first
	Listed time.Time `json:"listed"`         // when a report last named the job
}

// start is one start of a job.
type start struct {
	At    time.Time `json:"at"`
	PID   int       `json:"pid,omitempty"`
	Child int       `json:"child,omitempty"`
}

const (
	maxOpen = 8
	// sameStart is how far apart two witnesses may put one start: one of them
	// may tell whole seconds only.
	sameStart = 2 * time.Second
	// nearPID is how much smaller the number of the process that waits for a
	// command may be than the command's own.
	nearPID = 64
)

// take takes in what a line says, and returns whether it was news.
func (t *track) take(e *event) bool {
	switch e.what {
	case started:
		return t.start(e)
	case ended:
		return t.end(e)
	default:
		return t.fail(e)
	}
}

func (t *track) start(e *event) bool {
	for i := range t.Open {
		if s := &t.Open[i]; s.PID == e.pid && s.At.Sub(e.at).Abs() <= sameStart {
			return false
		}
	}
	if e.at.Before(t.Last) || e.weak && len(t.Open) > 0 {
		return false // older than what is known, or the same again
	}
	t.Open = append(t.Open, start{e.at, e.pid, e.child})
	if len(t.Open) > maxOpen {
		t.Open = t.Open[1:]
	}
	t.Evidence = fleet.Evidence{Last: e.at, Grade: fleet.GradeStarted, From: e.from}
	return true
}

// end finds the start that an end belongs to. Which it is, is certain where
// the lines name one process; otherwise it is the only one there is. Where it
// stays open, the oldest start is no longer waited for.
func (t *track) end(e *event) bool {
	i := t.of(e)
	if i < 0 {
		if len(t.Open) > 1 {
			t.Open = t.Open[1:]
		}
		return false
	}
	at := t.Open[i].At
	t.Open = append(t.Open[:i:i], t.Open[i+1:]...)
	return t.close(at, e)
}

// of returns the index of the start that an end belongs to, or less than 0.
func (t *track) of(e *event) int {
	near, n := -1, 0
	for i, s := range t.Open {
		switch {
		case e.at.Before(s.At.Add(-sameStart)):
			continue
		case e.pid == s.PID && (e.child == 0 || s.Child == 0 || e.child == s.Child):
			return i
		case s.PID > e.pid && s.PID-e.pid <= nearPID:
			near, n = i, n+1
		}
	}
	switch {
	case n == 1:
		return near
	case len(t.Open) == 1 && !e.at.Before(t.Open[0].At.Add(-sameStart)):
		return 0
	}
	return -1
}

// fail notes how the command of a process ended.
func (t *track) fail(e *event) bool {
	for _, s := range t.Open {
		if s.runs(e.child) {
			return t.close(s.At, e)
		}
	}
	return false
}

// runs reports whether a process is the command of the start.
func (s *start) runs(child int) bool {
	if s.Child != 0 {
		return s.Child == child
	}
	return s.PID == child
}

// close notes the end of the start at an instant, if that is the newest.
func (t *track) close(at time.Time, e *event) bool {
	if !at.Equal(t.Last) {
		return false
	}
	end := e.at
	if end.Before(at) {
		end = at // the clock was set back, or one of the two knows no fractions
	}
	t.Grade, t.Ended = fleet.GradeEnded, &end
	if e.result != "" && (t.Result == "" || !e.weak) {
		t.Result = e.result
	}
	return true
}

// better returns which of two says more about a job's last run: the later one,
// or of the same run the one that knows its end.
func better(a, b *fleet.Evidence) *fleet.Evidence {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.Last.Sub(b.Last).Abs() <= sameStart && (a.Ended == nil && a.Result == "") != (b.Ended == nil && b.Result == ""):
		if a.Ended != nil || a.Result != "" {
			return a
		}
		return b
	case b.Last.After(a.Last):
		return b
	}
	return a
}
