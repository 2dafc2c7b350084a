package work

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheFirstStartSinceTheBootIsKept(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	path := filepath.Join(dir, "boot.json")
	for _, step := range []struct {
		name    string
		prepare func()
		boot    string
		now     time.Time
		want    time.Time
	}{
		{"first start", nil, "one", noon, noon},
		{"restart", nil, "one", noon.Add(time.Hour), noon},
		{"restart after the clock was set back", nil, "one", noon.Add(-time.Hour), noon},
		{"after a reboot", nil, "two", noon.Add(2 * time.Hour), noon.Add(2 * time.Hour)},
		{"after a crash in the midst of writing", func() { write(t, path+".new", `{"boot_id":"thr`) }, "two", noon.Add(3 * time.Hour), noon.Add(2 * time.Hour)},
		{"rebooted after such a crash", nil, "three", noon.Add(4 * time.Hour), noon.Add(4 * time.Hour)},
		{"a damaged file", func() { write(t, path, "\x00\x00\x00") }, "three", noon.Add(5 * time.Hour), time.Time{}},
		{"after it was mended", nil, "three", noon.Add(6 * time.Hour), time.Time{}},
		{"nothing in it", func() { write(t, path, "{}") }, "three", noon.Add(7 * time.Hour), time.Time{}},
		{"rebooted after that", nil, "three and a half", noon.Add(7 * time.Hour), noon.Add(7 * time.Hour)},
		{"no boot id", nil, "", noon.Add(8 * time.Hour), time.Time{}},
		{"a disk that keeps nothing", func() { remove(t, path); mkdir(t, path) }, "four", noon.Add(9 * time.Hour), time.Time{}},
	} {
		if step.prepare != nil {
			step.prepare()
		}
		if got := bootSeen(dir, step.boot, step.now, log); !got.Equal(step.want) {
			t.Errorf("%s: seen at %s, want %s", step.name, got, step.want)
		}
	}
	if bootID() == "" {
		t.Error("no boot id on this host")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
