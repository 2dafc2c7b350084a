package httpd

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// leaseIn asks for a place in the fleet.
type leaseIn struct {
	host    fleet.HostID
	request api.LeaseRequest
}

func parseLease() func(*request) (leaseIn, error) {
	decoder := newDecoder[api.LeaseRequest]()
	return func(r *request) (in leaseIn, err error) {
		if in.host, in.request, err = parseAgent(r, decoder); err != nil {
			return in, err
		}
		_, err = fleet.ParseTaskID(string(in.request.Task))
		return in, err
	}
}

// lease grants a place, and waits for one to come free. Who waits for places of
// the same task stands in line: a place that comes free is asked for once, and
// not by everybody.
func (s *Server) lease(ctx context.Context, in leaseIn) (fleet.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, min(max(0, time.Duration(in.request.Wait)), api.MaxWait)+answerTime/2)
	defer cancel()
	end := time.Now().Add(min(time.Duration(in.request.Wait), api.MaxWait))
	leave, err := s.turns.enter(ctx, in.request.Task, end)
	if err != nil {
		return fleet.Lease{}, err
	}
	defer leave()
	for {
		_, freed := s.Ledger.Watch(ledger.Leases(in.request.Task))
		result, err := s.Replica.Propose(ctx, &ledger.TakeLease{
			Task: in.request.Task, Run: in.request.Run, Host: in.host, At: time.Now().UTC(),
		})
		if err == nil {
			lease, ok := result.(fleet.Lease)
			if !ok {
				return lease, fleet.Errorf(fleet.Internal, "the ledger answered %T", result)
			}
			return lease, nil
		}
		e, refused := errors.AsType[*fleet.Error](err)
		if !refused || e.Code != api.CodeNoPlace || !s.awaits(ctx, freed, end) {
			return fleet.Lease{}, err
		}
	}
}

// leaseAgain is how often a place is asked for though none was given back: one
// of a host that was lost ends by itself.
const leaseAgain = 10 * time.Second

// awaits waits until it is worth asking again, and reports whether it is.
func (s *Server) awaits(ctx context.Context, freed <-chan struct{}, end time.Time) bool {
	left := time.Until(end)
	if left <= 0 {
		return false
	}
	timer := time.NewTimer(min(left, leaseAgain))
	defer timer.Stop()
	select {
	case <-freed:
		return true
	case <-timer.C:
		return true
	case <-s.life.Done():
	case <-ctx.Done():
	}
	return false
}

// returnIn gives a lease back.
type returnIn struct {
	host fleet.HostID
	task fleet.TaskID
	run  fleet.RunID
}

func parseReturnLease(r *request) (in returnIn, err error) {
	if in.host, err = r.agent(); err != nil {
		return in, err
	}
	if in.run, err = r.runID(); err != nil {
		return in, err
	}
	var q struct {
		Task string `query:"task"`
	}
	if err = r.query(&q); err != nil {
		return in, err
	}
	in.task, err = fleet.ParseTaskID(q.Task)
	return in, err
}

// returned answers that a lease is given back.
type returned struct {
	Index uint64 `json:"index"`
}

func (s *Server) returnLease(ctx context.Context, in returnIn) (returned, error) {
	_, err := s.Replica.Propose(ctx, &ledger.ReturnLease{Task: in.task, Run: in.run, Host: in.host})
	return returned{s.ledgerIndex()}, err
}

// turns lets one at a time ask for a place of a task. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	lines map[fleet.TaskID]*line
}

// line is who waits for a task's places.
type line struct {
	people int
	turn   chan struct{} // holds one while somebody has the turn
}

// enter waits for the turn until end, and returns what ends it.
func (t *turns) enter(ctx context.Context, task fleet.TaskID, end time.Time) (leave func(), err error) {
	l := t.join(task)
	leave = func() { <-l.turn; t.quit(task, l) }
	select {
	case l.turn <- struct{}{}:
		return leave, nil // nobody is before us: even who does not wait may ask
	default:
	}
	timer := time.NewTimer(max(0, time.Until(end)))
	defer timer.Stop()
	select {
	case l.turn <- struct{}{}:
		return leave, nil
	case <-timer.C:
		err = fleet.Errorf(fleet.Conflict, "others wait for a place of %s, too", task).WithCode(api.CodeNoPlace)
	case <-ctx.Done():
		err = &fleet.Error{Kind: fleet.Unavailable, Message: "the wait was broken off", Err: ctx.Err()}
	}
	t.quit(task, l)
	return nil, err
}

func (t *turns) join(task fleet.TaskID) *line {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[task]
	if l == nil {
		if t.lines == nil {
			t.lines = map[fleet.TaskID]*line{}
		}
		l = &line{turn: make(chan struct{}, 1)}
		t.lines[task] = l
	}
	l.people++
	return l
}

func (t *turns) quit(task fleet.TaskID, l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.people--; l.people == 0 {
		delete(t.lines, task)
	}
}
