package journal

import (
	"errors"
	"io/fs"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Inspection is what a journal says to somebody who only looks.
type Inspection struct {
	Stats
	Holder int         // process that has it open; zero: none
	Plan   *fleet.Plan // saved last; nil: none, or not readable
	Runs   []OpenRun   // begun and not ended
}

// Inspect reads a journal without opening it: it takes no lock and changes
// nothing, so what it says may be some records old.
func Inspect(dir string) (Inspection, error) {
	segments, err := listSegments(dir)
	if err != nil {
		return Inspection{}, err
	}
	seen := Inspection{Holder: lockHolder(dir)}
	seen.Segments = len(segments)
	if seen.Plan, err = readPlan(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		seen.Damaged++
	}
	s := newState()
	base := newestCheckpoint(segments)
	for i := range segments {
		data, err := readSegment(segments[i].path)
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil {
			return Inspection{}, err
		}
		seen.Bytes += int64(len(data))
		if i >= base {
			seen.inspectSegment(s, data)
		}
	}
	seen.Newest, seen.Acknowledged, seen.Open = s.lastRun, s.acknowledged, len(s.open)
	for _, run := range s.openRuns() {
		seen.Runs = append(seen.Runs, OpenRun{Run: run.Run.Whole(), Handle: run.Handle})
	}
	return seen, nil
}

func (seen *Inspection) inspectSegment(s *state, data []byte) {
	if id, _, err := readHeader(data); err == nil {
		seen.ID = id
	}
	_, _, found := scan(data, func(sequence uint64, payload []byte) error {
		r, err := decodeRecord(payload)
		if err == nil {
			s.step(sequence, r)
		}
		return err
	})
	switch found {
	case torn:
		seen.Torn++
	case garbage:
		seen.Damaged++
	case intact:
	}
}
