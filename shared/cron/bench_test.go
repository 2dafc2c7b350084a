package cron

import (
	"testing"
	"time"

	"github.com/adhocore/gronx"
	"github.com/hashicorp/cronexpr"
)

// benchmarkNext measures Next and, in the same run and over the same instants,
// the two libraries, and reports how many times longer each of them takes.
func benchmarkNext(b *testing.B, expr string) {
	loc := mustLoad(b, "Europe/Berlin")
	s := mustParse(b, Strict, expr)
	other, err := cronexpr.Parse(expr)
	if err != nil {
		b.Fatal(err)
	}
	instants := make([]time.Time, 64)
	for i := range instants {
		instants[i] = time.Date(2026, 1, 1+i*5, i%24, i%60, 30, 0, loc)
	}
	ours := func(at time.Time) { s.Next(at) }
	b.ReportAllocs()
	start := time.Now()
	for i := 0; b.Loop(); i++ {
		ours(instants[i%len(instants)])
	}
	mine := float64(time.Since(start)) / float64(b.N)
	cronexprNs := nanoseconds(instants, 20, func(at time.Time) { other.Next(at) })
	gronxNs := nanoseconds(instants, 1, func(at time.Time) {
		if _, err := gronx.NextTickAfter(expr, at, false); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric(cronexprNs/mine, "x_vs_cronexpr")
	b.ReportMetric(gronxNs/mine, "x_vs_gronx")
}

// nanoseconds is the time of one call, the best of several rounds.
func nanoseconds(instants []time.Time, repeat int, call func(time.Time)) float64 {
	best := time.Duration(1<<63 - 1)
	for range 5 {
		start := time.Now()
		for range repeat {
			for _, at := range instants {
				call(at)
			}
		}
		best = min(best, time.Since(start))
	}
	return float64(best) / float64(repeat*len(instants))
}

func BenchmarkNextDaily(b *testing.B)       { benchmarkNext(b, "30 2 * * *") }
func BenchmarkNextFiveMinutes(b *testing.B) { benchmarkNext(b, "*/5 * * * *") }
func BenchmarkNextWeekdays(b *testing.B)    { benchmarkNext(b, "0 9 * * 1-5") }

func BenchmarkNextLeapDay(b *testing.B) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, mustLoad(b, "Europe/Berlin"))
	s := mustParse(b, Strict, "0 0 29 2 */7")
	b.ReportAllocs()
	for b.Loop() {
		s.Next(at)
	}
}

func BenchmarkNextImpossible(b *testing.B) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	s := mustParse(b, Strict, "0 0 30 2 *")
	b.ReportAllocs()
	for b.Loop() {
		s.Next(at)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("*/15 0-23/2 1,15 * mon-fri"); err != nil {
			b.Fatal(err)
		}
	}
}
