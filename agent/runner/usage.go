package runner

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// sector is the unit that the kernel counts storage in.
const sector = 512

// usedOf is what a process and the children that it waited for have used. The
// kernel counts the memory of a new process from what its parent had at the
// fork, so a peak that is no higher than that, the floor, says nothing about
// it.
func usedOf(usage *syscall.Rusage, floor fleet.Bytes) fleet.Used {
	used := fleet.Used{
		CPU:     fleet.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		Memory:  fleet.Bytes(usage.Maxrss) << 10,
		Read:    fleet.Bytes(usage.Inblock) * sector,
		Written: fleet.Bytes(usage.Oublock) * sector,
	}
	if used.Memory <= floor {
		used.Memory = 0
	}
	return used
}

// floor is the most memory that this process had resident at once, not read
// anew for each of its children.
type floor struct {
	mu    sync.Mutex
	asked time.Time
	bytes fleet.Bytes
}

const (
	floorAge   = time.Second
	floorSlack = 256 << 10 // that it may have grown by meanwhile
)

func (f *floor) now() fleet.Bytes {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.asked) > floorAge {
		f.asked, f.bytes = now, peakOf("self")+floorSlack
	}
	return f.bytes
}

// peakOf returns the most memory that a process had resident at once since it
// executed its program; zero where that cannot be told.
func peakOf(process string) fleet.Bytes {
	text, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		return 0
	}
	_, after, found := strings.Cut(string(text), "\nVmHWM:")
	fields := strings.Fields(after)
	if !found || len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return fleet.Bytes(kib) << 10
}
