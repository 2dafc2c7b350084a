package cron

import (
	"fmt"
	"strconv"
	"strings"
)

// longest is how many bytes an expression of fleetcron's own may have.
const longest = 1000

// parseStrict reads five fields, or six with the seconds first, accepting only
// what Debian cron and cronie agree on.
func parseStrict(expr string, fields []field) (Schedule, error) {
	if len(expr) > longest {
		return Schedule{}, fail(expr, "expression", expr, 1, fmt.Sprintf("%d bytes long, at most %d", len(expr), longest))
	}
	if f := fields[0]; strings.Contains(f.text, "=") {
		return Schedule{}, fail(expr, "expression", f.text, f.column, "a time zone or variable does not belong here: give the zone as timezone")
	}
	if len(fields) != 5 && len(fields) != 6 {
		return Schedule{}, wrongCount(expr, fields)
	}
	second := uint64(1)
	var flags flag
	if len(fields) == 6 {
		var err error
		if second, err = strictList(expr, secondUnit, fields[0]); err != nil {
			return Schedule{}, err
		}
		flags = withSeconds
		fields = fields[1:]
	}
	var sets [5]uint64
	for i, u := range units {
		set, err := strictList(expr, u, fields[i])
		if err != nil {
			return Schedule{}, err
		}
		if fields[i].text[0] == '*' {
			flags |= u.star
		}
		sets[i] = set
	}
	s := vixieSchedule(sets, flags)
	s.second = second
	return s, nil
}

// wrongCount is the error for neither five nor six fields.
func wrongCount(expr string, fields []field) error {
	const want = "five fields are wanted (minute hour day-of-month month day-of-week), or six with seconds first"
	if len(fields) < 5 {
		return fail(expr, "expression", "", len(expr)+1, fmt.Sprintf("%s; found %d", want, len(fields)))
	}
	f := fields[6]
	return fail(expr, "expression", f.text, f.column, fmt.Sprintf("%s; found %d", want, len(fields)))
}

// strictList reads one field: items with commas between.
func strictList(expr string, u unit, f field) (uint64, error) {
	var set uint64
	column := f.column
	for item := range strings.SplitSeq(f.text, ",") {
		bits, reason := u.item(item)
		if reason != "" {
			value := item
			if value == "" {
				value = f.text
				column = f.column
			}
			return 0, fail(expr, u.name, value, column, reason)
		}
		set |= bits
		column += len(item) + 1
	}
	return set, nil
}

// item reads "*", "*/step", "a", "a-b" or "a-b/step". The reason is empty where
// it is one of these. A reversed range is one, and empty, as in both daemons.
func (u unit) item(item string) (set uint64, reason string) {
	if item == "" {
		return 0, "nothing between two commas, or a comma at an end"
	}
	span, stepText, stepped := strings.Cut(item, "/")
	low, high := u.low, u.high
	if span != "*" {
		first, last, ranged := strings.Cut(span, "-")
		if low, reason = u.value(first); reason != "" {
			return 0, reason
		}
		high = low
		if ranged {
			if high, reason = u.value(last); reason != "" {
				return 0, reason
			}
		} else if stepped {
			return 0, fmt.Sprintf("a step needs a range: write %s-%d/%s", clip(first), u.high, clip(stepText))
		}
	}
	step := 1
	if stepped {
		if step, reason = strictStep(stepText); reason != "" {
			return 0, reason
		}
	}
	for n := low; n <= high; n += step {
		set |= 1 << n
	}
	return set, ""
}

// value reads a number within the unit's bounds or one of its names.
func (u unit) value(text string) (int, string) {
	for i, name := range u.names {
		if equalFold(name, text) {
			return u.low + i, ""
		}
	}
	if !digits(text) {
		return 0, u.notValue(text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < u.low || n > u.high {
		return 0, fmt.Sprintf("out of range: %s goes from %d to %d", u.name, u.low, u.high)
	}
	return n, ""
}

// notValue explains what is neither number nor name.
func (u unit) notValue(text string) string {
	switch {
	case text == "":
		return "a number is missing"
	case text == "?":
		return "? is not cron: write *"
	case strings.HasPrefix(text, "*"):
		return "a star stands alone or with a step, like */5"
	case strings.ContainsAny(text, "#LlWw") && len(text) <= 3 && (u.star == domStar || u.star == dowStar):
		return "L, W and # are not cron"
	case strings.Contains(text, "~"):
		return "a random value (~) would differ from reading to reading: use spread"
	case u.names != nil && len(text) > 3 && u.isLongName(text):
		return "names have three letters: write " + strings.ToLower(text[:3])
	case u.names != nil:
		return fmt.Sprintf("neither a number from %d to %d nor a name from %s to %s",
			u.low, u.high, u.names[0], u.names[len(u.names)-1])
	}
	return fmt.Sprintf("not a number from %d to %d", u.low, u.high)
}

// isLongName reports whether the text starts with one of the unit's names and
// goes on in letters: Sunday, january.
func (u unit) isLongName(text string) bool {
	for _, name := range u.names {
		if equalFold(name, text[:3]) {
			return strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz") == ""
		}
	}
	return false
}

// strictStep reads a step. One beyond the range is legal and means the first
// value only.
func strictStep(text string) (int, string) {
	if !digits(text) {
		return 0, "a step is a number from 1 up, like */5"
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > 1_000_000 {
		return 0, "the step is too large"
	}
	if n == 0 {
		return 0, "the step is 0: it goes from 1 up"
	}
	return n, ""
}

func digits(text string) bool {
	for i := range len(text) {
		if !isDigit(text[i]) {
			return false
		}
	}
	return text != ""
}
