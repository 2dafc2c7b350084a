package web

import (
	"strconv"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// instantForms are how a filter may name an instant, all read in UTC but the
// first, which says its zone.
var instantForms = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly}

// agoUnits are what "3d" may count.
var agoUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

const instantWanted = "want an instant as 2026-11-20T14:00:00Z, 2026-11-20 14:00 or 2026-11-20 (UTC), or how long ago as 24h or 7d"

// instant reads a filter that holds an instant; zero where it is not set.
func (l *listing) instant(name string, now time.Time) (time.Time, error) {
	text := l.value(name)
	if text == "" {
		return time.Time{}, nil
	}
	at, ok := readInstant(text, now)
	if !ok || at.Year() < 1970 || at.Year() > 2200 {
		return time.Time{}, fleet.Invalidf(name, clip(text, 60), instantWanted)
	}
	return at, nil
}

// past reads a filter that holds an instant of the past.
func (l *listing) past(name string, now time.Time) (time.Time, error) {
	at, err := l.instant(name, now)
	if err == nil && at.After(now) {
		return at, fleet.Invalidf(name, clip(l.value(name), 60), "want an instant of the past: it is %s now", now.Format(time.RFC3339))
	}
	return at, err
}

func readInstant(text string, now time.Time) (time.Time, bool) {
	for _, form := range instantForms {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC(), true
		}
	}
	last := len(text) - 1
	unit, known := agoUnits[text[last]]
	n, err := strconv.Atoi(text[:last])
	if !known || err != nil || n < 0 || n > 1_000_000 || unit*time.Duration(n)/unit != time.Duration(n) {
		return time.Time{}, false
	}
	return now.Add(-unit * time.Duration(n)), true
}
