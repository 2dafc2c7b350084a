package cron

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSyntaxErrors is what a person reads who mistypes an expression.
func TestSyntaxErrors(t *testing.T) {
	const want = "five fields are wanted (minute hour day-of-month month day-of-week), or six with seconds first; found "
	for _, c := range []struct {
		expr, field, value string
		column             int
		reason             string
	}{
		{"", "expression", "", 1, "empty: write five fields, like 30 2 * * *"},
		{" \t", "expression", "", 1, "empty: write five fields, like 30 2 * * *"},
		{"* * * *", "expression", "", 8, want + "4"},
		{"0 0 1 1 * 2026 x", "expression", "x", 16, want + "7"},
		{"0 1 * * *\n", "expression", "\n", 10, "a line break cannot stand in an expression"},
		{"60 * * * *", "minute", "60", 1, "out of range: minute goes from 0 to 59"},
		{"0 24 * * *", "hour", "24", 3, "out of range: hour goes from 0 to 23"},
		{"0 0 0 * *", "day of month", "0", 5, "out of range: day of month goes from 1 to 31"},
		{"0 0 * 13 *", "month", "13", 7, "out of range: month goes from 1 to 12"},
		{"0 0 * * 8", "day of week", "8", 9, "out of range: day of week goes from 0 to 7"},
		{"60 0 0 * * *", "second", "60", 1, "out of range: second goes from 0 to 59"},
		{"0 5,70 * * *", "hour", "70", 5, "out of range: hour goes from 0 to 23"},
		{"4294967296 * * * *", "minute", "4294967296", 1, "out of range: minute goes from 0 to 59"},
		{"5/10 * * * *", "minute", "5/10", 1, "a step needs a range: write 5-59/10"},
		{"*/0 * * * *", "minute", "*/0", 1, "the step is 0: it goes from 1 up"},
		{"*/x * * * *", "minute", "*/x", 1, "a step is a number from 1 up, like */5"},
		{"*/5/2 * * * *", "minute", "*/5/2", 1, "a step is a number from 1 up, like */5"},
		{"*/99999999999999999999 * * * *", "minute", "*/99999999999999999999", 1, "the step is too large"},
		{"*15 * * * *", "minute", "*15", 1, "a star stands alone or with a step, like */5"},
		{"1,,2 * * * *", "minute", "1,,2", 1, "nothing between two commas, or a comma at an end"},
		{"0 1, * * *", "hour", "1,", 3, "nothing between two commas, or a comma at an end"},
		{"1- * * * *", "minute", "1-", 1, "a number is missing"},
		{"-5 * * * *", "minute", "-5", 1, "a number is missing"},
		{"1-2-3 * * * *", "minute", "1-2-3", 1, "not a number from 0 to 59"},
		{"5;6 * * * *", "minute", "5;6", 1, "not a number from 0 to 59"},
		{"H * * * *", "minute", "H", 1, "not a number from 0 to 59"},
		{"0~30 * * * *", "minute", "0~30", 1, "a random value (~) would differ from reading to reading: use spread"},
		{"0 0 ? * *", "day of month", "?", 5, "? is not cron: write *"},
		{"0 0 L * *", "day of month", "L", 5, "L, W and # are not cron"},
		{"0 0 * * 1#2", "day of week", "1#2", 9, "L, W and # are not cron"},
		{"0 0 * * Sunday", "day of week", "Sunday", 9, "names have three letters: write sun"},
		{"0 0 * Mai *", "month", "Mai", 7, "neither a number from 1 to 12 nor a name from jan to dec"},
		{"0 0 * * mon-frei", "day of week", "mon-frei", 9, "neither a number from 0 to 7 nor a name from sun to sun"},
		{"CRON_TZ=UTC 0 0 * * *", "expression", "CRON_TZ=UTC", 1, "a time zone or variable does not belong here: give the zone as timezone"},
		{"@every 5m", "word", "@every", 1, "not a cron expression: give the period as an `every` trigger"},
		{"@Daily", "word", "@Daily", 1, "cron's words are lower case: write @daily"},
		{" @fortnightly", "word", "@fortnightly", 2, "no such word; there are @reboot @yearly @annually @monthly @weekly @daily @midnight @hourly"},
		{"@daily 5", "expression", "5", 8, "nothing may follow @daily"},
	} {
		s, err := Parse(c.expr)
		var got *SyntaxError
		if !errors.As(err, &got) || s != (Schedule{}) {
			t.Errorf("%q: %v, %v; want an error and no schedule", c.expr, s, err)
			continue
		}
		if diff := cmp.Diff(&SyntaxError{c.expr, c.field, c.value, c.column, c.reason}, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.expr, diff)
		}
	}
}

func TestSyntaxErrorText(t *testing.T) {
	_, err := Parse("0 24 * * *")
	if want := `cron expression "0 24 * * *": hour "24" at column 3: out of range: hour goes from 0 to 23`; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = Parse("* * *")
	if want := `cron expression "* * *": five fields are wanted (minute hour day-of-month month day-of-week), or six with seconds first; found 3`; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	for _, long := range []string{strings.Repeat("1,", 150_000) + "1 * * * *", strings.Repeat("* ", 400), strings.Repeat("x", 900) + " * * * *"} {
		if _, err = Parse(long); err == nil || len(err.Error()) > 500 {
			t.Errorf("%d bytes: error of %d bytes", len(long), len(fmt.Sprint(err)))
		}
	}
}

// TestStrictIsWhatBothRead holds Strict to its promise: what it accepts, Debian
// cron and cronie accept too, to the same sets; what they agree on, it accepts,
// but for numbers out of range in a reversed range, which they never look at.
func TestStrictIsWhatBothRead(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	accepted := 0
	for range 50_000 {
		fields := [5]string{"*", "*", "*", "*", "*"}
		fields[r.IntN(5)] = randomText(r)
		expr := strings.Join(fields[:], " ")
		strict, err := Parse(expr)
		debian, debianErr := Debian.Parse(expr)
		cronie, cronieErr := Cronie.Parse(expr)
		agree := debianErr == nil && cronieErr == nil && !cronie.Random() && debian.Fields() == cronie.Fields()
		if err != nil && strings.Contains(err.Error(), "out of range") {
			continue
		}
		if agree != (err == nil) {
			t.Fatalf("%q: strict %v, debian %v, cronie %v", expr, err, debianErr, cronieErr)
		}
		if err == nil {
			accepted++
			if strict.Fields() != debian.Fields() {
				t.Fatalf("%q: strict %+v, debian %+v", expr, strict.Fields(), debian.Fields())
			}
		}
	}
	if accepted < 2000 {
		t.Fatalf("only %d accepted: the test proves little", accepted)
	}
}

// randomText is a field made of what fields are made of, in any order.
func randomText(r *rand.Rand) string {
	parts := []string{"*", "/", "-", ",", "~", "0", "1", "2", "7", "12", "31", "59", "60", "mon", "FRI", "jan", "Dec", "x", "#", "L"}
	var b strings.Builder
	for range 1 + r.IntN(5) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

func seeds(f *testing.F) {
	for _, expr := range []string{
		"30 2 * * *", "*/5 0-23/2 1,15 jan-mar mon-fri", "0 0 29 2 */7", "@daily", "@reboot", "0 22-2 * * *",
		"*/10 30 2 * * *", "~ * * * *", "5,50~ * * * 0~6", "*15 **/5 1-2-3 * 1#2", "0 0 1 0 7", "99999999999999999999 * * * *",
		"CRON_TZ=UTC 0 0 * * *", "\ufeff0 0 * * *", "*/-5 +5 * * *", "0 0 * * *\r", "\x00",
	} {
		f.Add(expr, int64(1774741800))
	}
}

// checkParsed is what must hold of anything that parses.
func checkParsed(t *testing.T, d Dialect, s Schedule, unix int64) {
	t.Helper()
	again, err := d.Parse(s.String())
	if err != nil || again != s {
		t.Fatalf("%s %q does not parse back: %v, %v", d, s, again, err)
	}
	if s.Describe() == "" {
		t.Fatalf("%s %q has no description", d, s)
	}
	after := time.Unix(unix%lastSecond, 0).In(mustLoad(t, "Europe/Berlin"))
	next, ok := s.Next(after)
	if !ok {
		return
	}
	if !next.After(after) {
		t.Fatalf("%s %q after %s: %s", d, s, after, next)
	}
	// No instant between is due: from any of them Next says the same.
	between := after.Add(next.Sub(after) / 2)
	if again, ok := s.Next(between); !ok || !again.Equal(next) {
		t.Fatalf("%s %q: after %s comes %s, after %s comes %s", d, s, after, next, between, again)
	}
}

func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, expr string, unix int64) {
		s, err := Parse(expr)
		if err == nil {
			checkParsed(t, Strict, s, unix)
			return
		}
		checkError(t, expr, err)
	})
}

func FuzzDialectParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, expr string, unix int64) {
		for _, d := range []Dialect{Debian, Cronie, Busybox} {
			s, err := d.Parse(expr)
			if err == nil {
				checkParsed(t, d, s, unix)
				continue
			}
			checkError(t, expr, err)
		}
	})
}

func checkError(t *testing.T, expr string, err error) {
	t.Helper()
	var e *SyntaxError
	if !errors.As(err, &e) || e.Expression != expr || e.Field == "" || e.Reason == "" {
		t.Fatalf("%q: %#v", expr, err)
	}
	if e.Column < 1 || e.Column > len(expr)+1 || !strings.HasPrefix(expr[e.Column-1:], e.Value) {
		t.Fatalf("%q: column %d does not hold %q", expr, e.Column, e.Value)
	}
}
