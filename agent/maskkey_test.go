package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleetcron/fleetcron/agent/mask"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestMaskKey: the first start draws a key that only its owner can read, later
// ones keep it, and one that others may know or that is damaged stops the agent.
func TestMaskKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	file := filepath.Join(dir, maskKeyFile)
	marked := func() string {
		t.Helper()
		masker, err := newMasker(dir)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := masker.Text("x --password hunter2")
		return text
	}
	first := marked()
	if stat, err := os.Stat(file); err != nil || stat.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", stat.Mode(), err)
	}
	if again := marked(); again != first {
		t.Errorf("the second start marks %q, the first %q", again, first)
	}
	for _, c := range []struct {
		name, want string
		spoil      func() error
	}{
		{"mode", "it must be a file of mode 0600", func() error { return os.Chmod(file, 0o640) }},
		{"size", "it must hold a key of 64 hex digits", func() error { return os.WriteFile(file, []byte("abc\n"), 0o600) }},
		{"link", "it must be a file of mode 0600", func() error { return os.Symlink("host-id", file) }},
	} {
		os.Remove(file)
		if c.name == "mode" {
			marked()
		}
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		_, err := newMasker(dir)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := ReadMasker(dir); err == nil {
			t.Errorf("%s: a masker is read from it", c.name)
		}
	}
	if _, err := ReadMasker(t.TempDir()); err != nil {
		t.Errorf("where no agent has run: %v", err)
	}
}

// TestLastOutputIsMasked: it stays within what a record may hold, its end kept.
func TestLastOutputIsMasked(t *testing.T) {
	o := outbox{masker: mask.New(make([]byte, mask.KeySize))}
	line := "mysqldump: -phunter2 refused: mysqldump -phunter2 x\n"
	got := o.mask(strings.Repeat(line, maxTail/len(line)), maxTail)
	if strings.Contains(got, "hunter2") || len(got) > fleet.MaxTail || !strings.HasSuffix(got, " x\n") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := o.mask("exit 3", maxDetail); got != "exit 3" {
		t.Errorf("%q", got)
	}
}
