package cron

import (
	"archive/zip"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryZone walks minute by minute over changes of the clock in every zone of
// the tz database and compares all that is due, before, in and after them, with
// what Next says. Expressions are drawn so that most are due in those hours.
func TestEveryZone(t *testing.T) {
	perZone := 3
	if testing.Short() {
		perZone = 1
	}
	r := rand.New(rand.NewPCG(11, 17))
	all, windows, instants := ianaZones(t), 0, 0
	for _, name := range all {
		loc := mustLoad(t, name)
		list := changesSince(loc, 1973)
		if len(list) == 0 {
			list = []time.Time{time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)}
		}
		for range perZone {
			windows++
			instants += walkOver(t, r, loc, list[r.IntN(len(list))])
		}
	}
	t.Logf("%d zones, %d changes of the clock, %d instants", len(all), windows, instants)
	if len(all) < 500 || instants < 10*windows {
		t.Errorf("%d zones, %d changes of the clock, %d instants: that proves little", len(all), windows, instants)
	}
}

// walkOver compares a day before and after a change, and returns how many
// instants were due.
func walkOver(t *testing.T, r *rand.Rand, loc *time.Location, change time.Time) int {
	expr := randomExpression(r, false)
	s := mustParse(t, Strict, expr)
	m := modelOf(t, s)
	if r.IntN(4) == 0 {
		s, m.wall = s.Wall(), true
	}
	from, to := change.Add(-26*time.Hour).In(loc), change.Add(26*time.Hour)
	want := slices.Collect(m.walk(from, to, time.Minute))
	var got []time.Time
	for at, ok := s.Next(from); ok && !at.After(to); at, ok = s.Next(at) {
		got = append(got, at)
	}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		i := 0
		for i < min(len(got), len(want)) && got[i].Equal(want[i]) {
			i++
		}
		t.Fatalf("%q (wall %v) in %s around %s, from the %d-th on:\n got %s\nwant %s", expr, m.wall, loc, change.In(loc), i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
	}
	return len(got)
}

// ianaZones lists the zones that Go knows, whose names are in its own archive.
func ianaZones(t *testing.T) (names []string) {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for _, file := range archive.File {
		if _, err := Load(file.Name); err == nil {
			names = append(names, file.Name)
		}
	}
	return names
}

// changesSince lists when the clocks of a zone change from a year on, as far as
// the next decades. Before 1973 some were set by parts of a minute.
func changesSince(loc *time.Location, year int) (list []time.Time) {
	for at := time.Date(year, 1, 1, 0, 0, 0, 0, loc); at.Year() < 2060; {
		_, end := at.ZoneBounds()
		if !end.After(at) {
			break
		}
		list = append(list, end)
		at = end
	}
	return list
}
