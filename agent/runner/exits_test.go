package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func exitsAt(t *testing.T, path string) *exits {
	t.Helper()
	e, err := openExits(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close() })
	return e
}

func TestExitsOutliveTheAgentAndATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), exitsName)
	e := exitsAt(t, path)
	for _, step := range []struct{ task, status string }{{"a/b", "1"}, {"a/c", "0"}, {"a/b", "137"}, {"a/d", "2"}, {"a/d", noExit}} {
		if err := e.set(fleet.TaskID(step.task), step.status); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text)+"9 a/", 0o600) // the disk was full
	again := exitsAt(t, path)
	if err := again.set("a/e", "3"); err != nil {
		t.Fatal(err)
	}
	last := exitsAt(t, path)
	want := map[fleet.TaskID]string{"a/b": "137", "a/c": "0", "a/d": "", "a/e": "3", "a/": ""}
	for task, status := range want {
		if got := last.of(task); got != status {
			t.Errorf("%s: %q, want %q", task, got, status)
		}
	}
}

func TestExitsTakeNoMoreRoomThanTheyNeed(t *testing.T) {
	path := filepath.Join(t.TempDir(), exitsName)
	e := exitsAt(t, path)
	for n := range 3 * spareLines {
		if err := e.set(fleet.TaskID(fmt.Sprint("a/", n%3)), fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") > spareLines+10 {
		t.Errorf("%d lines, %v", strings.Count(string(text), "\n"), err)
	}
	for n := range 3 {
		want := fmt.Sprint(3*spareLines - 3 + n)
		if got := exitsAt(t, path).of(fleet.TaskID(fmt.Sprint("a/", n))); got != want {
			t.Errorf("task %d: %q, want %q", n, got, want)
		}
	}
}
