package prove

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/proof"
)

// Statements remembers what people signed that each generation of a task runs
// under. A run may be spoken of long after its task became another one.
type Statements struct {
	path string

	mu    sync.Mutex
	known map[fleet.TaskID]map[uint64]proof.Hash
}

// How much is remembered: of each task the newest generations, and tasks that are
// given no longer only as long as there are not too many.
const (
	maxGenerations = 16
	maxTasks       = 4096
)

// OpenStatements reads what was remembered. What cannot be read is forgotten: the
// plan in force says the most of it again.
func OpenStatements(path string) (*Statements, error) {
	s := &Statements{path: path, known: map[fleet.TaskID]map[uint64]proof.Hash{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open proofs: %w", err)
	}
	if json.Unmarshal(text, &s.known) != nil || s.known == nil {
		s.known = map[fleet.TaskID]map[uint64]proof.Hash{}
	}
	return s, nil
}

// Generation is a task as people signed it.
type Generation struct {
	Task      fleet.TaskID
	Number    uint64
	Statement proof.Hash
}

// Knows reports whether it is remembered what a generation runs under.
func (s *Statements) Knows(task fleet.TaskID, generation uint64) bool {
	return s.Of(task, generation) != nil
}

// Of returns what a generation runs under; nil: that is not known any more.
func (s *Statements) Of(task fleet.TaskID, generation uint64) *proof.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	statement, known := s.known[task][generation]
	if !known {
		return nil
	}
	return &statement
}

// Add remembers generations, on disk when it returns.
func (s *Statements) Add(given []Generation) error {
	if len(given) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range given {
		of := s.known[g.Task]
		if of == nil {
			of = map[uint64]proof.Hash{}
			s.known[g.Task] = of
		}
		of[g.Number] = g.Statement
		for len(of) > maxGenerations {
			delete(of, slices.Min(slices.Collect(maps.Keys(of))))
		}
	}
	text, err := json.Marshal(s.known)
	if err == nil {
		err = durable.Replace(s.path, text)
	}
	if err != nil {
		return fmt.Errorf("remember what was signed: %w", err)
	}
	return nil
}

// Keep forgets tasks that are not given any more, where there are too many.
func (s *Statements) Keep(given func(fleet.TaskID) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) > maxTasks {
		maps.DeleteFunc(s.known, func(task fleet.TaskID, _ map[uint64]proof.Hash) bool { return !given(task) })
	}
}
