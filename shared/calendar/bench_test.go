package calendar

import (
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/cron"
)

// benchmarkNext measures Next and, in the same run and over the same instants,
// the same schedule as a cron expression, and reports how many times as long
// the event takes.
func benchmarkNext(b *testing.B, expr, fields string) {
	e := mustParse(b, expr)
	schedule, err := cron.Parse(fields)
	if err != nil {
		b.Fatal(err)
	}
	loc := mustLoad(b, "Europe/Berlin")
	instants := make([]time.Time, 64)
	for i := range instants {
		instants[i] = time.Date(2026, 1, 1+i*5, i%24, i%60, 30, 0, loc)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Next(instants[i%len(instants)])
	}
	best := [2]time.Duration{1 << 62, 1 << 62}
	for range 30 { // in turns, so that a busy machine is busy for both
		for i, next := range []func(time.Time) (time.Time, bool){e.Next, schedule.Next} {
			start := time.Now()
			for _, at := range instants {
				next(at)
			}
			best[i] = min(best[i], time.Since(start))
		}
	}
	b.ReportMetric(float64(best[0])/float64(best[1]), "x_of_cron")
}

func BenchmarkNextDaily(b *testing.B)       { benchmarkNext(b, "*-*-* 02:30", "30 2 * * *") }
func BenchmarkNextFiveMinutes(b *testing.B) { benchmarkNext(b, "*:0/5", "*/5 * * * *") }
func BenchmarkNextWeekdays(b *testing.B)    { benchmarkNext(b, "Mon..Fri 09:00", "0 9 * * 1-5") }
func BenchmarkNextLastDay(b *testing.B)     { benchmarkNext(b, "*-*~1 09:00", "0 9 28 * *") }
func BenchmarkNextImpossible(b *testing.B)  { benchmarkNext(b, "*-02-30", "0 0 30 2 *") }

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("Mon..Fri *-*-1,15 0/2:0/15"); err != nil {
			b.Fatal(err)
		}
	}
}
