package runner

import (
	"sync"
	"time"
)

const (
	// crowded is from how many starts under way on there is a rush.
	crowded = 32
	// patience is how long an end waits for a rush to be over.
	patience = 2 * time.Second
)

// rush lets what can wait wait while many runs are to start at once: each
// microsecond spent on those that have ended would make the others later. Its
// zero value is calm.
type rush struct {
	mu       sync.Mutex
	starting int
	ended    chan struct{} // closed when it is over; nil: there is none
}

func (q *rush) enter() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.starting++
	if q.starting >= crowded && q.ended == nil {
		q.ended = make(chan struct{})
	}
}

func (q *rush) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.starting--
	if q.starting == 0 && q.ended != nil {
		close(q.ended)
		q.ended = nil
	}
}

// over returns a channel that is closed when the rush is over; nil: there is
// none.
func (q *rush) over() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended
}

// calm reports whether nothing is starting.
func (q *rush) calm() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.starting == 0
}

// wait returns when the rush is over, or has gone on for long, or stop is
// closed.
func (q *rush) wait(stop <-chan struct{}) {
	over := q.over()
	if over == nil {
		return
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-over:
	case <-limit.C:
	case <-stop:
	}
}
