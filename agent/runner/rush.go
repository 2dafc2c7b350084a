package runner

import (
	"sync"
	"time"
)

const (
	// crowded is from how many starts under way on there is a rush.
	crowded = 32
	// patience is how long a rush lasts, however many come after: what waits for its
	// end is told then.
	patience = 2 * time.Second
	// settling is how long after the last start a rush lasts: who was started then
	// has not begun before those of before have had their turn.
	settling = 100 * time.Millisecond
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
		ended := make(chan struct{})
		q.ended = ended
		time.AfterFunc(patience, func() { q.end(ended) })
	}
}

// end ends a rush, unless it is over.
func (q *rush) end(one chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended == one {
		close(one)
		q.ended = nil
	}
}

func (q *rush) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.starting--
	if q.starting > 0 || q.ended == nil {
		return
	}
	ended := q.ended
	time.AfterFunc(settling, func() {
		if q.calm() {
			q.end(ended)
		}
	})
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

// wait returns when the rush is over, or stop is closed.
func (q *rush) wait(stop <-chan struct{}) {
	if over := q.over(); over != nil {
		select {
		case <-over:
		case <-stop:
		}
	}
}

// alone reports whether no more than one start is under way.
func (q *rush) alone() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.starting <= 1
}
