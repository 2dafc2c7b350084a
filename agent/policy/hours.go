package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hours are windows of the week, by the host's own clock and time zone, in which
// runs may begin. Nil: at any time.
type Hours []Window

// Window is a part of some days of the week. One that ends where it begins, or
// earlier, reaches into the next day and belongs to the day on which it begins.
type Window struct {
	text       string
	days       [7]bool // by time.Weekday: those on which it begins
	begin, end int     // minutes since midnight, by the clock on the wall; end is not in it
}

var (
	windowForm = regexp.MustCompile(`\A(?:([A-Za-z,-]+) )?(\d\d):(\d\d)-(\d\d):(\d\d)\z`)
	weekdays   = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
)

// newWindow reads "22:00-06:00" or "Mon-Fri,Sun 22:00-06:00".
func newWindow(text string) (Window, error) {
	w := Window{text: text}
	parts := windowForm.FindStringSubmatch(text)
	if parts == nil {
		return w, fmt.Errorf("want hours such as 22:00-06:00 or \"Mon-Fri,Sun 22:00-06:00\"")
	}
	var ok [2]bool
	w.begin, ok[0] = minutes(parts[2], parts[3])
	w.end, ok[1] = minutes(parts[4], parts[5])
	if !ok[0] || !ok[1] || w.begin == day {
		return w, fmt.Errorf("want times from 00:00 to 24:00")
	}
	if parts[1] == "" {
		parts[1] = "Sun-Sat"
	}
	for part := range strings.SplitSeq(parts[1], ",") {
		if err := w.addDays(part); err != nil {
			return w, err
		}
	}
	return w, nil
}

// day is how many minutes the clock on the wall shows in one.
const day = 24 * 60

func minutes(hour, minute string) (int, bool) {
	h, _ := strconv.Atoi(hour)
	m, _ := strconv.Atoi(minute)
	return h*60 + m, m < 60 && h*60+m <= day
}

// addDays takes in "Mon", or "Fri-Mon".
func (w *Window) addDays(part string) error {
	first, last, many := strings.Cut(part, "-")
	if !many {
		last = first
	}
	from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
	if from < 0 || to < 0 {
		return fmt.Errorf("%q is no day or range of days; there are %s", part, strings.Join(weekdays, ", "))
	}
	for at := from; ; at = (at + 1) % len(weekdays) {
		w.days[at] = true
		if at == to {
			return nil
		}
	}
}

// holds reports whether the instant lies in the window, by the clock on the wall
// of its location.
func (w *Window) holds(at time.Time) bool {
	now, today := at.Hour()*60+at.Minute(), at.Weekday()
	yesterday := (today + 6) % 7
	if w.begin < w.end {
		return w.days[today] && w.begin <= now && now < w.end
	}
	return w.days[today] && now >= w.begin || w.days[yesterday] && now < w.end
}

// hold reports whether something may begin at that instant.
func (h Hours) hold(at time.Time) bool {
	return h == nil || slices.ContainsFunc(h, func(w Window) bool { return w.holds(at) })
}

// String returns the windows as they were written.
func (h Hours) String() string {
	texts := make([]string, len(h))
	for i := range h {
		texts[i] = h[i].text
	}
	return strings.Join(texts, ", ")
}

// outOfHours refuses what would begin at a time at which nothing may.
func (p *Policy) outOfHours(now time.Time) *objection {
	now = now.Local()
	if p.Hours.hold(now) {
		return nil
	}
	return &objection{policyCode + "hours", fmt.Sprintf("it is %s here, and the policy lets runs begin only in %s", now.Format("Mon 15:04"), p.Hours), p.line("hours")}
}
