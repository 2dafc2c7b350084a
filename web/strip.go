package web

import (
	"fmt"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The strip's own units; the style sheet stretches it to the page.
const (
	stripMinutes = 60
	stripWidth   = 10 // of a minute
	stripHeight  = 60

	// maxStripPages bounds how much of a large fleet's next hour is read.
	maxStripPages = 5
)

// strip is the next hour, one column a minute: found jobs below, given tasks
// on top.
type strip struct {
	Columns  []column
	Marks    []moment // each quarter of the hour
	Instants int
	Given    int
	Peak     int
	PeakAt   *moment
	Through  *moment // where the reading stopped; nil when the hour is whole
}

// column is one minute of a strip, in the strip's units.
type column struct {
	X           int
	Found       int // instants
	Given       int
	FoundY      int
	FoundHeight int
	GivenY      int
	GivenHeight int
	Label       string
}

func newStrip(items []api.Upcoming, complete bool, now time.Time) strip {
	first := now.UTC().Truncate(time.Minute)
	s := strip{Columns: make([]column, stripMinutes)}
	for _, item := range items {
		minute := int(item.At.Sub(first) / time.Minute)
		if minute < 0 || minute >= stripMinutes {
			continue
		}
		s.Instants++
		if item.Task != "" {
			s.Given++
			s.Columns[minute].Given++
		} else {
			s.Columns[minute].Found++
		}
	}
	for i := range s.Columns {
		if n := s.Columns[i].Found + s.Columns[i].Given; n > s.Peak {
			s.Peak = n
			s.PeakAt = momentOf(first.Add(time.Duration(i)*time.Minute), now)
		}
	}
	for i := range s.Columns {
		s.Columns[i].draw(i, s.Peak, first.Add(time.Duration(i)*time.Minute))
	}
	for quarter := range 4 {
		s.Marks = append(s.Marks, *momentOf(first.Add(time.Duration(quarter)*15*time.Minute), now))
	}
	if !complete && len(items) > 0 {
		s.Through = momentOf(items[len(items)-1].At, now)
	}
	return s
}

// draw sets where the column's two bars stand. Whatever is not nothing is seen.
func (c *column) draw(minute, peak int, at time.Time) {
	c.X = minute * stripWidth
	if peak == 0 || c.Found+c.Given == 0 {
		return
	}
	c.FoundHeight, c.GivenHeight = height(c.Found, peak), height(c.Given, peak)
	c.FoundY = stripHeight - c.FoundHeight
	c.GivenY = c.FoundY - c.GivenHeight
	c.Label = fmt.Sprintf("%s UTC: %d found, %d given", at.Format("15:04"), c.Found, c.Given)
}

func height(n, peak int) int {
	if n == 0 {
		return 0
	}
	return max(3, n*(stripHeight-6)/peak)
}

// bar is two counts side by side, in hundredths.
type bar struct {
	Found, Given           int
	FoundWidth, GivenWidth int
}

func newBar(found, given int) bar {
	b := bar{Found: found, Given: given}
	if whole := found + given; whole > 0 {
		b.FoundWidth = found * 100 / whole
		if given > 0 {
			b.FoundWidth = min(b.FoundWidth, 98)
		}
		b.GivenWidth = 100 - b.FoundWidth
	}
	return b
}

// beat is one run in the row of a task's last runs.
type beat struct {
	X      int
	Tone   string
	Label  string
	Height int
}

const (
	beatWidth  = 8
	beatHeight = 28
	maxBeats   = 60
)

// beats draws runs, newest first as they come, with the newest on the right.
// The height tells how long a run took, against the longest.
func beats(runs []api.RunView) []beat {
	var longest time.Duration
	for i := range runs {
		longest = max(longest, took(&runs[i].Run))
	}
	out := make([]beat, 0, len(runs))
	for i := len(runs) - 1; i >= 0; i-- {
		run := &runs[i]
		s := runStatus(&run.Run)
		b := beat{X: len(out) * beatWidth, Tone: s.Tone, Height: beatHeight}
		if longest > 0 && run.Ended != nil {
			b.Height = max(8, int(took(&run.Run)*beatHeight/longest))
		}
		b.Label = fmt.Sprintf("%s UTC, %s: %s", run.Due.UTC().Format("2 Jan 15:04"), run.HostName, s.Word)
		out = append(out, b)
	}
	return out
}

func took(run *fleet.Run) time.Duration {
	if run.Started == nil || run.Ended == nil {
		return 0
	}
	return max(0, run.Ended.Sub(*run.Started))
}

// Y is where a beat begins, from the top.
func (b beat) Y() int { return beatHeight - b.Height }
