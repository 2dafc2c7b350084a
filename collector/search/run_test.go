package search

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
)

// TestUnderUpdates asks from several goroutines while hosts change and Run
// follows; the race detector watches. At rest the answer is the plain one.
func TestUnderUpdates(t *testing.T) {
	f := newFleet()
	x := New(f)
	ctx, cancel := context.WithCancel(t.Context())
	var running, asking sync.WaitGroup
	running.Go(func() {
		if err := x.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for worker := range uint64(3) {
		asking.Go(func() {
			random := rand.New(rand.NewPCG(worker, 2))
			for range 150 {
				if worker == 0 {
					x.mark(changeHost(f, random))
					continue
				}
				q := randomQuery(random)
				if _, err := x.Query(everywhere, q); err != nil {
					t.Error(err)
				}
				if _, err := x.Groups(everywhere, q); err != nil {
					t.Error(err)
				}
			}
		})
	}
	asking.Wait()
	cancel()
	running.Wait()
	q := api.JobQuery{Page: api.Page{Limit: 3}}
	if got, want := len(walk(t, x, q)), len(naive(f, q)); got != want {
		t.Errorf("%d jobs at rest, want %d", got, want)
	}
}

// TestCompact lets most texts go and looks whether the rest is still found.
func TestCompact(t *testing.T) {
	f := newFleet()
	x := New(f)
	random := rand.New(rand.NewPCG(7, 7))
	for round := range 300 {
		id := changeHost(f, random)
		for i := range f.jobs[id] {
			f.jobs[id][i].Command += " " + string(rune('a'+round%26)) + string(rune('a'+round/26))
		}
		x.mark(id)
		if _, err := x.Query(everywhere, api.JobQuery{}); err != nil {
			t.Fatal(err)
		}
	}
	// A thousand dead texts are kept without harm, more are not.
	if n := len(x.words.commands.texts); n > 1200 {
		t.Errorf("%d commands are kept, of %d jobs", n, len(naive(f, api.JobQuery{})))
	}
	q := api.JobQuery{Text: "ack", Page: api.Page{Limit: 1000}}
	if got, want := len(walk(t, x, q)), len(naive(f, q)); got != want {
		t.Errorf("%d found, want %d", got, want)
	}
}
