package calendar

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, expr string) Event {
	t.Helper()
	e, err := Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestNormalForm(t *testing.T) {
	for expr, want := range map[string]string{
		"minutely": "*-*-* *:*:00", "hourly": "*-*-* *:00:00", "DAILY": "*-*-* 00:00:00", "weekly": "Mon *-*-* 00:00:00",
		"monthly": "*-*-01 00:00:00", "quarterly": "*-01,04,07,10-01 00:00:00", "semi-annually": "*-01,07-01 00:00:00",
		"yearly": "*-01-01 00:00:00", "anually": "*-01-01 00:00:00", "daily UTC": "*-*-* 00:00:00 UTC",
		"daily Europe/Berlin": "*-*-* 00:00:00 Europe/Berlin", "00:00 utc": "*-*-* 00:00:00 UTC",
		"0:0 Etc/GMT+1": "*-*-* 00:00:00 Etc/GMT+1", "00:00 CET": "*-*-* 00:00:00 CET",

		"Mon": "Mon *-*-* 00:00:00", "sunday": "Sun *-*-* 00:00:00", "Mon,Tue,Wed": "Mon..Wed *-*-* 00:00:00",
		"Mon-Wed,Fri 1:0": "Mon..Wed,Fri *-*-* 01:00:00", "Mon..Sun": "*-*-* 00:00:00", "Sat..Sun": "Sat,Sun *-*-* 00:00:00",
		"Sun,Mon": "Mon,Sun *-*-* 00:00:00", "Mon,": "Mon *-*-* 00:00:00", "Mon,  10:00": "Mon *-*-* 10:00:00", "Wed-Wed": "Wed *-*-* 00:00:00",
		"Mon UTC": "Mon *-*-* 00:00:00 UTC", "Mon  *-*-*   10:00": "Mon *-*-* 10:00:00",

		"10-15": "*-10-15 00:00:00", "2026-1-1 1:2": "2026-01-01 01:02:00", "12-01-01": "2012-01-01 00:00:00",
		"69-1-1": "2069-01-01 00:00:00", "70-1-1": "1970-01-01 00:00:00", "2026..028-1-1": "2026..2028-01-01 00:00:00", "00..69-1-1": "2000..2069-01-01 00:00:00",
		"2026/173-1-1": "2026/173-01-01 00:00:00", "*-1..3,2..4-*": "*-01..03,02..04-* 00:00:00",
		"*-*~01": "*-*~01 00:00:00", "*~1": "*-*~01 00:00:00", "02~03": "*-02~03 00:00:00", "*-*~*": "*-*-* 00:00:00",
		"Mon *-05~07/1": "Mon *-05~07/1 00:00:00", "*-*~1..28": "*-*~01..28 00:00:00", "*-*~1,25": "*-*~01,25 00:00:00", "*-*~5/4": "*-*~05/4 00:00:00", "*-*~1..9/3": "*-*~01..07/3 00:00:00",
		"@1700000000": "2023-11-14 22:13:20 UTC", "@0": "1970-01-01 00:00:00 UTC", "Mon @1700000000": "Mon 2023-11-14 22:13:20 UTC",
		"@1700000000 Europe/Berlin": "2023-11-14 22:13:20 UTC",

		"05:40": "*-*-* 05:40:00", "0/2:00": "*-*-* 00/2:00:00", "*:0/15,5": "*-*-* *:00/15,05:00", "*:*:*": "*-*-* *:*:*",
		"*:*:0/1": "*-*-* *:*:*", "*:*:0..59": "*-*-* *:*:00..59", "*:00..59/1": "*-*-* *:00..59:00", "01:00..59/20": "*-*-* 01:00..40/20:00",
		"*-*-01..31/40": "*-*-01 00:00:00", "*-*-5..5/3": "*-*-05 00:00:00", "*-*-1,1,1": "*-*-01 00:00:00",
		"*:10..20,10..20/2,10": "*-*-* *:10,10..20,10..20/2:00", "*:5/54": "*-*-* *:05/54:00",
		"05:40:23.4200004/3.1700005": "*-*-* 05:40:23.420000/3.170001", "06:00:00.9999999": "*-*-* 06:00:01",
		"*:*:0.5..2": "*-*-* *:*:00.500000..01.500000", "*:*:59.5/0.1": "*-*-* *:*:59.500000/0.100000",
	} {
		e, err := Parse(expr)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := e.String(); got != want {
			t.Errorf("%q: %q, want %q", expr, got, want)
		}
		if again := mustParse(t, e.String()); again.String() != want {
			t.Errorf("%q read again: %q", want, again)
		}
	}
}

func TestRefused(t *testing.T) {
	for expr, names := range map[string]string{
		"": "expression", " ": "expression", "*": "neither", "12": "neither", "Foo *-*-*": "number", "Fri..Mon": "Sunday", "tues": "number",
		"Mon..": "weekday", "Mon,,Tue": "weekday", ",Mon": "number", "Mon Tue": "number", "Mon..Wed..Fri": "weekday", "Mon10:00": "number",
		"*-*-*/2": "blank", "*/2:00": "neither", "24:00": "hour", "*:60": "minute", "*:*:60": "second", "*-13-1": "month", "*-*-32": "day",
		"*-*-0": "day", "*-*~29": "day", "*-*~1/1": "once more", "*-*~1,26": "day", "*-*~1,2,23": "day", "*-*~5/5": "once more", "*-*~1..29": "day", "1969-1-1": "year", "2200-1-1": "year", "100-1-1": "year", "5..3:00": "backwards", "69..70-1-1": "backwards",
		"1:00/0": "must not be 0", "*:5/55": "once more", "*-*-1/31": "once more", "2026/174-1-1": "once more",
		"*:*:4294967297": "too large", "*-*-1~3": "blank", "2026~2-1": "blank", "2026-10-15T10:00": "number", "1,:00": "number", "1 : 00": "neither",
		"*:": "number", "1:2:3:4": "follow the time", "06:00:1.": "after the point", "*:1.5": "number", "daily  UTC": "number", "1:00 ": "follow the time",
		"Mon\t1:00": "number", "00:00 Europe/Nope": "timezone", "0:0 europe/berlin": "timezone", "00:00 Local": "timezone", "0:0 right/UTC": "leap",
		"@-1": "instant", "@99999999999": "instant", "@1700000000.5": "instant", "@1700000000 10:00": "follow an instant",
		"Mon weekly": "timezone", "hourly/2": "number", "bi-weekly": "number", "*-*-*" + strings.Repeat(" ", 1<<16): "64 KiB",
		strings.Repeat("1,", 300) + "1:00": "too long",
	} {
		e, err := Parse(expr)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !e.IsZero() {
			t.Errorf("%q: %v, %v", clip(expr), e, err)
			continue
		}
		if !strings.Contains(err.Error(), names) || len(err.Error()) > 400 || syntax.Expression != expr {
			t.Errorf("%q: the error does not tell of %q: %v", clip(expr), names, err)
		}
	}
}

func TestZeroEvent(t *testing.T) {
	var e Event
	if at, ok := e.Next(time.Now()); ok || !e.IsZero() || e.String() != "" || e.Zone() != "" {
		t.Errorf("the zero Event is %q and comes at %v", e, at)
	}
}

// FuzzParse holds that whatever is accepted has a normal form that is read as
// the same event, and that the next instant is later and fits the next-to-it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"Mon..Fri *-*-* 10:45:00", "*-*~07/1", "@17", "*:0/15,5 Europe/Berlin", "12-2-29 *:*:0.5..9/0.25", "weekly UTC", "Mon,"} {
		f.Add(seed, int64(1772000000))
	}
	f.Fuzz(func(t *testing.T, expr string, seconds int64) {
		e, err := Parse(expr)
		if err != nil {
			return
		}
		normal := e.String()
		again, err := Parse(normal)
		if err != nil || again.String() != normal {
			t.Fatalf("%q is written %q, which is read as %q, %v", expr, normal, again, err)
		}
		after := time.Unix(seconds%(1<<33), 0).UTC()
		at, ok := e.Next(after)
		same, ok2 := again.Next(after)
		if ok != ok2 || !at.Equal(same) || ok && !at.After(after) {
			t.Fatalf("%q after %v: %v %v, read again %v %v", expr, after, at, ok, same, ok2)
		}
	})
}
