package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/agent/vitals"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// newNotify is for the commands of tasks: it needs no agent, no configuration
// and no right beyond the descriptor that each of them is born with.
func newNotify() *cobra.Command {
	command := &cobra.Command{
		Use:   "notify [TEXT...]",
		Short: "say from within a task's command that it lives, and how far it is",
		Long: `Writes a note about the run that it is called from. People see it at once
("fleetctl status"), a task with limits.stall lives by it, and a checkpoint is
given to the next attempt as FLEETCRON_CHECKPOINT.

Without options it is a heartbeat, with TEXT as what the command is doing.

A note is one line of at most 4096 bytes that is written into the descriptor
which FLEETCRON_NOTIFY_FD names: 3. So a shell needs no program for it:

  echo "HEARTBEAT copying db-3" >&3
  echo "PROGRESS 40 loading" >&3       # percent, 0-100
  echo "CHECKPOINT 1234567" >&3        # empty forgets it
  echo "READY" >&3                     # its probes count from now on

A line that is none of these is counted and shown, and does no harm. Whatever
the command starts inherits the descriptor, unless it closes it, as sudo does:
call it outside of sudo, or let sudoers have closefrom_override and SETENV and
use sudo --close-from=4 --preserve-env=FLEETCRON_NOTIFY_FD.`,
		Example: `  fleetcron-agent notify copying db-3
  fleetcron-agent notify --progress 40 loading
  fleetcron-agent notify --checkpoint "$offset" --progress 62.5
  fleetcron-agent notify --ready`,
		Args: cobra.ArbitraryArgs,
	}
	progress := command.Flags().String("progress", "", "percent that is done, 0-100")
	checkpoint := command.Flags().String("checkpoint", "", "where the next attempt could go on; empty: nowhere")
	ready := command.Flags().Bool("ready", false, "it is up: its probes count from now on")
	command.RunE = func(command *cobra.Command, args []string) error {
		notes, err := notesOf(command, *progress, *checkpoint, *ready, strings.Join(args, " "))
		if err != nil {
			return err
		}
		return sendNotes(notes)
	}
	return command
}

// notesOf makes the lines that the options ask for.
func notesOf(command *cobra.Command, progress, checkpoint string, ready bool, text string) (string, error) {
	if ready && progress != "" {
		return "", fleet.Errorf(fleet.Usage, "--ready and --progress are two notes: which of them is the text of?").
			WithHint("%s --ready; %[1]s --progress %s", command.CommandPath(), progress)
	}
	var lines strings.Builder
	add := func(field string, note vitals.Note) error {
		line, err := note.Line()
		if err != nil {
			return wrongFlag(field, note.Text, err.Error())
		}
		lines.WriteString(line)
		return nil
	}
	if command.Flags().Changed("checkpoint") {
		if err := add("--checkpoint", vitals.Note{Kind: vitals.Checkpoint, Text: checkpoint}); err != nil {
			return "", err
		}
		if text == "" && !ready && progress == "" {
			return lines.String(), nil
		}
	}
	const words = vitals.MaxNote - 64 // beside the word and the number before them
	note := vitals.Note{Kind: vitals.Heartbeat, Text: vitals.Printable(text, words)}
	switch {
	case ready:
		note.Kind = vitals.Ready
	case progress != "":
		read, err := vitals.ParseNote(string(vitals.Progress) + " " + progress)
		if err != nil || read.Text != "" {
			return "", wrongFlag("--progress", progress, "want percent, 0-100")
		}
		note.Kind, note.Percent = vitals.Progress, read.Percent
	}
	err := add("TEXT", note)
	return lines.String(), err
}

func wrongFlag(field, value, reason string) error {
	return &fleet.Error{Kind: fleet.Usage, Fields: []fleet.FieldError{{Field: field, Value: vitals.Printable(value, 80), Reason: reason}}}
}

// sendNotes writes all lines at once, so that nobody else's come in between.
func sendNotes(lines string) error {
	text := os.Getenv(vitals.NotifyVariable)
	if text == "" {
		return fleet.Errorf(fleet.Unavailable, "%s is not set: this is not called from within a task's command, or its environment was cleaned", vitals.NotifyVariable).
			WithHint("call this outside of sudo, or where sudoers has closefrom_override and SETENV: sudo --preserve-env=%s --close-from=4 …", vitals.NotifyVariable)
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 0 {
		return fleet.Errorf(fleet.Usage, "%s %q: want the number of a descriptor", vitals.NotifyVariable, text)
	}
	if err := takesNotes(fd); err != nil {
		return fleet.Errorf(fleet.Unavailable, "descriptor %d takes no notes: %v", fd, err).
			WithHint("something on the way here closed it, as sudo and daemons do: call this outside of it, or where sudoers has closefrom_override: sudo --close-from=%d …", fd+1)
	}
	for left := []byte(lines); len(left) > 0; {
		n, err := unix.Write(fd, left)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("write a note into descriptor %d: %w", fd, err)
		}
		left = left[n:]
	}
	return nil
}

// takesNotes tells the descriptor that an agent has opened for notes from what
// else may stand at its number by now, the Go runtime's own among it: it is a
// file, or somebody's pipe, and can be written.
func takesNotes(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if errors.Is(err, unix.EBADF) {
		return errors.New("it is closed")
	}
	var info unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &info)
	}
	if err != nil {
		return err
	}
	kind := info.Mode & unix.S_IFMT
	if kind != unix.S_IFREG && kind != unix.S_IFIFO || flags&unix.O_ACCMODE == unix.O_RDONLY {
		return errors.New("it is something else than what the agent opened")
	}
	return nil
}
