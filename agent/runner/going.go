package runner

import (
	"sync"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// going is a run whose process runs.
type going struct {
	run    fleet.Run
	family family
}

// goings returns what runs now.
func (r *Runner) goings() []*going {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*going, 0, len(r.running))
	for _, c := range r.running {
		if g := c.going.Load(); g != nil {
			all = append(all, g)
		}
	}
	return all
}

// Going returns the runs whose process runs now.
func (r *Runner) Going() []fleet.Run {
	all := r.goings()
	runs := make([]fleet.Run, len(all))
	for i, g := range all {
		runs[i] = g.run
	}
	return runs
}

// Family returns the processes of a run as they are now: the command and all
// that it has started. It is nil when the run is not going on.
func (r *Runner) Family(run fleet.RunID) []int {
	return r.Families([]fleet.RunID{run})[run]
}

// Families returns the processes of several runs, from one look at all
// processes of the host.
func (r *Runner) Families(runs []fleet.RunID) map[fleet.RunID][]int {
	wanted := make(map[fleet.RunID]bool, len(runs))
	for _, run := range runs {
		wanted[run] = true
	}
	families := map[fleet.RunID][]int{}
	all, err := processes(func(s stat) bool { return !s.dead() })
	if err != nil {
		return families
	}
	marks := r.seen.marksOf(all)
	for _, g := range r.goings() {
		if !wanted[g.run.ID] {
			continue
		}
		for _, s := range g.family.among(all, func(s stat) bool { return marks[s.pid] == g.family.mark }) {
			families[g.run.ID] = append(families[g.run.ID], s.pid)
		}
	}
	return families
}

// sighted remembers the marks of processes, so that the environment of each is
// read once. Whoever has wiped his meanwhile is still known by it.
type sighted struct {
	mu    sync.Mutex
	marks map[sight]string
}

// sight is a process that cannot be mistaken for another one.
type sight struct {
	pid   int
	start uint64
}

// marksOf returns the marks of those processes that have one.
func (s *sighted) marksOf(all []stat) map[int]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := make(map[sight]string, len(all))
	marks := map[int]string{}
	for _, p := range all {
		key := sight{p.pid, p.start}
		mark, known := s.marks[key]
		if !known {
			mark = markOf(p.pid)
		}
		now[key] = mark
		if mark != "" {
			marks[p.pid] = mark
		}
	}
	s.marks = now
	return marks
}
