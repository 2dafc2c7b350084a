package vitals

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	// samplesKept is how many samples of each run are kept: five minutes.
	samplesKept = 30
	defaultFor  = time.Minute
)

// usage is what a run and all that it started used lately.
type usage struct {
	last      *use      // nil: none yet
	weighed   time.Time // when the last look began
	samples   []fleet.Sample
	processes int
	since     [3]time.Time // of which instant on each bound was exceeded in every look; zero: it was not
}

// weigh takes in what the run uses, and condemns it where that was too much for
// too long.
func (u *subject) weigh(now use) []action {
	g := &u.use
	sample := fleet.Sample{At: now.at.Round(0).UTC(), Memory: now.memory, Files: now.files, CPU: u.processors(&now)}
	if len(g.samples) == samplesKept {
		g.samples = append(g.samples[:0], g.samples[1:]...)
	}
	g.samples = append(g.samples, sample)
	g.last, g.processes = &now, len(now.processes)
	return u.exceed(now.at, &sample, u.most())
}

// most is what the run may use.
func (u *subject) most() fleet.Excess {
	if u.going.Task == nil {
		return fleet.Excess{}
	}
	return u.going.Task.Restart.When
}

// sampled is how often a run with a bound is looked at: so that two looks at
// least lie in the time for which it may not exceed it.
func (u *subject) sampled(every time.Duration) time.Duration {
	return max(lookEvery, min(every, orDefault(u.most().For, defaultFor)/2))
}

// processors is how many were busy with the run since the sample before, or
// since its start. Of a run that an earlier agent began that would be long ago:
// its first sample only begins the count.
func (u *subject) processors(now *use) float64 {
	before := u.use.last
	if before == nil {
		if now.at.Sub(u.began) > 2*sampleEvery {
			return 0
		}
		before = &use{at: u.began}
	}
	elapsed := now.at.Sub(before.at)
	if elapsed <= 0 {
		return 0
	}
	busy := float64(spent(before, now)) / clockTicks / elapsed.Seconds()
	return math.Round(busy*1000) / 1000
}

// exceed looks at each bound by itself.
func (u *subject) exceed(now time.Time, sample *fleet.Sample, most fleet.Excess) (all []action) {
	lasting := orDefault(most.For, defaultFor)
	for i, bound := range [...]struct {
		exceeded   bool
		used, most string
	}{
		{most.Memory > 0 && sample.Memory > most.Memory, rounded(sample.Memory) + " of memory", most.Memory.String()},
		{most.CPU > 0 && sample.CPU > most.CPU, decimal(sample.CPU) + " processors", decimal(most.CPU)},
		{most.Files > 0 && sample.Files > most.Files, strconv.Itoa(sample.Files) + " open files", strconv.Itoa(most.Files)},
	} {
		since := &u.use.since[i]
		if !bound.exceeded {
			*since = time.Time{}
			continue
		}
		if since.IsZero() {
			*since = now
		}
		if now.Sub(*since) >= lasting {
			all = append(all, u.condemn(fleet.RanUsage, fmt.Sprintf("uses %s, and used more than %s in every look for %s", bound.used, bound.most, fleet.Duration(lasting)))...)
		}
	}
	return all
}

// rounded writes a size in a unit of which there are not many.
func rounded(b fleet.Bytes) string {
	for _, unit := range []fleet.Bytes{1 << 30, 1 << 20, 1 << 10} {
		if b >= 10*unit {
			b -= b % unit
			break
		}
	}
	return b.String()
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
