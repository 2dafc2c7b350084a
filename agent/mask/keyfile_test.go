package mask

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMaskKey: the first start draws a key that only its owner can read, later
// ones keep it, and one that others may know or that is damaged stops the agent.
func TestMaskKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), KeyFile)
	marked := func() string {
		t.Helper()
		masker, err := DrawKey(file)
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
		_, err := DrawKey(file)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := OpenKey(file); err == nil {
			t.Errorf("%s: a masker is read from it", c.name)
		}
	}
	os.Remove(file)
	if _, err := OpenKey(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where no agent has run: %v", err)
	}
}
