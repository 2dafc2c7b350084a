package replica

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fleetcron/fleetcron/collector/ledger"
)

// leadership is whether this member leads now, as a context that ends with it.
type leadership struct {
	mu      sync.Mutex
	term    context.Context // nil: it does not lead, or has not caught up yet
	end     context.CancelFunc
	changed chan struct{} // closed when term changes
}

// begin opens a term that ends with ctx, or when the next one is set.
func (l *leadership) begin(ctx context.Context) { l.set(context.WithCancel(ctx)) }

// over closes the term.
func (l *leadership) over() {
	var none context.Context
	l.set(none, nil)
}

func (l *leadership) set(term context.Context, end context.CancelFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end != nil {
		l.end()
	}
	l.term, l.end = term, end
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *leadership) now() (term context.Context, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.changed
}

// watchLeadership follows raft until Close. Leadership counts from when
// everything that earlier leaders committed is applied here and the cluster
// has its id.
func (r *Replica) watchLeadership() {
	defer r.lead.over()
	for {
		select {
		case leads := <-r.raft.LeaderCh():
			r.lead.over()
			if leads {
				r.ascend()
			} else {
				r.log.Info("leadership ended", "collector", r.id)
			}
		case <-r.ctx.Done():
			return
		}
	}
}

// mintPause is between two attempts to give a new cluster its id.
const mintPause = 100 * time.Millisecond

func (r *Replica) ascend() {
	if err := r.wait(r.ctx, r.raft.Barrier(0)); err != nil {
		return // it leads no longer, and the next word of raft says so
	}
	for {
		err := r.name()
		if err == nil {
			break
		}
		if r.raft.State() != raft.Leader {
			return
		}
		r.log.Warn("cluster not named yet", "error", err)
		select {
		case <-time.After(mintPause):
		case <-r.ctx.Done():
			return
		}
	}
	r.log.Info("leadership begins", "collector", r.id, "term", r.raft.CurrentTerm())
	r.lead.begin(r.ctx)
}

// name writes the cluster's id into the first entry of its ledger, where it is
// not there yet.
func (r *Replica) name() error {
	if _, found, err := r.ledger.Cluster(); err != nil || found {
		return err
	}
	command := &ledger.InitCluster{ID: r.identity.cluster, At: time.Now().UTC()}
	data, err := ledger.Encode(command)
	if err != nil {
		return fmt.Errorf("name the cluster: %w", err)
	}
	if _, err := r.propose(r.ctx, data); err != nil {
		return err
	}
	r.log.Info("cluster named", "cluster", command.ID)
	return nil
}

// WhileLeading runs fn whenever this member leads and all earlier commands
// are applied here, with a context that ends as soon as it leads no longer. It
// waits for fn to return before it runs it again. It returns nil when ctx ends
// or the replica is closed, and fn's error when fn fails while leading.
func (r *Replica) WhileLeading(ctx context.Context, fn func(ctx context.Context) error) error {
	for {
		term, changed := r.lead.now()
		if term != nil && term.Err() == nil {
			if err := during(ctx, term, fn); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		case <-r.ctx.Done():
			return nil
		}
	}
}

// during runs fn until ctx or the term ends; an error after that is not one.
func during(ctx, term context.Context, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(term, cancel)()
	if err := fn(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Verify returns nil when this member leads at this moment and every command
// that was acknowledged before the call is applied here: then a read is as
// fresh as can be.
func (r *Replica) Verify(ctx context.Context) error {
	if term, _ := r.lead.now(); term == nil || term.Err() != nil {
		return r.notLeader()
	}
	if err := r.wait(ctx, r.raft.VerifyLeader()); err != nil {
		return r.notLeader()
	}
	return nil
}
