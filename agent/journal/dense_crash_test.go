package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// images keeps what an agent that is killed at that moment leaves on disk.
type images struct {
	t    *testing.T
	dir  string
	mu   sync.Mutex
	kept []image
}

type image struct {
	when, dir    string
	acknowledged uint64
}

func (i *images) take(when string, acknowledged uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	to := filepath.Join(i.t.TempDir(), fmt.Sprint(len(i.kept)))
	if err := os.CopyFS(to, os.DirFS(i.dir)); err != nil {
		i.t.Error(err)
	}
	i.kept = append(i.kept, image{when, to, acknowledged})
}

// TestAKillWhileSegmentsAreMadeDense looks at the disk between any two steps of
// it, while a collector acknowledges some of it in their midst.
func TestAKillWhileSegmentsAreMadeDense(t *testing.T) {
	for _, acknowledges := range []bool{false, true} {
		shots := &images{t: t, dir: t.TempDir()}
		var j *Journal
		var first segment // of those that are left
		known := make(chan struct{})
		options := brief(Options{})
		options.place = func(path string, content []byte) error {
			<-known
			shots.take("before "+filepath.Base(path), j.Stats().Acknowledged)
			if err := os.WriteFile(filepath.Join(shots.dir, freshName+denseSuffix), content[:len(content)/2], 0o600); err != nil {
				return err
			}
			shots.take("in the midst of "+filepath.Base(path), j.Stats().Acknowledged)
			err := placeDense(path, content)
			shots.take("after "+filepath.Base(path), j.Stats().Acknowledged)
			j.mu.Lock()
			first = j.segments[0]
			j.mu.Unlock()
			if acknowledges {
				j.Acknowledge(first.lastRun)
				shots.take("acknowledged meanwhile, "+filepath.Base(path), j.Stats().Acknowledged)
			}
			return err
		}
		j = open(t, shots.dir, options)
		last, sequence := map[fleet.RunID]fleet.RunState{}, map[fleet.RunID]uint64{}
		for n := range 8 {
			for _, r := range life(n, true) {
				put(t, j, r)
				last[r.ID], sequence[r.ID] = r.State, j.Stats().Newest
			}
			if err := j.Remember(t.Context(), "default/backup", []byte(fmt.Sprint("memo ", n))); err != nil {
				t.Fatal(err)
			}
			if err := j.rotate(false); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Did(t.Context(), "stop-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		next := j.Stats().Newest
		close(known)
		settled(t, j)
		shots.take("in the end", j.Stats().Acknowledged)
		if len(shots.kept) < 10 {
			t.Fatalf("%d images only", len(shots.kept))
		}
		for _, image := range shots.kept {
			checkImage(t, image, last, sequence, next)
		}
	}
}

func checkImage(t *testing.T, image image, last map[fleet.RunID]fleet.RunState, sequence map[fleet.RunID]uint64, newest uint64) {
	t.Helper()
	j := open(t, image.dir, brief(Options{}))
	defer j.Close()
	settled(t, j)
	heard := map[fleet.RunID]fleet.RunState{}
	for _, r := range outbox(t, j, image.acknowledged) {
		heard[r.Run.ID] = r.Run.State
		if r.Sequence > newest {
			t.Errorf("%s: sequence %d after %d", image.when, r.Sequence, newest)
		}
	}
	want := map[fleet.RunID]fleet.RunState{}
	for id, state := range last {
		if sequence[id] > image.acknowledged {
			want[id] = state
		}
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("%s, acknowledged up to %d: %s", image.when, image.acknowledged, diff)
	}
	if got := string(j.Recall("default/backup")); got != "memo 7" || !j.OrderDecided("stop-1") || len(j.OpenRuns()) != 0 {
		t.Errorf("%s: recalled %q, %d open", image.when, got, len(j.OpenRuns()))
	}
	if stats := j.Stats(); stats.Damaged+stats.Torn != 0 || stats.Newest != newest {
		t.Errorf("%s: %+v, the newest was %d", image.when, stats, newest)
	}
	before := j.Stats().Newest
	put(t, j, run(5000, fleet.RunBegun))
	if after := j.Stats().Newest; after <= before {
		t.Errorf("%s: the next record is %d after %d", image.when, after, before)
	}
}
