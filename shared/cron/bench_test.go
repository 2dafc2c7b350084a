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
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Next(instants[i%len(instants)])
	}
	calls := [3]func(time.Time){
		func(at time.Time) { s.Next(at) },
		func(at time.Time) { other.Next(at) },
		func(at time.Time) {
			if _, err := gronx.NextTickAfter(expr, at, false); err != nil {
				b.Fatal(err)
			}
		},
	}
	best := [3]time.Duration{1 << 62, 1 << 62, 1 << 62}
	for range 30 { // in turns, so that a busy machine is busy for all
		for i, call := range calls {
			best[i] = min(best[i], pass(instants, call))
		}
	}
	b.ReportMetric(float64(best[1])/float64(best[0]), "x_vs_cronexpr")
	b.ReportMetric(float64(best[2])/float64(best[0]), "x_vs_gronx")
}

// pass is the time of one call for every instant.
func pass(instants []time.Time, call func(time.Time)) time.Duration {
	start := time.Now()
	for _, at := range instants {
		call(at)
	}
	return time.Since(start)
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
