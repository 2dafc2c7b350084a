package web

import (
	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// accountRow is one part of what was due, in the words of the API.
type accountRow struct {
	Word, Means string
	Count       int
	Bad         bool // it should be zero, and is not
}

// account reads what became of everything that a task was due for.
func (s *site) account(v *visit, task fleet.TaskID) ([]accountRow, error) {
	list, err := s.src.Account(v.Context(), api.AccountQuery{Task: task})
	if err != nil || len(list.Items) == 0 {
		return nil, err
	}
	line := &list.Items[0]
	return []accountRow{
		{Word: "due", Means: "by its schedule and by orders, on all hosts", Count: line.Due},
		{Word: "ran", Means: "of these " + number(line.Failed) + " failed", Count: line.Ran},
		{Word: "skipped", Means: "by what the task says: overlap, a pause", Count: line.Skipped},
		{Word: "missed", Means: "by a failure: the agent or the host was down", Count: line.Missed},
		{Word: "unknown", Means: "begun, and nobody saw the end", Count: line.Unknown},
		{Word: "pending", Means: "not over, or the host has not told of it yet", Count: line.Pending},
		{Word: "difference", Means: "due, and nothing of the above; fleetctl account --prove names it", Count: line.Difference, Bad: line.Difference != 0},
	}, nil
}
