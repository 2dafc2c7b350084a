package httpd

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fleetcron/fleetcron/collector/ledger"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// waiting is the part of a query that makes it wait for news.
type waiting struct {
	Index uint64         `query:"index"`
	Wait  fleet.Duration `query:"wait"`
}

// maxTopics is how many topics one query may wait for.
const maxTopics = 5

// newer returns the index at which one of the topics last changed, and waits
// until that is after w.Index, w.Wait has passed, or the server closes. What
// is read afterwards is at least as new as the index. Index zero does not wait.
func (s *Server) newer(ctx context.Context, w waiting, topics ...ledger.Topic) (uint64, error) {
	var end <-chan time.Time
	for {
		index, changed := s.watch(topics)
		if w.Index == 0 {
			return note(ctx, index), nil
		}
		if index > w.Index {
			return note(ctx, index), s.still(ctx)
		}
		if end == nil {
			timer := time.NewTimer(w.limit())
			defer timer.Stop()
			end = timer.C
		}
		select {
		case <-changed[0]:
		case <-changed[1]:
		case <-changed[2]:
		case <-changed[3]:
		case <-changed[4]:
		case <-end:
			return note(ctx, index), s.still(ctx)
		case <-s.life.Done():
			return note(ctx, index), nil
		case <-ctx.Done():
			return 0, &fleet.Error{Kind: fleet.Unavailable, Message: "the wait was broken off", Err: ctx.Err()}
		}
	}
}

// watch returns the newest index of the topics and what closes with the next
// change of each. The index is at least 1, even in a ledger where nothing has
// happened: zero would not wait.
func (s *Server) watch(topics []ledger.Topic) (newest uint64, changed [maxTopics]<-chan struct{}) {
	newest = 1
	for i, topic := range topics {
		index, next := s.Ledger.Watch(topic)
		newest, changed[i] = max(newest, index), next
	}
	return newest, changed
}

// note remembers the index for the header of the answer.
func note(ctx context.Context, index uint64) uint64 {
	if ex := exchangeOf(ctx); ex != nil {
		ex.index = index
	}
	return index
}

// limit returns how long to wait, and up to a sixteenth more by chance: many
// who began together do not come back together.
func (w waiting) limit() time.Duration {
	limit := time.Duration(w.Wait)
	if limit == 0 {
		limit = api.DefaultWait
	}
	limit = min(limit, api.MaxWait)
	return limit + rand.N(limit/16+1)
}

// wait returns the part of a page that waits.
func wait(page api.Page) waiting { return waiting{page.Index, page.Wait} }
