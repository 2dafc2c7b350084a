package policy

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestHours compares windows with what a person reads in them.
func TestHours(t *testing.T) {
	at := func(text string) time.Time { // in a week that begins on Sunday, 2026-11-01
		when, err := time.Parse("2 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return time.Date(2026, 11, when.Day(), when.Hour(), when.Minute(), 59, 0, time.UTC)
	}
	for _, tt := range []struct{ window, in, out string }{
		{"09:00-17:00", "2 09:00|2 16:59|1 12:00", "2 08:59|2 17:00|1 00:00"},
		{"00:00-24:00", "2 00:00|2 23:59", ""},
		{"22:00-06:00", "2 22:00|3 05:59|3 00:00|2 05:59", "2 21:59|2 06:00|2 12:00"},
		{"22:00-22:00", "2 21:59|2 22:00", ""},
		{"22:00-00:00", "2 23:59", "3 00:00|2 21:59"},
		{"Mon-Fri 22:00-06:00", "2 22:00|6 23:00|7 05:59", "1 23:00|2 05:59|7 22:00"},
		{"Fri-Mon 08:00-09:00", "6 08:00|7 08:00|1 08:00|2 08:00", "3 08:00|4 08:00|5 08:00"},
		{"Sat,Wed 08:00-09:00", "7 08:00|4 08:00", "1 08:00|3 08:00"},
		{"Sat 23:00-02:00", "7 23:30|1 01:59", "1 23:30|7 01:59"},
	} {
		w, err := newWindow(tt.window)
		if err != nil {
			t.Fatal(err)
		}
		for word, texts := range map[bool]string{true: tt.in, false: tt.out} {
			for text := range strings.SplitSeq(texts, "|") {
				if text != "" && (Hours{w}).hold(at(text)) != word {
					t.Errorf("%s at %s (%s): want %v", tt.window, text, at(text).Weekday(), word)
				}
			}
		}
	}
	if !Hours(nil).hold(at("2 03:00")) || (Hours{}).hold(at("2 03:00")) {
		t.Error("no hours mean any time, and none of them none")
	}
}

func TestHoursThatAreNone(t *testing.T) {
	for _, text := range []string{"", "9-17", "09:00", "09:00-17:60", "24:00-06:00", "09:00-24:01", "Mo 09:00-17:00", "mon 09:00-17:00", "Mon- 09:00-17:00", "Mon,,Tue 09:00-17:00", ",Mon 09:00-17:00", "Mon-Tue-Wed 09:00-17:00", " 09:00-17:00", "09:00-17:00\n"} {
		if w, err := newWindow(text); err == nil {
			t.Errorf("%q is read as %+v", text, w)
		}
	}
}

// TestNothingBeginsOutOfHours: the task stays this host's, and each begin is
// asked anew.
func TestNothingBeginsOutOfHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Local() // the bubble begins at midnight
		b := newBed(t, usual+"hours: [\""+now.Add(time.Hour).Format("15:04")+"-"+now.Add(2*time.Hour).Format("15:04")+"\"]\n")
		nightly := task()
		if _, refused := b.takes(given(nightly, sign(t, b.says(nightly), b.anna))); len(refused) > 0 {
			t.Fatal(refused)
		}
		err := b.gate.May(&nightly)
		if err == nil || !strings.Contains(err.Error(), "policy:hours, line") {
			t.Errorf("before the hours: %v", err)
		}
		time.Sleep(90 * time.Minute)
		if err := b.gate.May(&nightly); err != nil {
			t.Errorf("within the hours: %v", err)
		}
		time.Sleep(time.Hour)
		if err := b.gate.May(&nightly); err == nil {
			t.Error("it may begin after the hours")
		}
	})
}

// TestExplainSaysTheHours: a person who asks why a task does not begin hears of
// them.
func TestExplainSaysTheHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Local()
		b := newBed(t, usual+"hours: [\""+now.Add(time.Hour).Format("15:04")+"-"+now.Add(2*time.Hour).Format("15:04")+"\"]\n")
		nightly := task()
		plan := &fleet.Plan{Host: hostID, Assignments: []fleet.Assignment{given(nightly, sign(t, b.says(nightly), b.anna))}}
		for _, ok := range []bool{false, true} {
			steps, err := Explain(b.config, plan, nightly.ID())
			if err != nil {
				t.Fatal(err)
			}
			last := steps[len(steps)-1]
			if last.Rule != "hours" || last.OK != ok || !ok && (last.Code != policyCode+"hours" || last.Line == 0) {
				t.Errorf("%+v, want ok %v", last, ok)
			}
			time.Sleep(90 * time.Minute)
		}
	})
}
