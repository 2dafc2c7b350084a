package program

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

type config struct {
	Size int `yaml:"size" help:"how large"`
}

func (c *config) Validate() error {
	if c.Size < 0 {
		return fleet.Invalidf("size", "", "must not be negative")
	}
	return nil
}

// tree is a program with one command that prints its size or fails.
func tree() *cobra.Command {
	root := &cobra.Command{Use: "prog"}
	run := &cobra.Command{Use: "run", Args: cobra.NoArgs}
	load := Configure(run, "/nonexistent/prog.yaml", func() config { return config{Size: 7} })
	run.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err == nil && cfg.Size == 13 {
			err = errors.New("unlucky")
		}
		if err == nil {
			command.Println("size", cfg.Size)
		}
		return err
	}
	root.AddCommand(run)
	return Complete(root, Build{Version: "1.2.3", Commit: "abc"})
}

func TestExitCodesAndHints(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prog.yaml")
	if err := os.WriteFile(file, []byte("size: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"run", 0, "size 7"},
		{"run --config " + file, 0, "size 9"},
		{"run --config " + file + " --size 3", 0, "size 3"},
		{"run --size -1", 2, "prog: size: must not be negative"},
		{"run --size 13", 1, "prog: unlucky"},
		{"run --config /nonexistent/prog.yaml", 2, "no such file"},
		{"run --speed 9", 2, "hint: prog run --help"},
		{"run fast", 2, "hint: prog run --help"},
		{"version", 0, "prog 1.2.3 (abc, go"},
		{"version now", 2, "hint: prog version --help"},
		{"man " + t.TempDir(), 0, ""},
	} {
		var out bytes.Buffer
		root := tree()
		root.SetArgs(strings.Fields(test.args))
		root.SetOut(&out)
		root.SetErr(&out)
		if code := Main(root, &out); code != test.code || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: exit %d, want %d with %q:\n%s", test.args, code, test.code, test.says, out.String())
		}
	}
}
