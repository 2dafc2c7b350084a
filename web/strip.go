package web

import (
	"fmt"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

// The strip's own units; the style sheet stretches it to the page.
const (
	stripQuarters = 5 // from the last full quarter of an hour: at least an hour lies ahead
	stripMinutes  = stripQuarters * 15
	stripWidth    = 10 // of a minute
	stripHeight   = 60

	// maxStripPages bounds how much of a large fleet's next hour is read.
	maxStripPages = 5
)

// strip is the coming hour, one column a minute: found jobs below, given tasks
// on top.
type strip struct {
	Columns  []column
	Marks    []moment // each quarter of the hour
	NowX     int
	Instants int
	Given    int
	Peak     int
	PeakAt   *moment
	Until    *moment
	Through  *moment // where the reading stopped; nil when the strip is whole
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

// Width is how wide a strip is, in its own units.
func (strip) Width() int { return stripMinutes * stripWidth }

func stripStart(now time.Time) time.Time { return now.UTC().Truncate(15 * time.Minute) }

func stripEnd(now time.Time) time.Time { return stripStart(now).Add(stripMinutes * time.Minute) }

func newStrip(items []api.Upcoming, complete bool, now time.Time) strip {
	first := stripStart(now)
	minute := func(n int) time.Time { return first.Add(time.Duration(n) * time.Minute) }
	s := strip{Columns: make([]column, stripMinutes), Until: momentOf(stripEnd(now), now)}
	s.NowX = int(now.Sub(first) * stripWidth / time.Minute)
	for _, item := range items {
		s.take(item, int(item.At.Sub(first)/time.Minute))
	}
	for i := range s.Columns {
		if n := s.Columns[i].Found + s.Columns[i].Given; n > s.Peak {
			s.Peak, s.PeakAt = n, momentOf(minute(i), now)
		}
	}
	for i := range s.Columns {
		s.Columns[i].draw(i, s.Peak, minute(i))
	}
	for quarter := range stripQuarters {
		s.Marks = append(s.Marks, *momentOf(minute(quarter*15), now))
	}
	if !complete && len(items) > 0 {
		s.Through = momentOf(items[len(items)-1].At, now)
	}
	return s
}

// take counts an instant in its minute.
func (s *strip) take(item api.Upcoming, minute int) {
	if minute < 0 || minute >= len(s.Columns) {
		return
	}
	s.Instants++
	if item.Task == "" {
		s.Columns[minute].Found++
		return
	}
	s.Given++
	s.Columns[minute].Given++
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
