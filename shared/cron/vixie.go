package cron

// unit is one field of an expression: its bounds and names.
type unit struct {
	name      string // in errors and descriptions
	reason    string // Debian cron's and cronie's words for a bad one
	low, high int
	names     []string // of low, low+1, …
	star      flag
}

var (
	monthNames = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	dayNames   = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"}
)

// units are the five fields in order, seconds before them.
var (
	secondUnit = unit{"second", "", 0, 59, nil, 0}
	units      = [5]unit{
		{"minute", "bad minute", 0, 59, nil, minuteStar},
		{"hour", "bad hour", 0, 23, nil, hourStar},
		{"day of month", "bad day-of-month", 1, 31, nil, domStar},
		{"month", "bad month", 1, 12, monthNames, 0},
		{"day of week", "bad day-of-week", 0, 7, dayNames, dowStar},
	}
)

// parseVixie reads five fields as Debian cron or cronie would.
func parseVixie(d Dialect, expr string, fields []field) (Schedule, error) {
	var sets [5]uint64
	var flags flag
	for i, u := range units {
		if i >= len(fields) {
			return Schedule{}, fail(expr, u.name, "", len(expr)+1, u.reason)
		}
		text := fields[i].text
		if text[0] == '*' {
			flags |= u.star
		}
		l := list{unit: u, text: text}
		if ok := l.read(d); !ok {
			return Schedule{}, fail(expr, u.name, text, fields[i].column, u.reason)
		}
		sets[i] = l.set
		if l.drawn {
			flags |= drawn
		}
	}
	if len(fields) > 5 {
		f := fields[5]
		return Schedule{}, fail(expr, "expression", f.text, f.column, "more than five fields")
	}
	return vixieSchedule(sets, flags), nil
}

// vixieSchedule puts the five sets together; day 7 is Sunday.
func vixieSchedule(sets [5]uint64, flags flag) Schedule {
	return Schedule{
		second: 1,
		minute: sets[0],
		hour:   uint32(sets[1]),
		dom:    uint32(sets[2]),
		month:  uint16(sets[3]),
		dow:    uint8((sets[4] | sets[4]>>7) & span(0, 6)),
		flags:  flags,
	}
}

// list reads one field, character by character as the daemons do, because
// where they stop reading is part of what they accept.
type list struct {
	unit
	text  string
	pos   int
	set   uint64
	drawn bool
}

// end is what follows the last character: the blank after a field.
const end = ' '

func (l *list) peek() byte {
	if l.pos < len(l.text) {
		return l.text[l.pos]
	}
	return end
}

func (l *list) accept(c byte) bool {
	if l.peek() != c {
		return false
	}
	l.pos++
	return true
}

// read reports whether the daemon accepts the field. Debian cron skips
// whatever stands between an item and the next blank; cronie wants a comma or
// the blank.
func (l *list) read(d Dialect) bool {
	item := l.debianItem
	if d == Cronie {
		item = l.cronieItem
	}
	for {
		if !item() {
			return false
		}
		if !l.accept(',') {
			return d != Cronie || l.peek() == end
		}
	}
}

func (l *list) debianItem() bool {
	low, high := l.low, l.high
	if !l.accept('*') {
		var ok bool
		if low, ok = l.number(l.names); !ok || l.peek() == '/' {
			return false
		}
		if !l.accept('-') {
			return l.add(low, low, 1)
		}
		if high, ok = l.number(l.names); !ok {
			return false
		}
	}
	step := 1
	if l.accept('/') {
		var ok bool
		if step, ok = l.number(nil); !ok || step <= 0 {
			return false
		}
	}
	// Debian's cron looks at both ends also where the range is reversed.
	if min(low, high) < l.low || max(low, high) > l.high {
		return false
	}
	return l.add(low, high, step)
}

func (l *list) cronieItem() bool {
	low, high := l.low, l.high
	switch {
	case l.accept('*'):
	case l.accept('~'):
		return l.draw(low)
	default:
		var ok bool
		if low, ok = l.number(l.names); !ok {
			return false
		}
		if l.accept('~') {
			return l.draw(low)
		}
		if !l.accept('-') {
			return l.add(low, low, 1)
		}
		if high, ok = l.number(l.names); !ok {
			return false
		}
	}
	step := 1
	if l.accept('/') {
		var ok bool
		if step, ok = l.number(nil); !ok || step == 0 {
			return false
		}
	}
	return l.add(low, high, step)
}

// draw reads what follows cronie's ~ and keeps the whole window the daemon
// draws its one value from. A draw outside the unit makes the daemon refuse the
// line, so a window that only sticks out is kept up to the unit's bounds.
func (l *list) draw(low int) bool {
	high := l.high
	if c := l.peek(); c != end && c != ',' {
		var ok bool
		if high, ok = l.number(l.names); !ok {
			return false
		}
	}
	if low > high {
		return false
	}
	low, high = max(low, l.low), min(high, l.high)
	l.drawn = true
	return low <= high && l.add(low, high, 1)
}

// add sets low to high by step; a reversed range sets nothing, and both
// daemons accept it.
func (l *list) add(low, high, step int) bool {
	for n := low; n <= high; n += step {
		if n < l.low || n > l.high {
			return false
		}
		l.set |= 1 << n
	}
	return true
}

// number reads letters and digits as far as they go: a name, or a decimal
// number as C's (int)strtol gives it, overflow included.
func (l *list) number(names []string) (int, bool) {
	start := l.pos
	digits := true
	for c := l.peek(); isAlnum(c); c = l.peek() {
		digits = digits && isDigit(c)
		l.pos++
	}
	text := l.text[start:l.pos]
	if text == "" {
		return 0, false
	}
	if digits {
		return int(int32(strtol(text))), true
	}
	for i, name := range names {
		if equalFold(name, text) {
			return l.low + i, true
		}
	}
	return 0, false
}

// strtol reads leading decimal digits and saturates, as C does.
func strtol(text string) int64 {
	const most = 1<<63 - 1
	var n int64
	for i := 0; i < len(text) && isDigit(text[i]); i++ {
		d := int64(text[i] - '0')
		if n > (most-d)/10 {
			return most
		}
		n = n*10 + d
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlnum(c byte) bool {
	return isDigit(c) || lower(c) >= 'a' && lower(c) <= 'z'
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalFold compares a lower-case ASCII name without regard to ASCII case.
func equalFold(name, text string) bool {
	if len(name) != len(text) {
		return false
	}
	for i := range len(name) {
		if name[i] != lower(text[i]) {
			return false
		}
	}
	return true
}
