package calendar

import (
	"strings"
	"testing"
	"time"
)

func TestParseSpan(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "90": 90 * time.Second, "+1": time.Second, "1h30min": 90 * time.Minute, " 1h 30 min ": 90 * time.Minute, "1\th": time.Hour,
		"1m": time.Minute, "1M": 2629800 * time.Second, "1month": 2629800 * time.Second, "1y": 31557600 * time.Second, "2weeks": 14 * day, "3d": 3 * day,
		".5h": 30 * time.Minute, "1.5": 1500 * time.Millisecond, "1 2 3": 6 * time.Second, "1min30": 90 * time.Second, "1sec2": 3 * time.Second,
		"1.0000001": time.Second, "1.9999999us": time.Microsecond, "0.1us": 0, "1µs": time.Microsecond, "1μs": time.Microsecond, "5ms": 5 * time.Millisecond,
		"infinity": Infinite, " infinity ": Infinite, "300years": Infinite, "292y 292y": Infinite, "900000000000years": Infinite,
	} {
		if got, err := ParseSpan(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "h", "1 h h", "-1", "1h-5m", "1.h", "1..5", "1.5.5", "1e3", "1mon", "1S", "1H", "1ns", "1,5h", "5min ago", "infinity 1", "1 infinity",
		"hourly", "99999999999999999999", strings.Repeat("x", 500),
	} {
		if got, err := ParseSpan(text); err == nil || got != 0 || len(err.Error()) > 400 {
			t.Errorf("%q is taken for %v, %v", clip(text), got, err)
		}
	}
}

func FuzzParseSpan(f *testing.F) {
	for _, seed := range []string{"1h 30min", "2weeks", ".5", "infinity", "1M1m", "9223372036854775807y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		span, err := ParseSpan(text)
		if span < 0 || err != nil && span != 0 {
			t.Errorf("%q: %v, %v", text, span, err)
		}
		if more, err2 := ParseSpan(text + " 1s"); err == nil && span != Infinite && (err2 != nil || more < span) {
			t.Errorf("%q: %v, and a second more %v, %v", text, span, more, err2)
		}
	})
}
