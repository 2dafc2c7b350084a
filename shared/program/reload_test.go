package program

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestReload shows that a signal or a changed file is a reason to load, and
// that what cannot be loaded leaves things as they are.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prog.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	load := func() (string, error) {
		text, err := os.ReadFile(file)
		if err == nil && strings.HasPrefix(string(text), "bad") {
			err = errors.New("line 1: bad")
		}
		return string(text), err
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		hangups, loaded := make(chan os.Signal, 1), make(chan string, 10)
		var said strings.Builder
		go reload(ctx, file, hangups, load, loaded, slog.New(slog.NewTextHandler(&said, nil)))
		for _, step := range []struct {
			name string
			do   func()
			want string
		}{
			{"nothing happens", func() {}, ""},
			{"a signal", func() { hangups <- syscall.SIGHUP }, "one"},
			{"the file changes", func() { write("two, longer") }, "two, longer"},
			{"it becomes wrong", func() { write("bad") }, ""},
			{"it goes", func() { _ = os.Remove(file) }, ""},
			{"it comes back", func() { write("four") }, "four"},
			{"nothing more", func() {}, ""},
		} {
			step.do()
			time.Sleep(3 * lookEvery)
			synctest.Wait()
			got := ""
			if len(loaded) > 0 {
				got = <-loaded
			}
			if got != step.want || len(loaded) > 0 {
				t.Errorf("%s: %q and %d more, want %q", step.name, got, len(loaded), step.want)
			}
		}
		cancel()
		synctest.Wait()
		if n := strings.Count(said.String(), "the old one stays"); n != 2 { // wrong, gone
			t.Errorf("it complained %d times:\n%s", n, &said)
		}
	})
}
