package policy

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAccountsAreReadAnewWhenTheyAreOther, however soon after.
func TestAccountsAreReadAnewWhenTheyAreOther(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "passwd")
	write := func(name string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(name+":x:7:7::/:/bin/sh\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	a := accounts{dir: dir}.once()
	for i, step := range []struct {
		name string
		at   time.Time
	}{{"ann", old}, {"bob", old}, {"cat", time.Now()}, {"dan", time.Now()}} { // of one length, and of one time
		write(step.name, step.at)
		a = a.once()
		for range 3 {
			if _, there, err := a.byName(step.name); err != nil || !there {
				t.Errorf("step %d: %s is not there: %v", i, step.name, err)
			}
		}
	}
	write("ann", old)
	a = a.once()
	_, _, _ = a.byName("ann")
	if a = a.once(); len(a.read) != 1 {
		t.Error("a file that is as it was is read again")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, there, err := a.once().byName("ann"); err != nil || there {
		t.Errorf("she is still there: %v", err)
	}
}
