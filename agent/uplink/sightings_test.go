package uplink

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// noon is an instant at which jobs ran.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// saw is what was seen of jobs: each started so many minutes after noon.
func saw(starts map[fleet.JobID]int) fleet.Sightings {
	seen := fleet.Sightings{Since: map[fleet.JobKind]time.Time{fleet.KindCron: noon}, Jobs: map[fleet.JobID]fleet.Evidence{}}
	for id, minute := range starts {
		seen.Jobs[id] = fleet.Evidence{Last: noon.Add(time.Duration(minute) * time.Minute), Grade: fleet.GradeStarted, From: "journal"}
	}
	return seen
}

func reportOf(ids ...fleet.JobID) *fleet.Report {
	report := &fleet.Report{Host: "web-1"}
	for _, id := range ids {
		report.Jobs = append(report.Jobs, fleet.Job{ID: id})
	}
	return report
}

// expectSeen compares all messages that arrived.
func (w *world) expectSeen(t *testing.T, want ...fleet.Sightings) {
	t.Helper()
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if diff := cmp.Diff(want, w.c.seen); diff != "" {
		t.Error(diff)
	}
}

func TestSightingsAreGathered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.SetSightings(saw(map[fleet.JobID]int{"a": 0}))
		after(time.Hour)
		w.expectSeen(t) // nobody knows job a before its report
		w.SetReport(reportOf("a", "b"))
		after(time.Second)
		first := saw(map[fleet.JobID]int{"a": 0})
		w.expectSeen(t, first)
		for minute := 1; minute <= 7; minute++ { // a each minute, b once
			w.SetSightings(saw(map[fleet.JobID]int{"a": minute, "b": 3}))
			after(time.Minute)
		}
		second := saw(map[fleet.JobID]int{"a": 5, "b": 3}) // what was true after five minutes
		w.expectSeen(t, first, second)
		after(time.Hour)
		third := saw(map[fleet.JobID]int{"a": 7})
		w.expectSeen(t, first, second, third)
		w.SetSightings(saw(map[fleet.JobID]int{"a": 7, "b": 3}))
		after(time.Hour)
		w.expectSeen(t, first, second, third) // nothing is new
		blind := saw(nil)
		blind.Since = nil
		w.SetSightings(blind)
		after(time.Hour)
		w.expectSeen(t, first, second, third, blind)
	})
}

func TestSightingsOutliveAnOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.SetReport(reportOf("a"))
		after(time.Second)
		w.c.set(func() { w.c.down = true })
		w.SetSightings(saw(map[fleet.JobID]int{"a": 0}))
		after(time.Hour)
		w.SetSightings(saw(map[fleet.JobID]int{"a": 60}))
		after(time.Hour)
		n := 0
		w.c.set(func() { // the first answer is lost: it is sent again
			w.c.down, w.c.seen = false, nil
			w.c.loseReply = func(call string) bool { n++; return call == "sight" && n == 1 }
		})
		after(time.Minute)
		w.expectSeen(t, saw(map[fleet.JobID]int{"a": 60}), saw(map[fleet.JobID]int{"a": 60}))
	})
}

func TestANewCollectorLearnsWhatWasSeen(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.SetReport(reportOf("a", "b"))
		w.SetSightings(saw(map[fleet.JobID]int{"a": 0, "b": 1}))
		w.c.publish(fleet.Plan{Host: host, Index: 90})
		after(time.Second)
		w.c.set(func() { w.c.host, w.c.report, w.c.seen, w.c.plan = nil, nil, nil, fleet.Plan{Host: host, Index: 2} })
		after(2 * time.Minute) // its next question for a plan tells, and no five minutes pass
		w.expectSeen(t, saw(map[fleet.JobID]int{"a": 0, "b": 1}))
	})
}

func TestAJobThatComesBackIsToldOfAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.SetReport(reportOf("a", "b"))
		w.SetSightings(saw(map[fleet.JobID]int{"a": 0, "b": 1}))
		after(10 * time.Minute)
		w.SetReport(reportOf("a"))
		w.SetSightings(saw(map[fleet.JobID]int{"a": 0}))
		after(10 * time.Minute)
		w.c.set(func() { w.c.seen = nil })
		w.SetReport(reportOf("a", "b"))
		w.SetSightings(saw(map[fleet.JobID]int{"a": 0, "b": 1}))
		after(10 * time.Minute)
		w.expectSeen(t, saw(map[fleet.JobID]int{"b": 1}))
	})
}

func TestManySightingsAreSeveralMessages(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		starts := map[fleet.JobID]int{}
		for n := range 2*maxSightings + 1 {
			starts[fleet.JobID(fmt.Sprint(n))] = n
		}
		w.SetReport(reportOf())
		w.SetSightings(saw(starts))
		after(time.Second)
		w.c.mu.Lock()
		defer w.c.mu.Unlock()
		arrived := saw(nil)
		for _, message := range w.c.seen {
			if len(message.Jobs) > maxSightings {
				t.Errorf("%d jobs in one message", len(message.Jobs))
			}
			for id, e := range message.Jobs {
				arrived.Jobs[id] = e
			}
		}
		if diff := cmp.Diff(saw(starts), arrived); diff != "" || len(w.c.seen) != 3 {
			t.Errorf("%d messages: %s", len(w.c.seen), diff)
		}
	})
}
