package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestRestore(t *testing.T) {
	l := newLedger(t)
	manyRuns(t, l)
	l.must(testTask("a", "*"), testReport(1, testJob(1), testJob(2)))
	index, term := l.Applied()
	snapshot := snapshotOf(t, l.Ledger)
	wantTotals, wantDump := l.Totals(everywhere), dump(t, l.Ledger)
	l.must(testTask("b", "*"), testReport(1), &RegisterHost{Host: testHost(77), At: noon})

	var told []fleet.HostID
	l.OnHost(func(host fleet.HostID) { told = append(told, host) })
	_, changed := l.Watch(Tasks)
	if err := l.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("who watched was not woken")
	}
	if i, n := l.Applied(); i != index || n != term {
		t.Errorf("Applied() = %d, %d; want %d, %d", i, n, index, term)
	}
	if got := l.Totals(everywhere); got != wantTotals {
		t.Errorf("%+v, want %+v", got, wantTotals)
	}
	if len(told) != 4 || told[3] != hostID(77) {
		t.Errorf("the hook was called for %v, want the hosts that are and that were", told)
	}
	if diff := diffDumps(wantDump, dump(t, l.Ledger)); diff != "" {
		t.Error(diff)
	}
	l.next = index
	l.must(testTask("c", "*"))
	l.reopen()
	if _, err := l.Task(everywhere, "default/c"); err != nil {
		t.Errorf("after a restore and a restart: %v", err)
	}
	if _, err := os.Stat(l.beside()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was left beside: %v", err)
	}
}

func TestRestoreOfADamagedSnapshot(t *testing.T) {
	l := newLedger(t)
	manyRuns(t, l)
	good := snapshotOf(t, l.Ledger)
	before := dump(t, l.Ledger)
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	newer := append([]byte(snapshotMagic), itemBucket, 3, 'n', 'e', 'w')
	for name, data := range map[string][]byte{
		"empty": nil, "not one": []byte("PK\x03\x04 something else"), "cut short": good[:len(good)-1],
		"cut in half": good[:len(good)/2], "one bit": flipped, "a bucket of a newer one": newer,
		"a text without end":    append([]byte(snapshotMagic), itemBucket, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
		"a pair without bucket": append([]byte(snapshotMagic), itemPair, 1, 'k', 1, 'v'),
		"an item of no kind":    append([]byte(snapshotMagic), '?'),
	} {
		if err := l.Restore(bytes.NewReader(data)); err == nil {
			t.Errorf("%s was restored", name)
		}
		if diff := diffDumps(before, dump(t, l.Ledger)); diff != "" {
			t.Fatalf("%s changed the ledger: %s", name, diff)
		}
		if _, err := os.Stat(l.beside()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s left a file beside: %v", name, err)
		}
	}
	l.must(testTask("a", "*")) // it goes on
	if err := l.Restore(bytes.NewReader(good)); err != nil {
		t.Errorf("a good one after them: %v", err)
	}
}

// TestSnapshotWhileApplying holds a snapshot while entries are applied and
// readers read: it shows one instant, and nobody waits for another.
func TestSnapshotWhileApplying(t *testing.T) {
	l := newLedger(t)
	manyRuns(t, l)
	want := snapshotOf(t, l.Ledger)
	snapshot, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if snapshot.Index() != l.next {
		t.Errorf("the snapshot is of %d, want %d", snapshot.Index(), l.next)
	}
	pipe, out := io.Pipe()
	var wait sync.WaitGroup
	wait.Go(func() {
		_, err := snapshot.WriteTo(out)
		_ = out.CloseWithError(errors.Join(err, snapshot.Close())) // a nil error is io.EOF to the reader
	})
	wait.Go(func() {
		for range 50 {
			if _, err := l.Runs(everywhere, api.RunQuery{}); err != nil {
				t.Error(err)
			}
			l.Totals(everywhere)
		}
	})
	var got bytes.Buffer
	for n := range 50 {
		if _, err := io.CopyN(&got, pipe, 500); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		l.must(testTask(fmt.Sprintf("t%d", n), "*"), recordRun1(uint64(1000+n), testRun(1000+n, "default/t", fleet.RunRan)))
	}
	if _, err := got.ReadFrom(pipe); err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the snapshot changed while it was written")
	}
}

// TestRestoreWhileASnapshotIsHeld: raft writes snapshots in a goroutine of
// their own. The restore waits for it; the snapshot stays what it was.
func TestRestoreWhileASnapshotIsHeld(t *testing.T) {
	l := newLedger(t)
	l.must(testTask("a", "*"))
	old := snapshotOf(t, l.Ledger)
	l.must(testTask("b", "*"))
	want := snapshotOf(t, l.Ledger)
	held, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	restored := make(chan error)
	go func() { restored <- l.Restore(bytes.NewReader(old)) }()
	var got bytes.Buffer
	if _, err := held.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-restored; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) || !bytes.Equal(snapshotOf(t, l.Ledger), old) {
		t.Error("the snapshot or the restored ledger is another")
	}
}

func FuzzRestore(f *testing.F) {
	l := newLedger(f)
	l.must(&RegisterHost{Host: testHost(1), At: noon}, testTask("a", "*"))
	good := snapshotOf(f, l.Ledger)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add([]byte(snapshotMagic + "b\x04metap\x01a\x01be1234"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := snapshotOf(t, l.Ledger)
		err := l.Restore(bytes.NewReader(data))
		after := snapshotOf(t, l.Ledger)
		switch {
		case err != nil && !bytes.Equal(before, after):
			t.Error("a refused snapshot changed the ledger")
		case err == nil && !bytes.HasPrefix(data, []byte(snapshotMagic)):
			t.Error("something else was restored")
		}
	})
}
