package blackout

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func parseFile(t testing.TB, name, mediaType string) fleet.Calendar {
	t.Helper()
	doc, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	calendar, err := Parse(doc, mediaType)
	if err != nil {
		t.Fatal(err)
	}
	return calendar
}

// question is an instant, and the end of the window around it; empty: none is.
type question struct{ at, until, summary string }

func ask(t *testing.T, b *Blackout, questions ...question) {
	t.Helper()
	for _, q := range questions {
		at, err := time.Parse(time.RFC3339, q.at)
		if err != nil {
			t.Fatal(err)
		}
		until, summary, ok := b.Covers(at)
		got := question{q.at, "", summary}
		if ok {
			got.until = until.Format(time.RFC3339)
		}
		if got != q {
			t.Errorf("at %s: until %q, %q; want %q, %q", q.at, got.until, summary, q.until, q.summary)
		}
	}
}

func TestYAML(t *testing.T) {
	calendar := parseFile(t, "freeze.yaml", "application/yaml; charset=utf-8")
	b, err := New(calendar)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, b,
		question{"2026-12-23T22:59:59Z", "", ""},
		question{"2026-12-23T23:00:00Z", "2027-01-01T23:00:00Z", "the end of the year"},
		question{"2027-01-01T23:00:00Z", "", ""},
		question{"2026-07-03T19:59:59Z", "", ""}, // a Friday, by summer time
		question{"2026-07-03T20:00:00Z", "2026-07-03T21:30:00Z", ""},
		question{"2026-11-06T20:30:00Z", "", ""}, // by winter time
		question{"2026-11-06T21:30:00Z", "2026-11-06T22:30:00Z", ""},
		question{"2026-04-01T08:59:00Z", "2026-04-01T09:00:00Z", ""},
		question{"2026-05-01T08:00:00Z", "", ""}, // left out
		question{"2026-06-01T07:00:00Z", "2026-06-01T09:00:00Z", ""},
	)
	again, err := json.Marshal(calendar)
	if err != nil {
		t.Fatal(err)
	}
	same, err := Parse(again, "application/json")
	if diff := cmp.Diff(calendar, same); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestICal(t *testing.T) {
	calendar := parseFile(t, "office.ics", "text/calendar")
	if calendar.Name != "" || calendar.Timezone != "Europe/Berlin" || calendar.Description != "Office closed" {
		t.Errorf("%q in %q: %q", calendar.Name, calendar.Timezone, calendar.Description)
	}
	calendar.Name = "office"
	b, err := New(calendar)
	if err != nil {
		t.Fatal(err)
	}
	const moved = "Patch night, a day later"
	ask(t, b,
		question{"2026-12-24T22:59:59Z", "", ""},
		question{"2026-12-24T23:00:00Z", "2026-12-26T23:00:00Z", "Christmas, and the day after"},
		question{"2030-12-26T22:59:59Z", "2030-12-26T23:00:00Z", "Christmas, and the day after"},
		question{"2026-03-10T23:00:00Z", "2026-03-11T03:00:00Z", "Patch night"},
		question{"2026-04-14T21:00:00Z", "", ""},
		question{"2026-05-12T21:00:00Z", "", ""},
		question{"2026-06-09T21:00:00Z", "", ""},
		question{"2026-06-10T21:00:00Z", "2026-06-10T22:00:00Z", moved},
		question{"2026-07-14T21:00:00Z", "2026-07-15T02:00:00Z", "Patch night"},
		question{"2026-05-01T12:00:00Z", "2026-05-01T18:00:00Z", "The machines are carried to the new hall"},
		question{"2026-06-01T12:00:00Z", "2026-06-01T18:00:00Z", "The machines are carried to the new hall"},
		question{"2026-07-01T12:00:00Z", "", ""},
		question{"2026-08-01T06:00:00Z", "", ""},
	)
	if next, ok := b.Next(time.Date(2026, 6, 11, 0, 0, 0, 0, time.UTC)); !ok || next.Format(time.RFC3339) != "2026-07-14T20:00:00Z" {
		t.Errorf("next %s, %v", next, ok)
	}
}

// ics is a calendar of one event.
func ics(lines ...string) string {
	return "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:u\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}

// TestICalZones: where no zone is named, the events say which it is.
func TestICalZones(t *testing.T) {
	for want, doc := range map[string]string{
		"UTC":              ics("DTSTART:20260501T060000Z", "DTEND:20260501T180000Z"),
		"America/New_York": ics("DTSTART;TZID=/example.org/20260101/America/New_York:20260501T060000", "DTEND;TZID=America/New_York:20260501T180000"),
	} {
		calendar, err := Parse([]byte(doc), "text/calendar")
		if err != nil || calendar.Timezone != want {
			t.Errorf("%q (%v), want %s", calendar.Timezone, err, want)
		}
	}
}

// TestRefusals: what is wrong is named, with what to write instead.
func TestRefusals(t *testing.T) {
	start := "DTSTART:20260501T060000Z"
	for _, c := range []struct{ mediaType, doc, want string }{
		{"text/html", "", `content-type "text/html": want application/yaml, application/json or text/calendar`},
		{"application/yaml", "", "calendar: EOF"},
		{"application/yaml", "windows: []", "windows: is empty: a calendar has at least one window"},
		{"application/yaml", "calender: x\nwindows: [{cron: '0 1 * * *', for: 1h}]", `line 1, column 1: calender "calender": is not known: want calendar, description, timezone, windows`},
		{"application/yaml", "windows:\n  - from: soon", `line 2, column 11: windows[0].from "soon": want an instant with its offset, such as 2026-12-24T00:00:00+01:00`},
		{"application/yaml", "windows:\n  - for: 1h\n    for: 2h", "line 3, column 5: windows[0].for \"for\": is there twice"},
		{"application/yaml", "windows: &a [{cron: '0 1 * * *', for: 1h}]", "anchors and aliases are not read"},
		{"application/yaml", "windows: [{cron: '0 1 * * *'}]", "windows[0]: want exactly one of to and for: when it ends"},
		{"application/yaml", "windows: [{for: 1h}]", "windows[0]: want exactly one of from and cron: when it begins"},
		{"application/yaml", "windows: [{cron: '0 0 30 2 *', for: 1h}]", `windows[0].cron "0 0 30 2 *": never comes`},
		{"application/yaml", "windows: [{cron: '0 1 * * *', for: 400d}]", "a window that comes again lasts at most 366 days"},
		{"application/yaml", "timezone: Europe/Atlantis\nwindows: [{cron: '0 1 * * *', for: 1h}]", `timezone "Europe/Atlantis"`},
		{"application/yaml", "windows: [{from: 2026-05-01T00:00:00Z, to: 2026-04-01T00:00:00Z}]", "must be after from"},
		{"application/yaml", "windows: [{from: 2026-05-01T00:00:00Z, for: 1h, rule: FREQ=HOURLY}]", "for more often than daily write cron and for"},
		{"application/yaml", "windows: [{from: 2026-05-01T00:00:00Z, for: 1h, rule: FREQ=DAILY;BYHOUR=3}]", "BYHOUR=3 is not understood"},
		{"application/yaml", "windows: [{from: 2026-05-01T00:00:00Z, for: 1h, rule: FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30}]", "never comes"},
		{"application/yaml", "windows: [{from: 2026-05-01T00:00:00Z, for: 1h, rule: BYMONTH=2}]", "FREQ is missing"},
		{"application/yaml", "---\nwindows: []\n---\nwindows: []", "more than one document"},
		{"application/json", `{"windows":[{"cron":"0 1 * * *","for":"1h"}]} {}`, "more follows after the document"},
		{"application/json", `{"window":[]}`, `unknown field "window"`},
		{"text/calendar", "hello", "no iCalendar file"},
		{"text/calendar", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", "it ends before END:VCALENDAR"},
		{"text/calendar", "BEGIN:VCALENDAR\r\nVERSION;X=1", "a line of it is cut off"},
		{"text/calendar", "BEGIN:VCALENDAR\r\nVERSION;X=" + strings.Repeat("1", 4000) + ":2", "more than 1024 bytes of parameters"},
		{"text/calendar", strings.Repeat("BEGIN:VCALENDAR\r\n", 20), "components lie more than 8 deep in each other"},
		{"text/calendar", strings.Repeat("BE\r\n GIN;X=1:VCALENDAR\r\n", 20), "components lie more than 8 deep in each other"},
		{"text/calendar", ics(), "event u: has no DTSTART: when it begins"},
		{"text/calendar", ics("SUMMARY:Move", "DTSTART:tomorrow"), `event Move.DTSTART "tomorrow": want an instant such as 20261224T120000Z or a day such as 20261224`},
		{"text/calendar", ics(start, "DTEND;TZID=Nowhere/Else:20260501T180000"), `timezone "Nowhere/Else" is not known`},
		{"text/calendar", ics(start), "windows: is empty"},
		{"text/calendar", strings.Replace(ics("DTSTART;TZID=Asia/Tokyo:20260501T060000", "DURATION:PT1H", "RRULE:FREQ=DAILY"), "BEGIN:VEVENT", "X-WR-TIMEZONE:Europe/Berlin\r\nBEGIN:VEVENT", 1),
			"recurs in the zone Asia/Tokyo, the calendar is of Europe/Berlin"},
		{"text/calendar", strings.Repeat("x", MaxBytes+1), "at most 1048576 are read"},
	} {
		_, err := Parse([]byte(c.doc), c.mediaType)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %q", c.doc, err, c.want)
		}
	}
	if _, err := New(fleet.Calendar{Name: "No Name"}); err == nil || !strings.Contains(err.Error(), `calendar "No Name"`) {
		t.Errorf("%v", err)
	}
}

// TestHostileFiles: what is sound and large answers in the time of a look.
func TestHostileFiles(t *testing.T) {
	first := time.Date(1900, 1, 1, 3, 0, 0, 0, time.UTC)
	calendar := fleet.Calendar{Name: "x", Timezone: "Europe/Berlin"}
	for range fleet.MaxWindows / 8 { // each of them costs the same
		end := first.Add(longest)
		calendar.Windows = append(calendar.Windows, fleet.Window{From: &first, To: &end, Rule: "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO"})
	}
	b, err := New(calendar)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := b.Covers(first.AddDate(123, 0, 0)); ok {
		t.Error("a 29 February in 2023")
	}
	calendar.Windows = calendar.Windows[:0]
	for range 20 {
		calendar.Windows = append(calendar.Windows, fleet.Window{From: &first, For: fleet.Duration(time.Hour), Rule: "FREQ=DAILY;COUNT=1000"})
	}
	if _, err := New(calendar); err == nil || !strings.Contains(err.Error(), "write UNTIL") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	for name, mediaType := range map[string]string{"office.ics": "text/calendar", "freeze.yaml": "application/yaml"} {
		doc, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc, mediaType)
	}
	f.Add([]byte(ics("DTSTART:20260501T060000Z", "DURATION:P1W", "RRULE:FREQ=WEEKLY;BYDAY=MO,-1FR;BYSETPOS=1")), "text/calendar")
	f.Add([]byte(`{"calendar":"a","windows":[{"cron":"@daily","for":"1h"}]}`), "application/json")
	f.Fuzz(func(t *testing.T, doc []byte, mediaType string) {
		calendar, err := Parse(doc, mediaType)
		if err != nil {
			return
		}
		calendar.Name = "a"
		b, err := New(calendar)
		if err != nil {
			t.Fatalf("what was read is refused: %v", err)
		}
		text, err := json.Marshal(calendar)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text, "application/json")
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		same, err := New(again)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 2, 27, 0, 0, 0, 0, time.UTC)
		for range 5 {
			until, _, is := b.Covers(at)
			if is && !until.After(at) {
				t.Fatalf("the window around %s ends %s", at, until)
			}
			next, comes := b.Next(at)
			if other, also := same.Next(at); comes != also || !next.Equal(other) {
				t.Fatalf("after %s comes %s, and %s when read again", at, next, other)
			}
			if !comes {
				return
			}
			if !next.After(at) {
				t.Fatalf("after %s comes %s", at, next)
			}
			at = next
		}
	})
}

func BenchmarkCovers(b *testing.B) {
	calendar := parseFile(b, "office.ics", "text/calendar")
	calendar.Name = "office"
	windows, err := New(calendar)
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 6, 11, 0, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		windows.Covers(at)
	}
}
