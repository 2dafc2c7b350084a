package turn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ready")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRoom(newPlaces(0))
	defer r.Close()
	r.units["up.service"] = true
	r.config.Ask = func(_ context.Context, _ *fleet.Task, kind, address string) error {
		switch {
		case address == "db:1", address == "http://db/":
			return nil
		case kind == "tcp":
			return fmt.Errorf("connect to %s: connection refused", address)
		}
		return fmt.Errorf("GET %s: answered 503", address)
	}
	r.checks = func(argv []string) (string, error) {
		if argv[0] == "false" {
			return "", errors.New("exit status 1")
		}
		return "fine", nil
	}
	for _, test := range []struct {
		want    fleet.WaitFor
		missing string // empty: nothing is
	}{
		{fleet.WaitFor{}, ""},
		{fleet.WaitFor{TCP: []string{"db:1"}, HTTP: []string{"http://db/"}}, ""},
		{fleet.WaitFor{TCP: []string{"db:1", "db:2"}}, "connect to db:2: connection refused"},
		{fleet.WaitFor{HTTP: []string{"http://db/", "http://db/x"}}, "GET http://db/x: answered 503"},
		{fleet.WaitFor{File: []string{file, dir, pipe}}, ""},
		{fleet.WaitFor{File: []string{file, file + "er"}}, "file " + file + "er: no such file or directory"},
		{fleet.WaitFor{Unit: []string{"up.service"}}, ""},
		{fleet.WaitFor{Unit: []string{"up.service", "down.service"}}, "unit down.service: is not active"},
		{fleet.WaitFor{Command: []string{"true"}}, ""},
		{fleet.WaitFor{Command: []string{"false", "-v"}}, "command false -v: exit status 1"},
	} {
		look := looker{turn: r.Turn, task: &fleet.Task{WaitFor: test.want}, hung: map[string]chan error{}}
		err := look.all(t.Context())
		if test.missing == "" && err != nil || test.missing != "" && (err == nil || !strings.Contains(err.Error(), test.missing)) {
			t.Errorf("%+v: %v, want %q", test.want, err, test.missing)
		}
	}
	r.config.Unit = nil
	look := looker{turn: r.Turn, task: &fleet.Task{WaitFor: fleet.WaitFor{Unit: []string{"up.service"}}}}
	if err := look.all(t.Context()); err == nil || !strings.Contains(err.Error(), "no systemd runs on this host") {
		t.Errorf("without systemd: %v", err)
	}
}

// TestAFileThatAnswersNobodyIsAskedOnce stands for a file system that is away.
func TestAFileThatAnswersNobodyIsAskedOnce(t *testing.T) {
	look := looker{hung: map[string]chan error{}}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	answer := make(chan error)
	look.hung["/mnt/x"] = answer
	if err := look.file(gone, "/mnt/x"); !errors.Is(err, context.Canceled) || look.hung["/mnt/x"] != answer {
		t.Errorf("%v, asked again", err)
	}
	go func() { answer <- nil }()
	if err := look.file(t.Context(), "/mnt/x"); err != nil || len(look.hung) != 0 {
		t.Errorf("the answer came: %v", err)
	}
}
