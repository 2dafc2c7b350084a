package calendar

import (
	"errors"
	"strings"
)

// words are the expressions that have names, in any case.
var words = map[string]string{
	"minutely":      "*-*-* *:*:00",
	"hourly":        "*-*-* *:00:00",
	"daily":         "*-*-* 00:00:00",
	"weekly":        "Mon *-*-* 00:00:00",
	"monthly":       "*-*-01 00:00:00",
	"quarterly":     "*-01,04,07,10-01 00:00:00",
	"semiannually":  "*-01,07-01 00:00:00",
	"semi-annually": "*-01,07-01 00:00:00",
	"biannually":    "*-01,07-01 00:00:00",
	"bi-annually":   "*-01,07-01 00:00:00",
	"yearly":        "*-01-01 00:00:00",
	"annually":      "*-01-01 00:00:00",
	"anually":       "*-01-01 00:00:00", // systemd takes it
}

// maxExpression bounds an expression, in bytes; systemd's lines are no longer.
const maxExpression = 1 << 16

// Parse reads a calendar expression. The error is a *[SyntaxError].
func Parse(expr string) (Event, error) {
	p := &parser{expr: expr, rest: expr}
	e := Event{weekdays: everyWeekday}
	if err := p.event(&e); err != nil {
		return Event{}, err
	}
	return e, nil
}

// parser is an expression being read: what is left of it.
type parser struct {
	expr, rest string
}

func (p *parser) fail(field, value, reason string) error {
	return &SyntaxError{Expression: p.expr, Field: field, Value: value, Reason: reason}
}

func (p *parser) event(e *Event) error {
	switch {
	case strings.TrimSpace(p.expr) == "":
		return p.fail("expression", "", "it is empty; write one like daily or Mon..Fri 02:30")
	case len(p.expr) > maxExpression:
		return p.fail("expression", "", "it is longer than 64 KiB")
	}
	if err := p.timezone(e); err != nil {
		return err
	}
	if expression, is := words[strings.ToLower(p.rest)]; is {
		p.rest = expression
	}
	for _, part := range []func(*Event) error{p.weekdays, p.date} {
		if err := part(e); err != nil {
			return err
		}
	}
	return p.finish(e)
}

// finish puts the fields into normal form, checks them and makes their sets.
func (p *parser) finish(e *Event) error {
	days := dayField
	if e.end = e.end && e.days != nil; e.end {
		days = fromEnd
	}
	for _, f := range []struct {
		field
		list *components
		set  *uint64
	}{
		{yearField, &e.years, nil},
		{monthField, &e.months, &e.monthSet},
		{days, &e.days, &e.daySet},
		{hourField, &e.hours, &e.hourSet},
		{minuteField, &e.minutes, &e.minuteSet},
		{secondField, &e.seconds, nil},
	} {
		*f.list = f.list.normal()
		if err := f.list.check(f.field); err != nil {
			var b strings.Builder
			f.list.write(&b, f.field)
			return p.fail(f.name, b.String(), err.Error())
		}
		if f.set != nil {
			*f.set = f.list.set(f.field)
		}
	}
	return nil
}

// weekdays reads the list of weekdays in front, if there is one.
func (p *parser) weekdays(e *Event) error {
	var set uint8
	for first := -1; ; {
		day, ok := p.weekday()
		switch {
		case !ok && set == 0 && first < 0:
			return nil // it begins with the date
		case !ok:
			return p.fail("weekday", p.rest, "write Mon or Monday, a list like Mon,Wed or a range like Mon..Fri")
		case first > day:
			return p.fail("weekday", p.expr, "a range must not go beyond Sunday; write it as a list of two, like Fri..Sun,Mon")
		}
		ranged := first >= 0
		if !ranged {
			first = day
		}
		set |= (1<<(day+1) - 1) &^ (1<<first - 1)
		switch {
		case p.rest == "" || p.rest[0] == ' ':
			e.weekdays = set
			p.blanks()
			return nil
		case p.rest[0] == ',':
			first, p.rest = -1, p.rest[1:]
			if p.rest == "" || p.rest[0] == ' ' { // one comma too many is forgiven
				e.weekdays = set
				p.blanks()
				return nil
			}
		case ranged:
			return p.fail("weekday", p.rest, "a range has two ends; go on with a comma")
		default:
			first = day
			if !p.take("..") && !p.take("-") {
				return p.fail("weekday", p.rest, "go on with a comma, .. or a blank")
			}
		}
	}
}

// weekday reads one name of a day, whole or its first three letters.
func (p *parser) weekday() (day int, ok bool) {
	n := 0
	for n < len(p.rest) && isLetter(p.rest[n]) {
		n++
	}
	for day, name := range weekdays {
		if strings.EqualFold(p.rest[:n], name) || strings.EqualFold(p.rest[:n], name[:3]) {
			rest := p.rest[n:]
			if rest != "" && !strings.ContainsRune("-., ", rune(rest[0])) {
				return 0, false
			}
			p.rest = rest
			return day, true
		}
	}
	return 0, false
}

// date reads the date, if there is one, and then the time of day.
func (p *parser) date(e *Event) error {
	if p.take("@") {
		return p.epoch(e)
	}
	if p.rest == "" {
		return p.time(e)
	}
	start := p.rest
	first, err := p.list(yearField)
	if err != nil {
		return err
	}
	if p.rest != "" && p.rest[0] == ':' { // it was the hour already
		p.rest = start
		return p.time(e)
	}
	monthFirst := p.take("-")
	if e.end = !monthFirst && p.take("~"); !monthFirst && !e.end {
		return p.fail("expression", start, "it is neither a date like *-*-01 nor a time like 05:40")
	}
	second, err := p.list(monthField)
	if err != nil {
		return err
	}
	e.months, e.days = first, second
	if !e.end && (p.take("-") || strings.HasPrefix(p.rest, "~")) {
		e.end = p.take("~")
		e.years, e.months = twoDigits(first), second
		if e.days, err = p.list(dayField); err != nil {
			return err
		}
	}
	if p.rest != "" && p.rest[0] != ' ' {
		return p.fail("expression", p.rest, "after the date comes a blank and the time, like *-*-01 05:40")
	}
	p.blanks()
	return p.time(e)
}

// twoDigits makes full years of those written with two digits.
func twoDigits(years components) components {
	full := func(year int) int {
		switch {
		case year >= 0 && year < 70:
			return year + 2000
		case year >= 70 && year < 100:
			return year + 1900
		}
		return year
	}
	for i := range years {
		years[i].start, years[i].stop = full(years[i].start), full(years[i].stop)
	}
	return years
}

// time reads the time of day; without one, the event is at midnight.
func (p *parser) time(e *Event) error {
	zero := components{{start: 0, stop: -1}}
	if p.rest == "" {
		e.hours, e.minutes, e.seconds = zero, zero, zero
		return nil
	}
	var err error
	if e.hours, err = p.list(hourField); err != nil {
		return err
	}
	if !p.take(":") {
		return p.fail("hour", p.rest, "after the hour comes a colon and the minute, like 05:40")
	}
	if e.minutes, err = p.list(minuteField); err != nil {
		return err
	}
	e.seconds = components{{start: 0, stop: -1}}
	if p.take(":") {
		if e.seconds, err = p.list(secondField); err != nil {
			return err
		}
	}
	if p.rest != "" {
		return p.fail("expression", p.rest, "nothing but a timezone may follow the time")
	}
	return nil
}

// list reads the numbers of one field, or its star.
func (p *parser) list(f field) (components, error) {
	if p.take("*") {
		if f == secondField {
			return components{everySecond}, nil
		}
		return nil, nil
	}
	var list components
	for {
		start := p.rest
		c, err := p.component(f)
		switch {
		case err != nil:
			return nil, p.fail(f.name, start, err.Error())
		case len(list) == maxComponents:
			return nil, p.fail(f.name, start, "the list is too long")
		case p.rest != "" && !strings.ContainsRune(" ,-~:", rune(p.rest[0])):
			return nil, p.fail(f.name, start, "write a number, a range like 1..5, a repetition like 0/5, a list of these, or *")
		}
		list = append(list, c)
		if !p.take(",") {
			return list, nil
		}
	}
}

var errNoNumber = errors.New("a number is expected")

// component reads one number, range or repetition.
func (p *parser) component(f field) (component, error) {
	start, err := p.number(f)
	c := component{start: start, stop: -1}
	if err != nil {
		return c, err
	}
	if p.take("..") {
		if c.stop, err = p.number(f); err != nil {
			return c, err
		}
		c.repeat = f.unit
	}
	if p.take("/") {
		if c.repeat, err = p.number(f); err != nil {
			return c, err
		}
		if c.repeat == 0 {
			return c, errors.New("a repetition must not be 0")
		}
	}
	return c, nil
}

// number reads digits and, where the field's unit allows, a fraction.
func (p *parser) number(f field) (int, error) {
	n, digits := 0, 0
	for ; digits < len(p.rest) && isDigit(p.rest[digits]); digits++ {
		if n = n*10 + int(p.rest[digits]-'0'); n > 1<<31 {
			return 0, errors.New("the number is too large")
		}
	}
	if digits == 0 {
		return 0, errNoNumber
	}
	p.rest = p.rest[digits:]
	n *= f.unit
	if f.unit == 1 || len(p.rest) == 0 || p.rest[0] != '.' || strings.HasPrefix(p.rest, "..") {
		return n, nil
	}
	p.rest = p.rest[1:]
	fraction, ok := p.fraction()
	if !ok {
		return 0, errors.New("digits are expected after the point")
	}
	return n + fraction, nil
}

// fraction reads the digits after a point, rounded to six.
func (p *parser) fraction() (int, bool) {
	n, digits := 0, 0
	for ; digits < len(p.rest) && isDigit(p.rest[digits]); digits++ {
		switch digit := int(p.rest[digits] - '0'); {
		case digits < 6:
			n = n*10 + digit
		case digits == 6 && digit >= 5:
			n++
		}
	}
	for i := digits; i < 6; i++ {
		n *= 10
	}
	p.rest = p.rest[digits:]
	return n, digits > 0
}

func (p *parser) take(prefix string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	p.rest = rest
	return ok
}

func (p *parser) blanks() { p.rest = strings.TrimLeft(p.rest, " ") }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
