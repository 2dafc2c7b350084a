package takeover

import (
	"strings"

	"github.com/fleetcron/fleetcron/shared/calendar"
)

// fromCalendar returns the five fields of cron that say what an OnCalendar
// expression says. That they come at the same instants is for the caller to see.
func fromCalendar(event calendar.Event) (string, error) {
	inexpressible := func(why string) (string, error) {
		return "", refuse("its schedule %q cannot be said in cron's five fields, because %s", event, why)
	}
	words := strings.Fields(strings.TrimSuffix(event.String(), " "+event.Zone()))
	weekdays := "*"
	if len(words) == 3 {
		weekdays, words = strings.ReplaceAll(strings.ToLower(words[0]), "..", "-"), words[1:]
	}
	if len(words) != 2 {
		return inexpressible("it has other parts")
	}
	date, clock := strings.Split(words[0], "-"), strings.Split(words[1], ":")
	switch {
	case strings.Contains(words[0], "~"):
		return inexpressible("it counts from the end of the month")
	case len(date) != 3 || len(clock) != 3:
		return inexpressible("it has other parts")
	case date[0] != "*":
		return inexpressible("it names years")
	case clock[2] != "00":
		return inexpressible("it names seconds")
	case weekdays != "*" && date[2] != "*":
		return inexpressible("weekday and day of the month must both fit, while cron takes either")
	}
	fields := []string{
		cronField(clock[1], "0", "59"), cronField(clock[0], "0", "23"), cronField(date[2], "1", "31"), cronField(date[1], "1", "12"), weekdays,
	}
	return strings.Join(fields, " "), nil
}

// cronField writes a field of a calendar's normal form as cron does: without
// leading zeros, and "a/b" as the range up to the field's last value.
func cronField(text, first, last string) string {
	if text == "*" {
		return text
	}
	items := strings.Split(strings.ReplaceAll(text, "..", "-"), ",")
	for i, item := range items {
		span, step, stepped := strings.Cut(item, "/")
		ends := strings.Split(span, "-")
		for j := range ends {
			if ends[j] = strings.TrimLeft(ends[j], "0"); ends[j] == "" {
				ends[j] = "0"
			}
		}
		if items[i] = strings.Join(ends, "-"); !stepped {
			continue
		}
		switch {
		case len(ends) > 1:
		case ends[0] == first:
			items[i] = "*"
		default:
			items[i] += "-" + last
		}
		items[i] += "/" + step
	}
	return strings.Join(items, ",")
}
