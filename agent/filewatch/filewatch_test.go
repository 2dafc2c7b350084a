package filewatch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const host = fleet.HostID("00000000000000000000000000000001")

func none(fleet.OrderID) bool { return false }

// disk is a directory in memory.
type disk struct{ files map[string]stamp }

func (d *disk) look(string) (map[string]stamp, error) { return maps.Clone(d.files), nil }

func newWatcher(t *testing.T, path string, d *disk) *Watcher {
	t.Helper()
	w, err := Open(path, host, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.look = d.look
	return w
}

func payloads(w *Watcher) (all []string) {
	for _, order := range w.Orders(none) {
		all = append(all, order.Payload)
	}
	return all
}

var csv = []Watch{{"default/load", "/in/*.csv"}}

func TestAFileIsOrderedOnceItIsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{files: map[string]stamp{"/in/old.csv": {1, 1, 1}}}
		w := newWatcher(t, filepath.Join(t.TempDir(), "files.json"), d)
		w.Set(csv)
		events := make(chan fsnotify.Event)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.follow(ctx, events, func() {}) }()
		synctest.Wait()
		if got := payloads(w); got != nil {
			t.Fatalf("what was there before is news: %q", got)
		}
		for size := range int64(5) { // it grows for four seconds
			d.files["/in/a.csv"] = stamp{2, size, size}
			events <- fsnotify.Event{}
			for range 3 { // plans come meanwhile
				w.Set(csv)
				synctest.Wait()
			}
			time.Sleep(900 * time.Millisecond)
			synctest.Wait()
			if got := payloads(w); got != nil {
				t.Fatalf("ordered while it grew: %q", got)
			}
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"/in/a.csv\n"}, payloads(w)); diff != "" {
			t.Fatal(diff)
		}
		select {
		case <-w.Changed():
		default:
			t.Error("nobody is told of the order")
		}
		d.files["/in/old.csv"] = stamp{1, 1, 2} // no notice of it: a mount over the network
		time.Sleep(again + 2*quiet)
		synctest.Wait()
		if diff := cmp.Diff([]string{"/in/a.csv\n", "/in/old.csv\n"}, payloads(w)); diff != "" {
			t.Error(diff)
		}
		delete(d.files, "/in/a.csv")
		time.Sleep(again + 2*quiet)
		synctest.Wait()
		if got := payloads(w); len(got) != 2 {
			t.Errorf("a file that goes is news: %q", got)
		}
		cancel()
		<-done
	})
}

func TestWhatIsOrderedHasAnIdentity(t *testing.T) {
	d := &disk{files: map[string]stamp{}}
	path := filepath.Join(t.TempDir(), "files.json")
	w := newWatcher(t, path, d)
	w.Set(csv)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for n := range int64(3) {
		d.files["/in/a.csv"] = stamp{2, n, n}
		w.lookAll(now)
		w.lookAll(now.Add(quiet))
	}
	orders := w.Orders(none)
	if len(orders) != 3 || !orders[0].Due.Before(orders[1].Due) || !orders[1].Due.Before(orders[2].Due) {
		t.Fatalf("instants are not told apart: %+v", orders)
	}
	if again := newWatcher(t, path, d); cmp.Diff(orders, again.Orders(none)) != "" {
		t.Error(cmp.Diff(orders, again.Orders(none)))
	}
	left := w.Orders(func(id fleet.OrderID) bool { return id == orders[1].ID })
	if len(left) != 2 || left[1].ID != orders[2].ID {
		t.Errorf("left %+v", left)
	}
	w.Set(nil)
	w.Set(csv)
	w.lookAll(now)
	if w.lookAll(now); len(w.Orders(none)) != 2 {
		t.Error("a watch that begins again finds news in what is there")
	}
}

// TestEveryChangeIsOrderedOnce changes files at random, and ends the agent at
// random: each state of a file that stood still is told of exactly once.
func TestEveryChangeIsOrderedOnce(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1))
		d := &disk{files: map[string]stamp{}}
		path := filepath.Join(t.TempDir(), "files.json")
		w := newWatcher(t, path, d)
		w.Set(csv)
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		want, version := 0, int64(0)
		for range 200 {
			version++
			d.files[fmt.Sprintf("/in/%d.csv", random.IntN(3))] = stamp{1, version, version}
			want++
			if random.IntN(4) == 0 { // the agent is away while it changes
				w = newWatcher(t, path, d)
				w.Set(csv)
			}
			now = now.Add(time.Minute)
			w.lookAll(now)
			if random.IntN(4) == 0 { // and ends before it is still
				w = newWatcher(t, path, d)
				w.Set(csv)
				w.lookAll(now)
			}
			w.lookAll(now.Add(quiet))
			if random.IntN(4) == 0 {
				w = newWatcher(t, path, d)
				w.Set(csv)
			}
		}
		if got := len(w.Orders(none)); got != want {
			t.Errorf("seed %d: %d changes, %d orders", seed, want, got)
		}
	}
}

func TestRealFiles(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	w, err := Open(filepath.Join(dir, "files.json"), host, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.Set([]Watch{{"default/load", in + "/*.csv"}}) // the directory comes later
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for _, err := range []error{
		os.Mkdir(in, 0o755),
		os.Mkdir(filepath.Join(in, "dir.csv"), 0o755),
		os.WriteFile(filepath.Join(in, "other.txt"), nil, 0o644),
		os.WriteFile(filepath.Join(in, "a\nb.csv"), []byte("1"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Set([]Watch{{"default/load", in + "/*.csv"}, {"default/none", "/nowhere/x"}})
	<-w.Changed()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	got := payloads(w)
	if len(got) != 1 || !strings.Contains(got[0], `a\nb.csv"`) || strings.Count(got[0], "\n") != 1 {
		t.Errorf("%q", got)
	}
}

func TestADamagedStateIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "files.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	w, err := Open(path, host, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || len(w.Orders(none)) != 0 || !strings.Contains(log.String(), path) {
		t.Errorf("%v\n%s", err, log.String())
	}
	if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != "{" {
		t.Errorf("set aside: %q, %v", kept, err)
	}
}

func TestTheListOfFilesFits(t *testing.T) {
	var paths []string
	for n := range 2000 {
		paths = append(paths, fmt.Sprintf("/in/%050d.csv", n))
	}
	if got := payload(paths); len(got) > fleet.MaxPayload || !strings.HasSuffix(got, ".csv\n") {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"watched":{"a/b":{"pattern":"/x","seen":{"/x":{"inode":1}}},"a/c":null},"orders":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "files.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := Open(path, host, slog.New(slog.DiscardHandler))
		if err != nil {
			return
		}
		d := &disk{files: map[string]stamp{"/in/a.csv": {1, 1, 1}}}
		w.look = d.look
		w.Set(csv)
		w.lookAll(time.Now())
		w.lookAll(time.Now())
		w.Orders(none)
	})
}
