package scheduler

import (
	"encoding/json"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// memo is what outlives the agent of a task beside the watermark. Its JSON form
// is on disk: what another version does not know is left out, and what it wrote
// must go on to be read.
type memo struct {
	Base    *time.Time   `json:"base,omitempty"` // the end that a period is counted from
	Open    fleet.RunID  `json:"open,omitempty"` // a run that was begun, whose end comes in its place
	Startup *startupMemo `json:"startup,omitempty"`
	Breaker *breakerMemo `json:"breaker,omitempty"`
	Upkeep  *upkeep      `json:"upkeep,omitempty"` // of a supervised task
}

// recall returns what the agent before wanted to be known of a task. What cannot
// be read is as if it were not there.
func (s *State) recall(id fleet.TaskID) *memo {
	text := s.memory.Recall(id)
	if len(text) == 0 {
		return nil
	}
	m := new(memo)
	if json.Unmarshal(text, m) != nil {
		return nil
	}
	return m
}

// note returns the task's memo to be changed.
func (t *task) note() *memo {
	if t.memo == nil {
		t.memo = new(memo)
	}
	return t.memo
}

// forget forgets all that is known of the task.
func (s *State) forget(t *task) {
	if t.memo != nil {
		t.memo = nil
		s.remember(t)
	}
}

// remember writes the task's memo down.
func (s *State) remember(t *task) {
	if t.memo != nil && *t.memo == (memo{}) {
		t.memo = nil
	}
	s.write(t.id, t.memo)
}

// tidy forgets what the task's definition has no use for any more.
func (s *State) tidy(t *task) {
	if t.memo == nil {
		return
	}
	was, on := *t.memo, &t.assignment.Task.On
	if !on.AfterEnd {
		t.memo.Base, t.memo.Open = nil, ""
	}
	if on.Startup != fleet.StartupBoot {
		t.memo.Startup = nil
	}
	if *t.memo != was {
		s.remember(t)
	}
}

func (s *State) write(id fleet.TaskID, m *memo) {
	if m == nil || *m == (memo{}) {
		s.do(Remember{Task: id})
		return
	}
	s.do(Remember{id, m.text()})
}

func (m *memo) text() []byte {
	text, _ := json.Marshal(m) // plain values only: cannot fail
	return text
}
