package work

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// pidFile says which process is the agent of a state directory. Its first line is
// the pid, for every tool that reads such files; the second says what makes that
// process unmistakable. The kernel's lock on it ends with the process, however
// that ends, so what is left behind locks nobody out.
type pidFile struct {
	path string
	file *os.File
}

// takePIDFile says that this process is the agent.
func takePIDFile(path string) (*pidFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("pid_file: %w", err)
	}
	file, err := lockPIDFile(path)
	if err != nil {
		return nil, err
	}
	self, err := processOf(os.Getpid())
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt([]byte(self.String()), 0)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("pid_file: %w", err)
	}
	return &pidFile{path, file}, nil
}

// lockPIDFile takes the lock on the file that has the name once it has it: the
// agent before may have removed the one that was opened.
func lockPIDFile(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("pid_file: %w", err)
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			file.Close()
			if !errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("pid_file %s: %w", path, err)
			}
			return nil, fleet.Errorf(fleet.Conflict, "pid_file %s is in use by %s", path, holderOf(path)).
				WithHint("stop that agent first (fleetcron-agent stop), or give this one a state_dir of its own")
		}
		opened, err := file.Stat()
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("pid_file: %w", err)
		}
		if named, err := os.Stat(path); err == nil && os.SameFile(opened, named) {
			return file, nil
		}
		file.Close()
	}
}

func holderOf(path string) string {
	if holder, err := readPIDFile(path); err == nil {
		return fmt.Sprintf("process %d", holder.pid)
	}
	return "another process"
}

// Close removes the file and gives the lock back.
func (p *pidFile) Close() error {
	return errors.Join(os.Remove(p.path), p.file.Close())
}

// process is one that cannot be mistaken for another: a pid is given away again,
// but not with the same start in the same boot.
type process struct {
	pid   int
	start uint64 // clock ticks since the boot
	boot  string
}

// String is the content of a pid file.
func (p process) String() string { return fmt.Sprintf("%d\n%d %s\n", p.pid, p.start, p.boot) }

// errNoProcess says that no process has this pid.
var errNoProcess = errors.New("no such process")

// processOf looks at a process that is there.
func processOf(pid int) (process, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return process{}, errNoProcess
	}
	if err != nil {
		return process{}, err
	}
	// pid (name) state … and the 22nd is when it started; a name may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return process{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	if fields[0] == "Z" {
		return process{}, errNoProcess
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return process{pid, start, bootID()}, err
}

// readPIDFile returns the process that the file names and that runs; errNoProcess
// if it does not any more.
func readPIDFile(path string) (process, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return process{}, errNoProcess
	}
	if err != nil {
		return process{}, err
	}
	var named process
	if _, err := fmt.Sscanf(string(text), "%d\n%d %s", &named.pid, &named.start, &named.boot); err != nil || named.pid <= 0 {
		return process{}, errNoProcess // an agent that is about to write it, or what somebody else left
	}
	if there, err := processOf(named.pid); err != nil || there != named {
		return process{}, errNoProcess
	}
	return named, nil
}

// open returns a descriptor of the process, so that a signal reaches it or nobody.
func (p process) open() (int, error) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, errNoProcess
	}
	if err != nil {
		return -1, fmt.Errorf("process %d: %w", p.pid, err)
	}
	if there, err := processOf(p.pid); err != nil || there != p {
		unix.Close(fd)
		return -1, errNoProcess
	}
	return fd, nil
}
