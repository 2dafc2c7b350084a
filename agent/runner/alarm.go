package runner

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// alarm calls back when time is over, on the clock that goes on while the host
// is suspended.
type alarm struct {
	timer *os.File
	ring  func(id int)

	mu   sync.Mutex
	at   map[int]time.Duration // since the boot
	next time.Duration         // that the timer is set to; zero: not set
}

func newAlarm(ring func(id int)) (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &alarm{timer: os.NewFile(uintptr(fd), "timer"), ring: ring, at: map[int]time.Duration{}}, nil
}

func sinceBoot() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // every kernel that Go runs on has it
	return time.Duration(now.Nano())
}

// set lets it ring for id after a time.
func (a *alarm) set(id int, after time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at[id] = sinceBoot() + after
	if a.next == 0 || a.at[id] < a.next {
		a.arm(a.at[id])
	}
}

// unset lets it not ring for id.
func (a *alarm) unset(id int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.at, id)
}

func (a *alarm) arm(at time.Duration) {
	a.next = at
	raw, err := a.timer.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(at))}, nil)
	})
}

// run rings until the timer is closed.
func (a *alarm) run() {
	for expired := make([]byte, 8); ; {
		if _, err := a.timer.Read(expired); err != nil {
			return
		}
		for _, id := range a.due(sinceBoot()) {
			a.ring(id)
		}
	}
}

// due takes out what is due, and sets the timer to the next.
func (a *alarm) due(now time.Duration) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var over []int
	var next time.Duration
	for id, at := range a.at {
		switch {
		case at <= now:
			over = append(over, id)
			delete(a.at, id)
		case next == 0 || at < next:
			next = at
		}
	}
	a.next = 0
	if next > 0 {
		a.arm(next)
	}
	return over
}
