package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// smallDisk is a directory on a disk of its own that holds so many bytes.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("small", dir, "tmpfs", 0, fmt.Sprint("size=", bytes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk leaves no byte free in a directory, and returns what takes the place.
func fillDisk(t *testing.T, dir string) (filler string) {
	t.Helper()
	filler = filepath.Join(dir, "filler")
	file, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for {
		if _, err := file.Write(make([]byte, os.Getpagesize())); errors.Is(err, unix.ENOSPC) {
			return filler
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestABookOnAFullDisk notes how runs ended that began when the disk was not full
// yet, and that nothing more begins.
func TestABookOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, 1<<20)
	file, err := os.Create(filepath.Join(dir, "book"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := newBook(file)
	filler := fillDisk(t, dir)
	note := func(n int, over bool) error {
		s := status{Run: fleet.RunID(fmt.Sprint("run-", n)), Boot: "b", PID: 100 + n, Start: 7, Started: due}
		if over {
			s.Ended, s.Wait = due.Add(time.Second), 3<<8
		}
		return b.write(&s)
	}
	ended := func(n int) bool {
		s, is := findStatus(file.Name(), fleet.RunID(fmt.Sprint("run-", n)), &handle{Boot: "b"})
		return is && s.over() && s.Wait.ExitStatus() == 3
	}
	const most = reservedPlaces - 1 // the first place is that of the seal
	for n := range most {
		if err := errors.Join(note(n, false), note(n, true)); err != nil {
			t.Fatalf("run %d of %d: %v", n, most, err)
		}
	}
	if err := b.seal("b"); err != nil {
		t.Errorf("seal: %v", err)
	}
	if !ended(0) || !ended(most-1) {
		t.Error("how the runs ended is not in the book")
	}
	if err := note(most, false); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("one more run than there is room for: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for n := range 2 * reservedPlaces {
		if err := note(most+n, true); err != nil {
			t.Fatalf("when there is room again: %v", err)
		}
	}
	if b.reserved < b.places || !ended(most) {
		t.Errorf("%d places, room for %d", b.places, b.reserved)
	}
	if length, err := os.Stat(file.Name()); err != nil || length.Size() != b.places*slotBytes {
		t.Errorf("a book of %d places is %d bytes long, %v", b.places, length.Size(), err)
	}
}
