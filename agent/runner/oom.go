package runner

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kernelLog is where the kernel says whom it killed for memory.
const kernelLog = "/dev/kmsg"

// killedForMemory reports whether the kernel's log says that it killed a
// process because there was no memory left, at most so long ago. Who may not
// read the log learns nothing.
func killedForMemory(log string, pid int, within time.Duration) bool {
	fd, err := unix.Open(log, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	since := monotonic() - within - time.Second
	words := "Killed process " + strconv.Itoa(pid) + " ("
	record := make([]byte, 8<<10)
	for {
		n, err := unix.Read(fd, record) // one record of /dev/kmsg each
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR) {
			continue // overwritten while it was read: the next one follows
		}
		if err != nil || n <= 0 {
			return false
		}
		for line := range strings.Lines(string(record[:n])) {
			if at, is := killTime(line, words); is && at >= since {
				return true
			}
		}
	}
}

// killTime reads "level,number,microseconds,flags;text" when text holds the
// words.
func killTime(line, words string) (time.Duration, bool) {
	head, text, _ := strings.Cut(line, ";")
	fields := strings.Split(head, ",")
	if len(fields) < 3 || !strings.Contains(text, words) {
		return 0, false
	}
	micros, err := strconv.ParseInt(fields[2], 10, 64)
	return time.Duration(micros) * time.Microsecond, err == nil
}

// monotonic is the clock of the kernel's log.
func monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // every kernel that Go runs on has it
	return time.Duration(now.Nano())
}
