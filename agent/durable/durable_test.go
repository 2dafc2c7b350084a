package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceAndOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, step := range []struct {
		name string
		do   func(string, []byte) error
		say  string
		want string
	}{
		{"once where there is none", Once, "first", "first"},
		{"once where there is one", Once, "second", "first"},
		{"replace", Replace, "third", "third"},
		{"once after it", Once, "fourth", "third"},
	} {
		if err := step.do(path, []byte(step.say)); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != step.want {
			t.Errorf("%s: %q, %v, want %q", step.name, got, err, step.want)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if err := Replace(filepath.Join(t.TempDir(), "no", "where"), nil); err == nil {
		t.Error("a file was made in a directory that is not there")
	}
}
