package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// readyVariable names the descriptor on which an agent in the background tells
// whoever started it how that went.
const readyVariable = "FLEETCRON_AGENT_READY_FD"

// word is what it tells.
type word struct {
	PID     int        `json:"pid,omitempty"` // it runs
	Kind    fleet.Kind `json:"kind,omitempty"`
	Problem string     `json:"problem,omitempty"`
	Hint    string     `json:"hint,omitempty"`
}

// daemonize starts this program once more, in a session of its own, and returns
// when that runs or has failed.
func daemonize(command *cobra.Command, logFile string) error {
	log, err := openLog(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	answer, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answer.Close()
	args, err := argsOf(command, os.Args[1:])
	if err != nil {
		return err
	}
	child := exec.Command("/proc/self/exe", args...)
	child.Args[0] = os.Args[0]
	child.Dir = "/"
	child.Stdin, child.Stdout, child.Stderr = null, log, log
	child.ExtraFiles = []*os.File{tell}
	child.Env = append(os.Environ(), readyVariable+"=3")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = child.Start()
	tell.Close()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	return heard(answer, child, logFile, command.OutOrStdout())
}

// heard waits for the word of an agent in the background.
func heard(answer io.Reader, child *exec.Cmd, logFile string, out io.Writer) error {
	var said word
	switch err := json.NewDecoder(answer).Decode(&said); {
	case err == nil && said.PID > 0:
		fmt.Fprintf(out, "fleetcron-agent: running in the background, pid %d\n", said.PID)
		return child.Process.Release()
	case err == nil:
		return &fleet.Error{Kind: said.Kind, Message: said.Problem, Hint: said.Hint}
	}
	err := child.Wait()
	failed := fleet.Errorf(fleet.Internal, "the agent ended before it had started: %v", err)
	if logFile == "" {
		return failed.WithHint("fleetcron-agent run --daemon --log-file FILE, or without --daemon")
	}
	return failed.WithHint("tail %s", logFile)
}

// openLog opens what an agent in the background writes to. Lines are only ever
// added, so a tool may copy and truncate it.
func openLog(path string) (*os.File, error) {
	if path == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("--log-file: %w", err)
	}
	return file, nil
}

// argsOf are the arguments of the agent in the background: those of this one, but
// for the flags that are done with, and with the configuration where it is
// wherever the agent works.
func argsOf(command *cobra.Command, args []string) ([]string, error) {
	args = slices.Clone(args)
	args = slices.DeleteFunc(args, func(arg string) bool { return arg == "--daemon" || strings.HasPrefix(arg, "--daemon=") })
	for i := 0; i < len(args); i++ {
		if args[i] == "--log-file" {
			args = slices.Delete(args, i, min(i+2, len(args)))
			i--
		} else if strings.HasPrefix(args[i], "--log-file=") {
			args = slices.Delete(args, i, i+1)
			i--
		}
	}
	if config := command.Flag("config"); config.Changed {
		path, err := filepath.Abs(config.Value.String())
		if err != nil {
			return nil, err
		}
		args = append(args, "--config", path)
	}
	return args, nil
}

// told tells whoever waits for this agent in the background how its start went,
// once; it returns the error.
func told(failed error) error {
	fd, err := strconv.Atoi(os.Getenv(readyVariable))
	if err != nil {
		return failed
	}
	os.Unsetenv(readyVariable)
	tell := os.NewFile(uintptr(fd), "ready")
	if tell == nil {
		return failed
	}
	defer tell.Close()
	said := word{PID: os.Getpid()}
	if failed != nil {
		said = word{Kind: fleet.KindOf(failed), Problem: failed.Error()}
		if e, is := errors.AsType[*fleet.Error](failed); is {
			said.Hint = e.Hint
		}
	}
	_ = json.NewEncoder(tell).Encode(said) // nobody waits any more
	return failed
}
