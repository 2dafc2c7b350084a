package runner

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// cgroups makes a cgroup for each run, in a directory of cgroup v2 that is the
// agent's own. Nobody leaves one who is not root, so what a run has started is
// known, and can be killed at once.
type cgroups struct {
	dir  string // of the runs' cgroups; empty: there are none
	base string // the one that was delegated, above dir

	mkdir func(dir string, mode os.FileMode) error
	stock groupStock

	mu      sync.Mutex
	enabled map[string]error // controllers that were asked for, and why one cannot be had
}

// runsGroup is how the directory of the runs in what was delegated begins; each
// agent of a host has its own.
const runsGroup = "fleetcron-runs-"

// NoCgroup as Config.Cgroup lets no run have one.
const NoCgroup = "none"

// openCgroups finds a directory for the cgroups of the runs whose output is in
// another: in the one that is named, or in what was delegated to this process.
func openCgroups(base, output string) *cgroups {
	if base == NoCgroup {
		return &cgroups{}
	}
	if base == "" {
		base = delegated("/proc/self", "/run/systemd/system")
	}
	name := fmt.Sprintf("%s%08x", runsGroup, crc32.ChecksumIEEE([]byte(output)))
	g := &cgroups{base: base, dir: filepath.Join(base, name), enabled: map[string]error{}, mkdir: os.Mkdir}
	if base == "" || !g.usable() {
		return &cgroups{}
	}
	return g
}

// usable makes the directory, and reports whether cgroups can be made there.
func (g *cgroups) usable() bool {
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return false
	}
	for _, file := range []string{"cgroup.procs", "cgroup.events"} {
		if _, err := os.Stat(filepath.Join(g.dir, file)); err != nil {
			return false
		}
	}
	return true
}

// delegated returns the cgroup that this process may divide: its own, or the
// one above where the manager put it into a leaf of that. Where systemd runs
// it says so by an attribute; elsewhere nobody else manages it.
func delegated(self, manager string) string {
	own := ownCgroup(self)
	if own == "" {
		return ""
	}
	for _, dir := range []string{own, filepath.Dir(own)} {
		for _, name := range []string{"trusted.delegate", "user.delegate"} {
			value := make([]byte, 8)
			if n, err := unix.Getxattr(dir, name, value); err == nil && string(value[:n]) == "1" {
				return dir
			}
		}
	}
	if _, err := os.Stat(manager); errors.Is(err, os.ErrNotExist) {
		return own
	}
	return ""
}

// ownCgroup returns where this process stands in cgroup v2.
func ownCgroup(self string) string {
	text, err := os.ReadFile(filepath.Join(self, "cgroup"))
	if err != nil {
		return ""
	}
	_, path, found := strings.Cut("\n"+string(text), "\n0::")
	path, _, _ = strings.Cut(path, "\n")
	mounts, err := os.ReadFile(filepath.Join(self, "mountinfo"))
	if !found || err != nil {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		// id parent major:minor root mountpoint options … - type source options
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		below, is := strings.CutPrefix(path+"/", strings.TrimSuffix(fields[3], "/")+"/")
		if is {
			return filepath.Join(fields[4], below)
		}
	}
	return ""
}

// place returns where the cgroup of a run is to be; empty: it gets none.
func (g *cgroups) place(run fleet.RunID) string {
	if g.dir == "" {
		return ""
	}
	return filepath.Join(g.dir, filepath.Base(string(run)))
}

// kernelLimits are the limits of a task that only a cgroup keeps, by the
// controller and the file that each needs.
func kernelLimits(l *fleet.Limits) []kernelLimit {
	var limits []kernelLimit
	if l.Memory > 0 {
		limits = append(limits,
			kernelLimit{"limits.memory", "memory", "memory.max", strconv.FormatInt(int64(l.Memory), 10), true},
			kernelLimit{"limits.memory", "memory", "memory.swap.max", "0", false},
			kernelLimit{"limits.memory", "memory", "memory.oom.group", "1", false})
	}
	if l.CPU > 0 {
		const period = 100_000
		quota := max(1000, int64(l.CPU*period)) // the kernel takes no less
		limits = append(limits, kernelLimit{"limits.cpu", "cpu", "cpu.max", fmt.Sprintf("%d %d", quota, period), true})
	}
	if l.Processes > 0 {
		limits = append(limits, kernelLimit{"limits.processes", "pids", "pids.max", strconv.Itoa(l.Processes), true})
	}
	if l.IOWeight > 0 {
		limits = append(limits, kernelLimit{"limits.io_weight", "io", "io.weight", "default " + strconv.Itoa(l.IOWeight), true})
	}
	return limits
}

// kernelLimit is a value to write into a file of a cgroup. What is not needed
// may be missing.
type kernelLimit struct {
	field, controller, file, value string
	needed                         bool
}

// make makes the cgroup of a run with its limits. The error says which limit
// this host does not keep.
func (g *cgroups) make(dir string, limits []kernelLimit) error {
	if dir == "" {
		if len(limits) > 0 {
			return fmt.Errorf("%s: this host keeps no such limit for the agent: that needs cgroup v2, and Delegate=yes in the agent's unit", limits[0].field)
		}
		return nil
	}
	for _, limit := range limits {
		if err := g.enable(limit.controller); err != nil {
			return fmt.Errorf("%s: %w", limit.field, err)
		}
	}
	if err := g.mkdirReady(dir); err != nil {
		return fmt.Errorf("make a cgroup: %w", err)
	}
	for _, limit := range limits {
		err := writeGroup(dir, limit.file, limit.value)
		if err != nil && (limit.needed || !errors.Is(err, os.ErrNotExist)) {
			removeGroup(dir)
			return fmt.Errorf("%s: %w", limit.field, err)
		}
	}
	return nil
}

// enable hands a controller down to the cgroups of the runs.
func (g *cgroups) enable(controller string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err, asked := g.enabled[controller]
	if asked && err == nil {
		return nil
	}
	g.enabled[controller] = g.handDown(controller)
	return g.enabled[controller]
}

func (g *cgroups) handDown(controller string) error {
	has, err := os.ReadFile(filepath.Join(g.base, "cgroup.controllers"))
	if err != nil || !strings.Contains(" "+strings.TrimSpace(string(has))+" ", " "+controller+" ") {
		return fmt.Errorf("the controller %q is not delegated to the agent: that needs cgroup v2, and Delegate=yes in the agent's unit", controller)
	}
	for _, dir := range []string{g.base, g.dir} {
		err := writeGroup(dir, "cgroup.subtree_control", "+"+controller)
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("the agent stands in the cgroup that it would divide, %s: that needs DelegateSubgroup=agent in its unit", dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeGroup writes into a file of a cgroup, which the kernel has made.
func writeGroup(dir, name, value string) error {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

// groupPids lists the processes of a cgroup and of those below it.
func groupPids(dir string) []int {
	if dir == "" {
		return nil
	}
	var pids []int
	eachGroup(dir, func(dir string) {
		text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs")) // gone: nobody is in it
		for word := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
	})
	return pids
}

// eachGroup visits a cgroup after all that lie in it.
func eachGroup(dir string, visit func(dir string)) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if entry.IsDir() {
			eachGroup(filepath.Join(dir, entry.Name()), visit)
		}
	}
	visit(dir)
}

// populated reports whether somebody lives in a cgroup or below it.
func populated(dir string) bool {
	if dir == "" {
		return false
	}
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	return err == nil && strings.Contains(string(text), "populated 1")
}

// killGroup kills all who live in a cgroup or below it, at once. Kernels before
// 5.14 cannot, there they are killed one by one.
func killGroup(dir string) {
	if dir != "" {
		_ = writeGroup(dir, "cgroup.kill", "1") // gone: nobody is in it
	}
}

// removeGroup removes a cgroup with those below it, and reports whether nothing
// is left of it. One in which somebody lives stays.
func removeGroup(dir string) bool {
	if dir == "" || unix.Rmdir(dir) == nil {
		return true
	}
	if populated(dir) {
		return false
	}
	gone := true
	eachGroup(dir, func(dir string) {
		// Whoever ended this very moment may still be counted.
		err := unix.Rmdir(dir)
		for try := 0; errors.Is(err, unix.EBUSY) && try < 3 && !populated(dir); try++ {
			time.Sleep(time.Millisecond)
			err = unix.Rmdir(dir)
		}
		gone = gone && err == nil
	})
	return gone
}

// close removes the directory when nobody lives there.
func (g *cgroups) close() {
	if g.dir != "" {
		g.stock.close()
		_ = unix.Rmdir(g.dir) // runs go on there
	}
}

// usedBy adds what a cgroup knows better about the use of a run.
func usedBy(dir string, used *fleet.Used) {
	if dir == "" {
		return
	}
	if micros := groupNumber(dir, "cpu.stat", "usage_usec"); micros > 0 {
		used.CPU = fleet.Duration(micros) * fleet.Duration(time.Microsecond)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "memory.peak")); err == nil {
		if peak, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && peak > 0 {
			used.Memory = fleet.Bytes(peak)
		}
	}
}

// groupNumber reads one line of a file of names and numbers.
func groupNumber(dir, file, name string) int64 {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	_, after, found := strings.Cut("\n"+string(text), "\n"+name+" ")
	number, _, _ := strings.Cut(after, "\n")
	n, err := strconv.ParseInt(number, 10, 64)
	if !found || err != nil {
		return 0
	}
	return n
}

// sweepGroups removes the cgroups of runs that are over, once nobody lives in
// them any more.
func (r *Runner) sweepGroups() {
	if r.cgroups.dir == "" {
		return
	}
	entries, err := os.ReadDir(r.cgroups.dir)
	if err != nil {
		r.log.Warn("cgroups of runs cannot be listed", "error", err)
	}
	for _, entry := range entries {
		r.mu.Lock()
		_, running := r.running[fleet.RunID(entry.Name())]
		r.mu.Unlock()
		dir := filepath.Join(r.cgroups.dir, entry.Name())
		if entry.IsDir() && !running && !r.cgroups.stock.holds(entry.Name()) && !populated(dir) {
			removeGroup(dir)
		}
	}
}
