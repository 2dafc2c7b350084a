package calendar

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Infinite is the span written "infinity", and any of more than 292 years.
const Infinite = time.Duration(math.MaxInt64)

// units are the names a span's numbers may bear. A month is a twelfth of a
// year, and a year has 365¼ days.
var units = map[string]time.Duration{
	"seconds": time.Second, "second": time.Second, "sec": time.Second, "s": time.Second, "": time.Second,
	"minutes": time.Minute, "minute": time.Minute, "min": time.Minute, "m": time.Minute,
	"hours": time.Hour, "hour": time.Hour, "hr": time.Hour, "h": time.Hour,
	"days": 24 * time.Hour, "day": 24 * time.Hour, "d": 24 * time.Hour,
	"weeks": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "w": 7 * 24 * time.Hour,
	"months": month, "month": month, "M": month,
	"years": 12 * month, "year": 12 * month, "y": 12 * month,
	"msec": time.Millisecond, "ms": time.Millisecond,
	"usec": time.Microsecond, "us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
}

const month = 2629800 * time.Second

// ParseSpan reads a time span of a unit file, such as "1h 30min", "2weeks" or
// "90", which are seconds. The result is at least 0 and cut to microseconds.
// The error names the part that is refused.
func ParseSpan(text string) (time.Duration, error) {
	rest := strings.TrimLeft(text, spanBlanks)
	if strings.TrimRight(rest, spanBlanks) == "infinity" {
		return Infinite, nil
	}
	if rest == "" {
		return 0, spanError(text, text, "it is empty; write one like 1h 30min")
	}
	var sum time.Duration
	for rest != "" {
		part, err := spanPart(&rest)
		if err != "" {
			return 0, spanError(text, rest, err)
		}
		sum = min(sum, Infinite-part) + part
		rest = strings.TrimLeft(rest, spanBlanks)
	}
	return sum, nil
}

const spanBlanks = " \t\n\r"

func spanError(text, value, reason string) error {
	return fmt.Errorf("time span %q: %q: %s", clip(text), clip(value), reason)
}

// spanPart takes one number and its unit off the front.
func spanPart(rest *string) (time.Duration, string) {
	p := parser{rest: *rest}
	whole, err := p.wholeNumber()
	if err != "" {
		return 0, err
	}
	fraction, scale := 0.0, 0.1
	if p.take(".") {
		digits := 0
		for ; digits < len(p.rest) && isDigit(p.rest[digits]); digits++ {
			fraction += float64(p.rest[digits]-'0') * scale
			scale /= 10
		}
		if digits == 0 {
			return 0, "digits are expected after the point"
		}
		p.rest = p.rest[digits:]
	}
	p.rest = strings.TrimLeft(p.rest, spanBlanks)
	end := strings.IndexFunc(p.rest, func(r rune) bool { return strings.ContainsRune(spanBlanks+"0123456789.", r) })
	if end < 0 {
		end = len(p.rest)
	}
	unit, known := units[p.rest[:end]]
	if !known || strings.HasPrefix(p.rest, ".") {
		return 0, "the unit must be one of y, month, w, d, h, min, s, ms, us"
	}
	*rest = p.rest[end:]
	if whole >= int(Infinite/unit) {
		return Infinite, ""
	}
	return time.Duration(whole)*unit + time.Duration(fraction*float64(unit)).Truncate(time.Microsecond), ""
}

// wholeNumber reads digits; none in front of a point count as 0.
func (p *parser) wholeNumber() (int, string) {
	p.take("+")
	n, digits := 0, 0
	for ; digits < len(p.rest) && isDigit(p.rest[digits]); digits++ {
		if n > (math.MaxInt64-9)/10 {
			return 0, "the number is too large"
		}
		n = n*10 + int(p.rest[digits]-'0')
	}
	if digits == 0 && !strings.HasPrefix(p.rest, ".") {
		return 0, "a number is expected"
	}
	p.rest = p.rest[digits:]
	return n, ""
}
