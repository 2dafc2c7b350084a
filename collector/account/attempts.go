package account

import "github.com/fleetcron/fleetcron/shared/fleet"

// outcomes returns for each occurrence of a task on a host the last attempt that
// was heard of, and apart from them the attempts that others followed. A last
// one that says that another follows has no outcome yet: it is pending.
func outcomes(runs []fleet.Run) (last, followed []fleet.Run) {
	later := map[int64][]*fleet.Run{} // attempts after the first, by the instant that was due
	for i := range runs {
		if run := &runs[i]; run.Attempt > 1 {
			later[run.Due.UnixNano()] = append(later[run.Due.UnixNano()], run)
		}
	}
	last = make([]fleet.Run, 0, len(runs))
	for _, run := range runs {
		if isFollowed(&run, later[run.Due.UnixNano()]) {
			followed = append(followed, run)
			continue
		}
		if run.Attempted() {
			run.State = fleet.RunPending
		}
		last = append(last, run)
	}
	return last, followed
}

func isFollowed(run *fleet.Run, later []*fleet.Run) bool {
	for _, other := range later {
		if run.LeadsTo(other) {
			return true
		}
	}
	return false
}
