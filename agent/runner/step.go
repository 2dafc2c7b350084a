package runner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptors that a step is born with, besides those of the command.
const (
	gateFD   = ownFiles     // it goes on when it reads a byte there
	reportFD = ownFiles + 1 // it writes there that it has come so far, and why it came no further
)

// resources are the limits of setrlimit(2) by their names.
var resources = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE,
	"nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rttime": unix.RLIMIT_RTTIME,
	"sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// rlimit is one limit, soft and hard.
type rlimit struct {
	Name  string
	Value uint64
}

// rlimitsOf lists limits in a fixed order.
func rlimitsOf(wanted map[string]uint64) []rlimit {
	limits := make([]rlimit, 0, len(wanted))
	for name, value := range wanted {
		limits = append(limits, rlimit{name, value})
	}
	slices.SortFunc(limits, func(a, b rlimit) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return limits
}

// Resource limits belong to a process and not to a thread, so none can inherit
// them from its parent alone. A step waits in the command's place, with the
// command's rights, until its parent has given them to it, and executes the
// command then.

// The words by which a step is told whether nofile is one of the limits.
const (
	keepFiles = "keep" // it is: what it was given stands
	giveFiles = "give" // it is not: the command gets what this program was born with
)

// stepWords is the argv of a step.
func (l *launch) stepWords() []string {
	files := giveFiles
	if slices.ContainsFunc(l.Rlimits, func(limit rlimit) bool { return limit.Name == "nofile" }) {
		files = keepFiles
	}
	dir := ""
	if l.Apart {
		dir = l.Dir
	}
	return append(append(slices.Clone(l.Step[1:]), files, dir, l.program()), l.Argv...)
}

// Step is the life of a step. The words are those after its own: how it is with
// the open files, the directory that it goes to, which is empty where it is there
// already, the program, and its argv. It says nothing on stderr, which
// is the command's, and returns only where it was not called by an agent.
func Step(words []string) error {
	unix.CloseOnExec(gateFD)
	unix.CloseOnExec(reportFD)
	if len(words) < 4 {
		return errors.New("step: this is a part of the agent, and nothing that a person calls")
	}
	_, _ = unix.Write(reportFD, []byte{1})
	if own, open := opened(); open {
		refused, errno := takeLimits(own)
		if refused == 0 {
			errno = enter(words[1])
		}
		if refused == 0 && errno == 0 {
			errno = execute(words[0] == keepFiles, words[2], words[3:])
		}
		_, _ = unix.Write(reportFD, binary.LittleEndian.AppendUint32([]byte{refused}, uint32(errno))) // unheard: there is nobody to tell
	}
	os.Exit(notExecuted)
	return nil
}

// notExecuted is the exit code of a step that did not become the command.
const notExecuted = 127

// ownLimit is how long a limit is in what opens the gate: which one, and its value.
const ownLimit = 1 + 8

// opened waits until the parent opens the gate, or gives up. It returns the
// limits that are left to the step.
func opened() (own []byte, open bool) {
	message := make([]byte, 1+len(resources)*ownLimit)
	for {
		n, err := unix.Read(gateFD, message) // written at once, and short enough to come at once
		if err != unix.EINTR {
			return message[1:max(1, n)], err == nil && n > 0
		}
	}
}

// takeLimits sets what the parent had no right to set on a process of another
// user. It returns which one the kernel refused, counted from one, and why.
func takeLimits(own []byte) (refused byte, errno syscall.Errno) {
	for i := 0; len(own) >= ownLimit; i, own = i+1, own[ownLimit:] {
		value := binary.LittleEndian.Uint64(own[1:])
		if err := unix.Prlimit(0, int(own[0]), &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			errno = syscall.EIO
			errors.As(err, &errno)
			return byte(i + 1), errno
		}
	}
	return 0, 0
}

// enter goes to a directory; empty: it is there.
func enter(dir string) (errno syscall.Errno) {
	if dir != "" {
		errors.As(os.Chdir(dir), &errno)
	}
	return errno
}

// execute takes the command's program on. The Go runtime raises the number of
// open files for itself, and its way to execute lowers it to what it was.
func execute(keep bool, program string, argv []string) syscall.Errno {
	var err error
	if keep {
		err = executeAsItIs(program, argv, os.Environ())
	} else {
		err = syscall.Exec(program, argv, os.Environ())
	}
	errno := syscall.EIO
	errors.As(err, &errno)
	return errno
}

// gate is the parent's side of a step.
type gate struct {
	open   *os.File
	report *os.File
}

// newGate returns a gate and the files that the step is born with.
func newGate() (g *gate, step []*os.File, err error) {
	gateR, gateW, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	reportR, reportW, err := os.Pipe()
	if err != nil {
		gateR.Close()
		gateW.Close()
		return nil, nil, err
	}
	return &gate{open: gateW, report: reportR}, []*os.File{gateR, reportW}, nil
}

func (g *gate) close() {
	g.open.Close()
	g.report.Close()
}

// pass gives the limits to the step, lets it go on, and returns when the
// command is executed or cannot be. What holds calls a function while the
// step's number is given to nobody else, unless the step is gone.
func (g *gate) pass(pid int, limits []rlimit, holds func(do func())) error {
	defer g.close()
	// While it is executed itself the kernel still changes its limits.
	if n, err := g.report.Read(make([]byte, 1)); n == 0 {
		return fmt.Errorf("what sets limits does not begin: %w", err)
	}
	var own []rlimit
	err := error(syscall.ESRCH)
	holds(func() { own, err = giveLimits(pid, limits) })
	if err != nil {
		return err
	}
	message := []byte{1}
	for _, limit := range own {
		message = binary.LittleEndian.AppendUint64(append(message, byte(resources[limit.Name])), limit.Value)
	}
	if _, err := g.open.Write(message); err != nil {
		return err
	}
	report := make([]byte, 1+4)
	if n, _ := g.report.Read(report); n == len(report) {
		errno := syscall.Errno(binary.LittleEndian.Uint32(report[1:]))
		if which := int(report[0]); 0 < which && which <= len(own) {
			return refusedLimit(own[which-1], errno)
		}
		return errno
	}
	return nil // closed by the execution
}

// passInTime is pass for a child of this process: one that has not executed the
// command in time is killed, because its user, or what he executes, may let it
// stand still for ever.
func (g *gate) passInTime(pid int, limits []rlimit, within time.Duration, holds func(do func())) error {
	var late atomic.Bool
	timer := time.AfterFunc(within, func() {
		late.Store(true)
		holds(func() { _ = unix.Kill(pid, unix.SIGKILL) })
		_ = g.report.SetReadDeadline(time.Now().Add(lastWord)) // who waits for a device is not killed
	})
	defer timer.Stop()
	err := g.pass(pid, limits, holds)
	if late.Load() {
		return unix.ETIMEDOUT
	}
	return err
}

// giveLimits sets the limits of a process, and returns those that it must set
// itself: in many a container root lacks the capability for that. What lowers
// a limit the step may do.
func giveLimits(pid int, limits []rlimit) (own []rlimit, err error) {
	for _, limit := range limits {
		err := unix.Prlimit(pid, resources[limit.Name], &unix.Rlimit{Cur: limit.Value, Max: limit.Value}, nil)
		if errors.Is(err, unix.EPERM) {
			own = append(own, limit)
		} else if err != nil {
			return nil, refusedLimit(limit, err)
		}
	}
	return own, nil
}

func refusedLimit(limit rlimit, err error) error {
	return settingError{fmt.Sprintf("limits.rlimits.%s %d", limit.Name, limit.Value), err}
}
