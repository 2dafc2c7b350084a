package calendar

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	normalized = regexp.MustCompile(`(?m)Normalized form: (.*)$`)
	elapses    = regexp.MustCompile(`(?m)(?:Next elapse|\(in UTC\)|Iteration #\d+|Iter\. #\d+): (?:... )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$`)
)

// TestAgainstSystemd asks systemd-analyze about random expressions in random
// zones: what it refuses, its normal form and the next three instants. Without
// that program there is nothing to ask; TestNormalForm and
// TestNextAgainstEverySecond hold the same in any case.
func TestAgainstSystemd(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd-analyze here")
		return
	}
	bases := []string{"2026-03-08 05:00:00 UTC", "2026-03-28 23:00:00 UTC", "2026-10-24 23:30:00 UTC", "2026-11-01 04:00:00 UTC", "2026-04-03 14:00:00 UTC", "2028-02-28 12:00:00 UTC"}
	rapid.Check(t, func(t *rapid.T) {
		expr := expressions.Draw(t, "expression")
		if rapid.IntRange(0, 4).Draw(t, "spoil") == 0 { // strike one letter, which may or may not be an error
			at := rapid.IntRange(0, len(expr)-1).Draw(t, "at")
			expr = expr[:at] + expr[at+1:]
		}
		zone := rapid.SampledFrom([]string{"UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"}).Draw(t, "zone")
		if strings.Contains(expr, "~") {
			zone = "UTC" // looking for a month's end, systemd may forget which pass of a repeated hour it is in
		}
		base := rapid.SampledFrom(bases).Draw(t, "base")
		command := exec.Command(tool, "calendar", "--iterations=3", "--base-time="+base, "--", expr)
		command.Env = append(os.Environ(), "TZ="+zone, "LC_ALL=C", "SYSTEMD_COLORS=0")
		text, err := command.CombinedOutput()
		if strings.Contains(string(text), "Infinite loop in calendar calculation") {
			return // it loses its way where two of a list begin alike, such as 1,1/8
		}
		e, refused := Parse(expr)
		if (err != nil) != (refused != nil) {
			t.Fatalf("%q: %v, systemd says %s", expr, refused, text)
		}
		if err != nil {
			return
		}
		form := normalized.FindSubmatch(text)
		if form == nil || string(form[1]) != e.String() {
			t.Fatalf("%q: %q, systemd says %s", expr, e, text)
		}
		var want []string
		for _, match := range elapses.FindAllSubmatch(text, -1) {
			want = append(want, strings.Replace(string(match[1]), " ", "T", 1)+"Z")
		}
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		after, err := time.Parse("2006-01-02 15:04:05 MST", base)
		if err != nil {
			t.Fatal(err)
		}
		if got := coming(e, after.In(loc), 3); !slices.Equal(got, want) {
			t.Fatalf("%q in %s after %s: %q, want %q\n%s", expr, zone, base, got, want, text)
		}
	})
}
