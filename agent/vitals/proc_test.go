package vitals

import (
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestStat(t *testing.T) {
	p, of, pages, err := parseStat("7 (a) b) (c) S 3 7 7 0 -1 4194560 1 2 0 0 11 22 33 44 20 0 1 0 555 1000 66 18446744073709551615 1 1\n")
	if err != nil || p != (process{7, 555}) || of != (times{3, 33, 77}) || pages != 66 {
		t.Errorf("%+v %+v %d %v", p, of, pages, err)
	}
	for _, text := range []string{"", "7 (a) S 3", "x (a) S 3 7 7 0 -1 4194560 1 2 0 0 11 22 33 44 20 0 1 0 555 1000 66", "7 (a) S 3 7 7 0 -1 4194560 1 2 0 0 11 -2 33 44 20 0 1 0 555 1000 66"} {
		if _, _, _, err := parseStat(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add("7 (a) b) (c) S 3 7 7 0 -1 4194560 1 2 0 0 11 22 33 44 20 0 1 0 555 1000 66 1")
	f.Fuzz(func(t *testing.T, text string) {
		if p, of, pages, err := parseStat(text); err == nil && (p.pid < 0 || of.parent < 0 || pages < 0) {
			t.Fatalf("%+v %+v %d", p, of, pages)
		}
	})
}

// tree is a family of processes that fork, work, end and are waited for.
type tree struct {
	random *rand.Rand
	next   int
	of     map[process]times
	used   uint64 // by all of them, ever
}

func (f *tree) pick() process {
	all := slices.SortedFunc(maps.Keys(f.of), func(a, b process) int { return a.pid - b.pid })
	return all[f.random.IntN(len(all))]
}

func (f *tree) act() {
	p := f.pick()
	of := f.of[p]
	switch f.random.IntN(3) {
	case 0:
		f.next++
		f.of[process{f.next, uint64(f.next)}] = times{parent: p.pid}
	case 1:
		n := uint64(f.random.IntN(50))
		of.own += n
		f.used += n
		f.of[p] = of
	case 2:
		parent, is := f.find(of.parent)
		_, waits := f.childOf(p.pid)
		if !is || waits {
			return
		}
		delete(f.of, p)
		up := f.of[parent]
		up.children += of.own + of.children
		f.of[parent] = up
	}
}

func (f *tree) childOf(pid int) (process, bool) {
	for p, of := range f.of {
		if of.parent == pid {
			return p, true
		}
	}
	return process{}, false
}

func (f *tree) find(pid int) (process, bool) {
	for p := range f.of {
		if p.pid == pid {
			return p, true
		}
	}
	return process{}, false
}

// TestProcessorTimeOfAFamily compares with what was really used, where whoever
// starts a process waits for it.
func TestProcessorTimeOfAFamily(t *testing.T) {
	for seed := range uint64(30) {
		f := &tree{random: rand.New(rand.NewPCG(seed, 7)), next: 1, of: map[process]times{{1, 1}: {}}}
		before := use{processes: maps.Clone(f.of)}
		var counted uint64
		for range 20 {
			for range f.random.IntN(40) {
				f.act()
			}
			now := use{processes: maps.Clone(f.of)}
			counted += spent(&before, &now)
			before = now
		}
		if counted != f.used {
			t.Errorf("seed %d: %d ticks counted, %d used", seed, counted, f.used)
		}
	}
}

func TestOrphansThatNobodyWaitsForTakeNothingFromOthers(t *testing.T) {
	before := use{processes: map[process]times{{1, 1}: {0, 10, 0}, {2, 2}: {99, 1000, 0}, {3, 3}: {1, 50, 0}}}
	now := use{processes: map[process]times{{1, 1}: {0, 15, 57}, {3, 4}: {1, 2, 0}}} // 2 went to a stranger, 3 is another process
	if got := spent(&before, &now); got != 5+7+2 {
		t.Errorf("%d ticks", got)
	}
}

func TestWhatThisProcessUses(t *testing.T) {
	pid := os.Getpid()
	u := measure([]int{pid, pid + 1<<22}, 0)
	if len(u.processes) != 1 || u.memory < 1<<20 || u.memory > 4<<30 || u.files < 3 || u.at.IsZero() {
		t.Fatalf("%+v", u)
	}
	listed, err := os.ReadDir("/proc/self/fd")
	if err != nil || u.files < len(listed)-2 || u.files > len(listed)+2 {
		t.Errorf("%d files, listed are %d, %v", u.files, len(listed), err)
	}
}

// TestSharedMemoryCountsOnceAgainstABound: a bound must not hit who forks.
func TestSharedMemoryCountsOnceAgainstABound(t *testing.T) {
	// A shell with a large variable that forks: all of it is shared.
	command := exec.CommandContext(t.Context(), "/bin/sh", "-c", `x=$(head -c 20000000 /dev/zero | tr '\0' x); exec 3<&0; (read -r y <&3; :) & (read -r y <&3; :) & echo up; read -r z; :`)
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Wait()
	defer input.Close()
	if _, err := output.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	pids := children(t, command.Process.Pid)
	plain := measure(pids, 0)
	if len(plain.processes) < 3 || plain.memory < 50<<20 {
		t.Fatalf("%d processes with %d MiB", len(plain.processes), plain.memory>>20)
	}
	if once := measure(pids, 30<<20); once.memory > plain.memory*2/3 || once.memory < 15<<20 {
		t.Errorf("%d MiB, %d MiB where shared memory counts often", once.memory>>20, plain.memory>>20)
	}
}

// children lists a process and its children.
func children(t *testing.T, parent int) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		if p, of, _, err := parseStat(string(text)); err == nil && (p.pid == parent || of.parent == parent) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

func TestAFieldOfProc(t *testing.T) {
	if n, found := fieldOf("00-ff ---p 00000000 [rollup]\nRss: 9 kB\nPss:     1234 kB\nPss_Anon: 1 kB\n", "Pss:"); n != 1234 || !found {
		t.Error(n, found)
	}
	if _, found := fieldOf("Rss: 9 kB\n", "Pss:"); found {
		t.Error("found what is not there")
	}
	var none fleet.Bytes
	if got := proportional(map[process]times{{1 << 22, 1}: {}}, 7); got != none {
		t.Error(got)
	}
}
