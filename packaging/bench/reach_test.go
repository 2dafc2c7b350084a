package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/agent/journal"
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/author"
)

const (
	listeners = 25 // agents that wait for a newer plan
	changes   = 40
)

// BenchmarkReach changes how often a task is tried again, and waits until every
// agent has it on its disk: at most 50 ms. The agents are those of one collector,
// and all but their way to the plan is left out; put_ms is what the collector
// takes to accept the change, which is a part of it.
func BenchmarkReach(b *testing.B) {
	dir := b.TempDir()
	h := open(b, b.TempDir())
	defer h.stop()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	arrived := make(chan int, listeners*changes) // the count that an agent has
	var agents sync.WaitGroup
	defer agents.Wait()
	defer cancel()
	for n := range listeners {
		if err := h.client.Register(ctx, hostOf(n)); err != nil {
			b.Fatal(err)
		}
		book, err := journal.Open(filepath.Join(dir, fmt.Sprint(n)), journal.Options{})
		if err != nil {
			b.Fatal(err)
		}
		agents.Go(func() {
			defer book.Close()
			if err := h.listen(ctx, n, book, arrived); err != nil && ctx.Err() == nil {
				b.Error(err)
				cancel()
			}
		})
	}
	by := h.author(b)
	change := func(attempts int) (accepted, everywhere float64) {
		began := time.Now()
		text := fmt.Sprintf("task: tuned\non: {cron: '0 2 * * *'}\nrun: {command: [/bin/true]}\nwhere: {labels: '*'}\nretry: {attempts: %d}\n", attempts)
		if _, err := by.Task(ctx, []byte(text), api.MediaYAML, "", author.Options{}); err != nil {
			b.Fatal(err)
		}
		accepted = milliseconds(began)
		for have := 0; have < listeners; {
			select {
			case got := <-arrived:
				if got == attempts {
					have++
				}
			case <-ctx.Done():
				b.Fatal("an agent gave up")
			}
		}
		return accepted, milliseconds(began)
	}
	change(2)
	var put, all []float64
	b.ResetTimer()
	for n := range changes {
		accepted, everywhere := change(3 + n%2)
		put, all = append(put, accepted), append(all, everywhere)
	}
	b.ReportMetric(median(put), "put_ms")
	b.ReportMetric(median(all), "everywhere_ms")
	load(b)
}

// listen asks for newer plans, as an agent does, and tells how often the task is
// tried in each.
func (h *house) listen(ctx context.Context, n int, book *journal.Journal, arrived chan<- int) error {
	var index uint64
	for ctx.Err() == nil {
		plan, err := h.client.Plan(ctx, hostID(n), index, time.Minute)
		if err != nil {
			return err
		}
		if plan.Index == index {
			continue
		}
		index = plan.Index
		if err := book.SavePlan(&plan); err != nil {
			return err
		}
		for i := range plan.Assignments {
			arrived <- plan.Assignments[i].Task.Retry.Attempts
		}
	}
	return errors.New("it was told to end")
}

func milliseconds(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }
