package cron

import (
	"testing"
	"time"
)

// TestDayRule is how the two day fields combine: by their texts, not their sets.
func TestDayRule(t *testing.T) {
	for _, c := range []struct {
		dialect    Dialect
		expr, want string // the days of November 2026, which begins on a Sunday
	}{
		{Debian, "0 0 13 * 5", "6,13,20,27"},
		{Debian, "0 0 14 * 5", "6,13,14,20,27"},
		{Cronie, "0 0 * * 5", "6,13,20,27"},
		{Cronie, "0 0 14 * *", "14"},
		{Strict, "0 0 */2 * 1", "9,23"},
		{Strict, "0 0 1-31/2 * 1", "1-3,5,7,9,11,13,15-17,19,21,23,25,27,29,30"},
		{Strict, "0 0 2-31 * 0", "*"},
		{Strict, "0 0 *,10 * 5", "6,13,20,27"},
		{Strict, "0 0 10,* * 5", "*"},
		{Strict, "0 0 1 * 0-6", "*"},
		{Strict, "0 0 1 * */2", "1"},
		{Strict, "0 0 2 * */2", ""},
		{Strict, "0 0 3 * 7", "1,3,8,15,22,29"},
		{Strict, "@daily", "*"},
		{Strict, "@weekly", "1,8,15,22,29"},
		{Busybox, "0 0 */2 * 1", "2,4,6,8-10,12,14,16,18,20,22-24,26,28,30"},
		{Busybox, "0 0 * * 7", "*"},
		{Busybox, "0 0 * * 5-7", "*"},
		{Busybox, "0 0 * * 5-1", "1,2,6-9,13-16,20-23,27-30"},
		{Busybox, "0 0 */32 * 1", "2,9,16,23,30"},
		{Busybox, "0 0 1 0 3", ""},
	} {
		s := mustParse(t, c.dialect, c.expr)
		var days uint64
		at := time.Date(2026, 10, 31, 23, 59, 59, 0, time.UTC)
		for {
			next, ok := s.Next(at)
			if !ok || next.Month() != 11 || next.Year() != 2026 {
				break
			}
			days |= 1 << next.Day()
			at = next
		}
		if got := setText(days, 1, 30); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.dialect, c.expr, got, c.want)
		}
	}
}

// TestReadings is what each daemon makes of the same five fields: its sets, or
// its words of refusal.
func TestReadings(t *testing.T) {
	for _, c := range []struct{ expr, debian, cronie, busybox string }{
		{"5/10 * * * *", "bad minute", "bad minute", "5 * * * *"},
		{"*/60 * * * *", "0 * * * *", "0 * * * *", "0 * * * *"},
		{"*/59 * * * *", "0,59 * * * *", "0,59 * * * *", "0,59 * * * *"},
		{"*/0 * * * *", "bad minute", "bad minute", "0 * * * *"},
		{"*15 * * * *", "* * * * *", "bad minute", "* * * * * (parse error at *15)"},
		{"**/5 * * * *", "* * * * *", "bad minute", "* * * * * (parse error at **/5)"},
		{"1-2-3 * * * *", "1,2 * * * *", "bad minute", "1,2 * * * * (parse error at 1-2-3)"},
		{"*/5/2 * * * *", "0,5,10,15,20,25,30,35,40,45,50,55 * * * *", "bad minute",
			"0,5,10,15,20,25,30,35,40,45,50,55 * * * * (parse error at */5/2)"},
		{"0~30 * * * *", "0 * * * *", "0-30 * * * * random", "0 * * * * (parse error at 0~30)"},
		{"30~0 * * * *", "30 * * * *", "bad minute", "30 * * * * (parse error at 30~0)"},
		{"5,50~ * * * *", "5,50 * * * *", "5,50-59 * * * * random", "5,50 * * * * (parse error at 5,50~)"},
		{"~,5 * * * *", "bad minute", "* * * * * random", " * * * * (parse error at ~,5)"},
		{"0~30/5 * * * *", "0 * * * *", "bad minute", "0 * * * * (parse error at 0~30/5)"},
		{"60~70 * * * *", "bad minute", "bad minute", "* * * * * (parse error at 60~70)"},
		{"0 22-2 * * *", "0  * * *", "0  * * *", "0 0-2,22,23 * * *"},
		{"111-5 * * * *", "bad minute", " * * * *", "0-5,51-59 * * * *"},
		{"0 0 * * sat-sun", "0 0 * * ", "0 0 * * ", "0 0  * 0,6"},
		{"0 0 * * fri-7", "0 0 * * 0,5,6", "0 0 * * 0,5,6", "0 0 * * * (parse error at fri-7)"},
		{"0 0 * * Sunday", "bad day-of-week", "bad day-of-week", "0 0  * 0 (parse error at Sunday)"},
		{"0 0 * * SUN", "0 0 * * 0", "0 0 * * 0", "0 0  * 0"},
		{"0 0 * JAN-mar *", "0 0 * 1-3 *", "0 0 * 1-3 *", "0 0 * 1-3 *"},
		{"0 0 1 0-3 *", "bad month", "bad month", "0 0 1 3 "},
		{"0 0 32 * *", "bad day-of-month", "bad day-of-month", "0 0 * * * (parse error at 32)"},
		{"08 09 * * *", "8 9 * * *", "8 9 * * *", "8 9 * * *"},
		{"4294967301 * * * *", "5 * * * *", "5 * * * *", "5 * * * *"},
		{"99999999999999999999 * * * *", "bad minute", "bad minute", " * * * *"},
		{"1, * * * *", "bad minute", "bad minute", "1 * * * * (parse error at 1,)"},
		{"1,,2 * * * *", "bad minute", "bad minute", "1 * * * * (parse error at 1,,2)"},
		{"* *", "bad day-of-month", "bad day-of-month", "too few fields, busybox ignores the line"},
		{"* * * * * *", "more than five fields", "more than five fields", "more than five fields"},
		{"@every 5m", "bad time specifier", "bad time specifier", "unknown word, busybox ignores the line"},
		{"@Daily", "bad time specifier", "bad time specifier", "unknown word, busybox ignores the line"},
		{"@daily x", "nothing may follow @daily", "nothing may follow @daily", "nothing may follow @daily"},
		{"@monthly", "0 0 1 * *", "0 0 1 * *", "0 0 1 * "},
		{"\t5 4\t* *  * ", "5 4 * * *", "5 4 * * *", "5 4 * * *"},
	} {
		for d, want := range map[Dialect]string{Debian: c.debian, Cronie: c.cronie, Busybox: c.busybox} {
			if got := reading(d, c.expr); got != want {
				t.Errorf("%s %q: %q, want %q", d, c.expr, got, want)
			}
		}
	}
}

// reading renders what a dialect makes of an expression.
func reading(d Dialect, expr string) string {
	s, err := d.Parse(expr)
	if err != nil {
		return err.(*SyntaxError).Reason
	}
	f := s.Fields()
	text := f.Minute + " " + f.Hour + " " + f.DayOfMonth + " " + f.Month + " " + f.DayOfWeek
	if s.Random() {
		text += " random"
	}
	if s.Complaint() != "" {
		text += " (" + s.Complaint() + ")"
	}
	return text
}

// TestFarDates finds what is rare and says of what is impossible that it is.
func TestFarDates(t *testing.T) {
	for _, c := range []struct{ expr, zone, from, want string }{
		{"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"0 0 29 2 *", "America/New_York", "2096-03-01T00:00:00Z", "2104-02-29T05:00:00Z"},
		{"30 3 29 2 */7", "Europe/Berlin", "2032-03-01T00:00:00Z", "2060-02-29T02:30:00Z"},
		{"30 3 29 2 */7", "UTC", "2088-03-01T00:00:00Z", "2128-02-29T03:30:00Z"},
		{"0 0 31 12 *", "UTC", "9999-12-30T00:00:00Z", "9999-12-31T00:00:00Z"},
		{"0 0 31 12 *", "UTC", "9999-12-31T00:00:00Z", ""},
		{"0 0 1 1 *", "UTC", "0001-01-01T00:00:00Z", "0002-01-01T00:00:00Z"},
		{"0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", ""},
		{"0 0 31 4,6,9,11 *", "UTC", "2026-01-01T00:00:00Z", ""},
		{"0 0 30,31 2 *", "Europe/Berlin", "2026-01-01T00:00:00Z", ""},
		{"0 0 30 2 */2", "UTC", "2026-01-01T00:00:00Z", ""},
		{"0 0 30 2 1", "UTC", "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"},
		{"0 0 5-1 * *", "UTC", "2026-01-01T00:00:00Z", ""},
		{"30-20 * * * *", "UTC", "2026-01-01T00:00:00Z", ""},
		{"@reboot", "UTC", "2026-01-01T00:00:00Z", ""},
	} {
		s := mustParse(t, Strict, c.expr)
		got, ok := s.Next(instant(t, c.from).In(mustLoad(t, c.zone)))
		text := ""
		if ok {
			text = got.UTC().Format(time.RFC3339)
		}
		if text != c.want {
			t.Errorf("%q in %s after %s: %q, want %q", c.expr, c.zone, c.from, text, c.want)
		}
	}
	if _, ok := (Schedule{}).Next(time.Now()); ok {
		t.Error("the zero schedule comes")
	}
}

func TestSchedule(t *testing.T) {
	a, b := mustParse(t, Strict, "0  4\t* * 1"), mustParse(t, Strict, " 0 4 * * 1 ")
	if a != b || a.String() != "0 4 * * 1" {
		t.Errorf("%v and %v differ", a, b)
	}
	if six := mustParse(t, Strict, "0 0 4 * * 1"); !six.Seconds() || a.Seconds() {
		t.Error("six fields have seconds, five have none")
	}
	if a.Wall() == a || a.Wall().String() != a.String() {
		t.Error("Wall changes the policy only")
	}
	if !mustParse(t, Strict, "@reboot").Reboot() || a.Reboot() {
		t.Error("@reboot alone is at boot")
	}
	for expr, want := range map[string]bool{
		"* 4 * * *": true, "5 */2 * * *": true, "*,5 4 * * *": true, "5,* 4 * * *": false,
		"5 4 * * *": false, "0-59 0-23 * * *": false, "@hourly": true, "@daily": false,
	} {
		if got := mustParse(t, Strict, expr).Wildcard(); got != want {
			t.Errorf("%q: wildcard %v, want %v", expr, got, want)
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	loc := mustLoad(t, "Europe/Berlin")
	for _, expr := range []string{"30 2 * * *", "*/5 * * * *", "0 9 * * 1-5", "0 0 29 2 *", "0 0 30 2 *"} {
		s := mustParse(t, Strict, expr)
		for _, from := range []string{"2026-03-28T12:00:00Z", "2026-10-25T00:30:00Z", "2060-05-01T00:00:00Z"} {
			at := instant(t, from).In(loc)
			if n := testing.AllocsPerRun(20, func() { s.Next(at) }); n != 0 {
				t.Errorf("%q after %s: %v allocations", expr, from, n)
			}
		}
	}
}

func TestLoad(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "America/Port-au-Prince"} {
		if loc, err := Load(zone); err != nil || loc.String() != zone {
			t.Errorf("%q: %v, %v", zone, loc, err)
		}
	}
	for zone, want := range map[string]string{
		"":                  "timezone is empty: name one, like Europe/Berlin or UTC",
		"Local":             `timezone "Local" differs from host to host: name one, like Europe/Berlin or UTC`,
		"Mars/Olympus":      `timezone "Mars/Olympus" is not known: write an IANA name like Europe/Berlin or UTC`,
		"/etc/localtime":    `timezone "/etc/localtime" is not an IANA name: write it like Europe/Berlin or UTC`,
		"../zoneinfo/UTC":   `timezone "../zoneinfo/UTC" is not an IANA name: write it like Europe/Berlin or UTC`,
		"Europe/../UTC":     `timezone "Europe/../UTC" is not an IANA name: write it like Europe/Berlin or UTC`,
		"Europe//Berlin":    `timezone "Europe//Berlin" is not an IANA name: write it like Europe/Berlin or UTC`,
		"right/UTC":         `timezone "right/UTC" counts leap seconds, which no cron does: leave out right/`,
		"Europe/Berlin\x00": `timezone "Europe/Berlin\x00" is not an IANA name: write it like Europe/Berlin or UTC`,
	} {
		if _, err := Load(zone); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", zone, err, want)
		}
	}
}
