package work

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHostIDIsDrawnOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := hostID(dir)
	if err != nil || !first.Valid() {
		t.Fatalf("%q %v", first, err)
	}
	if again, err := hostID(dir); err != nil || again != first {
		t.Errorf("%q, was %q, %v", again, first, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "host-id"), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hostID(dir); err == nil || !strings.Contains(err.Error(), "32 hex digits") {
		t.Errorf("got %v", err)
	}
}

func TestBootTime(t *testing.T) {
	if bootTime().IsZero() {
		t.Error("the kernel says when it booted, and it was not read")
	}
}
